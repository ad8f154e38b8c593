// Softmax attention of one or a few new tokens over a cache, for decoding. Reading keys and values takes most
// of the time, so a block reads each of its keys once, for several queries. A group is a key/value head with
// the query heads that share it. A block processes a range of the keys of one group, as in Flash-Decoding.
// Each warp of the block loops over tiles of 16 keys, and the warps then merge their results. If the keys of
// a group are divided into several ranges, each block writes maxima, sums and unnormalised outputs to scratch
// memory. The last block to finish combines the results of all ranges.
//
// Compile with -DHEAD_DIM=<d>. The tensors are q, o [b, h, t, d] and the caches k, v [b, g, capacity, d].
// Their strides (batch, head, time) are in elements. Batch row `row` of the cache holds
// lengths[row * length_stride] + added tokens. The kernel reads `lengths` on the device, so that a CUDA graph
// can be replayed while the cache grows. The queries belong to the last t of these tokens. A query of batch
// row `row` sees the keys from first[row] up to its own position. A query before first[row] is padding and
// sees only itself.
#include <cuda_bf16.h>

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif

using bf16 = __nv_bfloat16;
using i64 = long long;

constexpr int D = HEAD_DIM;
static_assert(D % 16 == 0 && D <= 128 || D == 256, "head widths are multiples of 16 up to 128, and 256");

constexpr int WARPS = 4, THREADS = 32 * WARPS;
constexpr int TILE = 16;  // keys that a warp processes at once
constexpr float LOG2_E = 1.4426950408889634f;
#define MINUS_INFINITY __int_as_float(0xff800000)

template <typename T, int N> struct alignas(sizeof(T) * N) Vector { T x[N]; };

// Reads 4 to 16 bytes of a cache row with a streaming load, since the block reads these bytes only once.
template <typename T, int N> __device__ inline Vector<T, N> read_once(const T* p) {
    if constexpr (sizeof(T) * N == 16) {
        uint4 word = __ldcs(reinterpret_cast<const uint4*>(p));
        return reinterpret_cast<Vector<T, N>&>(word);
    } else if constexpr (sizeof(T) * N == 8) {
        uint2 word = __ldcs(reinterpret_cast<const uint2*>(p));
        return reinterpret_cast<Vector<T, N>&>(word);
    } else {
        unsigned word = __ldcs(reinterpret_cast<const unsigned*>(p));
        return reinterpret_cast<Vector<T, N>&>(word);
    }
}

// The keys and queries of a block.
template <typename T> struct Work {
    const T *k, *v;          // keys and values of the group
    i64 k_time, v_time;
    int keys, begin, end;    // number of keys in the cache; the block's range of keys, [begin, end)
    int first, position;     // first key that the batch row sees; lowest position of a query
    int t, query;            // number of new tokens; the block's first query among the group's [h / g, t]
    float scale_log2;

    __device__ bool is_masked(int key) const { return key + TILE - 1 > position || key < first; }
    __device__ bool sees(int row, int key) const {
        int at = position + (query + row) % t;
        return key <= at && (key >= first || key == at);
    }
    __device__ int clamp(int key) const { return min(key, keys - 1); }  // memory after the last key may hold NaN
};

// The result of a warp or a block. Each query (row) has an unnormalised output, the maximum of its scores,
// and the sum of its weights.
template <int ROWS> struct Record {
    float outs[ROWS][D + 4], maxima[ROWS], sums[ROWS];  // padded against bank conflicts
};

// Replaces a maximum of -inf with 0, because -inf - -inf would be NaN. The maximum of a row is -inf until the
// row has seen a key.
__device__ inline float finite(float maximum) { return maximum == MINUS_INFINITY ? 0.f : maximum; }

// The bf16 kernels compute S^T = K Q^T and O^T = V^T P^T with mma.m16n8k16. The operands are loaded from
// global memory directly into registers. The channels can be summed in any order, and the rows of O^T can be
// in any order. Each lane can therefore take consecutive channels and load up to 16 bytes of them at once.

__device__ inline void mma(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                           unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
// Transposes weights within the warp. A lane passes the weights of its key for two queries, and gets the
// weights of two keys for its query.
__device__ inline unsigned pack_transposed(float low, float high) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    unsigned transposed;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;"
                 : "=r"(transposed) : "r"(reinterpret_cast<unsigned&>(pair)));
    return transposed;
}

