// Gated linear attention (Yang et al., arXiv 2312.06635), forward, backward and decoding step.
//
//   S_t = diag(exp(gk_t)) S_(t-1) + k_t v_t^T        o_t = K^(-1/2) S_t^T q_t
//
// Compiled for one head shape and one dtype. KEY_WIDTH and VALUE_WIDTH are multiples of 16, at most 128.
// Tensors are f32 if REAL_F32 is defined, and bf16 otherwise. Decays are bf16 if GATE_BF16 is defined, and
// f32 otherwise.
//
// Chunkwise form. G is the inclusive sum of gk from the first token of the chunk, and G_C is its last row:
//
//   o_i = K^(-1/2) (q_i * exp(G_i)) S + sum_(j <= i) A_ij v_j
//   A_ij = K^(-1/2) sum_d q_id k_jd exp(G_id - G_jd)
//   S  <- diag(exp(G_C)) S + (k * exp(G_C - G))^T v
//
// In the forward pass, `gla_states` loops over the chunks and stores the state before each chunk. Then
// `gla_outputs` computes the outputs of all chunks in parallel. In the backward pass, `gla_state_grads` loops
// from the last chunk to the first and stores the gradient of the state after each chunk. Then `gla_grads`
// computes the gradients of the inputs. The query heads of a group share k, v and gk. If they also begin with
// the same state, they share a state and its gradient. Each batch row then has `groups` states. Otherwise it
// has `heads` states.
//
// Tensor cores multiply bf16 operands and sum in f32. An f32 operand is stored as two bf16 planes, high +
// low. The product of two f32 operands is high*high + high*low + low*high. The two planes together have 16
// bits of mantissa and the range of f32.
#include <cuda_bf16.h>

#ifndef KEY_WIDTH
#define KEY_WIDTH 128
#endif
#ifndef VALUE_WIDTH
#define VALUE_WIDTH 128
#endif
#ifdef REAL_F32
using Real = float;
constexpr int PLANES = 2;
#else
using Real = __nv_bfloat16;
constexpr int PLANES = 1;
#endif
#ifdef GATE_BF16
using Gate = __nv_bfloat16;
#else
using Gate = float;
#endif
#ifndef CHUNK_LEN
#define CHUNK_LEN (PLANES == 1 ? 64 : 32)
#endif

using bf16 = __nv_bfloat16;
using i64 = long long;

constexpr int K = KEY_WIDTH, V = VALUE_WIDTH, CHUNK = CHUNK_LEN;
static_assert(K % 16 == 0 && V % 16 == 0 && K <= 128 && V <= 128 && (CHUNK & (CHUNK - 1)) == 0 && CHUNK >= 32);

constexpr float LOG2_E = 1.4426950408889634f;
constexpr int VECTOR = 8;  // elements that a thread moves between global and shared memory at a time
extern __shared__ __align__(16) unsigned char shared[];

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline void put(float* at, float x) { *at = x; }
__device__ inline void put(bf16* at, float x) { *at = __float2bfloat16(x); }
__device__ inline void put2(float* at, float x, float y) { *reinterpret_cast<float2*>(at) = make_float2(x, y); }
__device__ inline void put2(bf16* at, float x, float y) {
    *reinterpret_cast<__nv_bfloat162*>(at) = __floats2bfloat162_rn(x, y);
}
__device__ inline float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
// Prefetches `BYTES` bytes into the L2 cache.
template <int BYTES>
__device__ inline void prefetch(const void* from) {
#pragma unroll
    for (int at = 0; at < BYTES; at += 128)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(reinterpret_cast<const char*>(from) + at));
}
__device__ inline unsigned shared_address(const void* at) { return (unsigned)__cvta_generic_to_shared(at); }

// VECTOR neighbouring elements as stored in memory.
template <typename T>
struct Raw {
    uint4 at[VECTOR * sizeof(T) / 16];

    __device__ void load(const T* from) {
#pragma unroll
        for (int i = 0; i < VECTOR * (int)sizeof(T) / 16; ++i) at[i] = reinterpret_cast<const uint4*>(from)[i];
    }
    __device__ void widen(float (&x)[VECTOR]) const {
        const unsigned* words = reinterpret_cast<const unsigned*>(at);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i)
            x[i] = __uint_as_float(sizeof(T) == 4 ? words[i] : i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
    }
};
using RawVector = Raw<Real>;

template <typename T>
__device__ inline void load_vector(float (&x)[VECTOR], const T* from) {
    Raw<T> raw;
    raw.load(from);
    raw.widen(x);
}

// A matrix in shared memory, stored as PLANES planes of bf16. Rows are padded by 16 bytes, so that ldmatrix
// has no bank conflicts.
template <int ROWS, int COLS>
struct Tile {
    static constexpr int STRIDE = COLS + 8, PLANE = ROWS * STRIDE, BYTES = PLANE * PLANES * 2;
    bf16* data;

    __device__ float get(int row, int col) const {
        float x = to_float(data[row * STRIDE + col]);
        if constexpr (PLANES == 2) x += to_float(data[PLANE + row * STRIDE + col]);
        return x;
    }
    __device__ void set(int row, int col, float x) const {
        bf16* at = data + row * STRIDE + col;
        *at = __float2bfloat16(x);
        if constexpr (PLANES == 2) at[PLANE] = __float2bfloat16(x - to_float(*at));
    }
    __device__ void set2(int row, int col, float x, float y) const {
        const __nv_bfloat162 high = __floats2bfloat162_rn(x, y);
        bf16* at = data + row * STRIDE + col;
        *reinterpret_cast<__nv_bfloat162*>(at) = high;
        if constexpr (PLANES == 2)
            *reinterpret_cast<__nv_bfloat162*>(at + PLANE) =
                __floats2bfloat162_rn(x - __low2float(high), y - __high2float(high));
    }
    __device__ void get_vector(float (&x)[VECTOR], int row, int col) const {
        load_vector(x, data + row * STRIDE + col);
        if constexpr (PLANES == 2) {
            float low[VECTOR];
            load_vector(low, data + PLANE + row * STRIDE + col);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) x[i] += low[i];
        }
    }
    __device__ void set_vector(int row, int col, const float (&x)[VECTOR]) const {
        __nv_bfloat162 planes[2][VECTOR / 2];
#pragma unroll
        for (int i = 0; i < VECTOR / 2; ++i) {
            planes[0][i] = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
            if constexpr (PLANES == 2)
                planes[1][i] = __floats2bfloat162_rn(x[2 * i] - __low2float(planes[0][i]),
                                                     x[2 * i + 1] - __high2float(planes[0][i]));
        }
#pragma unroll
        for (int plane = 0; plane < PLANES; ++plane)
            *reinterpret_cast<uint4*>(data + plane * PLANE + row * STRIDE + col) =
                *reinterpret_cast<const uint4*>(planes[plane]);
    }

    // Starts to copy `rows` rows of global memory, `stride` elements apart. Fills the other rows with zeros.
    __device__ void load(const Real* source, i64 stride, int rows) const {
        for (int at = threadIdx.x; at < ROWS * COLS / VECTOR; at += blockDim.x) {
            const int row = at / (COLS / VECTOR), col = at % (COLS / VECTOR) * VECTOR;
            const Real* from = source + (row < rows ? row * stride + col : 0);
            if constexpr (PLANES == 1) {
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                                 shared_address(data + row * STRIDE + col)),
                             "l"(from), "r"(row < rows ? 16 : 0)
                             : "memory");
            } else {
                float x[VECTOR] = {};
                if (row < rows) load_vector(x, from);
                set_vector(row, col, x);
            }
        }
    }
};

