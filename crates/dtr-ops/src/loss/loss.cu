// The squared error and its gradient.
#include "vector.cuh"

// A partial sum of (a - b)^2 for each block, and gradient = factor (a - b) unless `gradient` is null. The
// gradient of the mean has the factor 2 / n.
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