// The bf16 computation of one warp, for 8 * EIGHTS queries.
template <int EIGHTS> struct Bf16 {
    using T = bf16;
    static constexpr int ROWS = 8 * EIGHTS, SHARED = 1;
    static constexpr int K_WIDE = D % 32 == 0 ? 4 : 2;                    // words of K in one load
    static constexpr int V_WIDE = D % 64 == 0 ? 4 : D % 32 == 0 ? 2 : 1;  // words of V
    static constexpr int K_CHUNKS = D / (8 * K_WIDE), V_CHUNKS = D / (16 * V_WIDE);
    using K = Vector<unsigned, K_WIDE>;
    using V = Vector<unsigned, V_WIDE>;

    const Work<bf16>& work;
    const int quad = threadIdx.x % 32 / 4, in_quad = threadIdx.x % 4;
    K queries[EIGHTS][K_CHUNKS];
    K keys[2][K_CHUNKS];      // keys `quad` and `quad` + 8 of the tile
    V values[4][V_CHUNKS];    // keys 2 * `in_quad` + {0, 1, 8, 9}
    float out[EIGHTS][D / 16][4] = {}, maximum[EIGHTS][2], sum[EIGHTS][2] = {};

    template <typename Row> __device__ Bf16(const Work<bf16>& work, Row row_of, float*) : work(work) {
#pragma unroll
        for (int e = 0; e < EIGHTS; ++e) {
            maximum[e][0] = maximum[e][1] = MINUS_INFINITY;
            const bf16* row = row_of(e * 8 + quad);
#pragma unroll
            for (int i = 0; i < K_CHUNKS; ++i)
                queries[e][i] = row ? *reinterpret_cast<const K*>(row + (i * 4 + in_quad) * 2 * K_WIDE) : K{};
        }
    }
    __device__ void load_keys(int tile) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            auto row = reinterpret_cast<const unsigned*>(work.k + work.clamp(tile + quad + 8 * half) * work.k_time);
#pragma unroll
            for (int i = 0; i < K_CHUNKS; ++i)
                keys[half][i] = read_once<unsigned, K_WIDE>(row + (i * 4 + in_quad) * K_WIDE);
        }
    }
    __device__ void load_values(int tile) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int key = tile + 2 * in_quad + j % 2 + j / 2 * 8;
            auto row = reinterpret_cast<const unsigned*>(work.v + work.clamp(key) * work.v_time);
#pragma unroll
            for (int i = 0; i < V_CHUNKS; ++i)
                values[j][i] = read_once<unsigned, V_WIDE>(row + (i * 8 + quad) * V_WIDE);
        }
    }
    __device__ void run(int tile) {
        constexpr int STEP = WARPS * TILE;
        if (tile < work.end) load_keys(tile), load_values(tile);
        for (; tile < work.end; tile += STEP) {
            float scores[EIGHTS][4] = {};  // element i: key quad + 8 * (i / 2), query 2 * in_quad + i % 2
#pragma unroll
            for (int e = 0; e < EIGHTS; ++e)
#pragma unroll
                for (int i = 0; i < K_CHUNKS; ++i)
#pragma unroll
                    for (int w = 0; w < K_WIDE; w += 2)
                        mma(scores[e], keys[0][i].x[w], keys[1][i].x[w], keys[0][i].x[w + 1], keys[1][i].x[w + 1],
                            queries[e][i].x[w], queries[e][i].x[w + 1]);
            if (tile + STEP < work.end) load_keys(tile + STEP);

            const bool is_masked = work.is_masked(tile);
            unsigned weights[EIGHTS][2];
#pragma unroll
            for (int e = 0; e < EIGHTS; ++e) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    scores[e][i] *= work.scale_log2;
                    if (is_masked && !work.sees(e * 8 + 2 * in_quad + i % 2, tile + quad + i / 2 * 8))
                        scores[e][i] = MINUS_INFINITY;
                }
                apply_softmax(scores[e], out[e], maximum[e], sum[e]);
                weights[e][0] = pack_transposed(scores[e][0], scores[e][1]);
                weights[e][1] = pack_transposed(scores[e][2], scores[e][3]);
            }
