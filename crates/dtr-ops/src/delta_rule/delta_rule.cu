// The gated delta rule (Gated DeltaNet, arXiv 2412.06464): forward, backward and one step.
//
//     S <- exp(g) S        u = beta (v - S^T k)        S <- S + k u^T        o = scale S^T q
//
// The kernels process chunks of 64 tokens in the WY form (arXiv 2406.06484). In this form, the updates U of a
// chunk's tokens are the solution of a triangular system, U = T R. Let G be the inclusive cumulative sum of g
// in a chunk. Let L[i,j] be exp(G[i] - G[j]) for i >= j and 0 otherwise, and let S be the state before the
// chunk. Q, K, V, O, U and R are matrices with a row for each token. `*` multiplies elementwise, and beta and
// exp(..) scale rows.
//
//     T = (I + strictly_lower(beta K K^T * L))^-1           R = beta (V - exp(G) K S)               U = T R
//     O = scale exp(G) Q S + M R                            M = P T,  P = scale Q K^T * L
//     S' = exp(G_last) S + H^T R                            H = T^T (exp(G_last - G) K)
//
// `delta_prepare` computes M and H of all chunks at once. `delta_forward` loops over the chunks. Each of its
// blocks computes a slice of the value channels, which are independent of each other. The adjoint of these
// equations, for given gradients dO and dS', is
//
//     D = dR = M^T dO + H dS'                               dV = beta D
//     dS = exp(G_last) dS' + (scale exp(G) Q)^T dO - (beta exp(G) K)^T D
//
// `delta_backward_scan` computes this adjoint from the last chunk to the first. The other gradients need dT
// only inside the product T^T dT T^T. This product equals D U^T, so no inverse is needed.
// `delta_backward_chunks` computes these gradients for all chunks at once.
//
// In exact arithmetic, T could also be applied last, as O = .. + P U. In bf16, this order loses accuracy:
// with correlated keys, P and dU are large, and multiplying by T subtracts nearly equal numbers. The kernels
// therefore multiply by T in f32, when they compute M and H, and round only M and H to bf16.
//
// With L2NORM, the kernels normalise q and k: x / sqrt(sum x^2 + 1e-6). The factors 1 / sqrt(..) are stored
// as scalars of the tokens, so that all matrix products use the raw q and k.
//
// Compile once for each combination of the macros ELEMENT, KEY_WIDTH, SLICE and L2NORM.

#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT __nv_bfloat16  // type of q, k, v, o and intermediates; float is multiplied as 3xTF32
#endif
#ifndef KEY_WIDTH
#define KEY_WIDTH 128  // 16 or a multiple of 32, up to 128
#endif
#ifndef SLICE
#define SLICE 64  // value channels of a block: 16, 32 or 64 (float: at most 32)
#endif
#ifndef L2NORM
#define L2NORM 1
#endif

using bf16 = __nv_bfloat16;
using T = ELEMENT;

constexpr int CHUNK = 64;
constexpr int WARP = 32;
constexpr int VECTOR = 16 / sizeof(T);
constexpr float NORM_EPSILON = 1e-6f;
// Betas of smaller magnitude are replaced with this value. The gradient of beta contains the quotient
// U / beta, which thereby stays finite.
constexpr float LEAST_BETA = 1e-15f;
constexpr unsigned ALL = 0xffffffff;

// VIEW declares the kernel parameters of a tensor [batch, head, time, width] with contiguous rows, or of a
// tensor [batch, head, time]. AT returns the address of one row.
#define VIEW(type, name) type *name, long long name##_batch, long long name##_head, long long name##_time
#define AT(name, head, time) (name + batch * name##_batch + (head) * name##_head + (time) * name##_time)

__device__ constexpr int least(int a, int b) { return a < b ? a : b; }
__device__ constexpr int most(int a, int b) { return a > b ? a : b; }

__device__ float fast_exp(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
    return y;
}

// Tiles in shared memory.

// The length of a row in elements. Rows are padded by 16 bytes, so that eight rows of a fragment are in
// different banks of shared memory.
template <class E, int COLUMNS>
constexpr int PITCH = COLUMNS + 16 / sizeof(E);

__device__ float2 pair_at(const bf16 *at) { return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162 *>(at)); }
__device__ float2 pair_at(const float *at) { return *reinterpret_cast<const float2 *>(at); }
__device__ void set_pair(bf16 *at, float x, float y) {
    *reinterpret_cast<__nv_bfloat162 *>(at) = __floats2bfloat162_rn(x, y);
}
__device__ void set_pair(float *at, float x, float y) { *reinterpret_cast<float2 *>(at) = make_float2(x, y); }

__device__ uint4 vector_at(const T *at) { return *reinterpret_cast<const uint4 *>(at); }

// Returns the dot product of two vectors of 16 bytes.
__device__ float dot_product(const uint4 &a, const uint4 &b) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < VECTOR; i += 2) {
        const float2 x = pair_at(reinterpret_cast<const T *>(&a) + i), y = pair_at(reinterpret_cast<const T *>(&b) + i);
        sum += x.x * y.x + x.y * y.y;
    }
    return sum;
}

__device__ unsigned shared_address(const void *at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

__device__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Calls f(i, row, column) for the thread's 16-byte vectors of a tile.
template <int HEIGHT, int WIDTH, int THREADS, class F>
__device__ __forceinline__ void vectors(F f) {
    constexpr int PER_ROW = WIDTH / VECTOR, COUNT = HEIGHT * PER_ROW;
#pragma unroll
    for (int i = 0; i < (COUNT + THREADS - 1) / THREADS; i++) {
        const int vector = i * THREADS + threadIdx.x;
        if (COUNT % THREADS == 0 || vector < COUNT) {
            if constexpr (THREADS % PER_ROW == 0) {  // the thread's vectors are in one column, evenly spaced
                f(i, i * (THREADS / PER_ROW) + int(threadIdx.x) / PER_ROW, int(threadIdx.x) % PER_ROW * VECTOR);
            } else {
                f(i, vector / PER_ROW, vector % PER_ROW * VECTOR);
            }
        }
    }
}

// Starts to copy rows of global memory into a tile. Rows from `valid` on are filled with zeros.
template <int HEIGHT, int WIDTH, int THREADS>
__device__ __forceinline__ void fetch(T *tile, const T *from, long long stride, int valid) {
    vectors<HEIGHT, WIDTH, THREADS>([&](int, int row, int column) {
        const unsigned to = shared_address(tile + row * PITCH<T, WIDTH> + column);
        const T *const source = from + (row < valid ? row * stride + column : 0);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(source), "r"(row < valid ? 16 : 0)
                     : "memory");
    });
}

// Starts to copy rows of global memory into a tile. All rows are valid.
template <int HEIGHT, int WIDTH, int THREADS>
__device__ __forceinline__ void fetch(T *tile, const T *from, int stride) {
    vectors<HEIGHT, WIDTH, THREADS>([&](int, int row, int column) {
        const unsigned to = shared_address(tile + row * PITCH<T, WIDTH> + column);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from + (row * stride + column))
                     : "memory");
    });
}

// Copies a tile to rows of global memory.
template <int HEIGHT, int WIDTH, int THREADS>
__device__ __forceinline__ void store(T *to, int stride, const T *tile) {
    vectors<HEIGHT, WIDTH, THREADS>([&](int, int row, int column) {
        *reinterpret_cast<uint4 *>(to + (row * stride + column)) = vector_at(tile + row * PITCH<T, WIDTH> + column);
    });
}

// Products of tiles on tensor cores.

// The order in which an operand is stored in its tile: element (i, j) is at [i][j] or at [j][i].
enum Order { ROWS, COLUMNS };

template <class E>
struct Operands;

template <>
struct Operands<bf16> {
    static constexpr int DEPTH = 16;
    struct Left {
        unsigned x[4];
    };
    struct Right {
        unsigned x[2];
    };

    // The address from which a thread reads the first block of an operand.
    using Place = unsigned;

