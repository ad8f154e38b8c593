// Causal softmax attention of many queries on Hopper (sm_90a) in bf16. The kernel computes the same function
// as prefill_bf16 in prefill.cu. The tensor memory accelerator (TMA) copies tiles to shared memory, and
// warpgroups multiply the tiles (wgmma). One warpgroup, the producer, loads tiles of K and V into a ring of
// buffers. The other warpgroups, the consumers, compute 64 queries each. The schedule is that of
// FlashAttention-3 (arXiv 2407.08608): while one consumer computes exponentials, another consumer computes
// products. Within a consumer, the product for the scores of a tile overlaps with the product for the outputs
// of the previous tile.
//
// Compile with -DHEAD_DIM=64, 96, 128 or 256. The tensor maps (cuTensorMapEncodeTiled) describe bf16 tensors
// of four dimensions, innermost first: {d, time, heads, batch}. Their boxes are {64, 64, 1, 1} for Q and
// {64, KEYS, 1, 1} for K and V, with 128-byte swizzle. Out-of-bounds elements must read as zeros, because a
// tile may extend past the last key. The attention weights of those rows are 0, and 0 times NaN would be NaN.
#include <cuda_bf16.h>

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif

using bf16 = __nv_bfloat16;
using i64 = long long;
using u64 = unsigned long long;

constexpr int D = HEAD_DIM;
static_assert(D == 64 || D == 96 || D == 128 || D == 256, "head widths 64, 96, 128 and 256");

constexpr int CONSUMERS = D == 64 ? 3 : 2;  // warpgroups that compute. Registers limit their number.
constexpr int ROWS = 64;                    // queries of a warpgroup
constexpr int KEYS = D == 256 ? 64 : 128;   // keys of a tile
constexpr int STAGES = 2;
constexpr int QUERY_STAGES = D == 256 ? 1 : 2;
constexpr int THREADS = 128 * (CONSUMERS + 1);
constexpr int BLOCK = 64;                   // columns of a block (128 bytes). A tile holds BLOCKS blocks.
constexpr int BLOCKS = (D + BLOCK - 1) / BLOCK;
constexpr int TILE = BLOCKS * KEYS * BLOCK;
constexpr int WIDTH = D > 128 ? 128 : D;    // columns of V in one product
constexpr float LOG2_E = 1.4426950408889634f;
#define MINUS_INFINITY __int_as_float(0xff800000)

struct alignas(64) TensorMap { char opaque[128]; };

struct alignas(1024) Shared {
    bf16 queries[QUERY_STAGES][CONSUMERS][BLOCKS * ROWS * BLOCK];
    bf16 keys[STAGES][TILE];
    bf16 values[STAGES][TILE];
    u64 has_queries[QUERY_STAGES], has_keys[STAGES], has_values[STAGES];
    u64 free_queries[QUERY_STAGES], free_keys[STAGES], free_values[STAGES];
};

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// Barriers.

__device__ inline void init(u64& barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(shared_address(&barrier)), "r"(arrivals));
}
__device__ inline void arrive(u64& barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(shared_address(&barrier)) : "memory");
}
__device__ inline void expect(u64& barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(shared_address(&barrier)), "r"(bytes) : "memory");
}
__device__ inline void wait(u64& barrier, int parity) {
    asm volatile("{\n .reg .pred done;\n again:\n"
                 " mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n @!done bra again;\n}"
                 :: "r"(shared_address(&barrier)), "r"(parity) : "memory");
}
// Named barriers, numbered from 1. Each consumer waits at its own barrier for its turn to issue products.
__device__ inline void await_turn(int consumer) {
    asm volatile("bar.sync %0, 256;" :: "r"(1 + consumer) : "memory");
}
__device__ inline void give_turn(int consumer) {
    asm volatile("bar.arrive %0, 256;" :: "r"(1 + consumer) : "memory");
}
__device__ inline void sync_warpgroup(int consumer) {
    asm volatile("bar.sync %0, 128;" :: "r"(1 + CONSUMERS + consumer) : "memory");
}