#pragma unroll
            for (int i = 0; i < V_CHUNKS; ++i)
#pragma unroll
                for (int w = 0; w < V_WIDE; ++w) {
                    // Each word holds two channels of a key. `__byte_perm` pairs the low halves of two keys
                    // for row `quad`, and the high halves for row `quad` + 8.
                    unsigned a0 = __byte_perm(values[0][i].x[w], values[1][i].x[w], 0x5410);
                    unsigned a1 = __byte_perm(values[0][i].x[w], values[1][i].x[w], 0x7632);
                    unsigned a2 = __byte_perm(values[2][i].x[w], values[3][i].x[w], 0x5410);
                    unsigned a3 = __byte_perm(values[2][i].x[w], values[3][i].x[w], 0x7632);
#pragma unroll
                    for (int e = 0; e < EIGHTS; ++e)
                        mma(out[e][i * V_WIDE + w], a0, a1, a2, a3, weights[e][0], weights[e][1]);
                }
            if (tile + STEP < work.end) load_values(tile + STEP);
        }
    }
    __device__ static void apply_softmax(float (&scores)[4], float (&out)[D / 16][4], float (&maximum)[2], float (&sum)[2]) {
        float next[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            next[j] = fmaxf(scores[j], scores[j + 2]);
#pragma unroll
            for (int apart = 4; apart < 32; apart *= 2) next[j] = fmaxf(next[j], __shfl_xor_sync(~0u, next[j], apart));
        }
        if (__any_sync(~0u, next[0] > maximum[0] || next[1] > maximum[1])) {
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                next[j] = fmaxf(next[j], maximum[j]);
                float factor = exp2f(maximum[j] - finite(next[j]));
                maximum[j] = next[j];
                sum[j] *= factor;
#pragma unroll
                for (int n = 0; n < D / 16; ++n) out[n][j] *= factor, out[n][j + 2] *= factor;
            }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            scores[i] = exp2f(scores[i] - finite(maximum[i % 2]));
            sum[i % 2] += scores[i];
        }
    }
    __device__ void write_record(Record<ROWS>& record) {
#pragma unroll
        for (int e = 0; e < EIGHTS; ++e)
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                int row = e * 8 + 2 * in_quad + j;
#pragma unroll
                for (int apart = 4; apart < 32; apart *= 2) sum[e][j] += __shfl_xor_sync(~0u, sum[e][j], apart);
                if (quad == 0) record.maxima[row] = maximum[e][j], record.sums[row] = sum[e][j];
                // A word of V holds two columns. A lane therefore has 2 * V_WIDE consecutive columns.
                constexpr int WIDE = V_WIDE == 1 ? 2 : 4;
#pragma unroll
                for (int i = 0; i < V_CHUNKS; ++i)
#pragma unroll
                    for (int c = 0; c < 2 * V_WIDE; c += WIDE) {
                        Vector<float, WIDE> columns;
#pragma unroll
                        for (int n = 0; n < WIDE; ++n)
                            columns.x[n] = out[e][i * V_WIDE + (c + n) / 2][j + (c + n) % 2 * 2];
                        int column = (i * 8 + quad) * 2 * V_WIDE + c;
                        reinterpret_cast<Vector<float, WIDE>&>(record.outs[row][column]) = columns;
                    }
            }
    }
};

// The f32 kernels. Four lanes together compute the score of a key. D / 4 lanes (32 if D > 128) together load
// a row of V.