    template <Order ORDER>
    static __device__ Place left_place(const bf16 *tile, int pitch, int row) {
        const int lane = threadIdx.x % WARP;
        return shared_address(ORDER == ROWS ? tile + (row + lane % 16) * pitch + lane / 16 * 8
                                            : tile + (lane % 8 + lane / 16 * 8) * pitch + row + lane / 8 % 2 * 8);
    }

    template <Order ORDER>
    static __device__ Place right_place(const bf16 *tile, int pitch, int column) {
        const int lane = threadIdx.x % WARP;
        return shared_address(ORDER == ROWS ? tile + lane % 16 * pitch + column + lane / 16 * 8
                                            : tile + (column + lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8);
    }

    // Loads 16 x DEPTH elements of the left operand, from `row` and `depth` on.
    template <Order ORDER>
    static __device__ Left left(Place place, int pitch, int row, int depth) {
        const unsigned at = place + (ORDER == ROWS ? row * pitch + depth : depth * pitch + row) * int(sizeof(bf16));
        Left a;
        if constexpr (ORDER == ROWS) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(a.x[0]), "=r"(a.x[1]), "=r"(a.x[2]), "=r"(a.x[3])
                         : "r"(at)
                         : "memory");
        } else {
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(a.x[0]), "=r"(a.x[1]), "=r"(a.x[2]), "=r"(a.x[3])
                         : "r"(at)
                         : "memory");
        }
        return a;
    }

    // Loads DEPTH x 16 floats from `tile` on, transposed. Each float is split into a sum of two bf16 terms.
    static __device__ void load_transposed_split(Left &big, Left &small, const float *tile, int pitch) {
        const float *const at = tile + threadIdx.x % 4 * 2 * pitch + threadIdx.x % WARP / 4;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float x = at[i / 2 * 8 * pitch + i % 2 * 8], y = at[(i / 2 * 8 + 1) * pitch + i % 2 * 8];
            const __nv_bfloat162 rounded = __floats2bfloat162_rn(x, y);
            const float2 near = __bfloat1622float2(rounded);
            const __nv_bfloat162 rest = __floats2bfloat162_rn(x - near.x, y - near.y);
            big.x[i] = *reinterpret_cast<const unsigned *>(&rounded);
            small.x[i] = *reinterpret_cast<const unsigned *>(&rest);
        }
    }

    // Loads DEPTH x 8 elements of the right operand, from `depth` and `column` on. If PAIR, loads two
    // neighbouring blocks of this size.
    template <Order ORDER, bool PAIR>
    static __device__ void right(Right (&b)[2], Place place, int pitch, int depth, int column) {
        const unsigned at =
            place + (ORDER == ROWS ? depth * pitch + column : column * pitch + depth) * int(sizeof(bf16));
        if constexpr (PAIR && ORDER == ROWS) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(b[0].x[0]), "=r"(b[0].x[1]), "=r"(b[1].x[0]), "=r"(b[1].x[1])
                         : "r"(at)
                         : "memory");
        } else if constexpr (PAIR) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(b[0].x[0]), "=r"(b[0].x[1]), "=r"(b[1].x[0]), "=r"(b[1].x[1])
                         : "r"(at)
                         : "memory");
        } else if constexpr (ORDER == ROWS) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                         : "=r"(b[0].x[0]), "=r"(b[0].x[1])
                         : "r"(at)
                         : "memory");
        } else {
            asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                         : "=r"(b[0].x[0]), "=r"(b[0].x[1])
                         : "r"(at)
                         : "memory");
        }
    }

    static __device__ void multiply(float (&sum)[4], const Left &a, const Right &b) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
    }
};

// 3xTF32: a number is split into its upper 11 significant bits and the rest. Tensor cores can multiply both
// parts. The product of two rests, about 2^-20 of the result, is left out.
template <>
struct Operands<float> {
    static constexpr int DEPTH = 8;
    struct Left {
        unsigned big[4], small[4];
    };
    struct Right {
        unsigned big[2], small[2];
    };

    static __device__ void split(float x, unsigned &big, unsigned &small) {
        big = __float_as_uint(x) & 0xffffe000;
        small = __float_as_uint(x - __uint_as_float(big));
    }

    using Place = const float *;

    template <Order ORDER>
    static __device__ Place left_place(const float *tile, int pitch, int row) {
        const int lane = threadIdx.x % WARP, r = row + lane / 4, d = lane % 4;
        return tile + (ORDER == ROWS ? r * pitch + d : d * pitch + r);
    }

    template <Order ORDER>
    static __device__ Place right_place(const float *tile, int pitch, int column) {
        const int lane = threadIdx.x % WARP, d = lane % 4, c = column + lane / 4;
        return tile + (ORDER == ROWS ? d * pitch + c : c * pitch + d);
    }

    template <Order ORDER>
    static __device__ Left left(Place place, int pitch, int row, int depth) {
        Left a;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int r = row + i % 2 * 8, d = depth + i / 2 * 4;
            split(place[ORDER == ROWS ? r * pitch + d : d * pitch + r], a.big[i], a.small[i]);
        }
        return a;
    }

    template <Order ORDER, bool PAIR>
    static __device__ void right(Right (&b)[2], Place place, int pitch, int depth, int column) {
#pragma unroll
        for (int i = 0; i < (PAIR ? 4 : 2); i++) {
            const int d = depth + i % 2 * 4, c = column + i / 2 * 8;
            split(place[ORDER == ROWS ? d * pitch + c : c * pitch + d], b[i / 2].big[i % 2], b[i / 2].small[i % 2]);
        }
    }

    static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }

    static __device__ void multiply(float (&sum)[4], const Left &a, const Right &b) {
        multiply(sum, a.small, b.big);
        multiply(sum, a.big, b.small);
        multiply(sum, a.big, b.big);
    }
};

// sum += left[row.., 0..LENGTH] right[0..LENGTH, column..]. A warp computes MT x NT blocks of 16 x 8. Sums
// only over the inner indices in [from, to). The products outside of this range must be zero.
template <Order A, Order B, int LENGTH, int UNROLL = 4, class E, int MT, int NT>
__device__ __forceinline__ void multiply(float (&sum)[MT][NT][4], const E *a, int a_pitch, int row, const E *b,
                                         int b_pitch, int column, int from = 0, int to = LENGTH) {
    using O = Operands<E>;
    const auto left_place = O::template left_place<A>(a, a_pitch, row);
    const auto right_place = O::template right_place<B>(b, b_pitch, column);
#pragma unroll(sizeof(E) == 2 ? UNROLL : 2)  // more takes too many registers
    for (int depth = 0; depth < LENGTH; depth += O::DEPTH) {
        if (depth < from || depth >= to) continue;
        typename O::Left left[MT];
#pragma unroll
        for (int m = 0; m < MT; m++) left[m] = O::template left<A>(left_place, a_pitch, m * 16, depth);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            typename O::Right right[2];
            if (n + 1 < NT) {
                O::template right<B, true>(right, right_place, b_pitch, depth, n * 8);
            } else {
                O::template right<B, false>(right, right_place, b_pitch, depth, n * 8);
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    if (n + j < NT) O::multiply(sum[m][n + j], left[m], right[j]);
                }
            }
        }
    }
}

// sum += left[from..LENGTH, row..]^T right[from..LENGTH, column..]. `left` holds floats even if `right` holds
// bf16.
template <int LENGTH, class E, int MT, int NT>
__device__ __forceinline__ void multiply_floats(float (&sum)[MT][NT][4], const float *a, int a_pitch, int row,
                                                const E *b, int b_pitch, int column, int from) {
    if constexpr (sizeof(E) == sizeof(float)) {
        multiply<COLUMNS, ROWS, LENGTH>(sum, a, a_pitch, row, b, b_pitch, column, from, LENGTH);
    } else {
        using O = Operands<E>;
        const auto place = O::template right_place<ROWS>(b, b_pitch, column);
#pragma unroll 2
        for (int depth = from; depth < LENGTH; depth += O::DEPTH) {
            typename O::Left big[MT], small[MT];
#pragma unroll
            for (int m = 0; m < MT; m++) O::load_transposed_split(big[m], small[m], a + depth * a_pitch + row + m * 16, a_pitch);
#pragma unroll
            for (int n = 0; n < NT; n++) {
                typename O::Right right[2];
                O::template right<ROWS, false>(right, place, b_pitch, depth, n * 8);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    O::multiply(sum[m][n], small[m], right[0]);
                    O::multiply(sum[m][n], big[m], right[0]);
                }
            }
        }
    }
}

