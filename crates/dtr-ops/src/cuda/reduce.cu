// Sums of partial sums, and sums of the columns of matrices, both in a fixed order. The input of each kernel
// has one part for each layer of a stack, and the kernel sums each part.
#include "vector.cuh"

// sum[layer] = scale * (sum of the layer's `count` partial sums). Each block computes one layer.
extern "C" __global__ void __launch_bounds__(1024)
    sum_partials(const float *partials, int count, float scale, float *sum) {
    partials += (long long)blockIdx.x * count;
    float mine = 0.0f;
    for (int i = threadIdx.x; i < count; i += 1024) mine += partials[i];
    mine = block_sum(mine);
    if (threadIdx.x == 0) sum[blockIdx.x] = mine * scale;
}

// to[layer, c] = the sum of from[layer, row, c] over all rows. The rows are partial sums of another kernel.
// Four threads compute a column. A block has 128 threads, and the grid is (ceil(columns / 32), layers).
extern "C" __global__ void __launch_bounds__(128) sum_rows(const float *from, float *to, int rows, int columns) {
    __shared__ float sums[4][32];
    from += (long long)blockIdx.y * rows * columns, to += (long long)blockIdx.y * columns;
    const int c = blockIdx.x * 32 + threadIdx.x % 32, part = threadIdx.x / 32;
    float sum = 0;
    if (c < columns)
#pragma unroll 8
        for (int row = part; row < rows; row += 4) sum += from[(long long)row * columns + c];
    sums[part][threadIdx.x % 32] = sum;
    __syncthreads();
    if (part == 0 && c < columns)
        to[c] = sums[0][threadIdx.x] + sums[1][threadIdx.x] + sums[2][threadIdx.x] + sums[3][threadIdx.x];
}

// Sums the columns of each block of rows. Each of gridDim.z layers has gridDim.y blocks of rows, and each
// block of rows yields one row of `partials`.
extern "C" __global__ void __launch_bounds__(128) column_sums(const T *x, float *partials, long long rows, int d) {
    const int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= d) return;
    x += blockIdx.z * rows * d;
    const long long each = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * each;
    float sum = 0.0f;
#pragma unroll 4
    for (long long row = first; row < min(rows, first + each); row++) sum += float(x[row * d + c]);
    partials[((long long)blockIdx.z * gridDim.y + blockIdx.y) * d + c] = sum;
}