// Waits until all copies that the block's threads started with Tile::load are complete.
__device__ inline void finish_loads() {
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
}

template <bool TRANSPOSED, int MATRICES>
__device__ inline void load_matrices(unsigned (&x)[4], const bf16* at) {
    if constexpr (MATRICES == 4 && TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(shared_address(at)) : "memory");
    else if constexpr (MATRICES == 4)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(shared_address(at)) : "memory");
    else if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(x[0]), "=r"(x[1]) : "r"(shared_address(at)) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(x[0]), "=r"(x[1]) : "r"(shared_address(at)) : "memory");
}

__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Adds a 16 x 8N tile of the product of A and B to c. One warp computes the tile, which begins at row m0 and
// column n0 of the product. Sums over the inner indices from k0 to k1 - 1. A is stored as [m][k], or as
// [k][m] if A_TURNED. B is stored as [n][k], or as [k][n] if B_TURNED.
template <bool A_TURNED, bool B_TURNED, int N, int AR, int AC, int BR, int BC>
__device__ inline void multiply(float (&c)[N][4], Tile<AR, AC> a, int m0, Tile<BR, BC> b, int n0, int k0, int k1) {
    const int lane = threadIdx.x % 32;
    const int eight = lane % 8, odd = lane / 8 % 2 * 8, upper = lane / 16 * 8;
    constexpr int A_STRIDE = Tile<AR, AC>::STRIDE, B_STRIDE = Tile<BR, BC>::STRIDE;
    const bf16* a_at = a.data + (A_TURNED ? (eight + upper) * A_STRIDE + m0 + odd  //
                                          : (m0 + eight + odd) * A_STRIDE + upper);
    const bf16* b_at = b.data + (B_TURNED ? (eight + odd) * B_STRIDE + n0 + upper  //
                                          : (n0 + eight + upper) * B_STRIDE + odd);
#pragma unroll 1
    for (int k = k0; k < k1; k += 16) {
        unsigned left[PLANES][4];
#pragma unroll
        for (int plane = 0; plane < PLANES; ++plane)
            load_matrices<A_TURNED, 4>(left[plane], a_at + plane * Tile<AR, AC>::PLANE + k * (A_TURNED ? A_STRIDE : 1));
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned right[PLANES][4];
#pragma unroll
            for (int plane = 0; plane < PLANES; ++plane) {
                const bf16* at = b_at + plane * Tile<BR, BC>::PLANE + k * (B_TURNED ? B_STRIDE : 1) +
                                 n * 8 * (B_TURNED ? 1 : B_STRIDE);
                if (n + 1 < N)
                    load_matrices<B_TURNED, 4>(right[plane], at);
                else
                    load_matrices<B_TURNED, 2>(right[plane], at);
            }
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) {
                if (n + pair >= N) break;
                mma(c[n + pair], left[0], right[0][2 * pair], right[0][2 * pair + 1]);
                if constexpr (PLANES == 2) {
                    mma(c[n + pair], left[0], right[1][2 * pair], right[1][2 * pair + 1]);
                    mma(c[n + pair], left[1], right[0][2 * pair], right[0][2 * pair + 1]);
                }
            }
        }
    }
}

template <int N>
__device__ inline void clear(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; ++n) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
}

// Calls f(row, column, c0, c1) for each pair of neighbouring elements that this thread holds. The elements
// belong to a warp's tile at (m0, n0).
template <int N, typename F>
__device__ inline void each_pair(float (&c)[N][4], int m0, int n0, F f) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
        for (int lower = 0; lower < 2; ++lower)
            f(m0 + lane / 4 + 8 * lower, n0 + 8 * n + lane % 4 * 2, c[n][2 * lower], c[n][2 * lower + 1]);
}

// A table in shared memory with an f32 number for each token of a chunk and each channel. Decays are in log2
// units. Rows are padded against bank conflicts.
template <int COLS>
struct Table {
    static constexpr int STRIDE = COLS + 8, BYTES = CHUNK * STRIDE * 4;
    float* data;

    __device__ float& at(int row, int col) const { return data[row * STRIDE + col]; }
    __device__ float2& pair(int row, int col) const { return *reinterpret_cast<float2*>(&at(row, col)); }
    __device__ void add(int row, int col, float x, float y) const {
        float2& at = pair(row, col);
        at.x += x, at.y += y;
    }
    __device__ float end(int col) const { return at(CHUNK - 1, col); }
    __device__ void get_vector(float (&x)[VECTOR], int row, int col) const { load_vector(x, &at(row, col)); }
    __device__ void set_vector(int row, int col, const float (&x)[VECTOR]) const {
        reinterpret_cast<float4*>(&at(row, col))[0] = make_float4(x[0], x[1], x[2], x[3]);
        reinterpret_cast<float4*>(&at(row, col))[1] = make_float4(x[4], x[5], x[6], x[7]);
    }
};

// Computes cumulative sums down columns of CHUNK rows, with THREADS threads. If REVERSED, sums from the last
// row up. The number of threads that share a column is a power of two. Each thread first reads all its
// numbers into registers, so that the loads overlap.
template <typename T, int COLS, int THREADS, bool REVERSED>
struct Scan {
    static constexpr int segments() {
        int count = 1;
        while (2 * count * COLS <= THREADS && 2 * count <= CHUNK) count *= 2;
        return count;
    }
    static constexpr int SEGMENTS = segments(), ROWS = CHUNK / SEGMENTS;
    static_assert(COLS <= THREADS);
    T taken[ROWS];

    __device__ static int col() { return threadIdx.x % COLS; }
    __device__ static bool is_active() { return threadIdx.x < SEGMENTS * COLS; }
    __device__ static int row(int i) {
        const int at = threadIdx.x / COLS * ROWS + i;
        return REVERSED ? CHUNK - 1 - at : at;
    }
    // Reads this thread's numbers with read(row, column).
    template <typename Read>
    __device__ void read_values(Read read) {
        if (is_active())
#pragma unroll
            for (int i = 0; i < ROWS; ++i) taken[i] = read(row(i), col());
    }
    // Reads the decays of the chunk's `rows` tokens. Rows after them get zeros.
    __device__ void read_decays(const Gate* gk, i64 stride, int rows) {
        read_values([&](int row, int col) { return row < rows ? gk[row * stride + col] : Gate(0.f); });
    }
    // Calls write(row, column, sum, total), where `total` is the sum of the whole column. Both sums are
    // multiplied by `unit`. `totals` is scratch memory for SEGMENTS * COLS numbers. Contains one barrier.
    template <typename Write>
    __device__ void write_sums(float* totals, float unit, Write write) {
        float x[ROWS];
        if (is_active()) {
            x[0] = unit * to_float(taken[0]);
#pragma unroll
            for (int i = 1; i < ROWS; ++i) x[i] = x[i - 1] + unit * to_float(taken[i]);
            totals[threadIdx.x] = x[ROWS - 1];
        }
        __syncthreads();
        if (is_active()) {
            float before = 0, all = 0;
#pragma unroll
            for (int i = 0; i < SEGMENTS; ++i) {
                if (i == threadIdx.x / COLS) before = all;
                all += totals[i * COLS + col()];
            }
#pragma unroll
            for (int i = 0; i < ROWS; ++i) write(row(i), col(), before + x[i], all);
        }
    }
};