template <int N> struct F32 {
    using T = float;
    static constexpr int ROWS = N;
    // The number of lanes that load a row of V, and the number of rows that a warp loads at once.
    static constexpr int PER_KEY = D > 128 ? 32 : D / 4, AT_ONCE = 32 / PER_KEY;
    static constexpr int WIDE = D / 4 / PER_KEY;  // 16-byte words of a row of V that a lane loads
    static constexpr int SHARED = N * D + WARPS * TILE * N;

    const Work<float>& work;
    const int lane = threadIdx.x % 32;
    const float* queries;  // [N][D], scaled, in shared memory
    float* weights;        // [TILE][N] of this warp, in shared memory
    float4 out[N][WIDE] = {};
    float maximum[N], sum[N] = {};

    template <typename Row> __device__ F32(const Work<float>& work, Row row_of, float* shared)
        : work(work), queries(shared), weights(shared + N * D + threadIdx.x / 32 * TILE * N) {
#pragma unroll
        for (int r = 0; r < N; ++r) {
            maximum[r] = MINUS_INFINITY;
            const float* row = row_of(r);
            for (int i = threadIdx.x; i < D; i += THREADS) shared[r * D + i] = row ? row[i] * work.scale_log2 : 0.f;
        }
        __syncthreads();
    }
    __device__ void run(int tile) {
        for (; tile < work.end; tile += WARPS * TILE) {
            score(tile);
            __syncwarp();
            add(tile);
            __syncwarp();
        }
    }
    __device__ void score(int tile) {
        const int quad = lane / 4, in_quad = lane % 4;
        float4 keys[2][D / 16];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            auto row = reinterpret_cast<const float4*>(work.k + work.clamp(tile + quad + 8 * half) * work.k_time);
#pragma unroll
            for (int i = 0; i < D / 16; ++i) keys[half][i] = __ldcs(row + i * 4 + in_quad);
        }
        const bool is_masked = work.is_masked(tile);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            float scores[2] = {};
#pragma unroll
            for (int i = 0; i < D / 16; ++i) {
                float4 q = reinterpret_cast<const float4*>(queries + r * D)[i * 4 + in_quad];
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    scores[half] = fmaf(q.x, keys[half][i].x, scores[half]);
                    scores[half] = fmaf(q.y, keys[half][i].y, scores[half]);
                    scores[half] = fmaf(q.z, keys[half][i].z, scores[half]);
                    scores[half] = fmaf(q.w, keys[half][i].w, scores[half]);
                }
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                scores[half] += __shfl_xor_sync(~0u, scores[half], 1);
                scores[half] += __shfl_xor_sync(~0u, scores[half], 2);
                if (is_masked && !work.sees(r, tile + quad + 8 * half)) scores[half] = MINUS_INFINITY;
            }
            float next = fmaxf(scores[0], scores[1]);
#pragma unroll
            for (int apart = 4; apart < 32; apart *= 2) next = fmaxf(next, __shfl_xor_sync(~0u, next, apart));
            next = fmaxf(next, maximum[r]);
            float factor = exp2f(maximum[r] - finite(next));
            maximum[r] = next;
            sum[r] *= factor;
#pragma unroll
            for (int w = 0; w < WIDE; ++w)
                out[r][w].x *= factor, out[r][w].y *= factor, out[r][w].z *= factor, out[r][w].w *= factor;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float weight = exp2f(scores[half] - finite(next));
                sum[r] += weight;
                if (in_quad == 0) weights[(quad + 8 * half) * N + r] = weight;
            }
        }
    }
    __device__ void add(int tile) {
        const int within = lane / PER_KEY, column = lane % PER_KEY;
        if (within >= AT_ONCE) return;
#pragma unroll
        for (int i = 0; i < TILE; i += AT_ONCE) {
            int key = i + within;
            auto row = reinterpret_cast<const float4*>(work.v + work.clamp(tile + key) * work.v_time);
            float4 weight[N / 4];
#pragma unroll
            for (int r = 0; r < N / 4; ++r) weight[r] = reinterpret_cast<const float4*>(weights + key * N)[r];
#pragma unroll
            for (int w = 0; w < WIDE; ++w) {
                float4 value = __ldcs(row + w * PER_KEY + column);
#pragma unroll
                for (int r = 0; r < N; ++r) {
                    float4 four = weight[r / 4];
                    float of_row = r % 4 == 0 ? four.x : r % 4 == 1 ? four.y : r % 4 == 2 ? four.z : four.w;
                    out[r][w].x = fmaf(of_row, value.x, out[r][w].x);
                    out[r][w].y = fmaf(of_row, value.y, out[r][w].y);
                    out[r][w].z = fmaf(of_row, value.z, out[r][w].z);
                    out[r][w].w = fmaf(of_row, value.w, out[r][w].w);
                }
            }
        }
    }
    __device__ void write_record(Record<ROWS>& record) {
        const int within = lane / PER_KEY, column = lane % PER_KEY;
#pragma unroll
        for (int r = 0; r < N; ++r) {
#pragma unroll
            for (int apart = 4; apart < 32; apart *= 2) sum[r] += __shfl_xor_sync(~0u, sum[r], apart);
            if (lane == 0) record.maxima[r] = maximum[r], record.sums[r] = sum[r];
        }
        for (int turn = 0; turn < AT_ONCE; ++turn) {
            if (within == turn)
#pragma unroll
                for (int r = 0; r < N; ++r)
#pragma unroll
                    for (int w = 0; w < WIDE; ++w) {
                        float4& target = reinterpret_cast<float4*>(record.outs[r])[w * PER_KEY + column];
                        float4 own = out[r][w];
                        if (turn > 0) own.x += target.x, own.y += target.y, own.z += target.z, own.w += target.w;
                        target = own;
                    }
            __syncwarp();
        }
    }
};