// The division of a matrix of HEIGHT x WIDTH among the warps of a block, and the elements that a thread
// holds.
template <int HEIGHT, int WIDTH, int WARPS>
struct Share {
    static constexpr int ACROSS = least(WARPS / 2, WIDTH / 8);
    static constexpr int DOWN = least(WARPS / ACROSS, HEIGHT / 16);
    static constexpr int MT = HEIGHT / 16 / DOWN, NT = WIDTH / 8 / ACROSS;
    static_assert(MT * DOWN * 16 == HEIGHT && NT * ACROSS * 8 == WIDTH, "the warps cannot divide the matrix evenly");

    int row, column;
    bool active;

    __device__ Share() {
        const int warp = threadIdx.x / WARP;
        active = warp < DOWN * ACROSS;
        row = warp / ACROSS * MT * 16;
        column = warp % ACROSS * NT * 8;
    }

    // Calls f(m, n, e, row, column) for each pair of elements e and e + 1 of block [m][n]. In the matrix, the
    // pair is in row `row`, at `column` and `column` + 1.
    template <class F>
    __device__ __forceinline__ void pairs(F f) const {
        const int lane = threadIdx.x % WARP;
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int n = 0; n < NT; n++) f(m, n, half * 2, row + m * 16 + half * 8 + lane / 4, pair_column(n));
            }
        }
    }

    // A thread holds elements of two rows in each block row m: `half` is 0 for the first row and 1 for the
    // second. Calls f(m, half, row) for each of these rows. The elements of a row are x[m][n][half * 2] and
    // x[m][n][half * 2 + 1], for all n.
    template <class F>
    __device__ __forceinline__ void rows(F f) const {
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) f(m, half, row + m * 16 + half * 8 + int(threadIdx.x) % WARP / 4);
        }
    }

    __device__ int pair_column(int n) const { return column + n * 8 + int(threadIdx.x) % 4 * 2; }
};

// Writes the elements of a row that a thread holds: elements half * 2 and half * 2 + 1 of each block. The
// blocks are 8 columns apart.
template <int NT>
__device__ __forceinline__ void set_row(T *at, const float (&x)[NT][4], int half, float factor = 1.0f) {
#pragma unroll
    for (int n = 0; n < NT; n++) set_pair(at + n * 8, factor * x[n][half * 2], factor * x[n][half * 2 + 1]);
}

template <int MT, int NT>
__device__ void clear(float (&x)[MT][NT][4]) {
#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++) x[m][n][e] = 0.0f;
        }
    }
}

// Scalars of tokens.

// The scalars that `delta_prepare` computes for a token. A token after the end of the sequence has the decay
// of the last token, and its rows of q, k and v are zeros.
struct Token {
    float decay;  // G, the sum of g from the chunk's beginning
    float beta;
    float query;  // factor of the raw q: scale, or scale / |q| with L2NORM
    float key;    // factor of the raw k: 1, or 1 / |k| with L2NORM
};

// The matrix products use the raw q and k. Each token's row of a product is then multiplied by one of these
// factors. `recall`, `read` and `write` include the token's factors `query` and `key`.
struct Rates {
    float recall;  // factor of K S in R: -beta exp(G)
    float beta;    // factor of V in R
    float read;    // factor of Q S in O: exp(G)
    float write;   // factor of K in the next state: exp(G_last - G)

    Rates() = default;
    __device__ Rates(Token token, float last) {
        const float grown = fast_exp(token.decay);
        recall = -token.beta * grown * token.key;
        beta = token.beta;
        read = grown * token.query;
        write = fast_exp(last - token.decay) * token.key;
    }
};

constexpr int K = KEY_WIDTH;
constexpr int V = SLICE;
constexpr int SCAN = 128;  // threads of the kernels that loop over the chunks
constexpr int STEP = 128;  // threads of `delta_step`
constexpr int STEP_SLICE = least(V, 32);  // value channels of a block of `delta_step`
constexpr int K_PITCH = PITCH<T, K>, V_PITCH = PITCH<T, V>, C_PITCH = PITCH<T, CHUNK>;
static_assert(K % 16 == 0 && K <= 128 && (V == 16 || V == 32 || V == 64), "the tiles support only these widths");

extern __shared__ __align__(16) unsigned char shared[];

// The kernel that computes M, H and the scalars of all chunks at once.

constexpr int F_PITCH = PITCH<float, CHUNK>;

// Computes 1 / sqrt(sum x^2 + epsilon) of 64 rows with 128 threads. Eight threads read a row.
__device__ void inverse_norms(float *norms, const T *tile) {
#pragma unroll
    for (int row = threadIdx.x / 8; row < CHUNK; row += 16) {
        float sum = 0.0f;
        for (int column = threadIdx.x % 8 * VECTOR; column < K; column += 8 * VECTOR) {
            const uint4 vector = vector_at(tile + row * K_PITCH + column);
            sum += dot_product(vector, vector);
        }
#pragma unroll
        for (int lanes = 4; lanes; lanes /= 2) sum += __shfl_xor_sync(ALL, sum, lanes);
        if (threadIdx.x % 8 == 0) norms[row] = rsqrtf(sum + NORM_EPSILON);
    }
}

// Writes the inverse of I + N to `inverse`, which must hold zeros on entry. N is strictly lower triangular.
// Runs on 4 warps. Forward substitution inverts the diagonal blocks of 16 x 16. The inverses are merged
// twice:
//
//     [[A, 0], [L, D]]^-1 = [[A^-1, 0], [-D^-1 L A^-1, D^-1]]
//
// This is as accurate as a triangular solve. The product (I - N)(I + N^2)(I + N^4).. would lose all digits
// for correlated keys. The part of N above the diagonal blocks serves as scratch memory.
__device__ void invert(float *inverse, float *n) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (lane < 16) {
        const int corner = warp * 16 * (F_PITCH + 1);
        float x[16];
#pragma unroll
        for (int i = 0; i < 16; i++) {
            x[i] = i == lane ? 1.0f : 0.0f;
#pragma unroll
            for (int j = 0; j < i; j += 4) {
                const float4 four = *reinterpret_cast<const float4 *>(n + corner + i * F_PITCH + j);
                const float below[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int l = 0; l < 4 && j + l < i; l++) x[i] -= below[l] * x[j + l];
            }
            inverse[corner + i * F_PITCH + lane] = x[i];
        }
    }
    __syncthreads();
    {
        const int from = warp / 2 * 32, half = warp % 2 * 8;
        float product[1][1][4] = {};
        multiply<ROWS, ROWS, 16>(product, n + from, F_PITCH, from + 16, inverse + from * F_PITCH, F_PITCH, from + half);
        const int row = from + lane / 4, column = half + lane % 4 * 2;
        for (int i = 0; i < 2; i++) {
            set_pair(n + (row + i * 8) * F_PITCH + from + 16 + column, product[0][0][i * 2], product[0][0][i * 2 + 1]);
        }
        __syncthreads();
        clear(product);
        multiply<ROWS, ROWS, 16>(product, inverse + from + 16, F_PITCH, from + 16, n + from * F_PITCH, F_PITCH,
                                 from + 16 + half);
        for (int i = 0; i < 2; i++) {
            set_pair(inverse + (row + 16 + i * 8) * F_PITCH + from + column, -product[0][0][i * 2],
                     -product[0][0][i * 2 + 1]);
        }
    }
    __syncthreads();
    const Share<32, 32, 4> share;
    float product[share.MT][share.NT][4] = {};
    multiply<ROWS, ROWS, 32>(product, n + 32 * F_PITCH, F_PITCH, share.row, inverse, F_PITCH, share.column);
    share.pairs([&](int m, int k, int e, int row, int column) {
        set_pair(n + row * F_PITCH + 32 + column, product[m][k][e], product[m][k][e + 1]);
    });
    __syncthreads();
    clear(product);
    multiply<ROWS, ROWS, 32>(product, inverse + 32 * F_PITCH + 32, F_PITCH, share.row, n + 32, F_PITCH, share.column);
    share.pairs([&](int m, int k, int e, int row, int column) {
        set_pair(inverse + (32 + row) * F_PITCH + column, -product[m][k][e], -product[m][k][e + 1]);
    });
    __syncthreads();
}

