// The squared error of each layer of a stack, and its gradient. The grid is (any number, layers). Each layer
// has n elements.
#include "vector.cuh"

// Writes each block's partial sum of (a - b)^2 to `partials`.
extern "C" __global__ void __launch_bounds__(512)
    squared_error(const T *a, const T *b, long long n, float *partials) {
    a += blockIdx.y * n, b += blockIdx.y * n;
    const long long thread = blockIdx.x * 512LL + threadIdx.x, threads = gridDim.x * 512LL;
    const long long whole = aligned(a) && aligned(b) ? n / COUNT * COUNT : 0;
    float sum = 0.0f;
#pragma unroll 2
    for (long long i = thread * COUNT; i < whole; i += threads * COUNT) {
        Eight x = load(a + i);
        const Eight y = load(b + i);
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            x.x[j] -= y.x[j];
            sum += x.x[j] * x.x[j];
        }
    }
    for (long long i = whole + thread; i < n; i += threads) {
        const float difference = float(a[i]) - float(b[i]);
        sum += difference * difference;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// Writes the gradient with respect to a: factor * of_loss[layer] * (a - b). `of_loss[layer]` is the incoming
// gradient of the layer's loss (PyTorch's `grad_output`), and `factor` is 2 / n.
extern "C" __global__ void __launch_bounds__(512) squared_error_backward(const T *a, const T *b, const float *of_loss,
                                                                         T *gradient, float factor, long long n) {
    a += blockIdx.y * n, b += blockIdx.y * n, gradient += blockIdx.y * n;
    factor *= of_loss[blockIdx.y];
    const long long thread = blockIdx.x * 512LL + threadIdx.x, threads = gridDim.x * 512LL;
    const long long whole = aligned(a) && aligned(b) && aligned(gradient) ? n / COUNT * COUNT : 0;
#pragma unroll 2
    for (long long i = thread * COUNT; i < whole; i += threads * COUNT) {
        Eight x = load(a + i);
        const Eight y = load(b + i);
#pragma unroll
        for (int j = 0; j < COUNT; j++) x.x[j] = factor * (x.x[j] - y.x[j]);
        store(gradient + i, x);
    }
    for (long long i = whole + thread; i < n; i += threads) gradient[i] = T(factor * (float(a[i]) - float(b[i])));
}