// Kernels that loop over the chunks.

// Rows and columns of a state are independent, so each block computes a slice of both.
constexpr int slice(int width) { return width % 64 == 0 ? 64 : width % 32 == 0 ? 32 : 16; }
constexpr int K_SLICE = slice(K), V_SLICE = slice(V), STATE_THREADS = 2 * K_SLICE;

// Runs the recurrence over the chunks. If not GRADIENT, x are keys, y are values, and `sources` is 1:
// S <- diag(exp(G_C)) S + (x * exp(G_C - G))^T y. If GRADIENT, x are queries, y are gradients of outputs, and
// the sources are the heads that share the state. The loop then runs backwards in time:
// dS <- diag(exp(G_C)) dS + K^(-1/2) sum over sources of (x * exp(G))^T y.
//
// Stores the state before each chunk in `states`. The first state is the sum of the `first_copies` states at
// `first`, or zeros if `first` is null. Writes the last state to `last`, `last_copies` times.
template <bool GRADIENT>
__device__ inline void run_states(const Real* x, i64 x_h, i64 x_t, const Real* y, i64 y_h, i64 y_t, int sources,
                                  const Gate* gk, i64 gk_t, const float* first, int first_copies, Real* states,
                                  float* last, int last_copies, int time) {
    constexpr int N = V_SLICE / 8, STAGE = Tile<CHUNK, K_SLICE>::BYTES + Tile<CHUNK, V_SLICE>::BYTES;
    const auto keys = [&](int stage) {
        return Tile<CHUNK, K_SLICE>{reinterpret_cast<bf16*>(shared + stage % 2 * STAGE)};
    };
    const auto values = [&](int stage) {
        return Tile<CHUNK, V_SLICE>{reinterpret_cast<bf16*>(shared + stage % 2 * STAGE + Tile<CHUNK, K_SLICE>::BYTES)};
    };
    const Table<K_SLICE> factors{reinterpret_cast<float*>(shared + 2 * STAGE)};
    float* keep = factors.data + factors.BYTES / 4;
    float* totals = keep + K_SLICE;

    const int k0 = blockIdx.x / (V / V_SLICE) * K_SLICE, v0 = blockIdx.x % (V / V_SLICE) * V_SLICE;
    const int m0 = threadIdx.x / 32 * 16, chunks = (time + CHUNK - 1) / CHUNK;
    x += k0, gk += k0, y += v0;
    const auto chunk_of = [&](int step) { return GRADIENT ? chunks - 1 - step : step; };
    const auto rows_of = [&](int step) { return min(CHUNK, time - chunk_of(step) * CHUNK); };
    const auto begin = [&](int stage) {  // starts to load a stage: one chunk of one source
        const int step = stage / sources, source = stage % sources;
        if (step < chunks) {
            const i64 start = chunk_of(step) * CHUNK;
            keys(stage).load(x + source * x_h + start * x_t, x_t, rows_of(step));
            values(stage).load(y + source * y_h + start * y_t, y_t, rows_of(step));
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    Scan<Gate, K_SLICE, STATE_THREADS, false> sums;
    begin(0);
    float state[N][4];
    clear(state);
    for (int copy = 0; first && copy < first_copies; ++copy)
        each_pair(state, m0, 0, [&](int row, int col, float& s0, float& s1) {
            const float2 s = *reinterpret_cast<const float2*>(first + copy * K * V + (k0 + row) * V + v0 + col);
            s0 += s.x, s1 += s.y;
        });

    for (int step = 0; step < chunks; ++step) {
        sums.read_decays(gk + (i64)chunk_of(step) * CHUNK * gk_t, gk_t, rows_of(step));
        sums.write_sums(totals, LOG2_E, [&](int row, int col, float sum, float all) {
            factors.at(row, col) = GRADIENT ? exp2_fast(sum) * rsqrtf(K) : exp2_fast(all - sum);
            if (row == 0) keep[col] = exp2_fast(all);
        });
        if (step + 1 < chunks)
            for (int row = threadIdx.x; row < rows_of(step + 1); row += STATE_THREADS)
                prefetch<K_SLICE * sizeof(Gate)>(gk + ((i64)chunk_of(step + 1) * CHUNK + row) * gk_t);
        for (int stage = step * sources; stage < (step + 1) * sources; ++stage) {
            begin(stage + 1);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
            __syncthreads();
            for (int at = threadIdx.x; at < CHUNK * K_SLICE / VECTOR; at += STATE_THREADS) {
                const int row = at / (K_SLICE / VECTOR), col = at % (K_SLICE / VECTOR) * VECTOR;
                float key[VECTOR], factor[VECTOR];
                keys(stage).get_vector(key, row, col);
                factors.get_vector(factor, row, col);
#pragma unroll
                for (int i = 0; i < VECTOR; ++i) key[i] *= factor[i];
                keys(stage).set_vector(row, col, key);
            }
            if (stage == step * sources)
                each_pair(state, m0, 0, [&](int row, int col, float& s0, float& s1) {
                    put2(states + (i64)chunk_of(step) * K * V + (k0 + row) * V + v0 + col, s0, s1);
                    s0 *= keep[row], s1 *= keep[row];
                });
            __syncthreads();
            multiply<true, true>(state, keys(stage), m0, values(stage), 0, 0, CHUNK);
            __syncthreads();
        }
    }
    for (int copy = 0; last && copy < last_copies; ++copy)
        each_pair(state, m0, 0, [&](int row, int col, float s0, float s1) {
            put2(last + copy * K * V + (k0 + row) * V + v0 + col, s0, s1);
        });
}

// The grid is (K / K_SLICE * V / V_SLICE, states, batch).
extern "C" __global__ void __launch_bounds__(STATE_THREADS, 4)
gla_states(const Real* k, i64 k_b, i64 k_g, i64 k_t, const Real* v, i64 v_b, i64 v_g, i64 v_t, const Gate* gk, i64 gk_b,
           i64 gk_g, i64 gk_t, const float* state0, Real* states, float* last_state, int copies, int groups, int time) {
    const int n = gridDim.y, b = blockIdx.z, group = blockIdx.y / (n / groups);
    const i64 index = (i64)b * n + blockIdx.y, chunks = (time + CHUNK - 1) / CHUNK;
    run_states<false>(k + b * k_b + group * k_g, 0, k_t, v + b * v_b + group * v_g, 0, v_t, 1,
                      gk + b * gk_b + group * gk_g, gk_t, state0 ? state0 + index * K * V : nullptr, 1,
                      states + index * chunks * K * V, last_state + index * copies * K * V, copies, time);
}

// The grid is (K / K_SLICE * V / V_SLICE, states, batch).
extern "C" __global__ void __launch_bounds__(STATE_THREADS, 4)
gla_state_grads(const Real* q, i64 q_b, i64 q_h, i64 q_t, const Real* d_o, i64 d_o_b, i64 d_o_h, i64 d_o_t,
                const Gate* gk, i64 gk_b, i64 gk_g, i64 gk_t, const float* dlast_state, int copies, Real* dstates,
                float* dstate0, int heads, int groups, int time) {
    const int n = gridDim.y, b = blockIdx.z, group = blockIdx.y / (n / groups), sources = heads / n;
    const i64 index = (i64)b * n + blockIdx.y, chunks = (time + CHUNK - 1) / CHUNK;
    run_states<true>(q + b * q_b + blockIdx.y * sources * q_h, q_h, q_t,
                     d_o + b * d_o_b + blockIdx.y * sources * d_o_h, d_o_h, d_o_t, sources,
                     gk + b * gk_b + group * gk_g, gk_t, dlast_state ? dlast_state + index * copies * K * V : nullptr,
                     copies, dstates + index * chunks * K * V, dstate0 ? dstate0 + index * K * V : nullptr, 1, time);
}

// Kernels that compute all chunks in parallel.

// exp(G_i - G_j) is the product of a query factor exp(G_i - G_r) and a key factor exp(G_r - G_j), for a
// reference row r. The sum over channels is then a matrix product.
//
// If the decay of the whole chunk is mild, all pairs have the same reference: the row in the middle of the
// chunk (`half` == CHUNK). With a strong decay, these factors would overflow. The pairs are then grouped into
// levels by the highest bit in which i and j differ (`half`). In such a pair, i has this bit and j does not.
// The reference is the first row of the block of `half` rows that holds i. It is between j and i, so neither
// exponent is positive. On the diagonal (`half` == 0), both factors are 1.
constexpr float MILD = -60;  // a decay is mild if its log2 over the whole chunk is at least MILD

struct Level {
    int half;

    __device__ bool all() const { return half == CHUNK; }
    __device__ bool last() const { return half == 0 || all(); }
    __device__ Level next() const { return {half / 2}; }
    __device__ bool is_query(int row) const { return last() || (row & half); }
    __device__ bool is_key(int row) const { return last() || !(row & half); }
    __device__ int reference(int row) const {
        return all() ? CHUNK / 2 : half == 0 ? row : (row & -2 * half) | half;
    }
    __device__ bool holds(int query, int key) const {
        return last() ? (all() ? query >= key : query == key) : query > key && ((query ^ key) & -half) == half;
    }
    // Returns the range [x, y) of the keys that pair with the 16 queries from `row` on. `query_range` returns
    // the range of the queries that pair with the 16 keys from `row` on. Ranges may be empty.
    __device__ int2 key_range(int row) const {
        if (all()) return make_int2(0, row + 16);
        if (half < 16) return make_int2(row, row + 16);
        return row & half ? make_int2(row & -2 * half, (row & -2 * half) + half) : make_int2(0, 0);
    }
    __device__ int2 query_range(int row) const {
        if (all()) return make_int2(row, CHUNK);
        if (half < 16) return make_int2(row, row + 16);
        return row & half ? make_int2(0, 0) : make_int2((row & -2 * half) + half, (row & -2 * half) + 2 * half);
    }
    __device__ float query_factor(Table<K> decay, int row, int col) const {
        return is_query(row) ? exp2_fast(decay.at(row, col) - decay.at(reference(row), col)) : 0.f;
    }
    __device__ float key_factor(Table<K> decay, int row, int col) const {
        return is_key(row) ? exp2_fast(decay.at(reference(row), col) - decay.at(row, col)) : 0.f;
    }
};

// A chunk is divided into STRIPS of 16 rows, and a strip into COLUMNS parts of equal width. Each warp
// computes one part. KN, VN and CN are the widths of a part of a matrix with K, V or CHUNK columns, in units
// of 8 columns.
constexpr int STRIPS = CHUNK / 16, COLUMNS = K % 32 == 0 && V % 32 == 0 ? 4 : 2, THREADS = STRIPS * COLUMNS * 32;
constexpr int KN = K / COLUMNS / 8, VN = V / COLUMNS / 8, CN = CHUNK / COLUMNS / 8;

// Returns the number of threads that hold one row of a state, one vector each. It is a power of two.
constexpr int state_lanes() {
    int lanes = 1;
    while (lanes * VECTOR < V) lanes *= 2;
    return lanes;
}
constexpr int STATE_LANES = state_lanes();

using KTile = Tile<CHUNK, K>;
using VTile = Tile<CHUNK, V>;
using STile = Tile<K, V>;
using CTile = Tile<CHUNK, CHUNK>;

// Calls f(i, j, row, column) for each element c[i][j] that this thread holds. The elements belong to a warp's
// tile at (m0, n0).
template <int N, typename F>
__device__ inline void each_number(int m0, int n0, F f) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) f(n, i, m0 + lane / 4 + i / 2 * 8, n0 + 8 * n + lane % 4 * 2 + i % 2);
}

