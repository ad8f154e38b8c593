// Memory-bound kernels of training, scoring and the rest of a layer: 16-byte accesses, f32 inside, sums in a fixed
// order.
//
// Compile once for each ELEMENT.

#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT __nv_bfloat16  // or float
#endif

using bf16 = __nv_bfloat16;
using T = ELEMENT;

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffff;
constexpr int COUNT = 8;  // elements that a thread takes at a time

struct __align__(16) Eight {
    float x[COUNT];
};

// Eight elements as they lie in memory.
template <class E>
struct Packed;
template <>
struct __align__(16) Packed<bf16> {
    uint4 words;
};
template <>
struct __align__(16) Packed<float> {
    float4 low, high;
};
using Bits = Packed<T>;

template <class E>
__device__ Packed<E> bits_at(const E *at) {
    return *reinterpret_cast<const Packed<E> *>(at);
}

__device__ Eight eight_of(const Packed<bf16> &bits) {
    const unsigned words[4] = {bits.words.x, bits.words.y, bits.words.z, bits.words.w};
    Eight eight;
#pragma unroll
    for (int i = 0; i < 4; i++) {  // a bf16 is the upper half of a float
        eight.x[i * 2] = __uint_as_float(words[i] << 16);
        eight.x[i * 2 + 1] = __uint_as_float(words[i] & 0xffff0000);
    }
    return eight;
}

__device__ Eight eight_of(const Packed<float> &bits) {
    return Eight{{bits.low.x, bits.low.y, bits.low.z, bits.low.w, bits.high.x, bits.high.y, bits.high.z, bits.high.w}};
}

__device__ unsigned two_of(float x, float y) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(x, y);
    return *reinterpret_cast<const unsigned *>(&two);
}

template <class E>
__device__ Packed<E> bits_of(const Eight &eight) {
    const float *const x = eight.x;
    if constexpr (sizeof(E) == 2) {
        return {make_uint4(two_of(x[0], x[1]), two_of(x[2], x[3]), two_of(x[4], x[5]), two_of(x[6], x[7]))};
    } else {
        return {make_float4(x[0], x[1], x[2], x[3]), make_float4(x[4], x[5], x[6], x[7])};
    }
}

template <class E>
__device__ Eight load(const E *at) {
    return eight_of(bits_at(at));
}
template <class E>
__device__ void store(E *at, const Eight &eight) {
    *reinterpret_cast<Packed<E> *>(at) = bits_of<E>(eight);
}

__device__ bool aligned(const void *at) { return reinterpret_cast<unsigned long long>(at) % 16 == 0; }

__device__ float warp_sum(float x) {
#pragma unroll
    for (int step = WARP / 2; step; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
}

// Over a block of up to 32 warps; every thread gets the sum.
__device__ float block_sum(float x) {
    __shared__ float sums[WARP];
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % WARP < blockDim.x / WARP ? sums[threadIdx.x % WARP] : 0.0f);
}

// ---- Sums ----------------------------------------------------------------------------------------------------------

