// Products of a few rows with weights, as in decoding. Reading the weights dominates the time. A kernel
// therefore reads each weight only once, with many loads in flight. Compiled for one number of rows (ROWS),
// one type of rows and weights (ELEMENT or T), and one type of products (RESULT or R). Sums are f32.
#include <cuda_bf16.h>

#ifndef ROWS
#define ROWS 1
#endif
#ifndef ELEMENT
#define ELEMENT __nv_bfloat16
#endif
#ifndef RESULT
#define RESULT ELEMENT
#endif
using T = ELEMENT;
using R = RESULT;

constexpr int WARP = 32;
constexpr int WARPS = 4;                    // warps of a block
constexpr int VECTOR = 16 / sizeof(T);      // elements of a load
constexpr int STEP = WARP * VECTOR;         // elements that a warp reads with one load per thread
constexpr int AHEAD = 8;                    // loads of a thread that are in flight together

// Reads 16 bytes of a weight. Does not keep the bytes in the L1 cache, since they are read only once.
__device__ uint4 stream(const T* at) {
    uint4 bits;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
                 : "l"(at));
    return bits;
}

struct Numbers {
    float x[VECTOR];
};

__device__ Numbers unpack_numbers(const uint4& bits) {
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
    Numbers numbers;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(T) == 2) {  // a bf16 is the upper half of a float
            numbers.x[2 * i] = __uint_as_float(words[i] << 16);
            numbers.x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000);
        } else {
            numbers.x[i] = __uint_as_float(words[i]);
        }
    }
    return numbers;
}

// A thread's partial sums of the products of one row of a weight with each row of x.
struct Sums {
    float of[ROWS] = {};

    __device__ void add(const uint4& weight, const T* x, int width, int at) {
        const Numbers w = unpack_numbers(weight);
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            const Numbers y = unpack_numbers(*reinterpret_cast<const uint4*>(x + (long long)row * width + at));
#pragma unroll
            for (int i = 0; i < VECTOR; i++) of[row] = fmaf(w.x[i], y.x[i], of[row]);
        }
    }

    // Sums over the threads of a warp.
    __device__ void sum_over_warp() {
#pragma unroll
        for (int row = 0; row < ROWS; row++)
#pragma unroll
            for (int offset = WARP / 2; offset > 0; offset /= 2)
                of[row] += __shfl_xor_sync(0xffffffff, of[row], offset);
    }
};

// Multiplies COUNT rows of weights with the rows of x. One warp computes all these products.
template <int COUNT>
__device__ void multiply(const T* const (&weights)[COUNT], const T* x, int width, Sums (&sums)[COUNT]) {
    constexpr int LOADS = AHEAD / COUNT;
    uint4 bits[COUNT][LOADS];
    int at = threadIdx.x % WARP * VECTOR;
    const auto load = [&] {
#pragma unroll
        for (int step = 0; step < LOADS; step++)
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                if (at + step * STEP < width) bits[i][step] = stream(weights[i] + at + step * STEP);
    };
    load();
    while (at < width) {
#pragma unroll
        for (int step = 0; step < LOADS; step++)
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                if (at + step * STEP < width) sums[i].add(bits[i][step], x, width, at + step * STEP);
        at += LOADS * STEP;
        load();
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) sums[i].sum_over_warp();
}

__device__ int warp() { return blockIdx.x * WARPS + threadIdx.x / WARP; }

// y = x wᵀ for x [ROWS, width] and up to three weights w [out, width]. An absent weight has out = 0.
extern "C" __global__ void __launch_bounds__(WARP* WARPS)
    project(const T* x, int width, const T* __restrict__ w0, R* y0, int out0, const T* __restrict__ w1, R* y1,
            int out1, const T* __restrict__ w2, R* y2, int out2) {
    int column = warp(), out = out0;
    const T* weight = w0;
    R* y = y0;
    if (column >= out0) {
        column -= out0, weight = w1, y = y1, out = out1;
        if (column >= out1) column -= out1, weight = w2, y = y2, out = out2;
    }
    if (column >= out) return;
    const T* const weights[1] = {weight + (long long)column * width};
    Sums sums[1];
    multiply(weights, x, width, sums);
    if (threadIdx.x % WARP == 0)
#pragma unroll
        for (int row = 0; row < ROWS; row++) y[(long long)row * out + column] = R(sums[0].of[row]);
}

// y = silu(x gateᵀ) · (x upᵀ) for x [ROWS, width] and weights [out, width]. Both products are rounded to T
// before SiLU.
extern "C" __global__ void __launch_bounds__(WARP* WARPS)
    swiglu(const T* x, int width, const T* __restrict__ gate, const T* __restrict__ up, T* y, int out) {
    const int column = warp();
    if (column >= out) return;
    const long long start = (long long)column * width;
    const T* const weights[2] = {gate + start, up + start};
    Sums sums[2];
    multiply(weights, x, width, sums);
    if (threadIdx.x % WARP == 0)
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            const float g = float(T(sums[0].of[row])), u = float(T(sums[1].of[row]));
            y[(long long)row * out + column] = T(g / (1 + expf(-g)) * u);
        }
}
