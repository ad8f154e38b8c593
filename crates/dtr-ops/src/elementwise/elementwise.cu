// Elementwise kernels: sums, SiLU, the product silu(gate) * up, and copies.
#include "vector.cuh"

__device__ inline long long thread() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// out = a + b
extern "C" __global__ void add(const T* a, const T* b, T* out, long long count) {
    const long long i = thread();
    if (i < count) out[i] = T(float(a[i]) + float(b[i]));
}

// out = x + bias. Rows of x are `width` wide. Each layer of a stack has `layer_rows` rows and its own bias. A
// thread computes COUNT neighbouring elements.
extern "C" __global__ void __launch_bounds__(256)
    add_bias(const T *x, const T *bias, T *out, long long count, unsigned layer_rows, unsigned width) {
    const long long first = (blockIdx.x * 256LL + threadIdx.x) * COUNT;
    if (first >= count) return;
    const unsigned row = first / width, column = first - (long long)row * width;
    if (width % COUNT == 0) {
        Eight eight = load(x + first);
        const Eight added = load(bias + (long long)(row / layer_rows) * width + column);
#pragma unroll
        for (int j = 0; j < COUNT; j++) eight.x[j] += added.x[j];
        store(out + first, eight);
        return;
    }
    for (long long i = first; i < min(count, first + COUNT); i++) {
        const unsigned at = i / width;
        out[i] = T(float(x[i]) + float(bias[(long long)(at / layer_rows) * width + i % width]));
    }
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

// out[i] = change(x[i], other[i]) for n elements. If `other` is null, other[i] counts as 0.
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

// out = x sigmoid(x)
extern "C" __global__ void __launch_bounds__(256) silu(const T *x, T *out, long long n) {
    each(x, nullptr, out, n, [](float x, float) { return x * sigmoid(x); });
}

// of_x = gradient times the derivative of x sigmoid(x)
extern "C" __global__ void __launch_bounds__(256) silu_backward(const T *x, const T *gradient, T *of_x, long long n) {
    each(x, gradient, of_x, n, [](float x, float gradient) {
        const float s = sigmoid(x);
        return gradient * s * (1.0f + x * (1.0f - s));
    });
}

// out = silu(gate) * up, for rows of d elements. The rows of gate and up may be halves of wider rows.
extern "C" __global__ void __launch_bounds__(256)
    silu_mul(const T *gate, long long gate_stride, const T *up, long long up_stride, T *out, long long rows, int d) {
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

// Writes the gradients of gate and up for silu(gate) * up. All tensors are dense.
extern "C" __global__ void __launch_bounds__(256)
    silu_mul_backward(const T *gate, const T *up, const T *gradient, T *of_gate, T *of_up, long long n) {
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

// out = x
extern "C" __global__ void __launch_bounds__(256) copy(const T *x, T *out, long long n) {
    each(x, nullptr, out, n, [](float x, float) { return x; });
}