// One sum for each block, to be added up by `sum_partials`.
extern "C" __global__ void __launch_bounds__(512) sum_squares(const T *x, long long n, float *partials) {
    const long long thread = blockIdx.x * 512LL + threadIdx.x, threads = gridDim.x * 512LL;
    const long long whole = aligned(x) ? n / COUNT * COUNT : 0;
    float sum = 0.0f;
#pragma unroll 4
    for (long long i = thread * COUNT; i < whole; i += threads * COUNT) {
        const Eight eight = load(x + i);
#pragma unroll
        for (int j = 0; j < COUNT; j++) sum += eight.x[j] * eight.x[j];
    }
    for (long long i = whole + thread; i < n; i += threads) sum += float(x[i]) * float(x[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(1024)
    sum_partials(const float *partials, int count, float scale, float *sum) {
    float mine = 0.0f;
    for (int i = threadIdx.x; i < count; i += 1024) mine += partials[i];
    mine = block_sum(mine);
    if (threadIdx.x == 0) *sum = mine * scale;
}

// Sums of (a - b)^2, and gradient = factor (a - b) if it is wanted: factor 2 / n for that of the mean.
extern "C" __global__ void __launch_bounds__(512)
    squared_error(const T *a, const T *b, T *gradient, float factor, long long n, float *partials) {
    const long long thread = blockIdx.x * 512LL + threadIdx.x, threads = gridDim.x * 512LL;
    const long long whole = aligned(a) && aligned(b) && aligned(gradient) ? n / COUNT * COUNT : 0;
    float sum = 0.0f;
#pragma unroll 2
    for (long long i = thread * COUNT; i < whole; i += threads * COUNT) {
        Eight x = load(a + i);
        const Eight y = load(b + i);
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            x.x[j] -= y.x[j];
            sum += x.x[j] * x.x[j];
            x.x[j] *= factor;
        }
        if (gradient) store(gradient + i, x);
    }
    for (long long i = whole + thread; i < n; i += threads) {
        const float difference = float(a[i]) - float(b[i]);
        sum += difference * difference;
        if (gradient) gradient[i] = T(factor * difference);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// ---- AdamW ---------------------------------------------------------------------------------------------------------

struct Adam {
    float learning_rate, beta_first, beta_second, epsilon;
    float correct_first, correct_second;  // 1 / (1 - beta^steps)

    __device__ void update(float gradient, float decay, float &weight, float &first, float &second) const {
        first += (1.0f - beta_first) * (gradient - first);
        second += (1.0f - beta_second) * (gradient * gradient - second);
        const float change = first * correct_first / (sqrtf(second * correct_second) + epsilon);
        weight -= learning_rate * (change + decay * weight);
    }
};

// One step. The gradient is scaled to a norm of at most `max_norm`, of which `squares` is the square.
extern "C" __global__ void __launch_bounds__(256)
    adamw(const T *gradient, float *weights, float *first, float *second, const float *squares, float max_norm,
          float decay, float learning_rate, float beta_first, float beta_second, float epsilon, float correct_first,
          float correct_second, long long n) {
    const Adam adam{learning_rate, beta_first, beta_second, epsilon, correct_first, correct_second};
    const float clip = fminf(1.0f, max_norm / (sqrtf(*squares) + 1e-6f));
    const long long i = (blockIdx.x * 256LL + threadIdx.x) * 4;
    const bool whole =
        i + 4 <= n && aligned(weights) && aligned(first) && aligned(second) && aligned(gradient);
    if (!whole) {
        for (long long j = i; j < i + 4 && j < n; j++) {
            adam.update(clip * float(gradient[j]), decay, weights[j], first[j], second[j]);
        }
        return;
    }
    float w[4], m[4], v[4], g[4];
    *reinterpret_cast<float4 *>(w) = *reinterpret_cast<const float4 *>(weights + i);
    *reinterpret_cast<float4 *>(m) = *reinterpret_cast<const float4 *>(first + i);
    *reinterpret_cast<float4 *>(v) = *reinterpret_cast<const float4 *>(second + i);
    if constexpr (sizeof(T) == 4) {
        *reinterpret_cast<float4 *>(g) = *reinterpret_cast<const float4 *>(gradient + i);
    } else {
        const uint2 bits = *reinterpret_cast<const uint2 *>(gradient + i);
        g[0] = __uint_as_float(bits.x << 16);
        g[1] = __uint_as_float(bits.x & 0xffff0000);
        g[2] = __uint_as_float(bits.y << 16);
        g[3] = __uint_as_float(bits.y & 0xffff0000);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) adam.update(clip * g[j], decay, w[j], m[j], v[j]);
    *reinterpret_cast<float4 *>(weights + i) = *reinterpret_cast<const float4 *>(w);
    *reinterpret_cast<float4 *>(first + i) = *reinterpret_cast<const float4 *>(m);
    *reinterpret_cast<float4 *>(second + i) = *reinterpret_cast<const float4 *>(v);
}

// ---- Rows of logits ------------------------------------------------------------------------------------------------

constexpr float LOG2_E = 1.4426950408889634f;

__device__ float exp2_of(float x) {
    asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
    return x;
}

__device__ float no_value() { return __int_as_float(0xff800000); }  // -infinity

// What a stretch of a row comes to: its greatest value, where that is first, and the sum of exp(x - greatest).
struct Peak {
    float value, sum;
    int index;

    __device__ void join(const Peak &other) {
        const float value_of_both = fmaxf(value, other.value);
        if (value_of_both == no_value()) return;
        sum = sum * __expf(value - value_of_both) + other.sum * __expf(other.value - value_of_both);
        if (other.value > value || (other.value == value && other.index < index)) index = other.index;
        value = value_of_both;
    }

    __device__ Peak across(int step) const {
        Peak other;
        other.value = __shfl_xor_sync(ALL, value, step);
        other.sum = __shfl_xor_sync(ALL, sum, step);
        other.index = __shfl_xor_sync(ALL, index, step);
        return other;
    }
};

// Of a row of n by a block of 512; thread 0 gets it. Sums are left out without SUM.
template <bool SUM>
__device__ Peak peak_of(const T *row, int n) {
    Peak peak{no_value(), 0.0f, 0x7fffffff};
    auto raise = [&](float to) {
        if (SUM) peak.sum *= __expf(peak.value - to);
        peak.value = to;
    };
    const int whole = aligned(row) ? n / COUNT * COUNT : 0;
#pragma unroll 2
    for (int i = threadIdx.x * COUNT; i < whole; i += 512 * COUNT) {
        const Eight eight = load(row + i);
        float greatest = eight.x[0];
#pragma unroll
        for (int j = 1; j < COUNT; j++) greatest = fmaxf(greatest, eight.x[j]);
        if (greatest > peak.value) {
            raise(greatest);
#pragma unroll
            for (int j = COUNT - 1; j >= 0; j--) peak.index = eight.x[j] == greatest ? i + j : peak.index;
        }
        if (SUM && peak.value > no_value()) {
            const float shift = -peak.value * LOG2_E;
#pragma unroll
            for (int j = 0; j < COUNT; j++) peak.sum += exp2_of(fmaf(eight.x[j], LOG2_E, shift));
        }
    }
    for (int i = whole + threadIdx.x; i < n; i += 512) {
        const float x = float(row[i]);
        if (x > peak.value) {
            raise(x);
            peak.index = i;
        }
        if (SUM && peak.value > no_value()) peak.sum += __expf(x - peak.value);
    }
    __shared__ Peak peaks[16];
    for (int step = WARP / 2; step; step /= 2) peak.join(peak.across(step));
    if (threadIdx.x % WARP == 0) peaks[threadIdx.x / WARP] = peak;
    __syncthreads();
    for (int i = 1; i < 16 && threadIdx.x == 0; i++) peak.join(peaks[i]);
    return peak;
}

// A block for each row of n: log of the sum of exp(x).
extern "C" __global__ void __launch_bounds__(512) log_sums(const T *x, float *sums, int n) {
    const Peak peak = peak_of<true>(x + blockIdx.x * (long long)n, n);
    if (threadIdx.x == 0) sums[blockIdx.x] = peak.value + logf(peak.sum);
}

// A thread for each wanted token: its logit in the row that it names, less the row's log sum.
extern "C" __global__ void __launch_bounds__(256)
    log_likelihoods(const T *logits, const float *sums, const int *rows, const int *targets, float *likelihoods,
                    int count, int vocab) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) likelihoods[i] = float(logits[rows[i] * (long long)vocab + targets[i]]) - sums[rows[i]];
}

// A block for each row: where its greatest is, the first of equals.
extern "C" __global__ void __launch_bounds__(512) argmax_rows(const T *x, long long stride, int *indices, int n) {
    const Peak peak = peak_of<false>(x + blockIdx.x * stride, n);
    if (threadIdx.x == 0) indices[blockIdx.x] = peak.index;
}

// ---- Element by element --------------------------------------------------------------------------------------------

// Rows of d elements by blocks of (lanes of a row, rows), a thread with up to PARTS times eight elements.
constexpr int PARTS = 8;

template <bool ADD>
__device__ void normalise(const T *x, const T *residual, const T *weight, T *sum, T *out, float epsilon, long long rows,
                          int d) {
    const long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    const int lane = threadIdx.x, lanes = blockDim.x, mine = row < rows ? d : 0;
    Bits values[PARTS];
    float squares = 0.0f;
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        const int column = (lane + part * lanes) * COUNT;
        if (column < mine) values[part] = bits_at(x + row * d + column);
    }
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        const int column = (lane + part * lanes) * COUNT;
        if (column >= mine) break;
        Eight eight = eight_of(values[part]);
        if constexpr (ADD) {
            const Eight other = load(residual + row * d + column);
#pragma unroll
            for (int j = 0; j < COUNT; j++) eight.x[j] += other.x[j];
            values[part] = bits_of<T>(eight);
            *reinterpret_cast<Bits *>(sum + row * d + column) = values[part];
            eight = eight_of(values[part]);
        }
#pragma unroll
        for (int j = 0; j < COUNT; j++) squares += eight.x[j] * eight.x[j];
    }
    for (int step = lanes < WARP ? lanes / 2 : WARP / 2; step; step /= 2)
        squares += __shfl_xor_sync(ALL, squares, step);
    if (lanes > WARP) {
        __shared__ float sums[WARP];
        const int warp = (threadIdx.y * lanes + lane) / WARP, warps = lanes / WARP;
        if (lane % WARP == 0) sums[warp] = squares;
        __syncthreads();
        squares = 0.0f;
        for (int i = 0; i < warps; i++) squares += sums[threadIdx.y * warps + i];
    }
    const float scale = rsqrtf(squares / d + epsilon);
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        const int column = (lane + part * lanes) * COUNT;
        if (column >= mine) break;
        const Eight factor = load(weight + column);
        Eight eight = eight_of(values[part]);
#pragma unroll
        for (int j = 0; j < COUNT; j++) eight.x[j] *= scale * factor.x[j];
        store(out + row * d + column, eight);
    }
}