// Writes the scalars of tokens to `tokens`, M to `mixers` and H to `writers`. Writes T to `inverses`, unless
// `inverses` is null.
extern "C" __global__ void __launch_bounds__(128)
    delta_prepare(VIEW(const T, q), VIEW(const T, k), VIEW(const float, beta), VIEW(const float, g), Token *tokens,
                  T *mixers, T *writers, T *inverses, float scale, int time, int heads, int groups) {
    T *const k_tile = reinterpret_cast<T *>(shared);
    float *const inverse = reinterpret_cast<float *>(k_tile + CHUNK * K_PITCH);
    float *const n = inverse + CHUNK * F_PITCH;  // N, then P
    T *const q_tile = reinterpret_cast<T *>(n);
    __shared__ float decays[CHUNK], betas[CHUNK], queries[CHUNK], keys[CHUNK];

    const int chunk = blockIdx.x, head = blockIdx.y, thread = threadIdx.x;
    const long long batch = blockIdx.z, slot = (batch * heads + head) * gridDim.x + chunk;
    const int group = head / (heads / groups), start = chunk * CHUNK, valid = least(CHUNK, time - start);
    fetch<CHUNK, K, 128>(q_tile, AT(q, head, start), q_time, valid);
    fetch<CHUNK, K, 128>(k_tile, AT(k, group, start), k_time, valid);

    if (thread < WARP) {
        float sum[2];
        for (int i = 0; i < 2; i++) {
            const int token = thread * 2 + i;
            const float strength = token < valid ? *AT(beta, head, start + token) : 0.0f;
            betas[token] = fabsf(strength) < LEAST_BETA ? LEAST_BETA : strength;
            sum[i] = token < valid ? *AT(g, head, start + token) : 0.0f;
        }
        float before = sum[0] + sum[1];
        for (int step = 1; step < WARP; step *= 2) {
            const float other = __shfl_up_sync(ALL, before, step);
            if (thread >= step) before += other;
        }
        before = __shfl_up_sync(ALL, before, 1);
        if (thread == 0) before = 0.0f;
        decays[thread * 2] = before + sum[0];
        decays[thread * 2 + 1] = before + sum[0] + sum[1];
    }
    wait_for_copies();
    __syncthreads();
    const Share<CHUNK, CHUNK, 4> share;
    const int row_end = share.row + share.MT * 16;
    const bool above = share.column >= row_end;  // the warp's elements are above the diagonal
    float qk[share.MT][share.NT][4] = {}, kk[share.MT][share.NT][4] = {};
    if (!above) {
        multiply<ROWS, COLUMNS, K>(qk, q_tile, K_PITCH, share.row, k_tile, K_PITCH, share.column);
        multiply<ROWS, COLUMNS, K>(kk, k_tile, K_PITCH, share.row, k_tile, K_PITCH, share.column);
    }
    if constexpr (L2NORM) {
        inverse_norms(queries, q_tile);
        share.pairs([&](int m, int c, int e, int row, int column) {
            const float square = row % 2 ? kk[m][c][e + 1] : kk[m][c][e];  // on the diagonal
            if (row / 2 == column / 2) keys[row] = rsqrtf(square + NORM_EPSILON);
        });
    }
    __syncthreads();

    share.pairs([&](int m, int c, int e, int row, int column) {
        float overlap[2] = {};
        if (!above) {
            const float to_p = L2NORM ? scale * queries[row] : scale,
                        to_n = L2NORM ? betas[row] * keys[row] : betas[row];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int other = column + i;
                // Above the diagonal, the exponential could overflow, so it is not computed.
                float ratio = row >= other ? fast_exp(decays[row] - decays[other]) : 0.0f;
                if constexpr (L2NORM) ratio *= keys[other];
                qk[m][c][e + i] *= ratio * to_p;
                overlap[i] = kk[m][c][e + i] * ratio * to_n;
            }
        }
        set_pair(n + row * F_PITCH + column, overlap[0], overlap[1]);
        set_pair(inverse + row * F_PITCH + column, 0.0f, 0.0f);
    });
    if (thread < CHUNK) {
        Token token{decays[thread], betas[thread], scale, 1.0f};
        if constexpr (L2NORM) {
            token.query *= queries[thread];
            token.key = keys[thread];
        }
        tokens[slot * CHUNK + thread] = token;
    }
    __syncthreads();
    invert(inverse, n);

    share.pairs([&](int m, int c, int e, int row, int column) {
        set_pair(n + row * F_PITCH + column, qk[m][c][e], qk[m][c][e + 1]);
    });
    __syncthreads();
    clear(qk);
    multiply<ROWS, ROWS, CHUNK>(qk, n, F_PITCH, share.row, inverse, F_PITCH, share.column, share.column, row_end);
    share.rows([&](int m, int half, int row) {
        set_row(mixers + (slot * CHUNK + row) * CHUNK + share.pair_column(0), qk[m], half);
    });
    __syncthreads();

    const float last = decays[CHUNK - 1];
    for (int i = thread * VECTOR; i < CHUNK * CHUNK; i += 128 * VECTOR) {
        const int row = i / CHUNK;
        float *const from = inverse + row * F_PITCH + i % CHUNK;
        const float write = fast_exp(last - decays[row]) * (L2NORM ? keys[row] : 1.0f);
        uint4 vector;
#pragma unroll
        for (int j = 0; j < VECTOR; j += 2) {
            const float2 x = pair_at(from + j);
            set_pair(reinterpret_cast<T *>(&vector) + j, x.x, x.y);
            set_pair(from + j, write * x.x, write * x.y);
        }
        if (inverses) *reinterpret_cast<uint4 *>(inverses + slot * CHUNK * CHUNK + i) = vector;
    }
    __syncthreads();
    const Share<CHUNK, K, 4> key_share;
    float h[key_share.MT][key_share.NT][4] = {};
    multiply_floats<CHUNK>(h, inverse, F_PITCH, key_share.row, k_tile, K_PITCH, key_share.column, key_share.row);
    key_share.rows([&](int m, int half, int row) {
        set_row(writers + (slot * CHUNK + row) * K + key_share.pair_column(0), h[m], half);
    });
}

// Forward.

// Computes the rates of a chunk's tokens. Runs on at least 64 threads. Returns exp(G_last).
__device__ float load_rates(Rates *rates, const Token *tokens) {
    const float last = tokens[CHUNK - 1].decay;
    if (threadIdx.x < CHUNK) rates[threadIdx.x] = Rates(tokens[threadIdx.x], last);
    return fast_exp(last);
}

using TokenShare = Share<CHUNK, V, SCAN / WARP>;  // tokens x value channels
using StateShare = Share<K, V, SCAN / WARP>;

// Writes a copy of the state to shared memory in the element type, as an operand of products.
__device__ void set_state(T *tile, const float (&state)[StateShare::MT][StateShare::NT][4]) {
    const StateShare share;
    if (share.active) {
        share.pairs([&](int m, int n, int e, int row, int column) {
            set_pair(tile + row * V_PITCH + column, state[m][n][e], state[m][n][e + 1]);
        });
    }
}

__device__ void read_state(float (&state)[StateShare::MT][StateShare::NT][4], const float *from, int width) {
    const StateShare share;
    if (from && share.active) {
        share.pairs([&](int m, int n, int e, int row, int column) {
            const float2 x = pair_at(from + row * width + column);
            state[m][n][e] = x.x;
            state[m][n][e + 1] = x.y;
        });
    }
}

__device__ void write_state(float *to, const float (&state)[StateShare::MT][StateShare::NT][4], int width) {
    const StateShare share;
    if (to && share.active) {
        share.pairs([&](int m, int n, int e, int row, int column) {
            set_pair(to + row * width + column, state[m][n][e], state[m][n][e + 1]);
        });
    }
}

