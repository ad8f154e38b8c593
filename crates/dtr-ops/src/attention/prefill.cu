// Causal softmax attention of many queries, O = softmax(Q K^T * scale) V. The kernels use online softmax
// (Milakov and Gimelshein, arXiv 1805.02867) with the tiles of FlashAttention-2 (arXiv 2307.08691). Head
// widths are multiples of 16, up to 256. The kernels run on sm_80 and later. The bf16 kernel uses tensor
// cores, and the f32 kernel uses multiply-adds. The kernel in prefill_sm90.cu is faster, but supports fewer
// cases.
//
// Compile with -DHEAD_DIM=<d>. The tensors are q, o [b, h, t, d] and k, v [b, g, s, d]. Their strides (batch,
// head, time) are in elements. Query i is at position s - t + i. A query of batch row `row` sees the keys
// from first[row] up to its own position. A query before first[row] is padding and sees only itself. Every
// query therefore sees a key.
#include <cuda_bf16.h>

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif

using bf16 = __nv_bfloat16;
using i64 = long long;

constexpr int D = HEAD_DIM;
static_assert(D % 16 == 0 && D <= 256, "head widths are multiples of 16 up to 256");

constexpr int KEYS = D > 128 ? 32 : 64;  // keys of a tile
constexpr int THREADS = 128;
constexpr float LOG2_E = 1.4426950408889634f;
#define MINUS_INFINITY __int_as_float(0xff800000)

struct Strides { i64 batch, head, time; };

// The range of keys that a block of queries needs, and the mask of each query.
struct Span {
    int first, begin, end;  // first key that the batch row sees; range [begin, end) of the block's keys
    int position;           // position of the block's first query

    __device__ Span(const int* first_of_row, int row, int t, int s, int first_query, int queries)
        : first(first_of_row ? first_of_row[row] : 0), position(s - t + first_query) {
        begin = min(first, position);
        end = min(position + queries, s);
    }
    __device__ static bool sees(int query_position, int key, int first) {
        return key <= query_position && (key >= first || key == query_position);
    }
    __device__ bool is_masked(int key, int keys) const { return key + keys - 1 > position || key < first; }
};

// Merges the maximum of a tile into the running maximum of a row. Sets `offset` such that the weights of the
// tile are 2^(score * scale_log2 - offset). Returns the factor by which the sums so far must be multiplied.
__device__ inline float rescale(float& maximum, float tile_maximum, float scale_log2, float& offset) {
    float next = fmaxf(maximum, tile_maximum);
    // Until a row has seen a key, its maximum is -inf, and -inf - -inf would be NaN.
    offset = next == MINUS_INFINITY ? 0.f : next * scale_log2;
    float factor = exp2f(maximum * scale_log2 - offset);
    maximum = next;
    return factor;
}

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// Copies 16 bytes from global to shared memory, or writes zeros if `is_there` is false. Rows after the last
// key get the weight 0. They must be zeros, because 0 times NaN would be NaN.
__device__ inline void copy16(void* target, const void* source, bool is_there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(target)), "l"(source), "r"(is_there ? 16 : 0));
}
__device__ inline void commit() { asm volatile("cp.async.commit_group;"); }
template <int N> __device__ inline void wait() { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }

// Copies a tile of COUNT rows, from row `from` on, to shared memory. Only D elements of a row are copied, and
// rows in shared memory are STRIDE elements apart. Rows from index `rows` on become zeros.
template <int COUNT, int STRIDE, typename T>
__device__ inline void load_rows(T* tile, const T* source, i64 stride, int from, int rows) {
    constexpr int VECTOR = 16 / sizeof(T), CHUNKS = D / VECTOR, AT_ONCE = THREADS / CHUNKS;
    int row = threadIdx.x / CHUNKS, column = threadIdx.x % CHUNKS * VECTOR;
    if (row >= AT_ONCE) return;
    tile += row * STRIDE + column;
    source += (from + row) * stride + column;
#pragma unroll 4  // more would take registers that the sums need
    for (; row < COUNT; row += AT_ONCE, tile += AT_ONCE * STRIDE, source += AT_ONCE * stride)
        copy16(tile, source, from + row < rows);
}

// The bf16 kernel. A warp computes SIXTEENS * 16 queries, and keeps their sums in registers.

constexpr int SIXTEENS = D > 128 ? 1 : 2;  // as many as fit into registers
constexpr int ROWS_BF16 = THREADS / 32 * 16 * SIXTEENS;
constexpr int STRIDE = D + 8;  // odd in units of 16 bytes, so that ldmatrix has no bank conflicts

