// Log-likelihoods of tokens, and the argmax of each row.
#include "vector.cuh"

constexpr float LOG2_E = 1.4426950408889634f;

__device__ float fast_exp2(float x) {
    asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
    return x;
}

__device__ float no_value() { return __int_as_float(0xff800000); }  // -infinity

// The reduction of a part of a row: the greatest value, the first index at which it occurs, and the sum of
// exp(x - greatest).
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

// Reduces a row of n elements with a block of 512 threads. Thread 0 gets the result. The result has the sum
// of exponentials only if SUM is true.
template <bool SUM, class E>
__device__ Peak find_peak(const E *row, int n) {
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
            for (int j = 0; j < COUNT; j++) peak.sum += fast_exp2(fmaf(eight.x[j], LOG2_E, shift));
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

// Writes the logarithm of the sum of exp(x) of each row. Each block computes one row.
extern "C" __global__ void __launch_bounds__(512) log_sums(const T *x, float *sums, int n) {
    const Peak peak = find_peak<true>(x + blockIdx.x * (long long)n, n);
    if (threadIdx.x == 0) sums[blockIdx.x] = peak.value + logf(peak.sum);
}

// Writes the log-likelihood of each target token: its logit minus the log sum of its row. Each thread
// computes one token.
extern "C" __global__ void __launch_bounds__(256)
    log_likelihoods(const T *logits, const float *sums, const int *rows, const int *targets, float *likelihoods,
                    int count, int vocab) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) likelihoods[i] = float(logits[rows[i] * (long long)vocab + targets[i]]) - sums[rows[i]];
}

// Writes the loss of each row: the row's log sum minus the logit of its target token. Also writes the
// gradient of factor * loss with respect to the logits. `gradient` may be the same memory as `logits`. Each
// block computes one row.
extern "C" __global__ void __launch_bounds__(512)
    cross_entropy(const float *logits, const int *targets, T *gradient, float *losses, float factor, int vocab) {
    const float *const row = logits + blockIdx.x * (long long)vocab;
    T *const out = gradient + blockIdx.x * (long long)vocab;
    const int target = targets[blockIdx.x];
    const Peak peak = find_peak<true>(row, vocab);
    __shared__ float log_sum_of_row;
    if (threadIdx.x == 0) {
        log_sum_of_row = peak.value + logf(peak.sum);
        losses[blockIdx.x] = log_sum_of_row - row[target];
    }
    __syncthreads();
    const float log_sum = log_sum_of_row;
    const int whole = aligned(row) && aligned(out) ? vocab / COUNT * COUNT : 0;
#pragma unroll 2
    for (int i = threadIdx.x * COUNT; i < whole; i += 512 * COUNT) {
        Eight x = load(row + i);
#pragma unroll
        for (int j = 0; j < COUNT; j++) x.x[j] = factor * (__expf(x.x[j] - log_sum) - (i + j == target ? 1.0f : 0.0f));
        store(out + i, x);
    }
    for (int i = whole + threadIdx.x; i < vocab; i += 512)
        out[i] = T(factor * (__expf(row[i] - log_sum) - (i == target ? 1.0f : 0.0f)));
}

// Writes the index of the greatest element of each row. If several elements are the greatest, writes the
// first index. If no element is a number above -infinity, writes -1. Each block computes one row.
extern "C" __global__ void __launch_bounds__(512) argmax_rows(const T *x, long long stride, int *indices, int n) {
    const Peak peak = find_peak<false>(x + blockIdx.x * stride, n);
    if (threadIdx.x == 0) indices[blockIdx.x] = peak.index < n ? peak.index : -1;
}