// Copies.

template <int COUNT>
__device__ inline void load(bf16* tile, const TensorMap& map, u64& barrier, int row, int head, int batch) {
#pragma unroll
    for (int column = 0; column < D; column += BLOCK)
        asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
                     "[%0], [%1, {%3, %4, %5, %6}], [%2];"
                     :: "r"(shared_address(tile + column * COUNT)), "l"(&map), "r"(shared_address(&barrier)),
                        "r"(column), "r"(row), "r"(head), "r"(batch) : "memory");
}

// Products.

// Returns the wgmma descriptor of a tile in shared memory. The tile has 128-byte swizzle, and each group of 8
// rows starts 1024 bytes after the previous group. `apart` is the distance in bytes between neighbouring
// blocks of columns. wgmma uses this distance only if the columns are the N dimension of the product, as for
// V.
__device__ inline u64 descriptor(const bf16* p, int apart) {
    return (1ull << 62) | (u64(1024 >> 4) << 32) | (u64(apart >> 4) << 16) | ((shared_address(p) & 0x3ffff) >> 4);
}

#define FOUR(x, i) "+f"(x[i]), "+f"(x[i + 1]), "+f"(x[i + 2]), "+f"(x[i + 3])
#define SIXTEEN(x, i) FOUR(x, i), FOUR(x, i + 4), FOUR(x, i + 8), FOUR(x, i + 12)
#define REGISTERS_32(x) SIXTEEN(x, 0), SIXTEEN(x, 16)
#define REGISTERS_48(x) REGISTERS_32(x), SIXTEEN(x, 32)
#define REGISTERS_64(x) REGISTERS_48(x), SIXTEEN(x, 48)
#define NAMES_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_48 NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define NAMES_64 NAMES_48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// scores (64 x N) = Q (64 x 16) K^T (16 x N), plus the old scores if `adds`. A, B and ADDS are the numbers of
// the operands in the instruction.
#define SCORES(N, REGISTERS, NAMES, A, B, ADDS)                                                                  \
    __device__ inline void multiply(float (&scores)[N / 2], u64 queries, u64 keys, int adds) {                   \
        asm volatile("{\n .reg .pred adds;\n setp.ne.b32 adds, %" #ADDS ", 0;\n"                                 \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" NAMES "}, %" #A ", %" #B ", "  \
                     "adds, 1, 1, 0, 0;\n}"                                                                      \
                     : REGISTERS(scores) : "l"(queries), "l"(keys), "r"(adds));                                  \
    }
SCORES(64, REGISTERS_32, NAMES_32, 32, 33, 34)
SCORES(128, REGISTERS_64, NAMES_64, 64, 65, 66)

// out (64 x N) = weights (64 x 16) V (16 x N), plus the old `out` if `adds`. A, B, C, E, VALUES and ADDS are
// the numbers of the operands in the instruction.
#define SUMS(N, REGISTERS, NAMES, A, B, C, E, VALUES, ADDS)                                                      \
    __device__ inline void multiply(float (&out)[N / 2], const unsigned* weights, u64 values, int adds) {        \
        asm volatile("{\n .reg .pred adds;\n setp.ne.b32 adds, %" #ADDS ", 0;\n"                                 \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" NAMES "}, "                    \
                     "{%" #A ", %" #B ", %" #C ", %" #E "}, %" #VALUES ", adds, 1, 1, 1;\n}"                     \
                     : REGISTERS(out)                                                                            \
                     : "r"(weights[0]), "r"(weights[1]), "r"(weights[2]), "r"(weights[3]), "l"(values), "r"(adds)); \
    }
SUMS(64, REGISTERS_32, NAMES_32, 32, 33, 34, 35, 36, 37)
SUMS(96, REGISTERS_48, NAMES_48, 48, 49, 50, 51, 52, 53)
SUMS(128, REGISTERS_64, NAMES_64, 64, 65, 66, 67, 68, 69)