__device__ inline void ldmatrix(unsigned (&r)[4], const bf16* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)));
}
__device__ inline void ldmatrix_transposed(unsigned (&r)[4], const bf16* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)));
}
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline unsigned pack(float low, float high) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<unsigned&>(pair);
}
// Reduces over the four lanes that share a row of an mma accumulator.
__device__ inline float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ inline float quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

extern "C" __global__ void __launch_bounds__(THREADS, D <= 32 ? 3 : 2)
prefill_bf16(bf16* o, const bf16* q, const bf16* k, const bf16* v, const int* first,
             i64 o_batch, i64 o_head, i64 o_time, i64 q_batch, i64 q_head, i64 q_time,
             i64 k_batch, i64 k_head, i64 k_time, i64 v_batch, i64 v_head, i64 v_time,
             int h, int g, int t, int s, float scale) {
    extern __shared__ __align__(16) char shared[];
    bf16* queries = reinterpret_cast<bf16*>(shared);  // [ROWS_BF16][STRIDE]
    bf16* keys = queries + ROWS_BF16 * STRIDE;        // [KEYS][STRIDE]
    bf16* values = keys + KEYS * STRIDE;              // [KEYS][STRIDE]

    const int head = blockIdx.x, row = blockIdx.y, group = head / (h / g);
    const int first_query = (gridDim.z - 1 - blockIdx.z) * ROWS_BF16;  // queries with the most keys come first
    const int lane = threadIdx.x % 32, quad = lane / 4, in_quad = lane % 4, own = threadIdx.x / 32 * 16 * SIXTEENS;
    const Span span(first, row, t, s, first_query, ROWS_BF16);
    const float scale_log2 = scale * LOG2_E;
    q += row * q_batch + head * q_head;
    k += row * k_batch + group * k_head;
    v += row * v_batch + group * v_head;

    // Element i of an accumulator belongs to row quad + 8 * (i / 2).
    float out[SIXTEENS][D / 8][4] = {}, maximum[SIXTEENS][2], sum[SIXTEENS][2] = {};
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m) maximum[m][0] = maximum[m][1] = MINUS_INFINITY;

    const int last = (span.end - 1) / KEYS, lowest = span.begin / KEYS;
    load_rows<ROWS_BF16, STRIDE>(queries, q, q_time, first_query, t);
    load_rows<KEYS, STRIDE>(keys, k, k_time, last * KEYS, s);
    commit();
    for (int tile = last; tile >= lowest; --tile) {
        load_rows<KEYS, STRIDE>(values, v, v_time, tile * KEYS, s);  // overlaps with the scores
        commit();
        wait<1>();
        __syncthreads();

        float scores[SIXTEENS][KEYS / 8][4] = {};
#pragma unroll
        for (int step = 0; step < D / 16; ++step) {
            unsigned of_queries[SIXTEENS][4];
#pragma unroll
            for (int m = 0; m < SIXTEENS; ++m)
                ldmatrix(of_queries[m], queries + (own + m * 16 + lane % 16) * STRIDE + step * 16 + lane / 16 * 8);
#pragma unroll
            for (int n = 0; n < KEYS / 16; ++n) {
                unsigned of_keys[4];
                ldmatrix(of_keys, keys + (n * 16 + lane / 16 * 8 + lane % 8) * STRIDE + step * 16 + lane / 8 % 2 * 8);
#pragma unroll
                for (int m = 0; m < SIXTEENS; ++m) {
                    mma(scores[m][2 * n], of_queries[m], of_keys[0], of_keys[1]);
                    mma(scores[m][2 * n + 1], of_queries[m], of_keys[2], of_keys[3]);
                }
            }
        }

        const bool is_masked = span.is_masked(tile * KEYS, KEYS);
#pragma unroll
        for (int m = 0; m < SIXTEENS; ++m) {
            if (is_masked) {
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        int position = span.position + own + m * 16 + quad + i / 2 * 8;
                        int key = tile * KEYS + n * 8 + in_quad * 2 + i % 2;
                        if (!Span::sees(position, key, span.first)) scores[m][n][i] = MINUS_INFINITY;
                    }
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float tile_maximum = MINUS_INFINITY, offset;
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
                    tile_maximum = fmaxf(tile_maximum, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
                float factor = rescale(maximum[m][half], quad_max(tile_maximum), scale_log2, offset);
                sum[m][half] *= factor;
#pragma unroll
                for (int n = 0; n < D / 8; ++n) out[m][n][2 * half] *= factor, out[m][n][2 * half + 1] *= factor;
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) {
                        scores[m][n][i] = exp2f(scores[m][n][i] * scale_log2 - offset);
                        sum[m][half] += scores[m][n][i];
                    }
            }
        }

        wait<0>();
        __syncthreads();
        if (tile > lowest) load_rows<KEYS, STRIDE>(keys, k, k_time, (tile - 1) * KEYS, s), commit();
