// Causal softmax of attention scores, and its gradient. Each warp computes one row: the scores of one query.
#include "vector.cuh"

constexpr int ROWS = 8;  // rows of a block

__device__ float warp_max(float x) {
#pragma unroll
    for (int step = WARP / 2; step; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, step));
    return x;
}

// The keys [first, last] that a query sees.
struct Range {
    int first, last;

    __device__ bool holds(int key) const { return first <= key && key <= last; }
};

// Returns the keys that the query of a row sees. Rows have the order [batch, head, query].
__device__ Range visible_keys(long long row, const int *first_keys, int heads, int queries, int keys) {
    const int last = keys - queries + int(row % queries);
    return {first_keys ? min(first_keys[row / queries / heads], last) : 0, last};
}

// Loops over a thread's elements i of a row, `step` elements at a time. `step` is COUNT if the length of a
// row is a multiple of COUNT, and 1 otherwise.
#define FOR_EACH(i, step, n) for (int i = threadIdx.x * step; i < n; i += WARP * step)

template <int STEP>
__device__ Eight load_some(const T *at) {
    if constexpr (STEP == COUNT) return load(at);
    return Eight{{float(*at)}};
}

template <int STEP>
__device__ void store_some(T *at, const Eight &x) {
    if constexpr (STEP == COUNT) store(at, x);
    else *at = T(x.x[0]);
}

template <int STEP>
__device__ void softmax_row(const T *scores, T *weights, Range visible, int keys) {
    const float none = __int_as_float(0xff800000);  // -infinity
    float greatest = none, sum = 0.0f;
    FOR_EACH(i, STEP, visible.last + 1) {
        const Eight x = load_some<STEP>(scores + i);
#pragma unroll
        for (int j = 0; j < STEP; j++)
            if (visible.holds(i + j)) greatest = fmaxf(greatest, x.x[j]);
    }
    greatest = warp_max(greatest);
    FOR_EACH(i, STEP, visible.last + 1) {
        const Eight x = load_some<STEP>(scores + i);
#pragma unroll
        for (int j = 0; j < STEP; j++)
            if (visible.holds(i + j)) sum += __expf(x.x[j] - greatest);
    }
    const float scale = 1.0f / warp_sum(sum);
    FOR_EACH(i, STEP, keys) {
        Eight x = load_some<STEP>(scores + i);
#pragma unroll
        for (int j = 0; j < STEP; j++) x.x[j] = visible.holds(i + j) ? scale * __expf(x.x[j] - greatest) : 0.0f;
        store_some<STEP>(weights + i, x);
    }
}

// weights = softmax(scores) over the keys that each query sees, and 0 elsewhere.
extern "C" __global__ void __launch_bounds__(WARP *ROWS)
    causal_softmax(const T *scores, const int *first_keys, T *weights, long long rows, int heads, int queries,
                   int keys) {
    const long long row = (long long)blockIdx.x * ROWS + threadIdx.y;
    if (row >= rows) return;
    const Range visible = visible_keys(row, first_keys, heads, queries, keys);
    scores += row * keys, weights += row * keys;
    if (keys % COUNT == 0) softmax_row<COUNT>(scores, weights, visible, keys);
    else softmax_row<1>(scores, weights, visible, keys);
}

template <int STEP>
__device__ void softmax_row_backward(const T *weights, const T *of_weights, T *of_scores, int keys) {
    float sum = 0.0f;
    FOR_EACH(i, STEP, keys) {
        const Eight w = load_some<STEP>(weights + i), g = load_some<STEP>(of_weights + i);
#pragma unroll
        for (int j = 0; j < STEP; j++) sum += w.x[j] * g.x[j];
    }
    sum = warp_sum(sum);
    FOR_EACH(i, STEP, keys) {
        const Eight w = load_some<STEP>(weights + i);
        Eight g = load_some<STEP>(of_weights + i);
#pragma unroll
        for (int j = 0; j < STEP; j++) g.x[j] = w.x[j] * (g.x[j] - sum);
        store_some<STEP>(of_scores + i, g);
    }
}

// The gradient of the scores: of_scores = weights * (of_weights - sum(weights * of_weights)). The weights of
// hidden keys are 0.
extern "C" __global__ void __launch_bounds__(WARP *ROWS)
    causal_softmax_backward(const T *weights, const T *of_weights, T *of_scores, long long rows, int keys) {
    const long long row = (long long)blockIdx.x * ROWS + threadIdx.y;
    if (row >= rows) return;
    const long long start = row * keys;
    weights += start, of_weights += start, of_scores += start;
    if (keys % COUNT == 0) softmax_row_backward<COUNT>(weights, of_weights, of_scores, keys);
    else softmax_row_backward<1>(weights, of_weights, of_scores, keys);
}
