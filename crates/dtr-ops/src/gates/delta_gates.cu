// Gates of the gated delta rule for a and b [rows, heads]: write strengths beta = scale sigmoid(b) and log
// decays g = -exp(a_log) softplus(a + dt_bias). Compiled once for each ELEMENT.
#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT __nv_bfloat16
#endif
using T = ELEMENT;

__device__ inline long long thread() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

extern "C" __global__ void delta_gates(const T* a, const T* b, const float* a_log, const float* dt_bias, float* beta,
                                       float* g, float scale, long long count, int heads) {
    const long long i = thread();
    if (i >= count) return;
    const int head = i % heads;
    const float step = float(a[i]) + dt_bias[head];
    beta[i] = scale / (1 + expf(-float(b[i])));
    // softplus without overflow: log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
    g[i] = -expf(a_log[head]) * (fmaxf(step, 0) + log1pf(expf(-fabsf(step))));
}
