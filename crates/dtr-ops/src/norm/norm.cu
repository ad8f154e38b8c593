// RMSNorm, forward and backward.
#include "vector.cuh"

// Returns the weight of a row's layer. One launch can normalise the inputs of several layers, one layer after
// another. Each layer has `layer_rows` rows and its own weight.
__device__ inline const T *weight_of(const T *weight, long long row, long long layer_rows, int d) {
    return weight + (unsigned)row / (unsigned)layer_rows * (long long)d;
}

// Normalises rows of d elements. threadIdx.y selects a row, and threadIdx.x selects a lane. The lanes of a
// row share its elements. Each thread holds up to PARTS vectors of COUNT elements.
constexpr int PARTS = 8;

template <bool ADD>
__device__ void normalise(const T *x, const T *residual, const T *weight, T *sum, T *out, float epsilon, long long rows,
                          long long layer_rows, int d) {
    const long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    weight = weight_of(weight, row, layer_rows, d);
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
        Eight eight = unpack_floats(values[part]);
        if constexpr (ADD) {
            const Eight other = load(residual + row * d + column);
#pragma unroll
            for (int j = 0; j < COUNT; j++) eight.x[j] += other.x[j];
            values[part] = pack_floats<T>(eight);
            *reinterpret_cast<Bits *>(sum + row * d + column) = values[part];
            eight = unpack_floats(values[part]);
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
        Eight eight = unpack_floats(values[part]);
#pragma unroll
        for (int j = 0; j < COUNT; j++) eight.x[j] *= scale * factor.x[j];
        store(out + row * d + column, eight);
    }
}

// out = x / sqrt(mean(x^2) + epsilon) * weight
extern "C" __global__ void __launch_bounds__(512)
    rms_norm(const T *x, const T *weight, T *out, float epsilon, long long rows, long long layer_rows, int d) {
    normalise<false>(x, nullptr, weight, nullptr, out, epsilon, rows, layer_rows, d);
}

// Writes x + residual to `sum`, and the RMSNorm of the sum to `out`. `sum` may alias x or residual.
extern "C" __global__ void __launch_bounds__(512)
    add_rms_norm(const T *x, const T *residual, const T *weight, T *sum, T *out, float epsilon, long long rows,
                 long long layer_rows, int d) {
    normalise<true>(x, residual, weight, sum, out, epsilon, rows, layer_rows, d);
}

// Writes for each row the scale s = 1 / sqrt(mean(x^2) + epsilon). Also writes the gradient of the
// input: s * weight * gradient - x * s^3 * mean(x * weight * gradient). Each warp computes one row.
extern "C" __global__ void __launch_bounds__(256) rms_norm_backward(const T *x, const T *weight, const T *gradient, T *of_x,
                                                                    float *scales, float epsilon, long long rows,
                                                                    long long layer_rows, int d) {
    const long long row = blockIdx.x * 8LL + threadIdx.x / WARP;
    if (row >= rows) return;
    const int lane = threadIdx.x % WARP;
    x += row * d, gradient += row * d, of_x += row * d;
    weight = weight_of(weight, row, layer_rows, d);
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

// Writes partial sums of the gradient of each layer's weight. gridDim.y blocks share the rows of a layer, and
// each block writes one row of `partials`.
extern "C" __global__ void __launch_bounds__(128)
    rms_norm_weight(const T *x, const T *gradient, const float *scales, float *partials, long long layer_rows, int d) {
    const int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= d) return;
    x += blockIdx.z * layer_rows * d, gradient += blockIdx.z * layer_rows * d, scales += blockIdx.z * layer_rows;
    const long long each = (layer_rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * each;
    float sum = 0.0f;
#pragma unroll 4
    for (long long row = first; row < min(layer_rows, first + each); row++)
        sum += float(x[row * d + c]) * float(gradient[row * d + c]) * scales[row];
    partials[((long long)blockIdx.z * gridDim.y + blockIdx.y) * d + c] = sum;
}
