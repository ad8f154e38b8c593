// Kernels on small arrays of integers that recorded decoding steps (CUDA graphs) read and write. Each thread
// processes one element.

// Adds `by` to each of `count` position counters. A counter stops at `last`.
extern "C" __global__ void advance(int* counters, int by, int last, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) counters[i] = min(counters[i] + by, last);
}

// Copies `count` integers.
extern "C" __global__ void copy_ints(int* to, const int* from, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = from[i];
}