// Code for both dtypes.

__device__ inline void store(float* p, float4 x) { *reinterpret_cast<float4*>(p) = x; }
__device__ inline void store(bf16* p, float4 x) {
    Vector<__nv_bfloat162, 2> pairs = {__floats2bfloat162_rn(x.x, x.y), __floats2bfloat162_rn(x.z, x.w)};
    *reinterpret_cast<Vector<__nv_bfloat162, 2>*>(p) = pairs;
}

template <int ROWS> struct Totals {
    float maxima[ROWS], sums[ROWS];
};

// Combines `count` records. Writes the maximum and the sum of each row to `totals`, and calls `emit` with the
// outputs, four columns at a time. `factors` is scratch memory for the scale of each record. The outputs of
// AT_ONCE records are loaded together.
template <int ROWS, int AT_ONCE, typename Emit>
__device__ inline void combine(const Record<ROWS>* records, int count, float (*factors)[ROWS], Totals<ROWS>& totals,
                               int rows, Emit emit) {
    const int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < rows; row += WARPS) {
        float maximum = MINUS_INFINITY, sum = 0.f;
        for (int i = lane; i < count; i += 32) maximum = fmaxf(maximum, records[i].maxima[row]);
#pragma unroll
        for (int apart = 1; apart < 32; apart *= 2) maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, apart));
        for (int i = lane; i < count; i += 32) {
            factors[i][row] = exp2f(records[i].maxima[row] - finite(maximum));
            sum += factors[i][row] * records[i].sums[row];
        }
#pragma unroll
        for (int apart = 1; apart < 32; apart *= 2) sum += __shfl_xor_sync(~0u, sum, apart);
        if (lane == 0) totals.maxima[row] = maximum, totals.sums[row] = sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < rows * (D / 4); i += THREADS) {
        int row = i / (D / 4), column = i % (D / 4) * 4;
        float4 out = {};
        for (int from = 0; from < count; from += AT_ONCE) {
#pragma unroll
            for (int j = from; j < from + AT_ONCE; ++j) {
                float4 part = j < count ? reinterpret_cast<const float4&>(records[j].outs[row][column]) : float4{};
                float factor = j < count ? factors[j][row] : 0.f;
                out.x = fmaf(factor, part.x, out.x);
                out.y = fmaf(factor, part.y, out.y);
                out.z = fmaf(factor, part.z, out.z);
                out.w = fmaf(factor, part.w, out.w);
            }
        }
        emit(row, column, out);
    }
}

