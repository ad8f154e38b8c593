#include "vector.cuh"

// Copies rows: out[i] = table[indices[i]]. The kernel `argmax_rows` writes the index -1 if it finds no token.
// This index counts as 0. A row has `vectors` vectors of 16 bytes, of any element type.
extern "C" __global__ void __launch_bounds__(256)
    gather_rows(const uint4 *table, const int *indices, uint4 *out, long long rows, int vectors) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= rows * vectors) return;
    const long long row = i / vectors;
    out[i] = table[(long long)max(indices[row], 0) * vectors + (i - row * vectors)];
}

// gradient[indices[i]] += out_gradient[i], for rows of `width` elements. The order in which rows with the
// same index are added is not fixed.
extern "C" __global__ void __launch_bounds__(256)
    scatter_add_rows(const T *out_gradient, const int *indices, float *gradient, long long rows, int width) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= rows * width) return;
    const long long row = i / width;
    atomicAdd(gradient + (long long)indices[row] * width + (i - row * width), float(out_gradient[i]));
}
