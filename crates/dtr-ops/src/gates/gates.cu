// Gates of linear attention, forward and backward: the decay gate, and the gated RMSNorm of each head.
// Compiled for one value width, VALUE_WIDTH (a multiple of 8, at most 256), and one dtype. Tensors are f32 if
// REAL_F32 is defined, and bf16 otherwise. All arithmetic is f32.
#include <cuda_bf16.h>

#ifndef VALUE_WIDTH
#define VALUE_WIDTH 128
#endif
#ifdef REAL_F32
using Real = float;
#else
using Real = __nv_bfloat16;
#endif
using bf16 = __nv_bfloat16;
using i64 = long long;

constexpr int V = VALUE_WIDTH;
constexpr int VEC_LEN = 16 / sizeof(Real);  // neighbouring elements that a thread of the norm loads at once
static_assert(V % VEC_LEN == 0 && V <= 256);

template <int N>
struct alignas(16) Vec {
    float at[N];
};

template <int N>
__device__ inline Vec<N> load(const float* from) {
    Vec<N> x;
#pragma unroll
    for (int i = 0; i < N; i += 4) *reinterpret_cast<float4*>(x.at + i) = *reinterpret_cast<const float4*>(from + i);
    return x;
}
template <int N>
__device__ inline Vec<N> load(const bf16* from) {
    unsigned words[N / 2];
    if constexpr (N == 8) *reinterpret_cast<uint4*>(words) = *reinterpret_cast<const uint4*>(from);
    else *reinterpret_cast<uint2*>(words) = *reinterpret_cast<const uint2*>(from);
    Vec<N> x;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
        x.at[2 * i] = __uint_as_float(words[i] << 16);
        x.at[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
    return x;
}
template <int N>
__device__ inline void store(float* to, const Vec<N>& x) {
#pragma unroll
    for (int i = 0; i < N; i += 4) *reinterpret_cast<float4*>(to + i) = *reinterpret_cast<const float4*>(x.at + i);
}
template <int N>
__device__ inline void store(bf16* to, const Vec<N>& x) {
    __nv_bfloat162 words[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) words[i] = __floats2bfloat162_rn(x.at[2 * i], x.at[2 * i + 1]);
    if constexpr (N == 8) *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(words);
    else *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(words);
}
__device__ inline float sigmoid(float x) { return __fdividef(1, 1 + __expf(-x)); }

// The decay gate of n elements. A thread computes GATE_VEC_LEN neighbouring elements.

constexpr int GATE_VEC_LEN = 4;
using Channels = Vec<GATE_VEC_LEN>;

// gk = log_sigmoid(x) / normalizer = -log(1 + exp(-x)) / normalizer
__device__ inline float log_decay(float x, float factor) {
    return (fminf(x, 0) - log1pf(__expf(-fabsf(x)))) * factor;
}

extern "C" __global__ void decay_gate(const Real* __restrict__ x, float* __restrict__ gk, float normalizer, i64 n) {
    const i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * GATE_VEC_LEN;
    const float factor = 1 / normalizer;
    if (first + GATE_VEC_LEN <= n) {
        Channels z = load<GATE_VEC_LEN>(x + first);
#pragma unroll
        for (int i = 0; i < GATE_VEC_LEN; ++i) z.at[i] = log_decay(z.at[i], factor);
        store(gk + first, z);
    } else {
        for (i64 i = first; i < n; ++i) gk[i] = log_decay(float(x[i]), factor);
    }
}

// dx = dgk * sigmoid(-x) / normalizer
extern "C" __global__ void decay_gate_backward(const Real* __restrict__ x, const float* __restrict__ dgk,
                                               Real* __restrict__ dx, float normalizer, i64 n) {
    const i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * GATE_VEC_LEN;
    const float factor = 1 / normalizer;
    if (first + GATE_VEC_LEN <= n) {
        const Channels z = load<GATE_VEC_LEN>(x + first);
        Channels d = load<GATE_VEC_LEN>(dgk + first);
#pragma unroll
        for (int i = 0; i < GATE_VEC_LEN; ++i) d.at[i] *= sigmoid(-z.at[i]) * factor;
        store(dx + first, d);
    } else {
        for (i64 i = first; i < n; ++i) dx[i] = Real(dgk[i] * sigmoid(-float(x[i])) * factor);
    }
}

// The gated norm.

// Returns the number of lanes (threads of a warp) that share a row of V elements. It is a power of two.
constexpr int row_lanes() {
    int lanes = 1;
    while (lanes < 32 && lanes * VEC_LEN < V) lanes *= 2;
    return lanes;
}
constexpr int ROW_LANES = row_lanes(), VECS = (V + ROW_LANES * VEC_LEN - 1) / (ROW_LANES * VEC_LEN);
constexpr int NORM_THREADS = 256, ROWS_AT_ONCE = NORM_THREADS / ROW_LANES;
#if __CUDA_ARCH__ >= 900
constexpr int BACKWARD_BLOCKS = ROW_LANES * VEC_LEN == V ? 4 : 3;  // blocks per multiprocessor
#else
constexpr int BACKWARD_BLOCKS = 3;
#endif

__device__ inline float row_sum(float x) {
#pragma unroll
    for (int other = ROW_LANES / 2; other; other /= 2) x += __shfl_xor_sync(~0u, x, other);
    return x;
}

struct Row {
    Vec<VEC_LEN> at[VECS];

    __device__ static bool has(int i, int lane) { return (i * ROW_LANES + lane) * VEC_LEN < V; }
    template <typename T>
    __device__ void load_from(const T* from, int lane) {
#pragma unroll
        for (int i = 0; i < VECS; ++i)
            at[i] = has(i, lane) ? load<VEC_LEN>(from + (i * ROW_LANES + lane) * VEC_LEN) : Vec<VEC_LEN>{};
    }
    template <typename T>
    __device__ void store_to(T* to, int lane) const {
#pragma unroll
        for (int i = 0; i < VECS; ++i)
            if (has(i, lane)) store(to + (i * ROW_LANES + lane) * VEC_LEN, at[i]);
    }
    template <typename F>
    __device__ static void each(F f) {
#pragma unroll
        for (int i = 0; i < VECS; ++i)
#pragma unroll
            for (int j = 0; j < VEC_LEN; ++j) f(i, j);
    }
    __device__ float dot(const Row& other) const {
        float sum = 0;
        each([&](int i, int j) { sum += at[i].at[j] * other.at[i].at[j]; });
        return row_sum(sum);
    }
};

// The batch index (b), token (t) and head (h) of a row of the norm. From these three indices, kernels compute
// the row's address in o, y and the gate. The heads of y and of the gate are merged.
struct RowIndex {
    i64 b, t, h;
    __device__ RowIndex(int row, int heads, int time) : b(row / heads / time), t(row / heads % time), h(row % heads) {}
};

// y = o / sqrt(mean(o^2) + epsilon) * weight * silu(gate). If `gate` is null, the last factor is left out.
// The rows belong to a stack of gridDim.y layers, each with its own weight. A block has 256 threads, and the
// grid is (any number, layers). The warps loop over the rows of a layer.
extern "C" __global__ void __launch_bounds__(NORM_THREADS, ROW_LANES * VEC_LEN == V ? 6 : 5)
gated_rms_norm(const Real* __restrict__ o, i64 o_b, i64 o_h, i64 o_t, const Real* __restrict__ gate, i64 gate_b, i64 gate_t,
        const Real* __restrict__ weight, Real* __restrict__ y, i64 y_b, i64 y_t, float epsilon,
        int batch, int heads, int time) {
    const int lane = threadIdx.x % ROW_LANES;
    const int layer_rows = batch / gridDim.y * heads * time, start = blockIdx.y * layer_rows, count = start + layer_rows;
    weight += blockIdx.y * V;
    for (int first = start + blockIdx.x * ROWS_AT_ONCE; first < count; first += gridDim.x * ROWS_AT_ONCE) {
        const int row = first + threadIdx.x / ROW_LANES;
        const bool real = row < count;
        const RowIndex at(real ? row : first, heads, time);
        Row x, g = {}, scale;
        scale.load_from(weight, lane);
        x.load_from(o + at.b * o_b + at.h * o_h + at.t * o_t, lane);
        if (gate) g.load_from(gate + at.b * gate_b + at.t * gate_t + at.h * V, lane);
        const float norm = rsqrtf(x.dot(x) / V + epsilon);
        Row::each([&](int i, int j) {
            const float z = g.at[i].at[j];
            x.at[i].at[j] *= norm * scale.at[i].at[j] * (gate ? z * sigmoid(z) : 1);
        });
        if (real) x.store_to(y + at.b * y_b + at.t * y_t + at.h * V, lane);
    }
}

// Writes the gradients of o and of the gate. Let norm be 1 / sqrt(mean(o^2) + epsilon), n be o * norm, and m
// be weight * silu(gate) * dy. The gradient of o is then norm * (m - n * mean(n * m)). Each block also sums
// the gradient of the weight over its rows, and writes the sum to `dweight` [layers, gridDim.x, V].
extern "C" __global__ void __launch_bounds__(NORM_THREADS, BACKWARD_BLOCKS)
gated_rms_norm_backward(const Real* __restrict__ o, i64 o_b, i64 o_h, i64 o_t, const Real* __restrict__ gate, i64 gate_b,
                 i64 gate_t, const Real* __restrict__ weight, const Real* __restrict__ dy, i64 dy_b, i64 dy_t,
                 Real* __restrict__ d_o, i64 d_o_b, i64 d_o_h, i64 d_o_t, Real* __restrict__ dgate, i64 dgate_b,
                 i64 dgate_t, float* __restrict__ dweight, float epsilon, int batch, int heads, int time) {
    __shared__ __align__(16) float sums[ROWS_AT_ONCE][V];
    const int lane = threadIdx.x % ROW_LANES;
    const int layer_rows = batch / gridDim.y * heads * time, start = blockIdx.y * layer_rows, count = start + layer_rows;
    weight += blockIdx.y * V;
    Row dweights = {};
    for (int first = start + blockIdx.x * ROWS_AT_ONCE; first < count; first += gridDim.x * ROWS_AT_ONCE) {
        const int row = first + threadIdx.x / ROW_LANES;
        const bool real = row < count;
        const RowIndex at(real ? row : first, heads, time);
        Row x, g = {}, d = {}, scale;
        scale.load_from(weight, lane);
        x.load_from(o + at.b * o_b + at.h * o_h + at.t * o_t, lane);
        if (gate) g.load_from(gate + at.b * gate_b + at.t * gate_t + at.h * V, lane);
        if (real) d.load_from(dy + at.b * dy_b + at.t * dy_t + at.h * V, lane);
        const float norm = rsqrtf(x.dot(x) / V + epsilon);
        Row::each([&](int i, int j) {
            const float z = g.at[i].at[j], s = sigmoid(z), swish = gate ? z * s : 1;
            float& dy_ij = d.at[i].at[j];
            float& n = x.at[i].at[j];
            n *= norm;
            dweights.at[i].at[j] += dy_ij * n * swish;
            g.at[i].at[j] = dy_ij * n * scale.at[i].at[j] * s * (1 + z * (1 - s));
            dy_ij *= scale.at[i].at[j] * swish;
        });
        const float mean = x.dot(d) / V;
        Row::each([&](int i, int j) { d.at[i].at[j] = norm * (d.at[i].at[j] - x.at[i].at[j] * mean); });
        if (!real) continue;
        d.store_to(d_o + at.b * d_o_b + at.h * d_o_h + at.t * d_o_t, lane);
        if (gate) g.store_to(dgate + at.b * dgate_b + at.t * dgate_t + at.h * V, lane);
    }
    dweights.store_to(sums[threadIdx.x / ROW_LANES], lane);
    __syncthreads();
    for (int col = threadIdx.x; col < V; col += NORM_THREADS) {
        float sum = 0;
        for (int row = 0; row < ROWS_AT_ONCE; ++row) sum += sums[row][col];
        dweight[((i64)blockIdx.y * gridDim.x + blockIdx.x) * V + col] = sum;
    }
}