template <class Core, typename T = typename Core::T>
__device__ inline void decode(T* o, const T* q, const T* k, const T* v, const int* lengths, const int* first,
                              float* partial, unsigned* finished, i64 o_batch, i64 o_head, i64 o_time, i64 q_batch,
                              i64 q_head, i64 q_time, i64 k_batch, i64 k_head, i64 k_time, i64 v_batch, i64 v_head,
                              i64 v_time, int h, int g, int t, int length_stride, int added, float scale) {
    constexpr int ROWS = Core::ROWS, STEP = WARPS * TILE;
    extern __shared__ __align__(16) char shared[];
    auto records = reinterpret_cast<Record<ROWS>*>(shared);                  // [WARPS]
    auto factors = reinterpret_cast<float (*)[ROWS]>(records + WARPS);       // [max(splits, WARPS)]
    __shared__ __align__(16) float of_core[Core::SHARED];
    __shared__ Totals<ROWS> totals;
    __shared__ bool is_last;

    const int group = blockIdx.y % g, batch = blockIdx.z, warp = threadIdx.x / 32;
    const int first_query = blockIdx.y / g * ROWS, rows = min(ROWS, h / g * t - first_query);
    Work<T> work;
    work.k = k + batch * k_batch + group * k_head, work.v = v + batch * v_batch + group * v_head;
    work.k_time = k_time, work.v_time = v_time;
    work.keys = lengths[batch * length_stride] + added, work.position = work.keys - t;
    work.first = first ? first[batch] : 0;
    work.t = t, work.query = first_query, work.scale_log2 = scale * LOG2_E;
    const int begin = min(work.first, work.position) / TILE * TILE, steps = (work.keys - begin + STEP - 1) / STEP;
    const int keys_per_block = (steps + gridDim.x - 1) / gridDim.x * STEP;
    const int active = (work.keys - begin + keys_per_block - 1) / keys_per_block;
    if (blockIdx.x >= active) return;
    work.begin = begin + blockIdx.x * keys_per_block, work.end = min(work.begin + keys_per_block, work.keys);

    auto offset = [&](int row, i64 of_batch, i64 of_head, i64 of_time) {
        int query = first_query + row, head = group * (h / g) + query / t;
        return batch * of_batch + head * of_head + query % t * of_time;
    };
    Core core(work, [&](int row) { return row < rows ? q + offset(row, q_batch, q_head, q_time) : nullptr; }, of_core);
    core.run(work.begin + warp * TILE);
    core.write_record(records[warp]);
    __syncthreads();

    auto finish = [&](int row, int column, float4 out) {
        float inverse = 1.f / totals.sums[row];
        out.x *= inverse, out.y *= inverse, out.z *= inverse, out.w *= inverse;
        store(o + offset(row, o_batch, o_head, o_time) + column, out);
    };
    if (active == 1) return combine<ROWS, WARPS>(records, WARPS, factors, totals, rows, finish);

    const int tile_index = batch * gridDim.y + blockIdx.y;
    auto of_blocks = reinterpret_cast<Record<ROWS>*>(partial) + i64(tile_index) * gridDim.x;
    auto& own = of_blocks[blockIdx.x];
    auto write_output = [&](int row, int column, float4 out) { store(&own.outs[row][column], out); };
    combine<ROWS, WARPS>(records, WARPS, factors, totals, rows, write_output);
    if (threadIdx.x < rows) {
        own.maxima[threadIdx.x] = totals.maxima[threadIdx.x];
        own.sums[threadIdx.x] = totals.sums[threadIdx.x];
    }
    __threadfence();
    __syncthreads();
    // The last of the active blocks resets the counter to 0 for the next launch.
    if (threadIdx.x == 0) is_last = atomicInc(finished + tile_index, active - 1) == active - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    combine<ROWS, 16>(of_blocks, active, factors, totals, rows, finish);
}

#define DECODE(NAME, BLOCKS, T, ...)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                     \
    NAME(T* o, const T* q, const T* k, const T* v, const int* lengths, const int* first, float* partial,              \
         unsigned* finished, i64 o_batch, i64 o_head, i64 o_time, i64 q_batch, i64 q_head, i64 q_time,                \
         i64 k_batch, i64 k_head, i64 k_time, i64 v_batch, i64 v_head, i64 v_time, int h, int g, int t,               \
         int length_stride, int added, float scale) {                                                                 \
        decode<__VA_ARGS__>(o, q, k, v, lengths, first, partial, finished, o_batch, o_head, o_time, q_batch,          \
                            q_head, q_time, k_batch, k_head, k_time, v_batch, v_head, v_time, h, g, t,                \
                            length_stride, added, scale);                                                             \
    }
DECODE(decode_bf16_8, D > 128 ? 1 : 3, bf16, Bf16<1>)
DECODE(decode_f32_4, D > 128 ? 2 : 3, float, F32<4>)
#if HEAD_DIM <= 128  // for larger heads, more rows do not fit into registers
DECODE(decode_bf16_16, 2, bf16, Bf16<2>)
DECODE(decode_f32_8, 3, float, F32<8>)
#endif