// Writes to[row] = get(row) * factor(row), one vector at a time, with THREADS threads. Contains no barrier.
template <int THREADS, int ROWS, int COLS, typename Get, typename Factor>
__device__ inline void scale_rows(Tile<ROWS, COLS> to, Get get, Factor factor) {
#pragma unroll 2
    for (int at = threadIdx.x; at < ROWS * COLS / VECTOR; at += THREADS) {
        const int row = at / (COLS / VECTOR), col = at % (COLS / VECTOR) * VECTOR;
        float x[VECTOR], y[VECTOR];
        get(x, row, col);
        factor(y, row, col);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) x[i] *= y[i];
        to.set_vector(row, col, x);
    }
}

// The decays of a chunk, for a block of THREADS threads. If they are strong, `table` holds G. If they are
// mild, `table` holds exp(G - G_ref), and `reference` holds G_ref, the row of G in the middle of the chunk.
template <int THREADS>
struct Decay {
    Table<K> table;
    float* reference;
    bool mild;

    // Writes G to the table, and waits for all loads that have been started. `totals` is scratch memory for
    // THREADS numbers.
    __device__ void sum(float* totals, const Gate* gk, i64 stride, int rows) {
        Scan<Gate, K, THREADS, false> sums;
        sums.read_decays(gk, stride, rows);
        bool strong = false;
        sums.write_sums(totals, LOG2_E, [&](int row, int col, float sum, float all) {
            table.at(row, col) = sum;
            if (row == CHUNK / 2) reference[col] = sum;
            strong = !(all >= MILD);
        });
        asm volatile("cp.async.wait_all;" ::: "memory");
        mild = !__syncthreads_or(strong);
    }
    // For mild decays: replaces G in the table with exp(G - G_ref), and scales the keys by exp(G_ref - G).
    template <typename Key>
    __device__ void scale_keys(KTile scaled_keys, Key key) {
        scale_rows<THREADS>(scaled_keys, key, [&](float (&x)[VECTOR], int row, int col) {
            float factor[VECTOR];
            table.get_vector(factor, row, col);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) {
                factor[i] -= reference[col + i];
                x[i] = exp2_fast(-factor[i]);
                factor[i] = exp2_fast(factor[i]);
            }
            table.set_vector(row, col, factor);
        });
    }
    // Returns the factors of mild decays, in the form that `scale_rows` takes.
    __device__ auto factors() const {
        return [=](float (&x)[VECTOR], int row, int col) { table.get_vector(x, row, col); };
    }
    // Returns factors of strong decays, in the form that `scale_rows` takes. `factor` is, for example, the
    // query factor of a level, or the decay from the chunk's start.
    template <typename Factor>
    __device__ auto powers(Factor factor) const {
        return [=](float (&x)[VECTOR], int row, int col) {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) x[i] = factor(row, col + i);
        };
    }
    __device__ auto query_factors(Level level) const {
        return powers([=](int row, int col) { return level.query_factor(table, row, col); });
    }
    __device__ auto key_factors(Level level) const {
        return powers([=](int row, int col) { return level.key_factor(table, row, col); });
    }
    __device__ float from_start(int row, int col) const { return exp2_fast(table.at(row, col)); }
    __device__ float to_end(int row, int col) const { return exp2_fast(table.end(col) - table.at(row, col)); }
};