#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step) {
            // The packed accumulators of two 16 x 8 score tiles form an operand of the next product.
            unsigned weights[SIXTEENS][4];
#pragma unroll
            for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    auto& two = scores[m][2 * step + i / 2];
                    weights[m][i] = pack(two[i % 2 * 2], two[i % 2 * 2 + 1]);
                }
#pragma unroll
            for (int n = 0; n < D / 16; ++n) {
                unsigned of_values[4];
                ldmatrix_transposed(of_values, values + (step * 16 + lane % 16) * STRIDE + n * 16 + lane / 16 * 8);
#pragma unroll
                for (int m = 0; m < SIXTEENS; ++m) {
                    mma(out[m][2 * n], weights[m], of_values[0], of_values[1]);
                    mma(out[m][2 * n + 1], weights[m], of_values[2], of_values[3]);
                }
            }
        }
        __syncthreads();
    }

    o += row * o_batch + head * o_head;
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float inverse = 1.f / quad_sum(sum[m][half]);
            int time = first_query + own + m * 16 + quad + half * 8;
            if (time >= t) continue;
#pragma unroll
            for (int n = 0; n < D / 8; ++n)
                *reinterpret_cast<unsigned*>(o + time * o_time + n * 8 + in_quad * 2) =
                    pack(out[m][n][2 * half] * inverse, out[m][n][2 * half + 1] * inverse);
        }
}

// The f32 kernel. The 128 threads form a grid of 8 x 16. A thread computes 8 queries. It takes every 16th key
// of a tile, and every 16th vector of WIDE columns of V.

constexpr int ROWS = 64;           // queries of a block
constexpr int STRIDE_F32 = D + 4;  // so that 16-byte reads of a quarter warp have no bank conflicts
constexpr int WEIGHT_STRIDE = KEYS + 4;
constexpr int OWN = 8;             // queries of a thread
constexpr int WIDE = D % 64 == 0 ? 4 : D % 32 == 0 ? 2 : 1;  // consecutive columns of V that a thread has

template <int N> struct alignas(4 * N) Vector { float x[N]; };

