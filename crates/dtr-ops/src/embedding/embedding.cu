// Copies rows: out[i] = table[indices[i]]. A row has `vectors` vectors of 16 bytes, of any element type.
extern "C" __global__ void __launch_bounds__(256)
    gather_rows(const uint4 *table, const int *indices, uint4 *out, long long rows, int vectors) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= rows * vectors) return;
    const long long row = i / vectors;
    out[i] = table[(long long)indices[row] * vectors + (i - row * vectors)];
}