// Multiplies the rows of a state by factor(row).
template <int THREADS, typename Factor>
__device__ inline void scale_state(STile state, Factor factor) {
    scale_rows<THREADS>(state, [&](float (&x)[VECTOR], int row, int col) { state.get_vector(x, row, col); },
                        [&](float (&x)[VECTOR], int row, int) {
                            const float y = factor(row);
#pragma unroll
                            for (int i = 0; i < VECTOR; ++i) x[i] = y;
                        });
}

// Multiplies queries and keys, and writes the products of the pairs of `level` into a warp's tile of A at
// (m0, c0). If `level` is the only level, writes zeros for the other pairs.
template <int N>
__device__ inline void attend(CTile a, Level level, KTile queries, KTile keys, int m0, int c0) {
    const int2 range = level.key_range(m0);
    if (range.x >= c0 + 8 * N || range.y <= c0) return;
    float products[N][4];
    clear(products);
    multiply<false, false>(products, queries, m0, keys, c0, 0, K);
    each_pair(products, m0, c0, [&](int row, int col, float x, float y) {
        const bool left = level.holds(row, col), right = level.holds(row, col + 1);
        x *= rsqrtf(K), y *= rsqrtf(K);
        if (level.all() || (left && right)) a.set2(row, col, left ? x : 0, right ? y : 0);
        else if (left) a.set(row, col, x);
        else if (right) a.set(row, col + 1, y);
    });
}

template <int N>
__device__ inline void clear_piece(CTile tile, int m0, int c0) {
    float zeros[N][4] = {};
    each_pair(zeros, m0, c0, [&](int row, int col, float x, float y) { tile.set2(row, col, x, y); });
}

// Hands out consecutive parts of shared memory.
struct Pool {
    unsigned char* at = shared;

    template <typename T>
    __device__ T take() {
        const T x{reinterpret_cast<decltype(T::data)>(at)};
        at += T::BYTES;
        return x;
    }
    __device__ float* floats(int count) {
        at += count * 4;
        return reinterpret_cast<float*>(at) - count;
    }
};

// Two blocks share a Hopper multiprocessor, so that one computes while the other waits. In bf16, a block
// therefore has only two warps per strip, and each warp computes half of the columns. For key widths that are
// not powers of two, two blocks would need too many registers.
constexpr int OUTPUT_COLUMNS = PLANES == 1 ? 2 : COLUMNS, OUTPUT_THREADS = STRIPS * OUTPUT_COLUMNS * 32;
#if __CUDA_ARCH__ >= 900
constexpr int OUTPUT_BLOCKS = (K & (K - 1)) == 0 ? 2 : 1;
#else
constexpr int OUTPUT_BLOCKS = 1;
#endif