__device__ inline void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ inline void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}
// Prevents the compiler from moving uses of these registers across this point. A `pin` before `fence` keeps
// earlier writes before the products. A `pin` after `wait_products` keeps reads after the products.
template <int N> __device__ inline void pin(float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(x[i]) :: "memory");
}
template <int M, int N> __device__ inline void pin(float (&x)[M][N]) {
#pragma unroll
    for (int i = 0; i < M; ++i) pin(x[i]);
}

__device__ inline unsigned pack(float low, float high) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<unsigned&>(pair);
}
__device__ inline float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The state of one thread for the 64 queries of its warpgroup. Each of the four warps has 16 queries. A
// thread holds elements of two of them: rows lane / 4 and lane / 4 + 8 of its warp.
struct Rows {
    float scores[KEYS / 2], out[D / WIDTH][WIDTH / 2], maximum[2], sum[2];
    unsigned weights[KEYS / 4];

    __device__ void score(const bf16* queries, const bf16* keys) {
        u64 of_queries = descriptor(queries, 0), of_keys = descriptor(keys, 0);
#pragma unroll
        for (int step = 0; step < D / 16; ++step) {
            // A step takes 16 columns, which are 32 bytes of a row. A block has 64 columns.
            int block = step / 4, within = step % 4 * 2;
            multiply(scores, of_queries + block * (ROWS * BLOCK * 2 >> 4) + within,
                     of_keys + block * (KEYS * BLOCK * 2 >> 4) + within, step > 0);
        }
        commit();
    }
    __device__ void add_values(const bf16* values, bool adds) {
        u64 of_values = descriptor(values, KEYS * BLOCK * 2);
#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step)
#pragma unroll
            for (int part = 0; part < D / WIDTH; ++part)
                multiply(out[part], weights + 4 * step,
                         of_values + step * (16 * BLOCK * 2 >> 4) + part * (WIDTH * KEYS * 2 >> 4), adds || step > 0);
        commit();
    }
    __device__ void mask(int position, int key, int first) {
#pragma unroll
        for (int i = 0; i < KEYS / 2; ++i) {
            int at = position + i / 2 % 2 * 8, of = key + i / 4 * 8 + i % 2;
            bool is_seen = of <= at && (of >= first || of == at);
            if (!is_seen) scores[i] = MINUS_INFINITY;
        }
    }
    // Replaces the scores with unnormalized attention weights in f32, and updates `maximum` and `sum`.
    // Returns the factors by which `out` must be multiplied.
    __device__ float2 apply_softmax(float scale_log2) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float next = maximum[half];
#pragma unroll
            for (int i = 2 * half; i < KEYS / 2; i += 4) next = fmaxf(next, fmaxf(scores[i], scores[i + 1]));
            next = fmaxf(next, __shfl_xor_sync(~0u, next, 1));
            next = fmaxf(next, __shfl_xor_sync(~0u, next, 2));
            // Until a row has seen a key, its maximum is -inf, and -inf - -inf would be NaN.
            float offset = next == MINUS_INFINITY ? 0.f : next * scale_log2;
            factor[half] = power_of_two(maximum[half] * scale_log2 - offset);
            maximum[half] = next;
            sum[half] *= factor[half];
#pragma unroll
            for (int i = 2 * half; i < KEYS / 2; i += 4)
#pragma unroll
                for (int j = i; j < i + 2; ++j) {
                    scores[j] = power_of_two(scores[j] * scale_log2 - offset);
                    sum[half] += scores[j];
                }
        }
        return {factor[0], factor[1]};
    }
    __device__ void pack_weights() {
#pragma unroll
        for (int i = 0; i < KEYS / 4; ++i) weights[i] = pack(scores[2 * i], scores[2 * i + 1]);
    }
    __device__ void scale(float2 factor) {
#pragma unroll
        for (int part = 0; part < D / WIDTH; ++part)
#pragma unroll
            for (int i = 0; i < WIDTH / 2; ++i) out[part][i] *= i / 2 % 2 ? factor.y : factor.x;
    }
};

