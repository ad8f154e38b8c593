// Rotary position embedding (RoFormer, arXiv 2104.09864) with half-split pairs, as in Hugging Face's Llama. A
// kernel rotates q [b, h, t, d] into q_out and k [b, g, t, d] into k_out. It copies v [b, g, t, d] into
// v_out. k_out and v_out can be caches to which the kernel appends. Head widths are multiples of 16. The
// strides of batch, head and time are in elements.
//
// Token i is written to time i of q_out, and to time w + i of k_out and v_out. Row a + i of the f32 tables
// cos and sin holds the rotation of token i. For batch row `row`, w is write[row * position_stride], and a is
// angles[row * position_stride]. If the pointer `write` or `angles` is null, the value counts as 0. A table
// is [b, positions, d / 2], or [1, positions, d / 2] for all sequences. The values at `write` and `angles`
// are in device memory, so a replayed CUDA graph can append at new positions. Without tables, q and k are
// copied. Outputs may alias the inputs.
#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;
using i64 = long long;

template <typename T, int N> struct alignas(sizeof(T) * N) Vector { T x[N]; };

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) { return __bfloat162float(x); }
__device__ inline void narrow(float& y, float x) { y = x; }
__device__ inline void narrow(bf16& y, float x) { y = __float2bfloat16(x); }

// Each thread takes 16 bytes of a row's first half and the 16 bytes of the second half that pair with them.
// Along grid x, the index of the vector in its row changes fastest, then the token, then the head. The heads
// of q come first, then the heads of k, then the heads of v. Grid y is the batch.
template <typename T>
__device__ inline void rotary(const T* q, T* q_out, const T* k, T* k_out, const T* v, T* v_out, const float* cos,
                              const float* sin, const int* write, const int* angles, i64 q_batch, i64 q_head,
                              i64 q_time, i64 qo_batch, i64 qo_head, i64 qo_time, i64 k_batch, i64 k_head, i64 k_time,
                              i64 ko_batch, i64 ko_head, i64 ko_time, i64 v_batch, i64 v_head, i64 v_time,
                              i64 vo_batch, i64 vo_head, i64 vo_time, i64 table_batch, i64 table_time, int h, int g,
                              int t, int d, int position_stride) {
    constexpr int WIDE = 16 / sizeof(T);
    const int half = d / 2, vectors = half / WIDE, at = blockIdx.x * blockDim.x + threadIdx.x;
    const int column = at % vectors * WIDE, time = at / vectors % t, of_all = at / vectors / t, batch = blockIdx.y;
    if (of_all >= h + g + (v ? g : 0)) return;

    const T* from;
    T* to;
    int head = of_all;
    const int target = time + (write ? write[batch * position_stride] : 0);
    if (head < h) {
        from = q + batch * q_batch + head * q_head + time * q_time;
        to = q_out + batch * qo_batch + head * qo_head + time * qo_time;
    } else if ((head -= h) < g) {
        from = k + batch * k_batch + head * k_head + time * k_time;
        to = k_out + batch * ko_batch + head * ko_head + target * ko_time;
    } else {
        head -= g;
        from = v + batch * v_batch + head * v_head + time * v_time;
        to = v_out + batch * vo_batch + head * vo_head + target * vo_time;
    }

    auto first = *reinterpret_cast<const Vector<T, WIDE>*>(from + column);
    auto second = *reinterpret_cast<const Vector<T, WIDE>*>(from + half + column);
    if (cos && of_all < h + g) {
        const int position = time + (angles ? angles[batch * position_stride] : 0);
        const i64 row = batch * table_batch + position * table_time + column;
#pragma unroll
        for (int i = 0; i < WIDE; i += 4) {
            auto c = *reinterpret_cast<const Vector<float, 4>*>(cos + row + i);
            auto s = *reinterpret_cast<const Vector<float, 4>*>(sin + row + i);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                float x = widen(first.x[i + j]), y = widen(second.x[i + j]);
                narrow(first.x[i + j], x * c.x[j] - y * s.x[j]);
                narrow(second.x[i + j], y * c.x[j] + x * s.x[j]);
            }
        }
    }
    *reinterpret_cast<Vector<T, WIDE>*>(to + column) = first;
    *reinterpret_cast<Vector<T, WIDE>*>(to + half + column) = second;
}

#define ROTARY(NAME, T)                                                                                            \
    extern "C" __global__ void NAME(                                                                              \
        const T* q, T* q_out, const T* k, T* k_out, const T* v, T* v_out, const float* cos, const float* sin,     \
        const int* write, const int* angles, i64 q_batch, i64 q_head, i64 q_time, i64 qo_batch, i64 qo_head,      \
        i64 qo_time, i64 k_batch, i64 k_head, i64 k_time, i64 ko_batch, i64 ko_head, i64 ko_time, i64 v_batch,    \
        i64 v_head, i64 v_time, i64 vo_batch, i64 vo_head, i64 vo_time, i64 table_batch, i64 table_time, int h,   \
        int g, int t, int d, int position_stride) {                                                               \
        rotary(q, q_out, k, k_out, v, v_out, cos, sin, write, angles, q_batch, q_head, q_time, qo_batch, qo_head, \
               qo_time, k_batch, k_head, k_time, ko_batch, ko_head, ko_time, v_batch, v_head, v_time, vo_batch,   \
               vo_head, vo_time, table_batch, table_time, h, g, t, d, position_stride);                           \
    }
ROTARY(rotary_bf16, bf16)
ROTARY(rotary_f32, float)