// The grid is (chunks, groups, batch).
extern "C" __global__ void __launch_bounds__(OUTPUT_THREADS, OUTPUT_BLOCKS)
gla_outputs(const Real* q, i64 q_b, i64 q_h, i64 q_t, const Real* k, i64 k_b, i64 k_g, i64 k_t, const Real* v, i64 v_b,
            i64 v_g, i64 v_t, const Gate* gk, i64 gk_b, i64 gk_g, i64 gk_t, const Real* states, int state_count,
            Real* o, i64 o_b, i64 o_h, i64 o_t, int heads, int time) {
    constexpr int V_TILES = V / OUTPUT_COLUMNS / 8, C_TILES = CHUNK / OUTPUT_COLUMNS / 8;
    Pool pool;
    const auto queries = pool.take<KTile>(), keys = pool.take<KTile>();
    const auto values = pool.take<VTile>();
    const auto attention = pool.take<CTile>();
    float* totals = reinterpret_cast<float*>(attention.data);
    static_assert(CTile::BYTES >= OUTPUT_THREADS * 4);
    float* reference = pool.floats(K);
    const STile state{reinterpret_cast<bf16*>(pool.at)};  // overwrites the table of decays
    Decay<OUTPUT_THREADS> decay{{reinterpret_cast<float*>(pool.at)}, reference};

    const int chunk = blockIdx.x, group = blockIdx.y, b = blockIdx.z;
    const int start = chunk * CHUNK, rows = min(CHUNK, time - start);
    const int heads_per_state = heads / state_count, first = heads / gridDim.y * group, end = first + heads / gridDim.y;
    const int m0 = threadIdx.x / 32 / OUTPUT_COLUMNS * 16, column = threadIdx.x / 32 % OUTPUT_COLUMNS;
    const int v0 = column * 8 * V_TILES, c0 = column * 8 * C_TILES;
    q += b * q_b + start * q_t;
    k += b * k_b + group * k_g + start * k_t;
    gk += b * gk_b + group * gk_g + start * gk_t;
    const auto load_state = [&](int head) {
        state.load(states + (((i64)b * state_count + head / heads_per_state) * gridDim.x + chunk) * K * V, V, K);
    };
    const auto rows_of = [&](const Real* from, i64 stride) {
        return [=](float (&x)[VECTOR], int row, int col) {
            if (row < rows) return load_vector(x, from + row * stride + col);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) x[i] = 0;
        };
    };

    queries.load(k, k_t, rows);
    values.load(v + b * v_b + group * v_g + start * v_t, v_t, rows);
    decay.sum(totals, gk, gk_t, rows);

    const auto produce = [&](int head) {  // computes a head's outputs. Its barrier waits for `attention`.
        float out[V_TILES][4];
        clear(out);
        multiply<false, true>(out, queries, m0, state, v0, 0, K);
        each_number<V_TILES>(m0, v0, [&](int n, int i, int, int) { out[n][i] *= rsqrtf(K); });
        __syncthreads();
        multiply<false, true>(out, attention, m0, values, v0, 0, m0 + 16);
        Real* to = o + b * o_b + head * o_h + start * o_t;
        each_pair(out, m0, v0, [&](int row, int col, float o0, float o1) {
            if (row < rows) put2(to + row * o_t + col, o0, o1);
        });
    };

    if (!decay.mild) {
        for (int head = first; head < end; ++head) {
            const auto query = rows_of(q + head * q_h, q_t);
            decay.sum(totals, gk, gk_t, rows);
            clear_piece<C_TILES>(attention, m0, c0);
            for (Level level{CHUNK / 2};; level = level.next()) {
                scale_rows<OUTPUT_THREADS>(queries, query, decay.query_factors(level));
                scale_rows<OUTPUT_THREADS>(keys, rows_of(k, k_t), decay.key_factors(level));
                __syncthreads();
                attend<C_TILES>(attention, level, queries, keys, m0, c0);
                __syncthreads();
                if (level.last()) break;
            }
            scale_rows<OUTPUT_THREADS>(queries, query, decay.powers([&](int row, int col) {
                return decay.from_start(row, col);
            }));
            __syncthreads();
            load_state(head);
            finish_loads();
            produce(head);
            __syncthreads();
        }
        return;
    }

    // Each thread keeps the factors of its query vectors, and loads the query vectors one head ahead.
    constexpr int SLOTS = (CHUNK * K / VECTOR + OUTPUT_THREADS - 1) / OUTPUT_THREADS;
    float factors[SLOTS][VECTOR];
    RawVector next[SLOTS];
    const auto each_slot = [&](auto f) {
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot) {
            const int at = threadIdx.x + slot * OUTPUT_THREADS;
            if (at < CHUNK * K / VECTOR) f(slot, at / (K / VECTOR), at % (K / VECTOR) * VECTOR);
        }
    };
    const auto get_next = [&](int head) {
        each_slot([&](int slot, int row, int col) {
            if (row < rows) next[slot].load(q + head * q_h + row * q_t + col);
            else next[slot] = {};
        });
    };
    get_next(first);
    decay.scale_keys(keys, [&](float (&x)[VECTOR], int row, int col) { queries.get_vector(x, row, col); });
    __syncthreads();
    each_slot([&](int slot, int row, int col) { decay.table.get_vector(factors[slot], row, col); });
    __syncthreads();
    for (int head = first; head < end; ++head) {
        const bool new_state = head == first || head % heads_per_state == 0;
        if (new_state) load_state(head);
        each_slot([&](int slot, int row, int col) {
            float x[VECTOR];
            next[slot].widen(x);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) x[i] *= factors[slot][i];
            queries.set_vector(row, col, x);
        });
        if (new_state) {
            finish_loads();
            scale_state<OUTPUT_THREADS>(state, [&](int row) { return exp2_fast(reference[row]); });
        }
        __syncthreads();
        if (head + 1 < end) get_next(head + 1);
        attend<C_TILES>(attention, {CHUNK}, queries, keys, m0, c0);
        produce(head);
    }
}