// x / sqrt(mean x^2 + epsilon) * weight
extern "C" __global__ void __launch_bounds__(512)
    rms_norm(const T *x, const T *weight, T *out, float epsilon, long long rows, int d) {
    normalise<false>(x, nullptr, weight, nullptr, out, epsilon, rows, d);
}

// sum = x + residual, and its norm; `sum` may be x or residual.
extern "C" __global__ void __launch_bounds__(512)
    add_rms_norm(const T *x, const T *residual, const T *weight, T *sum, T *out, float epsilon, long long rows, int d) {
    normalise<true>(x, residual, weight, sum, out, epsilon, rows, d);
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

// What `change` makes of each of n numbers of x and of what stands beside it in `other`, if that is there.
template <class Change>
__device__ void each(const T *x, const T *other, T *out, long long n, Change change) {
    const long long first = (blockIdx.x * 256LL + threadIdx.x) * COUNT;
    if (first + COUNT <= n) {
        Eight eight = load(x + first);
        const Eight beside = other ? load(other + first) : Eight{};
#pragma unroll
        for (int j = 0; j < COUNT; j++) eight.x[j] = change(eight.x[j], beside.x[j]);
        store(out + first, eight);
    } else {
        for (long long i = first; i < n; i++) out[i] = T(change(float(x[i]), other ? float(other[i]) : 0.0f));
    }
}

// x sigmoid(x)
extern "C" __global__ void __launch_bounds__(256) silu(const T *x, T *out, long long n) {
    each(x, nullptr, out, n, [](float x, float) { return x * sigmoid(x); });
}

// The gradient of x sigmoid(x).
extern "C" __global__ void __launch_bounds__(256) silu_backward(const T *x, const T *gradient, T *of_x, long long n) {
    each(x, gradient, of_x, n, [](float x, float gradient) {
        const float s = sigmoid(x);
        return gradient * s * (1.0f + x * (1.0f - s));
    });
}

// silu(gate) * up, of rows of d; gate and up may be halves of wider rows.
extern "C" __global__ void __launch_bounds__(256)
    swish_gate(const T *gate, long long gate_stride, const T *up, long long up_stride, T *out, long long rows, int d) {
    const unsigned vectors = d / COUNT;
    const long long vector = blockIdx.x * 256LL + threadIdx.x;
    if (vector >= rows * vectors) return;
    const long long row = vector / vectors;
    const int column = (int)(vector - row * vectors) * COUNT;
    Eight g = load(gate + row * gate_stride + column);
    const Eight u = load(up + row * up_stride + column);
#pragma unroll
    for (int j = 0; j < COUNT; j++) g.x[j] *= __fdividef(u.x[j], 1.0f + __expf(-g.x[j]));
    store(out + row * d + column, g);
}

// The gradients of silu(gate) * up, all dense.
extern "C" __global__ void __launch_bounds__(256)
    swish_gate_backward(const T *gate, const T *up, const T *gradient, T *of_gate, T *of_up, long long n) {
    const long long i = (blockIdx.x * 256LL + threadIdx.x) * COUNT;
    if (i >= n) return;
    Eight g = load(gate + i), u = load(up + i);
    const Eight d = load(gradient + i);
#pragma unroll
    for (int j = 0; j < COUNT; j++) {
        const float s = sigmoid(g.x[j]), silu = g.x[j] * s;
        g.x[j] = d.x[j] * u.x[j] * (s + silu * (1.0f - s));
        u.x[j] = d.x[j] * silu;
    }
    store(of_gate + i, g);
    store(of_up + i, u);
}

// The gradient of a norm's input, a warp to a row, and what each row was scaled by: with s = 1 / sqrt(mean(x^2) + epsilon),
// s weight gradient - x s^3 mean(x weight gradient).
extern "C" __global__ void __launch_bounds__(256) rms_norm_backward(const T *x, const T *weight, const T *gradient, T *of_x,
                                                                    float *scales, float epsilon, long long rows, int d) {
    const long long row = blockIdx.x * 8LL + threadIdx.x / WARP;
    if (row >= rows) return;
    const int lane = threadIdx.x % WARP;
    x += row * d, gradient += row * d, of_x += row * d;
    float squares = 0.0f, product = 0.0f;
    for (int c = lane; c < d; c += WARP) {
        const float at = float(x[c]);
        squares += at * at;
        product += at * float(weight[c]) * float(gradient[c]);
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / d + epsilon);
    const float share = warp_sum(product) / d * scale * scale * scale;
    for (int c = lane; c < d; c += WARP)
        of_x[c] = T(scale * float(weight[c]) * float(gradient[c]) - float(x[c]) * share);
    if (lane == 0) scales[row] = scale;
}

// The gradient of a norm's weight, a row of `partials` for each of gridDim.y shares of the rows.
extern "C" __global__ void __launch_bounds__(128)
    rms_norm_weight(const T *x, const T *gradient, const float *scales, float *partials, long long rows, int d) {
    const int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= d) return;
    const long long each = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * each;
    float sum = 0.0f;
#pragma unroll 4
    for (long long row = first; row < min(rows, first + each); row++)
        sum += float(x[row * d + c]) * float(gradient[row * d + c]) * scales[row];
    partials[(long long)blockIdx.y * d + c] = sum;
}

// The sums of columns, a row of `partials` for each of gridDim.y shares of the rows.
extern "C" __global__ void __launch_bounds__(128) column_sums(const T *x, float *partials, long long rows, int d) {
    const int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= d) return;
    const long long each = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * each;
    float sum = 0.0f;
#pragma unroll 4
    for (long long row = first; row < min(rows, first + each); row++) sum += float(x[row * d + c]);
    partials[(long long)blockIdx.y * d + c] = sum;
}

// out[i] = table[indices[i]], rows of `vectors` times 16 bytes of any type.
extern "C" __global__ void __launch_bounds__(256)
    gather_rows(const uint4 *table, const int *indices, uint4 *out, long long rows, int vectors) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= rows * vectors) return;
    const long long row = i / vectors;
    out[i] = table[(long long)indices[row] * vectors + (i - row * vectors)];
}