// Starts from the state `first`, or from zeros if `first` is null. Writes O to `o` and the last state to
// `last`. Writes S before each chunk to `states` and U to `updates`. `o` may be null. `states` and `updates`
// are both null or both not null. `inverses` (T) is read only if `updates` is not null.
extern "C" __global__ void __launch_bounds__(SCAN, 2)
    delta_forward(VIEW(const T, q), VIEW(const T, k), VIEW(const T, v), VIEW(T, o), const Token *tokens,
                  const T *mixers, const T *writers, const T *inverses, const float *first, float *last, T *states,
                  T *updates, int time, int heads, int groups) {
    T *const q_tile = reinterpret_cast<T *>(shared);
    T *const k_tile = q_tile + CHUNK * K_PITCH;
    T *const h_tile = k_tile + CHUNK * K_PITCH;
    T *const s_tile = h_tile + CHUNK * K_PITCH;
    T *const v_tile = s_tile + K * V_PITCH;  // V, then R
    T *const m_tile = v_tile + CHUNK * V_PITCH;
    T *const t_tile = m_tile + CHUNK * C_PITCH;
    __shared__ Rates rates[CHUNK];

    const int head = blockIdx.y, channel = blockIdx.x * V, width = gridDim.x * V;
    const long long batch = blockIdx.z, row_of_heads = batch * heads + head;
    const int group = head / (heads / groups), chunks = (time + CHUNK - 1) / CHUNK;
    const TokenShare share;
    const StateShare state_share;

    float state[StateShare::MT][StateShare::NT][4] = {};
    read_state(state, first ? first + row_of_heads * K * width + channel : nullptr, width);
    set_state(s_tile, state);

    auto fetch_q_k = [&](int chunk) {
        const int start = chunk * CHUNK;
        if (start >= time) return;
        if (o) fetch<CHUNK, K, SCAN>(q_tile, AT(q, head, start), q_time, time - start);
        fetch<CHUNK, K, SCAN>(k_tile, AT(k, group, start), k_time, time - start);
    };
    fetch_q_k(0);
    for (int chunk = 0; chunk < chunks; chunk++) {
        const int start = chunk * CHUNK;
        const long long slot = row_of_heads * chunks + chunk;
        fetch<CHUNK, V, SCAN>(v_tile, AT(v, group, start) + channel, v_time, time - start);
        fetch<CHUNK, K, SCAN>(h_tile, writers + slot * CHUNK * K, K);
        if (o) fetch<CHUNK, CHUNK, SCAN>(m_tile, mixers + slot * CHUNK * CHUNK, CHUNK);
        if (updates) fetch<CHUNK, CHUNK, SCAN>(t_tile, inverses + slot * CHUNK * CHUNK, CHUNK);
        const float keep = load_rates(rates, tokens + slot * CHUNK);
        wait_for_copies();
        __syncthreads();

        if (states) store<K, V, SCAN>(states + slot * K * width + channel, width, s_tile);
        float output[share.MT][share.NT][4] = {}, update[share.MT][share.NT][4] = {};
        if (o) multiply<ROWS, ROWS, K>(output, q_tile, K_PITCH, share.row, s_tile, V_PITCH, share.column);
        multiply<ROWS, ROWS, K>(update, k_tile, K_PITCH, share.row, s_tile, V_PITCH, share.column);
        share.pairs([&](int m, int n, int e, int row, int column) {
            T *const at = v_tile + row * V_PITCH + column;
            const float2 value = pair_at(at);
            const Rates rate = rates[row];
            set_pair(at, rate.beta * value.x + rate.recall * update[m][n][e],
                     rate.beta * value.y + rate.recall * update[m][n][e + 1]);
        });
        __syncthreads();
        fetch_q_k(chunk + 1);

        // M and T are lower triangular. In the warp's rows, their columns from `end` on are zeros.
        const int end = share.row + share.MT * 16;
        if (o) {
            share.pairs([&](int m, int n, int e, int row, int) {
                output[m][n][e] *= rates[row].read;
                output[m][n][e + 1] *= rates[row].read;
            });
            multiply<ROWS, ROWS, CHUNK>(output, m_tile, C_PITCH, share.row, v_tile, V_PITCH, share.column, 0, end);
            share.rows([&](int m, int half, int row) {
                if (start + row < time)
                    set_row(AT(o, head, start + row) + channel + share.pair_column(0), output[m], half);
            });
        }
        if (updates) {
            clear(update);
            multiply<ROWS, ROWS, CHUNK>(update, t_tile, C_PITCH, share.row, v_tile, V_PITCH, share.column, 0, end);
            share.rows([&](int m, int half, int row) {
                set_row(updates + slot * CHUNK * width + channel + (row * width + share.pair_column(0)), update[m],
                        half);
            });
        }
        if (state_share.active) {
            state_share.pairs([&](int m, int n, int e, int, int) {
                state[m][n][e] *= keep;
                state[m][n][e + 1] *= keep;
            });
            multiply<COLUMNS, ROWS, CHUNK>(state, h_tile, K_PITCH, state_share.row, v_tile, V_PITCH,
                                           state_share.column);
        }
        set_state(s_tile, state);
        __syncthreads();
    }
    write_state(last + row_of_heads * K * width + channel, state, width);
}

// Backward.

// Loops from the last chunk to the first. Writes D and dS' of each chunk, and dV for each query head.
// `last_gradient` (zeros if null) is the gradient of the last state. If `first_gradient` is not null, it
// receives the gradient of the first state.
extern "C" __global__ void __launch_bounds__(SCAN, 2)
    delta_backward_scan(VIEW(const T, q), VIEW(const T, k), VIEW(const T, o_gradient), VIEW(T, v_gradient),
                        const Token *tokens, const T *mixers, const T *writers, const float *last_gradient,
                        float *first_gradient, T *state_gradients, T *residual_gradients, int time, int heads,
                        int groups) {
    T *const q_tile = reinterpret_cast<T *>(shared);
    T *const k_tile = q_tile + CHUNK * K_PITCH;
    T *const h_tile = k_tile + CHUNK * K_PITCH;
    T *const s_tile = h_tile + CHUNK * K_PITCH;
    T *const o_tile = s_tile + K * V_PITCH;
    T *const r_tile = o_tile + CHUNK * V_PITCH;  // -beta exp(G) D: row by row, `recall` times D
    T *const p_tile = r_tile + CHUNK * V_PITCH;  // scale exp(G) dO: row by row, `read` times dO
    T *const m_tile = p_tile + CHUNK * V_PITCH;
    __shared__ Rates rates[CHUNK];

    const int head = blockIdx.y, channel = blockIdx.x * V, width = gridDim.x * V;
    const long long batch = blockIdx.z, row_of_heads = batch * heads + head;
    const int group = head / (heads / groups), chunks = (time + CHUNK - 1) / CHUNK;
    const TokenShare share;
    const StateShare state_share;

    float state[StateShare::MT][StateShare::NT][4] = {};
    read_state(state, last_gradient ? last_gradient + row_of_heads * K * width + channel : nullptr, width);
    set_state(s_tile, state);

    auto fetch_m_h_o = [&](int chunk) {
        if (chunk < 0) return;
        const int start = chunk * CHUNK;
        const long long slot = row_of_heads * chunks + chunk;
        fetch<CHUNK, CHUNK, SCAN>(m_tile, mixers + slot * CHUNK * CHUNK, CHUNK);
        fetch<CHUNK, K, SCAN>(h_tile, writers + slot * CHUNK * K, K);
        fetch<CHUNK, V, SCAN>(o_tile, AT(o_gradient, head, start) + channel, o_gradient_time, time - start);
    };
    fetch_m_h_o(chunks - 1);
    for (int chunk = chunks - 1; chunk >= 0; chunk--) {
        const int start = chunk * CHUNK;
        const long long slot = row_of_heads * chunks + chunk;
        fetch<CHUNK, K, SCAN>(q_tile, AT(q, head, start), q_time, time - start);
        fetch<CHUNK, K, SCAN>(k_tile, AT(k, group, start), k_time, time - start);
        const float keep = load_rates(rates, tokens + slot * CHUNK);
        wait_for_copies();
        __syncthreads();

        store<K, V, SCAN>(state_gradients + slot * K * width + channel, width, s_tile);
        float residual[share.MT][share.NT][4] = {};
        multiply<ROWS, ROWS, K>(residual, h_tile, K_PITCH, share.row, s_tile, V_PITCH, share.column);
        // In the warp's rows, the columns of M^T before `share.row` are zeros.
        multiply<COLUMNS, ROWS, CHUNK>(residual, m_tile, C_PITCH, share.row, o_tile, V_PITCH, share.column, share.row,
                                       CHUNK);
        share.pairs([&](int m, int n, int e, int row, int column) {
            const Rates rate = rates[row];
            const int at = row * V_PITCH + column;
            const float2 gradient = pair_at(o_tile + at);
            set_pair(r_tile + at, rate.recall * residual[m][n][e], rate.recall * residual[m][n][e + 1]);
            set_pair(p_tile + at, rate.read * gradient.x, rate.read * gradient.y);
        });
        share.rows([&](int m, int half, int row) {
            const int at = share.pair_column(0);
            set_row(residual_gradients + slot * CHUNK * width + channel + (row * width + at), residual[m], half);
            if (start + row < time) {
                set_row(AT(v_gradient, head, start + row) + channel + at, residual[m], half, rates[row].beta);
            }
        });
        __syncthreads();
        fetch_m_h_o(chunk - 1);

        if (state_share.active) {
            state_share.pairs([&](int m, int n, int e, int, int) {
                state[m][n][e] *= keep;
                state[m][n][e + 1] *= keep;
            });
            multiply<COLUMNS, ROWS, CHUNK>(state, q_tile, K_PITCH, state_share.row, p_tile, V_PITCH,
                                           state_share.column);
            multiply<COLUMNS, ROWS, CHUNK>(state, k_tile, K_PITCH, state_share.row, r_tile, V_PITCH,
                                           state_share.column);
        }
        set_state(s_tile, state);
        __syncthreads();
    }
    write_state(first_gradient ? first_gradient + row_of_heads * K * width + channel : nullptr, state, width);
}