// Computes the gradients of the inputs in one chunk. Let dA be K^(-1/2) do v^T on and below the diagonal. Let
// S be the state before the chunk, and dS the gradient of the state after the chunk. Then
//
//   dq_i = K^(-1/2) exp(G_i) * (S do_i) + sum_j dA_ij k_j exp(G_i - G_j)
//   dk_j = exp(G_C - G_j) * (dS v_j) + sum_i dA_ij q_i exp(G_i - G_j)
//   dv_j = dS^T (k_j * exp(G_C - G_j)) + sum_i A_ij do_i
//   dgk_t = sum_(i >= t) (q_i * dq_i - k_i * dk_i) + rowsum(S_C * dS)
//
// The sums run over the tokens of the chunk, and S_C = diag(exp(G_C)) S + (k * exp(G_C - G))^T v is the state
// after the chunk. In dgk_t, each pair (i, j) with t <= j adds a term to q_i * dq_i and the same term to
// k_j * dk_j. Both terms are computed from the same rounded factors. Only the order of the sums differs, so
// the terms cancel almost exactly. All gradients but dq are summed over the heads of the group, in the order
// of the heads.
//
// If decays are mild, S is stored times K^(-1/2) exp(G_ref), and dS is stored times exp(G_C - G_ref). The
// factors exp(G - G_ref) of dq and exp(G_ref - G) of dk are applied at the end.
//
// The grid is (chunks, groups, batch).
extern "C" __global__ void __launch_bounds__(THREADS, 1)
gla_grads(const Real* q, i64 q_b, i64 q_h, i64 q_t, const Real* k, i64 k_b, i64 k_g, i64 k_t, const Real* v, i64 v_b,
          i64 v_g, i64 v_t, const Gate* gk, i64 gk_b, i64 gk_g, i64 gk_t, const Real* d_o, i64 d_o_b, i64 d_o_h,
          i64 d_o_t, const Real* states, const Real* dstates, int state_count, Real* dq, i64 dq_b, i64 dq_h, i64 dq_t,
          Real* dk, i64 dk_b, i64 dk_g, i64 dk_t, Real* dv, i64 dv_b, i64 dv_g, i64 dv_t, Gate* dgk, i64 dgk_b,
          i64 dgk_g, i64 dgk_t, int heads, int time) {
    Pool pool;
    Decay<THREADS> decay{pool.take<Table<K>>(), pool.floats(K)};
    const auto balance = pool.take<Table<K>>();  // q * dq - k * dk
    const auto keys = pool.take<KTile>(), queries = pool.take<KTile>();
    const auto scaled_keys = pool.take<KTile>(), scaled_queries = pool.take<KTile>();
    const auto values = pool.take<VTile>(), grads = pool.take<VTile>();
    const auto state = pool.take<STile>();  // S, then dS after the last head that shares S
    const auto attention = pool.take<CTile>(), dattention = pool.take<CTile>();
    float* totals = reinterpret_cast<float*>(dattention.data);
    static_assert(CTile::BYTES >= THREADS * 4);
    float* kept = pool.floats(K);              // for each key channel: exp(G_C) * rowsum(S * dS)
    float* written = pool.floats(STRIPS * K);  // for each strip and key channel: sum of k * exp(G_C - G) * (dS v)

    const int chunk = blockIdx.x, group = blockIdx.y, b = blockIdx.z;
    const int start = chunk * CHUNK, rows = min(CHUNK, time - start);
    const int heads_per_state = heads / state_count, first = heads / gridDim.y * group, end = first + heads / gridDim.y;
    const int m0 = threadIdx.x / 32 / COLUMNS * 16, column = threadIdx.x / 32 % COLUMNS, lane = threadIdx.x % 32;
    const int k0 = column * 8 * KN, v0 = column * 8 * VN, c0 = column * 8 * CN;
    const float scale = rsqrtf(K);
    q += b * q_b + start * q_t;
    d_o += b * d_o_b + start * d_o_t;
    const auto query = [&](float (&x)[VECTOR], int row, int col) { queries.get_vector(x, row, col); };
    const auto key = [&](float (&x)[VECTOR], int row, int col) { keys.get_vector(x, row, col); };

    keys.load(k + b * k_b + group * k_g + start * k_t, k_t, rows);
    values.load(v + b * v_b + group * v_g + start * v_t, v_t, rows);
    queries.load(q + first * q_h, q_t, rows);
    grads.load(d_o + first * d_o_h, d_o_t, rows);
    const auto state_at = [&](int head) {
        return (((i64)b * state_count + head / heads_per_state) * gridDim.x + chunk) * K * V;
    };
    state.load(states + state_at(first), V, K);
    if (threadIdx.x < K) prefetch<V * sizeof(Real)>(dstates + state_at(first) + threadIdx.x * V);
    for (int at = threadIdx.x; at < K; at += THREADS) kept[at] = 0;
    for (int at = threadIdx.x; at < STRIPS * K; at += THREADS) written[at] = 0;
    decay.sum(totals, gk + b * gk_b + group * gk_g + start * gk_t, gk_t, rows);
    if (decay.mild) decay.scale_keys(scaled_keys, key);

    float dkeys[KN][4], dvalues[VN][4];
    clear(dkeys);
    clear(dvalues);
    each_number<KN>(m0, k0, [&](int, int, int row, int col) { balance.at(row, col) = 0; });

    for (int head = first; head < end; ++head) {
        const bool new_state = head == first || head % heads_per_state == 0;
        if (new_state && head > first) state.load(states + state_at(head), V, K);
        finish_loads();

        float dqueries[KN][4], sums[KN][4];
        clear(dqueries);
        const auto put_da = [&](Level level) {
            float da[CN][4];
            clear(da);
            if (c0 < m0 + 16) multiply<false, false>(da, grads, m0, values, c0, 0, V);
            each_pair(da, m0, c0, [&](int row, int col, float a0, float a1) {
                dattention.set2(row, col, level.holds(row, col) ? a0 * scale : 0,
                                level.holds(row, col + 1) ? a1 * scale : 0);
            });
        };
        if (decay.mild) {
            const Level level{CHUNK};
            put_da(level);
            scale_rows<THREADS>(scaled_queries, query, decay.factors());
            if (new_state)
                scale_state<THREADS>(state, [&](int row) { return scale * exp2_fast(decay.reference[row]); });
            __syncthreads();
            attend<CN>(attention, level, scaled_queries, scaled_keys, m0, c0);
            multiply<false, true>(dqueries, dattention, m0, scaled_keys, k0, 0, m0 + 16);
            multiply<false, false>(dqueries, grads, m0, state, k0, 0, V);
            each_pair(dqueries, m0, k0, [&](int row, int col, float& d0, float& d1) {
                const float2 factor = decay.table.pair(row, col);
                balance.add(row, col, scaled_queries.get(row, col) * d0, scaled_queries.get(row, col + 1) * d1);
                d0 *= factor.x, d1 *= factor.y;
            });
            multiply<true, true>(dkeys, dattention, m0, scaled_queries, k0, m0, CHUNK);
        } else {
            const auto balance_with = [&](KTile tile, float sign) {
                each_pair(sums, m0, k0, [&](int row, int col, float x, float y) {
                    balance.add(row, col, sign * tile.get(row, col) * x, sign * tile.get(row, col + 1) * y);
                });
            };
            clear_piece<CN>(attention, m0, c0);
            for (Level level{CHUNK / 2};; level = level.next()) {
                put_da(level);
                scale_rows<THREADS>(scaled_queries, query, decay.query_factors(level));
                scale_rows<THREADS>(scaled_keys, key, decay.key_factors(level));
                __syncthreads();
                attend<CN>(attention, level, scaled_queries, scaled_keys, m0, c0);
                clear(sums);
                int2 range = level.key_range(m0);
                multiply<false, true>(sums, dattention, m0, scaled_keys, k0, range.x, range.y);
                balance_with(scaled_queries, 1);
                each_number<KN>(m0, k0, [&](int n, int i, int row, int col) {
                    dqueries[n][i] += sums[n][i] * level.query_factor(decay.table, row, col);
                });
                clear(sums);
                range = level.query_range(m0);
                multiply<true, true>(sums, dattention, m0, scaled_queries, k0, range.x, range.y);
                balance_with(scaled_keys, -1);
                each_number<KN>(m0, k0, [&](int n, int i, int row, int col) {
                    dkeys[n][i] += sums[n][i] * level.key_factor(decay.table, row, col);
                });
                __syncthreads();
                if (level.last()) break;
            }
            clear(sums);
            multiply<false, false>(sums, grads, m0, state, k0, 0, V);
            each_number<KN>(m0, k0, [&](int n, int i, int row, int col) {
                sums[n][i] *= scale * decay.from_start(row, col);
                dqueries[n][i] += sums[n][i];
            });
            balance_with(queries, 1);
        }
        Real* to = dq + b * dq_b + head * dq_h + start * dq_t;
        each_pair(dqueries, m0, k0, [&](int row, int col, float d0, float d1) {
            if (row < rows) put2(to + row * dq_t + col, d0, d1);
        });
        __syncthreads();
        if (head + 1 < end) queries.load(q + (head + 1) * q_h, q_t, rows);
        multiply<true, true>(dvalues, attention, m0, grads, v0, m0, CHUNK);
        __syncthreads();
        if (head + 1 < end) grads.load(d_o + (head + 1) * d_o_h, d_o_t, rows);

        if ((head + 1) % heads_per_state && head + 1 < end) continue;
        // dS overwrites S, which is not read again.
        for (int row = threadIdx.x / STATE_LANES; row < K; row += THREADS / STATE_LANES) {
            const int col = threadIdx.x % STATE_LANES * VECTOR;
            const float last = decay.table.end(row);
            float sum = 0, s[VECTOR], ds[VECTOR];
            if (col < V) {
                load_vector(ds, dstates + state_at(head) + row * V + col);
                state.get_vector(s, row, col);
#pragma unroll
                for (int i = 0; i < VECTOR; ++i) {
                    sum += s[i] * ds[i];
                    if (decay.mild) ds[i] *= last;
                }
                state.set_vector(row, col, ds);
            }
#pragma unroll
            for (int other = STATE_LANES / 2; other; other /= 2) sum += __shfl_xor_sync(~0u, sum, other);
            if (col == 0) kept[row] += sum * (decay.mild ? last / scale : exp2_fast(last));
        }
        if (!decay.mild)
            scale_rows<THREADS>(scaled_keys, key, decay.powers([&](int row, int col) {
                return decay.to_end(row, col);
            }));
        __syncthreads();
        clear(sums);
        multiply<false, false>(sums, values, m0, state, k0, 0, V);
        multiply<false, true>(dvalues, scaled_keys, m0, state, v0, 0, K);
#pragma unroll
        for (int n = 0; n < KN; ++n)
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                const int col = k0 + 8 * n + lane % 4 * 2 + side;
                float sum = 0;
#pragma unroll
                for (int lower = 0; lower < 2; ++lower) {
                    const int row = m0 + lane / 4 + 8 * lower;
                    float& d = sums[n][2 * lower + side];
                    if (!decay.mild) d *= decay.to_end(row, col);
                    dkeys[n][2 * lower + side] += d;
                    const float product = (decay.mild ? scaled_keys : keys).get(row, col) * d;
                    sum += product;
                    if (!decay.mild) balance.at(row, col) -= product;
                }
                for (int other = 4; other < 32; other *= 2) sum += __shfl_xor_sync(~0u, sum, other);
                if (lane < 4) written[m0 / 16 * K + col] += sum;
            }
        __syncthreads();
    }

    Real* dk_to = dk + b * dk_b + group * dk_g + start * dk_t;
    Real* dv_to = dv + b * dv_b + group * dv_g + start * dv_t;
    Gate* dgk_to = dgk + b * dgk_b + group * dgk_g + start * dgk_t;
    each_pair(dkeys, m0, k0, [&](int row, int col, float d0, float d1) {
        if (decay.mild) {
            const float2 factor = decay.table.pair(row, col);
            balance.add(row, col, -scaled_keys.get(row, col) * d0, -scaled_keys.get(row, col + 1) * d1);
            d0 = __fdividef(d0, factor.x), d1 = __fdividef(d1, factor.y);
        }
        if (row < rows) put2(dk_to + row * dk_t + col, d0, d1);
    });
    each_pair(dvalues, m0, v0, [&](int row, int col, float d0, float d1) {
        if (row < rows) put2(dv_to + row * dv_t + col, d0, d1);
    });
    __syncthreads();
    if (threadIdx.x < K)
        for (int strip = 0; strip < STRIPS; ++strip) kept[threadIdx.x] += written[strip * K + threadIdx.x];
    Scan<float, K, THREADS, true> scan;
    scan.read_values([&](int row, int col) { return balance.at(row, col); });
    scan.write_sums(totals, 1, [&](int row, int col, float sum, float) {
        if (row < rows) put(dgk_to + row * dgk_t + col, sum + kept[col]);
    });
}