// A position in a ring of N buffers. `stage` is the index of the next buffer, and `parity` is the parity of
// the phase of the buffer's barrier.
template <int N> struct Ring {
    int stage = 0, parity = 0;
    __device__ void advance() {
        if (++stage == N) stage = 0, parity ^= 1;
    }
};

// A tile of queries of one head and one batch row. The job uses `tiles` tiles of keys, from tile `last` down.
// Jobs with the most keys have the lowest indices.
struct Job {
    int head, row, first_query, first_position, first_key, last, tiles;

    __device__ Job(int job, const int* first, int h, int batch, int t, int s) {
        head = job % h, row = job / h % batch;
        first_query = ((t - 1) / (CONSUMERS * ROWS) - job / h / batch) * CONSUMERS * ROWS;
        first_position = s - t + first_query, first_key = first ? first[row] : 0;
        last = (min(first_position + CONSUMERS * ROWS, s) - 1) / KEYS;
        tiles = last - min(first_key, first_position) / KEYS + 1;
    }
};

// Returns the index of the job that this thread block runs in a round. Long jobs come first. Every other
// round is reversed, so that all thread blocks get about the same amount of work.
__device__ inline int job_index(int round) {
    return round * gridDim.x + (round % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
prefill_sm90(bf16* o, const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k,
             const __grid_constant__ TensorMap v, const int* first, i64 o_batch, i64 o_head, i64 o_time,
             int b, int h, int g, int t, int s, float scale) {
    extern __shared__ char raw[];
    Shared& shared = *reinterpret_cast<Shared*>(raw + (-shared_address(raw) & 1023));
    const int jobs = b * h * ((t - 1) / (CONSUMERS * ROWS) + 1);

    if (threadIdx.x == 0) {
        constexpr int WARPS = 4 * CONSUMERS;
        for (int i = 0; i < QUERY_STAGES; ++i) init(shared.has_queries[i], 1), init(shared.free_queries[i], WARPS);
        for (int i = 0; i < STAGES; ++i) {
            init(shared.has_keys[i], 1), init(shared.has_values[i], 1);
            init(shared.free_keys[i], WARPS), init(shared.free_values[i], WARPS);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();

    Ring<QUERY_STAGES> of_queries;
    Ring<STAGES> of_keys;  // the values use the same stages and parities
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x > 0) return;
        for (int round = 0; job_index(round) < jobs; ++round) {
            const Job job(job_index(round), first, h, b, t, s);
            const int group = job.head / (h / g);
            int stage = of_queries.stage;
            wait(shared.free_queries[stage], of_queries.parity ^ 1);
            expect(shared.has_queries[stage], sizeof(shared.queries[0]));
            for (int j = 0; j < CONSUMERS; ++j)
                load<ROWS>(shared.queries[stage][j], q, shared.has_queries[stage], job.first_query + j * ROWS, job.head,
                           job.row);
            of_queries.advance();
            for (int tile = 0; tile < job.tiles; ++tile) {
                int key = (job.last - tile) * KEYS;
                stage = of_keys.stage;
                wait(shared.free_keys[stage], of_keys.parity ^ 1);
                expect(shared.has_keys[stage], TILE * sizeof(bf16));
                load<KEYS>(shared.keys[stage], k, shared.has_keys[stage], key, group, job.row);
                wait(shared.free_values[stage], of_keys.parity ^ 1);
                expect(shared.has_values[stage], TILE * sizeof(bf16));
                load<KEYS>(shared.values[stage], v, shared.has_values[stage], key, group, job.row);
                of_keys.advance();
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(CONSUMERS == 3 ? 160 : 240));
        const int consumer = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
        const int quad = lane / 4, in_quad = lane % 4;
        const float scale_log2 = scale * LOG2_E;
        auto release = [&](u64& barrier) {
            if (lane == 0) arrive(barrier);
        };
        if (consumer == CONSUMERS - 1) give_turn(0);

        for (int round = 0; job_index(round) < jobs; ++round) {
            const Job job(job_index(round), first, h, b, t, s);
            const int lowest_position = job.first_position + consumer * ROWS;
            bf16* queries = shared.queries[of_queries.stage][consumer];
            Rows rows;
            rows.maximum[0] = rows.maximum[1] = MINUS_INFINITY;
            rows.sum[0] = rows.sum[1] = 0.f;
            auto mask = [&](int tile) {
                int key = (job.last - tile) * KEYS;
                if (key + KEYS - 1 > lowest_position || key < job.first_key)
                    rows.mask(lowest_position + warp * 16 + quad, key + in_quad * 2, job.first_key);
            };

            wait(shared.has_queries[of_queries.stage], of_queries.parity);
            wait(shared.has_keys[of_keys.stage], of_keys.parity);
            fence();
            rows.score(queries, shared.keys[of_keys.stage]);
            wait_products<0>();
            pin(rows.scores);
            release(shared.free_keys[of_keys.stage]);
            mask(0);
            rows.apply_softmax(scale_log2);
            rows.pack_weights();

            for (int tile = 1; tile < job.tiles; ++tile) {
                const Ring<STAGES> before = of_keys;
                of_keys.advance();
                wait(shared.has_keys[of_keys.stage], of_keys.parity);
                await_turn(consumer);
                pin(rows.scores);
                pin(rows.out);
                fence();
                rows.score(queries, shared.keys[of_keys.stage]);
                wait(shared.has_values[before.stage], before.parity);
                rows.add_values(shared.values[before.stage], tile > 1);
                give_turn((consumer + 1) % CONSUMERS);
                wait_products<1>();
                pin(rows.scores);
                release(shared.free_keys[of_keys.stage]);
                mask(tile);
                float2 factor = rows.apply_softmax(scale_log2);
                wait_products<0>();
                pin(rows.out);
                release(shared.free_values[before.stage]);
                rows.pack_weights();
                rows.scale(factor);
            }
            wait(shared.has_values[of_keys.stage], of_keys.parity);
            pin(rows.out);
            fence();
            rows.add_values(shared.values[of_keys.stage], job.tiles > 1);
            wait_products<0>();
            pin(rows.out);
            release(shared.free_values[of_keys.stage]);
            of_keys.advance();

            // The outputs are first written to the shared memory of the queries, swizzled. They can then be
            // stored as whole rows.
            constexpr int STRIDE = BLOCKS * BLOCK, CHUNKS = D / 8;
            sync_warpgroup(consumer);
            bf16* results = queries + warp * 16 * STRIDE;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float sum = rows.sum[half];
                sum += __shfl_xor_sync(~0u, sum, 1);
                sum += __shfl_xor_sync(~0u, sum, 2);
                float inverse = 1.f / sum;
#pragma unroll
                for (int n = 0; n < D / 8; ++n) {
                    const float* two = rows.out[n / (WIDTH / 8)] + n % (WIDTH / 8) * 4 + 2 * half;
                    *reinterpret_cast<unsigned*>(results + (quad + 8 * half) * STRIDE + (n ^ quad) * 8 + in_quad * 2) =
                        pack(two[0] * inverse, two[1] * inverse);
                }
            }
            __syncwarp();
            bf16* to = o + job.row * o_batch + job.head * o_head;
#pragma unroll
            for (int j = lane; j < 16 * CHUNKS; j += 32) {
                int at = j / CHUNKS, chunk = j % CHUNKS;
                i64 time = job.first_query + consumer * ROWS + warp * 16 + at;
                if (time < t)
                    *reinterpret_cast<uint4*>(to + time * o_time + chunk * 8) =
                        *reinterpret_cast<uint4*>(results + at * STRIDE + (chunk ^ at % 8) * 8);
            }
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // TMA writes to this memory next
            __syncwarp();
            release(shared.free_queries[of_queries.stage]);
            of_queries.advance();
        }
    }
}