// Writes the sum of a row. Four neighbouring lanes each hold a part `x` of the sum.
__device__ void add_row(float *sums, float x) {
    x += __shfl_xor_sync(ALL, x, 1);
    x += __shfl_xor_sync(ALL, x, 2);
    if (threadIdx.x % 4 == 0) *sums = x;
}

// Adds the PARTS partial sums of each of 64 rows. Runs on at least 64 threads.
template <int PARTS>
__device__ void add_across(float (&sums)[PARTS][CHUNK]) {
    if (threadIdx.x >= CHUNK) return;
#pragma unroll
    for (int i = 1; i < PARTS; i++) sums[0][threadIdx.x] += sums[i][threadIdx.x];
}

// The gradients of one chunk of one head, over all value channels:
//
//     W = dO U^T * L          dQ = exp(G) dO S^T + W K
//     X = -beta D U^T * L     dK = A + B + E
//     A = -beta exp(G) D S^T + X K        B = W^T Q + X^T K        E = exp(G_last - G) U dS'^T
//     dbeta = D.U / beta        dG = Q.dQ + K.A - K.B - K.E
//
// Y.Z is the dot product of each row of Y with the same row of Z. Two terms are added to dG of the chunk's
// last token: exp(G_last) times the sum of S.dS' over all rows, and the sum of K.E over all tokens. W and X
// are rounded only once. The terms of dG that should cancel therefore cancel exactly. dg of a token is the
// sum of dG from this token to the end of the chunk. In this sum, the terms - K.E cancel against terms of the
// sum at the last token. Only K.E of the earlier tokens is left. The diagonal of W does not depend on g,
// because L is 1 there. The kernel therefore adds the diagonal's part of dQ and B at the end, after dg is
// computed.
//
// The kernel makes four passes over the value channels: for W and X, for dQ, for A, and for E. A single pass
// would need so many registers that only one block would fit on a multiprocessor. The next slice is loaded
// while a slice is multiplied.
extern "C" __global__ void __launch_bounds__(256, sizeof(T) == 2 ? 2 : 1)
    delta_backward_chunks(VIEW(const T, q), VIEW(const T, k), VIEW(const T, o_gradient), VIEW(T, q_gradient),
                          VIEW(T, k_gradient), VIEW(float, beta_gradient), VIEW(float, g_gradient), const Token *tokens,
                          const T *states, const T *updates, const T *state_gradients, const T *residual_gradients,
                          float scale, int time, int heads, int groups, int width) {
    constexpr int THREADS = 256, WARPS = THREADS / WARP, PLACE = CHUNK * V_PITCH;
    constexpr int STAGE = most(3 * PLACE, PLACE + K * V_PITCH);
    using KeyShare = Share<CHUNK, K, WARPS>;
    T *const q_tile = reinterpret_cast<T *>(shared);
    T *const k_tile = q_tile + CHUNK * K_PITCH;
    T *const w_tile = k_tile + CHUNK * K_PITCH;
    T *const x_tile = w_tile + CHUNK * C_PITCH;
    T *const stages = x_tile + CHUNK * C_PITCH;
    __shared__ Token chunk_tokens[CHUNK];
    __shared__ float diagonal[CHUNK], update_dots[CHUNK], passed_on[WARPS];
    __shared__ float q_dots[KeyShare::ACROSS][CHUNK], qk_dots[KeyShare::ACROSS][CHUNK];
    __shared__ float a_dots[KeyShare::ACROSS][CHUNK], b_dots[KeyShare::ACROSS][CHUNK], e_dots[KeyShare::ACROSS][CHUNK];

    const int chunk = blockIdx.x, head = blockIdx.y, thread = threadIdx.x;
    const long long batch = blockIdx.z, slot = (batch * heads + head) * gridDim.x + chunk;
    const int group = head / (heads / groups), start = chunk * CHUNK, valid = least(CHUNK, time - start);
    const Share<CHUNK, CHUNK, WARPS> square;
    const KeyShare share;

    int stage = 0;  // the buffer to fill next, 0 or 1
    auto fetch_stage = [&](int pass, int channel) {
        T *const to = stages + stage * STAGE;
        auto fetch_rows = [&](T *tile, const T *from) {  // from a tensor [slot, CHUNK, width]
            fetch<CHUNK, V, THREADS>(tile, from + slot * CHUNK * width + channel, width);
        };
        if (pass < 2) fetch<CHUNK, V, THREADS>(to, AT(o_gradient, head, start) + channel, o_gradient_time, valid);
        if (pass == 0) fetch_rows(to + PLACE, updates);
        if (pass == 0) fetch_rows(to + 2 * PLACE, residual_gradients);
        if (pass == 2) fetch_rows(to, residual_gradients);
        if (pass == 3) fetch_rows(to, updates);
        if (pass == 1 || pass == 2) fetch<K, V, THREADS>(to + PLACE, states + slot * K * width + channel, width);
        if (pass == 3) fetch<K, V, THREADS>(to + PLACE, state_gradients + slot * K * width + channel, width);
    };
    auto next_stage = [&](int pass, int channel) -> const T * {
        wait_for_copies();
        __syncthreads();
        stage ^= 1;
        if (channel + V < width) {
            fetch_stage(pass, channel + V);
        } else if (pass < 3) {
            fetch_stage(pass + 1, 0);
        }
        return stages + (stage ^ 1) * STAGE;
    };

    fetch<CHUNK, K, THREADS>(q_tile, AT(q, head, start), q_time, valid);
    fetch<CHUNK, K, THREADS>(k_tile, AT(k, group, start), k_time, valid);
    fetch_stage(0, 0);
    if (thread < CHUNK) chunk_tokens[thread] = tokens[slot * CHUNK + thread];

    {
        float w[square.MT][square.NT][4] = {}, x[square.MT][square.NT][4] = {};
        // LANES neighbouring threads compute a row of D.U.
        constexpr int LANES = V / VECTOR, ROWS_AT_ONCE = THREADS / LANES;
        constexpr int ROW_PASSES = (CHUNK + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
        float update_dot[ROW_PASSES] = {};
        for (int channel = 0; channel < width; channel += V) {
            const T *const o_tile = next_stage(0, channel), *const u_tile = o_tile + PLACE,
                           *const r_tile = u_tile + PLACE;
            multiply<ROWS, COLUMNS, V, 2>(w, o_tile, V_PITCH, square.row, u_tile, V_PITCH, square.column);
            multiply<ROWS, COLUMNS, V, 2>(x, r_tile, V_PITCH, square.row, u_tile, V_PITCH, square.column);
#pragma unroll
            for (int i = 0; i < ROW_PASSES; i++) {
                const int row = i * ROWS_AT_ONCE + thread / LANES;
                const int at = row * V_PITCH + thread % LANES * VECTOR;
                if (row < CHUNK) update_dot[i] += dot_product(vector_at(r_tile + at), vector_at(u_tile + at));
            }
        }
#pragma unroll
        for (int i = 0; i < ROW_PASSES; i++) {
            const int row = i * ROWS_AT_ONCE + thread / LANES;
            for (int lanes = LANES / 2; lanes; lanes /= 2) update_dot[i] += __shfl_xor_sync(ALL, update_dot[i], lanes);
            if (row < CHUNK && thread % LANES == 0) update_dots[row] = update_dot[i];
        }
        square.pairs([&](int m, int n, int e, int row, int column) {
            const Token token = chunk_tokens[row];
            float to_w[2], to_x[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const Token other = chunk_tokens[column + i];
                const float ratio = row > column + i ? fast_exp(token.decay - other.decay) * other.key : 0.0f;
                to_w[i] = w[m][n][e + i] * ratio * token.query;
                to_x[i] = -x[m][n][e + i] * ratio * token.beta * token.key;
                if (row == column + i) diagonal[row] = w[m][n][e + i] * token.query * token.key;
            }
            set_pair(w_tile + row * C_PITCH + column, to_w[0], to_w[1]);
            set_pair(x_tile + row * C_PITCH + column, to_x[0], to_x[1]);
        });
    }

    const float end = chunk_tokens[CHUNK - 1].decay;
    const int row_end = share.row + share.MT * 16, place = share.column / (share.NT * 8);
    {
        float dq[share.MT][share.NT][4] = {};
        for (int channel = 0; channel < width; channel += V) {
            const T *const o_tile = next_stage(1, channel), *const s_tile = o_tile + PLACE;
            if (!share.active) continue;
            multiply<ROWS, COLUMNS, V, 2>(dq, o_tile, V_PITCH, share.row, s_tile, V_PITCH, share.column);
        }
        if (share.active) {
            share.pairs([&](int m, int n, int e, int row, int) {
                const float read = Rates(chunk_tokens[row], end).read;
                dq[m][n][e] *= read;
                dq[m][n][e + 1] *= read;
            });
            multiply<ROWS, ROWS, CHUNK, 2>(dq, w_tile, C_PITCH, share.row, k_tile, K_PITCH, share.column, 0, row_end);
            share.rows([&](int m, int half, int row) {
                float q_dot = 0.0f, qk_dot = 0.0f;
#pragma unroll
                for (int n = 0; n < share.NT; n++) {
                    const int at = row * K_PITCH + share.pair_column(n);
                    const float2 query = pair_at(q_tile + at), key = pair_at(k_tile + at);
                    q_dot += query.x * dq[m][n][half * 2] + query.y * dq[m][n][half * 2 + 1];
                    qk_dot += query.x * key.x + query.y * key.y;
                }
                add_row(&q_dots[place][row], q_dot);
                add_row(&qk_dots[place][row], qk_dot);
            });
        }
        __syncthreads();
        add_across(q_dots);
        add_across(qk_dots);
        __syncthreads();
        if (share.active) {
            share.rows([&](int m, int half, int row) {
                if (row >= valid) return;
                T *const to = AT(q_gradient, head, start + row);
                // For y = r x with r = 1 / |x|, dx = r dy - r^3 x (x.dy). `dq` already holds r dy.
                const float own = diagonal[row], norm = chunk_tokens[row].query / scale;
                const float along = L2NORM ? norm * norm * (q_dots[0][row] + own * qk_dots[0][row]) : 0.0f;
#pragma unroll
                for (int n = 0; n < share.NT; n++) {
                    const int column = share.pair_column(n), at = row * K_PITCH + column;
                    const float2 query = pair_at(q_tile + at), key = pair_at(k_tile + at);
                    set_pair(to + column, dq[m][n][half * 2] + own * key.x - along * query.x,
                             dq[m][n][half * 2 + 1] + own * key.y - along * query.y);
                }
            });
        }
    }

    // `dk` holds A, later A + E. `db` holds E, later B.
    float dk[share.MT][share.NT][4] = {}, db[share.MT][share.NT][4] = {};
    auto key_dots = [&](float (&dots)[KeyShare::ACROSS][CHUNK], const float (&x)[KeyShare::MT][KeyShare::NT][4]) {
        share.rows([&](int m, int half, int row) {
            float dot = 0.0f;
#pragma unroll
            for (int n = 0; n < share.NT; n++) {
                const float2 key = pair_at(k_tile + row * K_PITCH + share.pair_column(n));
                dot += key.x * x[m][n][half * 2] + key.y * x[m][n][half * 2 + 1];
            }
            add_row(&dots[place][row], dot);
        });
    };
    for (int channel = 0; channel < width; channel += V) {
        const T *const r_tile = next_stage(2, channel), *const s_tile = r_tile + PLACE;
        if (!share.active) continue;
        multiply<ROWS, COLUMNS, V, 2>(dk, r_tile, V_PITCH, share.row, s_tile, V_PITCH, share.column);
    }
    if (share.active) {
        share.pairs([&](int m, int n, int e, int row, int) {
            const float recall = Rates(chunk_tokens[row], end).recall;
            dk[m][n][e] *= recall;
            dk[m][n][e + 1] *= recall;
        });
        multiply<ROWS, ROWS, CHUNK, 2>(dk, x_tile, C_PITCH, share.row, k_tile, K_PITCH, share.column, 0, row_end);
        key_dots(a_dots, dk);
    }
    float kept = 0.0f;
    for (int channel = 0; channel < width; channel += V) {
        uint4 state[(K * V / VECTOR + THREADS - 1) / THREADS];
        vectors<K, V, THREADS>([&](int i, int row, int column) {
            state[i] = vector_at(states + slot * K * width + channel + (row * width + column));
        });
        const T *const u_tile = next_stage(3, channel), *const z_tile = u_tile + PLACE;
        vectors<K, V, THREADS>(
            [&](int i, int row, int column) { kept += dot_product(state[i], vector_at(z_tile + row * V_PITCH + column)); });
        if (!share.active) continue;
        multiply<ROWS, COLUMNS, V, 2>(db, u_tile, V_PITCH, share.row, z_tile, V_PITCH, share.column);
    }
    if (share.active) {
        share.pairs([&](int m, int n, int e, int row, int) {
            const float write = Rates(chunk_tokens[row], end).write;
            db[m][n][e] *= write;
            db[m][n][e + 1] *= write;
        });
        key_dots(e_dots, db);
        share.pairs([&](int m, int n, int e, int, int) {
            dk[m][n][e] += db[m][n][e];
            dk[m][n][e + 1] += db[m][n][e + 1];
        });
        clear(db);
        multiply<COLUMNS, ROWS, CHUNK, 2>(db, w_tile, C_PITCH, share.row, q_tile, K_PITCH, share.column, share.row,
                                          CHUNK);
        multiply<COLUMNS, ROWS, CHUNK, 2>(db, x_tile, C_PITCH, share.row, k_tile, K_PITCH, share.column, share.row,
                                          CHUNK);
        key_dots(b_dots, db);
    }
    kept *= fast_exp(end);
#pragma unroll
    for (int lanes = WARP / 2; lanes; lanes /= 2) kept += __shfl_xor_sync(ALL, kept, lanes);
    if (thread % WARP == 0) passed_on[thread / WARP] = kept;
    __syncthreads();
    add_across(a_dots);
    add_across(b_dots);
    add_across(e_dots);
    __syncthreads();

    if (thread < valid) {
        *AT(beta_gradient, head, start + thread) = update_dots[thread] / chunk_tokens[thread].beta;
    }
    if (thread < WARP) {
        // dg[i] = sum over j >= i of (Q.dQ + K.A - K.B)[j] + sum over j < i of (K.E)[j] + exp(G_last) S.dS'
        auto own = [&](int row) { return q_dots[0][row] + a_dots[0][row] - b_dots[0][row]; };
        const float first = own(thread * 2), second = own(thread * 2 + 1);
        const float first_passed = e_dots[0][thread * 2], second_passed = e_dots[0][thread * 2 + 1];
        float after = first + second, before = first_passed + second_passed;
        for (int lanes = 1; lanes < WARP; lanes *= 2) {
            const float later = __shfl_down_sync(ALL, after, lanes), earlier = __shfl_up_sync(ALL, before, lanes);
            if (thread + lanes < WARP) after += later;
            if (thread >= lanes) before += earlier;
        }
        after = __shfl_down_sync(ALL, after, 1);
        before = __shfl_up_sync(ALL, before, 1);
        if (thread == WARP - 1) after = 0.0f;
        if (thread == 0) before = 0.0f;
        for (int i = 0; i < WARPS; i++) before += passed_on[i];
        if (thread * 2 < valid) *AT(g_gradient, head, start + thread * 2) = first + second + after + before;
        if (thread * 2 + 1 < valid) {
            *AT(g_gradient, head, start + thread * 2 + 1) = second + after + first_passed + before;
        }
    }
    if (share.active) {
        share.rows([&](int m, int half, int row) {
            if (row >= valid) return;
            T *const to = AT(k_gradient, head, start + row);
            const float own = diagonal[row], norm = chunk_tokens[row].key;
            const float dot = a_dots[0][row] + b_dots[0][row] + e_dots[0][row] + own * qk_dots[0][row];
            const float along = L2NORM ? norm * norm * dot : 0.0f;
#pragma unroll
            for (int n = 0; n < share.NT; n++) {
                const int column = share.pair_column(n), at = row * K_PITCH + column;
                const float2 query = pair_at(q_tile + at), key = pair_at(k_tile + at);
                set_pair(to + column, dk[m][n][half * 2] + db[m][n][half * 2] + own * query.x - along * key.x,
                         dk[m][n][half * 2 + 1] + db[m][n][half * 2 + 1] + own * query.y - along * key.y);
            }
        });
    }
}

// Sums the gradients of the heads of each group. `per_head` is contiguous, [batch, groups, ratio, time,
// width].
extern "C" __global__ void __launch_bounds__(256)
    delta_group_sum(const T *per_head, VIEW(T, sum), int ratio, int time, int width) {
    const int group = blockIdx.y;
    const long long batch = blockIdx.z, dense = (long long)time * width;
    const long long i = (blockIdx.x * 256LL + threadIdx.x) * 2;
    if (i >= dense) return;
    const T *from = per_head + (batch * gridDim.y + group) * ratio * dense + i;
    float2 total = make_float2(0.0f, 0.0f);
    for (int head = 0; head < ratio; head++) {
        const float2 x = pair_at(from + head * dense);
        total = make_float2(total.x + x.x, total.y + x.y);
    }
    set_pair(AT(sum, group, i / width) + i % width, total.x, total.y);
}

// One token.

// The kernel reads the state once and overwrites it. Let r be S^T k and p be S^T q, for the old state S. Then
// u = beta (v - exp(g) r) and o = scale (exp(g) p + (q.k) u).
extern "C" __global__ void __launch_bounds__(STEP, 6)
    delta_step(const T *q, long long q_batch, long long q_head, const T *k, long long k_batch, long long k_head,
               const T *v, long long v_batch, long long v_head, const float *beta, long long beta_batch,
               long long beta_head, const float *g, long long g_batch, long long g_head, T *o, long long o_batch,
               long long o_head, float *state, float scale, int heads, int groups) {
    constexpr int W = STEP_SLICE, WARPS = STEP / WARP, LANES = W / 4, ROWS_AT_ONCE = STEP / LANES,
                  PASSES = (K + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    __shared__ float queries[K], keys[K], sums[3][WARPS];
    __shared__ float recalls[WARPS][W], reads[WARPS][W];
    const int head = blockIdx.y, width = gridDim.x * W, thread = threadIdx.x, warp = thread / WARP;
    const long long batch = blockIdx.z;
    const int group = head / (heads / groups), first_row = thread / LANES, channel = thread % LANES * 4;
    float *const mine = state + (batch * heads + head) * K * width + blockIdx.x * W + channel;

    float4 s[PASSES];
#pragma unroll
    for (int i = 0; i < PASSES; i++) {
        const int row = first_row + i * ROWS_AT_ONCE;
        if (row < K) s[i] = __ldcs(reinterpret_cast<const float4 *>(mine + row * width));
    }
    const float a = thread < K ? float(q[batch * q_batch + head * q_head + thread]) : 0.0f;
    const float b = thread < K ? float(k[batch * k_batch + group * k_head + thread]) : 0.0f;
    if (thread < K) {
        queries[thread] = a;
        keys[thread] = b;
    }
    float products[3] = {a * a, b * b, a * b};
#pragma unroll
    for (int i = 0; i < 3; i++) {
        for (int step = WARP / 2; step; step /= 2) products[i] += __shfl_xor_sync(ALL, products[i], step);
        if (thread % WARP == 0) sums[i][warp] = products[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 3; i++) {
        products[i] = 0.0f;
        for (int w = 0; w < WARPS; w++) products[i] += sums[i][w];
    }
    const float q_norm = (L2NORM ? rsqrtf(products[0] + NORM_EPSILON) : 1.0f) * scale;
    const float k_norm = L2NORM ? rsqrtf(products[1] + NORM_EPSILON) : 1.0f;

    float recall[4] = {}, read[4] = {};
#pragma unroll
    for (int i = 0; i < PASSES; i++) {
        const int row = first_row + i * ROWS_AT_ONCE;
        if (row >= K) continue;
        const float key = keys[row], query = queries[row], x[4] = {s[i].x, s[i].y, s[i].z, s[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            recall[j] += key * x[j];
            read[j] += query * x[j];
        }
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        for (int step = WARP / 2; step >= LANES; step /= 2) {
            recall[j] += __shfl_xor_sync(ALL, recall[j], step);
            read[j] += __shfl_xor_sync(ALL, read[j], step);
        }
        if (thread % WARP < LANES) {
            recalls[warp][channel + j] = recall[j];
            reads[warp][channel + j] = read[j];
        }
    }
    __syncthreads();
    const float decay = fast_exp(g[batch * g_batch + head * g_head]),
                strength = beta[batch * beta_batch + head * beta_head];
    const T *const values = v + batch * v_batch + group * v_head + blockIdx.x * W + channel;
    float u[4], out[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float r = 0.0f, p = 0.0f;
        for (int w = 0; w < WARPS; w++) {
            r += recalls[w][channel + j];
            p += reads[w][channel + j];
        }
        u[j] = strength * (float(values[j]) - decay * k_norm * r);
        out[j] = q_norm * (decay * p + products[2] * k_norm * u[j]);
    }
    if (thread < LANES) {
        T *const to = o + batch * o_batch + head * o_head + blockIdx.x * W + channel;
        set_pair(to, out[0], out[1]);
        set_pair(to + 2, out[2], out[3]);
    }
#pragma unroll
    for (int i = 0; i < PASSES; i++) {
        const int row = first_row + i * ROWS_AT_ONCE;
        if (row >= K) continue;
        const float key = keys[row] * k_norm;
        __stcs(reinterpret_cast<float4 *>(mine + row * width),
               make_float4(decay * s[i].x + key * u[0], decay * s[i].y + key * u[1], decay * s[i].z + key * u[2],
                           decay * s[i].w + key * u[3]));
    }
}