// The decoding step of one token.

// A block reads and writes STEP_COLS columns of a state once, for all heads of the state. Each thread has
// four columns.
constexpr int STEP_COLS = V % 32 == 0 ? 32 : 16, STEP_THREADS = 128, STEP_LANES = STEP_COLS / 4;
constexpr int STEP_HEADS = 4;  // heads that are computed at a time
constexpr int STEP_ROWS = STEP_THREADS / STEP_LANES, STEP_PASSES = (K + STEP_ROWS - 1) / STEP_ROWS;
constexpr bool STEP_FULL = K % STEP_ROWS == 0;

// The grid is (V / STEP_COLS, states, batch). Overwrites `state` [batch, states, K, V].
extern "C" __global__ void __launch_bounds__(STEP_THREADS)
gla_step(const Real* __restrict__ q, i64 q_b, i64 q_h, const Real* __restrict__ k, i64 k_b, i64 k_g,
         const Real* __restrict__ v, i64 v_b, i64 v_g, const Gate* __restrict__ gk, i64 gk_b, i64 gk_g,
         float* __restrict__ state, Real* __restrict__ o, i64 o_b, i64 o_h, int heads, int groups) {
    __shared__ float4 sums[STEP_THREADS / 32][STEP_HEADS][STEP_LANES];
    const int n = gridDim.y, b = blockIdx.z, group = blockIdx.y / (n / groups), heads_per_state = heads / n;
    const int end = (blockIdx.y + 1) * heads_per_state;
    const int lane = threadIdx.x % STEP_LANES, first = threadIdx.x / STEP_LANES;
    const int col = blockIdx.x * STEP_COLS + lane * 4;
    state += ((i64)b * n + blockIdx.y) * K * V + col;
    k += b * k_b + group * k_g;
    v += b * v_b + group * v_g + col;
    gk += b * gk_b + group * gk_g;
    const float4 value = make_float4(to_float(v[0]), to_float(v[1]), to_float(v[2]), to_float(v[3]));

    float4 s[STEP_PASSES];
#pragma unroll
    for (int pass = 0; pass < STEP_PASSES; ++pass) {
        const int row = first + pass * STEP_ROWS;
        if (STEP_FULL || row < K) s[pass] = *reinterpret_cast<const float4*>(state + row * V);
    }
#pragma unroll
    for (int pass = 0; pass < STEP_PASSES; ++pass) {
        const int row = first + pass * STEP_ROWS;
        if (!STEP_FULL && row >= K) break;
        const float keep = exp2_fast(LOG2_E * to_float(gk[row])), key = to_float(k[row]);
        s[pass].x = s[pass].x * keep + key * value.x, s[pass].y = s[pass].y * keep + key * value.y;
        s[pass].z = s[pass].z * keep + key * value.z, s[pass].w = s[pass].w * keep + key * value.w;
        *reinterpret_cast<float4*>(state + row * V) = s[pass];
    }
    for (int first_head = blockIdx.y * heads_per_state; first_head < end; first_head += STEP_HEADS) {
        float4 sum[STEP_HEADS] = {};
#pragma unroll
        for (int head = 0; head < STEP_HEADS; ++head) {
            if (first_head + head >= end) break;
            const Real* query = q + b * q_b + (first_head + head) * q_h;
#pragma unroll
            for (int pass = 0; pass < STEP_PASSES; ++pass) {
                const int row = first + pass * STEP_ROWS;
                if (!STEP_FULL && row >= K) break;
                const float x = to_float(query[row]) * rsqrtf(K);
                sum[head].x += s[pass].x * x, sum[head].y += s[pass].y * x;
                sum[head].z += s[pass].z * x, sum[head].w += s[pass].w * x;
            }
        }
#pragma unroll
        for (int head = 0; head < STEP_HEADS; ++head) {
            if (first_head + head >= end) break;
#pragma unroll
            for (int other = STEP_LANES; other < 32; other *= 2) {
                sum[head].x += __shfl_xor_sync(~0u, sum[head].x, other);
                sum[head].y += __shfl_xor_sync(~0u, sum[head].y, other);
                sum[head].z += __shfl_xor_sync(~0u, sum[head].z, other);
                sum[head].w += __shfl_xor_sync(~0u, sum[head].w, other);
            }
            if (threadIdx.x % 32 < STEP_LANES) sums[threadIdx.x / 32][head][lane] = sum[head];
        }
        __syncthreads();
        const int head = first_head + threadIdx.x / STEP_COLS, at = threadIdx.x % STEP_COLS;
        if (threadIdx.x < STEP_HEADS * STEP_COLS && head < end) {
            float total = 0;
#pragma unroll
            for (int warp = 0; warp < STEP_THREADS / 32; ++warp)
                total += reinterpret_cast<const float*>(sums[warp][threadIdx.x / STEP_COLS])[at];
            put(o + b * o_b + head * o_h + blockIdx.x * STEP_COLS + at, total);
        }
        __syncthreads();
    }
}
