// AdamW, and the sum of squares for clipping its gradients.
#include "vector.cuh"

// Writes each block's partial sum of squares to `partials`. Each layer has n elements. The grid is
// (blocks, layers), with any number of blocks.
extern "C" __global__ void __launch_bounds__(512) sum_squares(const T *x, long long n, float *partials) {
    x += blockIdx.y * n;
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
    if (threadIdx.x == 0) partials[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

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

// One step over the n elements of each layer. squares[layer] is the sum of squares of all gradients that are
// clipped together with this layer's gradient. The square root of this sum is the norm of these gradients. If
// the norm exceeds `max_norm`, the layer's gradient is multiplied by max_norm / norm. The grid is
// (ceil(n / 1024), layers).
extern "C" __global__ void __launch_bounds__(256)
    adamw(const T *gradient, float *weights, float *first, float *second, const float *squares, float max_norm,
          float decay, float learning_rate, float beta_first, float beta_second, float epsilon, float correct_first,
          float correct_second, long long n) {
    const Adam adam{learning_rate, beta_first, beta_second, epsilon, correct_first, correct_second};
    const float clip = fminf(1.0f, max_norm / (sqrtf(squares[blockIdx.y]) + 1e-6f));
    const long long before = blockIdx.y * n;
    gradient += before, weights += before, first += before, second += before;
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
