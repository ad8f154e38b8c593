// Gates of the gated delta rule for a and b [rows, heads], and their gradients. The write strengths are
// beta = scale sigmoid(b). The log decays are g = -exp(a_log) softplus(a + dt_bias). The rows belong to a
// stack of layers, each with its own a_log and dt_bias. Compiled once for each element type (ELEMENT).
#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT __nv_bfloat16
#endif
using T = ELEMENT;
using i64 = long long;

constexpr int THREADS = 256;

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// log(1 + e^x) without overflow: max(x, 0) + log(1 + e^-|x|)
__device__ inline float softplus(float x) { return fmaxf(x, 0) + log1pf(expf(-fabsf(x))); }

extern "C" __global__ void __launch_bounds__(THREADS) write_strengths(const T* b, float* beta, float scale, i64 count) {
    const i64 i = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (i < count) beta[i] = scale * sigmoid(float(b[i]));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    write_strengths_backward(const T* b, const float* dbeta, T* db, float scale, i64 count) {
    const i64 i = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (i >= count) return;
    const float s = sigmoid(float(b[i]));
    db[i] = T(dbeta[i] * scale * s * (1 - s));
}

// Writes the log decays g. Each layer has `layer_count` elements.
extern "C" __global__ void __launch_bounds__(THREADS)
    log_decays(const T* a, const float* a_log, const float* dt_bias, float* g, i64 count, i64 layer_count, int heads) {
    const i64 i = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (i >= count) return;
    const i64 head = i / layer_count * heads + i % heads;
    g[i] = -expf(a_log[head]) * softplus(float(a[i]) + dt_bias[head]);
}

// Writes the gradient of a. Each block also writes a row of partial sums of the gradients of a_log and
// dt_bias. A thread sums the elements of one head in every `row_stride`-th row. The grid is (any number,
// layers). Requires heads <= THREADS.
extern "C" __global__ void __launch_bounds__(THREADS)
    log_decays_backward(const T* a, const float* a_log, const float* dt_bias, const float* dg, T* da, float* da_log,
                        float* ddt_bias, i64 layer_rows, int heads) {
    __shared__ float sums[2][THREADS];
    const int row_stride = THREADS / heads, head = threadIdx.x % heads, offset = threadIdx.x / heads;
    const i64 layer = blockIdx.y, start = layer * layer_rows;
    float sum_a_log = 0, sum_dt_bias = 0;
    if (offset < row_stride) {
        const float rate = -expf(a_log[layer * heads + head]), bias = dt_bias[layer * heads + head];
        for (i64 row = blockIdx.x * (i64)row_stride + offset; row < layer_rows; row += (i64)gridDim.x * row_stride) {
            const i64 i = (start + row) * heads + head;
            const float step = float(a[i]) + bias, gradient = dg[i] * rate;
            const float of_a = gradient * sigmoid(step);
            da[i] = T(of_a);
            sum_dt_bias += of_a;
            sum_a_log += gradient * softplus(step);
        }
    }
    sums[0][threadIdx.x] = sum_a_log;
    sums[1][threadIdx.x] = sum_dt_bias;
    __syncthreads();
    if (threadIdx.x >= heads) return;
    sum_a_log = sum_dt_bias = 0;
    for (int i = threadIdx.x; i < row_stride * heads; i += heads) {
        sum_a_log += sums[0][i];
        sum_dt_bias += sums[1][i];
    }
    const i64 to = (layer * gridDim.x + blockIdx.x) * heads + threadIdx.x;
    da_log[to] = sum_a_log;
    ddt_bias[to] = sum_dt_bias;
}