// Reduces over the 16 lanes that compute the same queries.
template <typename F> __device__ inline float half_warp(float x, F combine) {
#pragma unroll
    for (int apart = 1; apart < 16; apart *= 2) x = combine(x, __shfl_xor_sync(~0u, x, apart));
    return x;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
prefill_f32(float* o, const float* q, const float* k, const float* v, const int* first,
            i64 o_batch, i64 o_head, i64 o_time, i64 q_batch, i64 q_head, i64 q_time,
            i64 k_batch, i64 k_head, i64 k_time, i64 v_batch, i64 v_head, i64 v_time,
            int h, int g, int t, int s, float scale) {
    extern __shared__ __align__(16) char shared[];
    float* queries = reinterpret_cast<float*>(shared);        // [ROWS][STRIDE_F32]
    float* keys = queries + ROWS * STRIDE_F32;                // [KEYS][STRIDE_F32]
    float* values = keys + KEYS * STRIDE_F32;             // [KEYS][STRIDE_F32]
    float* weights = values + KEYS * STRIDE_F32;          // [ROWS][WEIGHT_STRIDE]

    const int head = blockIdx.x, row = blockIdx.y, group = head / (h / g);
    const int first_query = (gridDim.z - 1 - blockIdx.z) * ROWS;
    const int lane = threadIdx.x % 16, own = threadIdx.x / 16 * OWN;
    const Span span(first, row, t, s, first_query, ROWS);
    const float scale_log2 = scale * LOG2_E;
    q += row * q_batch + head * q_head;
    k += row * k_batch + group * k_head;
    v += row * v_batch + group * v_head;

    float out[OWN][D / 16] = {}, maximum[OWN], sum[OWN] = {};
#pragma unroll
    for (int i = 0; i < OWN; ++i) maximum[i] = MINUS_INFINITY;

    const int last = (span.end - 1) / KEYS, lowest = span.begin / KEYS;
    load_rows<ROWS, STRIDE_F32>(queries, q, q_time, first_query, t);
    load_rows<KEYS, STRIDE_F32>(keys, k, k_time, last * KEYS, s);
    commit();
    for (int tile = last; tile >= lowest; --tile) {
        load_rows<KEYS, STRIDE_F32>(values, v, v_time, tile * KEYS, s);  // overlaps with the scores
        commit();
        wait<1>();
        __syncthreads();

        float scores[OWN][KEYS / 16] = {};
#pragma unroll 2
        for (int column = 0; column < D; column += 4) {
            float4 key[KEYS / 16];
#pragma unroll
            for (int j = 0; j < KEYS / 16; ++j)
                key[j] = *reinterpret_cast<float4*>(keys + (lane + 16 * j) * STRIDE_F32 + column);
#pragma unroll
            for (int i = 0; i < OWN; ++i) {
                float4 query = *reinterpret_cast<float4*>(queries + (own + i) * STRIDE_F32 + column);
#pragma unroll
                for (int j = 0; j < KEYS / 16; ++j) {
                    scores[i][j] = fmaf(query.x, key[j].x, scores[i][j]);
                    scores[i][j] = fmaf(query.y, key[j].y, scores[i][j]);
                    scores[i][j] = fmaf(query.z, key[j].z, scores[i][j]);
                    scores[i][j] = fmaf(query.w, key[j].w, scores[i][j]);
                }
            }
        }

        const bool is_masked = span.is_masked(tile * KEYS, KEYS);
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            float tile_maximum = MINUS_INFINITY, offset;
#pragma unroll
            for (int j = 0; j < KEYS / 16; ++j) {
                int key = tile * KEYS + lane + 16 * j;
                if (is_masked && !Span::sees(span.position + own + i, key, span.first)) scores[i][j] = MINUS_INFINITY;
                tile_maximum = fmaxf(tile_maximum, scores[i][j]);
            }
            tile_maximum = half_warp(tile_maximum, [](float a, float b) { return fmaxf(a, b); });
            float factor = rescale(maximum[i], tile_maximum, scale_log2, offset);
            sum[i] *= factor;
#pragma unroll
            for (int c = 0; c < D / 16; ++c) out[i][c] *= factor;
#pragma unroll
            for (int j = 0; j < KEYS / 16; ++j) {
                float weight = exp2f(scores[i][j] * scale_log2 - offset);
                sum[i] += weight;
                weights[(own + i) * WEIGHT_STRIDE + lane + 16 * j] = weight;
            }
        }
        wait<0>();
        __syncthreads();
        if (tile > lowest) load_rows<KEYS, STRIDE_F32>(keys, k, k_time, (tile - 1) * KEYS, s), commit();

#pragma unroll 2
        for (int key = 0; key < KEYS; key += 4) {
            Vector<4> weight[OWN];
#pragma unroll
            for (int i = 0; i < OWN; ++i)
                weight[i] = *reinterpret_cast<Vector<4>*>(weights + (own + i) * WEIGHT_STRIDE + key);
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
                for (int c = 0; c < D / 16 / WIDE; ++c) {
                    const float* from = values + (key + j) * STRIDE_F32 + (c * 16 + lane) * WIDE;
                    auto value = *reinterpret_cast<const Vector<WIDE>*>(from);
#pragma unroll
                    for (int i = 0; i < OWN; ++i)
#pragma unroll
                        for (int w = 0; w < WIDE; ++w)
                            out[i][c * WIDE + w] = fmaf(weight[i].x[j], value.x[w], out[i][c * WIDE + w]);
                }
        }
        __syncthreads();
    }

    o += row * o_batch + head * o_head;
#pragma unroll
    for (int i = 0; i < OWN; ++i) {
        float inverse = 1.f / half_warp(sum[i], [](float a, float b) { return a + b; });
        int time = first_query + own + i;
        if (time >= t) continue;
#pragma unroll
        for (int c = 0; c < D / 16 / WIDE; ++c) {
            Vector<WIDE> result;
#pragma unroll
            for (int w = 0; w < WIDE; ++w) result.x[w] = out[i][c * WIDE + w] * inverse;
            *reinterpret_cast<Vector<WIDE>*>(o + time * o_time + (c * 16 + lane) * WIDE) = result;
        }
    }
}
