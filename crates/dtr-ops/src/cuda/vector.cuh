// Shared code of elementwise kernels and reductions: loads and stores of eight elements at a time, and sums
// over a block in a fixed order. An ELEMENT is float or bf16. Sources that include this header are compiled
// once for each ELEMENT.
#pragma once

#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT __nv_bfloat16
#endif

using bf16 = __nv_bfloat16;
using T = ELEMENT;

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffff;
constexpr int COUNT = 8;  // elements that a thread processes at a time

struct __align__(16) Eight {
    float x[COUNT];
};

// Eight elements as stored in memory.
template <class E>
struct Packed;
template <>
struct __align__(16) Packed<bf16> {
    uint4 words;
};
template <>
struct __align__(16) Packed<float> {
    float4 low, high;
};
using Bits = Packed<T>;

template <class E>
__device__ Packed<E> bits_at(const E *at) {
    return *reinterpret_cast<const Packed<E> *>(at);
}

__device__ Eight unpack_floats(const Packed<bf16> &bits) {
    const unsigned words[4] = {bits.words.x, bits.words.y, bits.words.z, bits.words.w};
    Eight eight;
#pragma unroll
    for (int i = 0; i < 4; i++) {  // a bf16 is the upper half of a float
        eight.x[i * 2] = __uint_as_float(words[i] << 16);
        eight.x[i * 2 + 1] = __uint_as_float(words[i] & 0xffff0000);
    }
    return eight;
}

__device__ Eight unpack_floats(const Packed<float> &bits) {
    return Eight{{bits.low.x, bits.low.y, bits.low.z, bits.low.w, bits.high.x, bits.high.y, bits.high.z, bits.high.w}};
}

__device__ unsigned pack_pair(float x, float y) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(x, y);
    return *reinterpret_cast<const unsigned *>(&two);
}

template <class E>
__device__ Packed<E> pack_floats(const Eight &eight) {
    const float *const x = eight.x;
    if constexpr (sizeof(E) == 2) {
        return {make_uint4(pack_pair(x[0], x[1]), pack_pair(x[2], x[3]), pack_pair(x[4], x[5]), pack_pair(x[6], x[7]))};
    } else {
        return {make_float4(x[0], x[1], x[2], x[3]), make_float4(x[4], x[5], x[6], x[7])};
    }
}

template <class E>
__device__ Eight load(const E *at) {
    return unpack_floats(bits_at(at));
}
template <class E>
__device__ void store(E *at, const Eight &eight) {
    *reinterpret_cast<Packed<E> *>(at) = pack_floats<E>(eight);
}

__device__ bool aligned(const void *at) { return reinterpret_cast<unsigned long long>(at) % 16 == 0; }

__device__ float warp_sum(float x) {
#pragma unroll
    for (int step = WARP / 2; step; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
}

// Returns the sum over a block of up to 32 warps. Every thread gets the sum.
__device__ float block_sum(float x) {
    __shared__ float sums[WARP];
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % WARP < blockDim.x / WARP ? sums[threadIdx.x % WARP] : 0.0f);
}
