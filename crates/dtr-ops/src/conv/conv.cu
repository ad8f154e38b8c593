// Short causal depthwise convolutions. The static form has a weight [c, WIDTH]. The dynamic form (JetBlock)
// has a weight [t, c, WIDTH]: each token has its own taps.
//
//   z[t, c] = sum_w weight[(t,) c, w] x[t - WIDTH + 1 + w, c]        y = z, or silu(z)
//
// The inputs before the first token are `past` [b, WIDTH - 1, c], or zeros if `past` is null. Compile once
// for each width and dtype: CONV_WIDTH is the width (2 to 8), and REAL_F32 selects f32 tensors instead of
// bf16. Sums are f32. The number of channels must be a multiple of 4.
#include <cuda_bf16.h>

#ifndef CONV_WIDTH
#define CONV_WIDTH 4
#endif
#ifdef REAL_F32
using Real = float;
#else
using Real = __nv_bfloat16;
#endif
using bf16 = __nv_bfloat16;
using i64 = long long;

constexpr int WIDTH = CONV_WIDTH, BEFORE = WIDTH - 1;
constexpr int LANES = 4;                                          // neighbouring channels of a thread
constexpr int FORWARD_SEGMENT = 32, BACKWARD_SEGMENT = 64;  // tokens of a thread
constexpr int AHEAD = 8;                                          // tokens whose loads are in flight together
static_assert(WIDTH >= 2 && WIDTH <= 8);

struct Vec {
    float at[LANES];
};

// LANES elements as stored in memory.
#ifdef REAL_F32
using Raw = float4;
__device__ inline Vec widen(Raw x) { return {{x.x, x.y, x.z, x.w}}; }
#else
using Raw = uint2;
__device__ inline Vec widen(Raw x) {
    return {{__uint_as_float(x.x << 16), __uint_as_float(x.x & 0xffff0000u), __uint_as_float(x.y << 16),
             __uint_as_float(x.y & 0xffff0000u)}};
}
#endif
__device__ inline Raw load_raw(const Real* from) { return *reinterpret_cast<const Raw*>(from); }
__device__ inline Vec load(const Real* from) { return widen(load_raw(from)); }
__device__ inline void store(float* to, const Vec& x) {
    *reinterpret_cast<float4*>(to) = make_float4(x.at[0], x.at[1], x.at[2], x.at[3]);
}
__device__ inline void store(bf16* to, const Vec& x) {
    const __nv_bfloat162 low = __floats2bfloat162_rn(x.at[0], x.at[1]), high = __floats2bfloat162_rn(x.at[2], x.at[3]);
    *reinterpret_cast<uint2*>(to) =
        make_uint2(reinterpret_cast<const unsigned&>(low), reinterpret_cast<const unsigned&>(high));
}

// The taps of a token for a thread's channels, [channel][tap], as stored in memory. If all tokens share their
// taps, this struct is empty.
template <bool PRESENT>
struct RawTaps {
    Raw at[WIDTH];
    RawTaps() = default;
    __device__ RawTaps(const Real* from) {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) at[i] = load_raw(from + i * LANES);
    }
};
template <>
struct RawTaps<false> {
    RawTaps() = default;
    __device__ RawTaps(const Real*) {}
};

struct Taps {
    float at[LANES][WIDTH];

    __device__ void take(const RawTaps<true>& raw) {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            const Vec x = widen(raw.at[i]);
#pragma unroll
            for (int j = 0; j < LANES; ++j) at[(i * LANES + j) / WIDTH][(i * LANES + j) % WIDTH] = x.at[j];
        }
    }
    template <typename To>
    __device__ void store_to(To* to) const {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) {
            Vec x;
#pragma unroll
            for (int j = 0; j < LANES; ++j) x.at[j] = at[(i * LANES + j) / WIDTH][(i * LANES + j) % WIDTH];
            store(to + i * LANES, x);
        }
    }
};

// The rows of the last WIDTH tokens, the newest last.
struct Window {
    Vec at[WIDTH];

    __device__ void push(const Vec& x) {
#pragma unroll
        for (int i = 0; i < BEFORE; ++i) at[i] = at[i + 1];
        at[BEFORE] = x;
    }
    __device__ Vec convolve(const Taps& taps) const {
        Vec sum = {};
#pragma unroll
        for (int w = 0; w < WIDTH; ++w)
#pragma unroll
            for (int i = 0; i < LANES; ++i) sum.at[i] += taps.at[i][w] * at[w].at[i];
        return sum;
    }
};

__device__ inline float sigmoid(float x) { return __fdividef(1, 1 + __expf(-x)); }

// Returns x at token t, which may be before the first token.
__device__ inline Raw input(const Real* x, i64 x_t, const Real* past, int channels, int t) {
    if (t >= 0) return load_raw(x + t * x_t);
    return past ? load_raw(past + (t + BEFORE) * channels) : Raw{};
}

// Calls use(t, get(t)) for t in [start, end). Calls `get` for COUNT tokens, then `use` for these tokens, and
// so on.
template <int COUNT, typename Get, typename Use>
__device__ inline void each_token(int start, int end, Get get, Use use) {
    int t = start;
    for (; t + COUNT <= end; t += COUNT) {
        decltype(get(t)) rows[COUNT];
#pragma unroll
        for (int i = 0; i < COUNT; ++i) rows[i] = get(t + i);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) use(t + i, rows[i]);
    }
    for (; t < end; ++t) use(t, get(t));
}

// The forward pass. `next_past` may alias `past` if `time` is at most FORWARD_SEGMENT.
template <bool DYNAMIC>
__device__ inline void forward(const Real* __restrict__ x, i64 x_b, i64 x_t, const Real* __restrict__ weight, i64 w_b,
                               i64 w_t, const Real* past, Real* next_past, Real* __restrict__ y, i64 y_b, i64 y_t,
                               int channels, int time, int silu) {
    const int c = (blockIdx.x * blockDim.x + threadIdx.x) * LANES, b = blockIdx.z;
    const int start = blockIdx.y * FORWARD_SEGMENT, end = min(start + FORWARD_SEGMENT, time);
    if (c >= channels) return;
    x += b * x_b + c;
    y += b * y_b + c;
    weight += b * w_b + c * WIDTH;
    if (past) past += (i64)b * BEFORE * channels + c;
    Raw before[BEFORE];
#pragma unroll
    for (int i = 0; i < BEFORE; ++i) before[i] = input(x, x_t, past, channels, start - BEFORE + i);
    Taps taps;
    if constexpr (!DYNAMIC) taps.take(weight);
    Window window;
#pragma unroll
    for (int i = 0; i < BEFORE; ++i) window.push(widen(before[i]));
    struct Token {
        Raw x;
        RawTaps<DYNAMIC> taps;
    };
    const auto get = [&](int t) { return Token{load_raw(x + t * x_t), RawTaps<DYNAMIC>(weight + t * w_t)}; };
    each_token<AHEAD / (DYNAMIC ? 2 : 1)>(start, end, get, [&](int t, const Token& token) {
        window.push(widen(token.x));
        if constexpr (DYNAMIC) taps.take(token.taps);
        Vec z = window.convolve(taps);
        if (silu)
#pragma unroll
            for (int i = 0; i < LANES; ++i) z.at[i] *= sigmoid(z.at[i]);
        store(y + t * y_t, z);
    });
    if (next_past && end == time) {
        next_past += (i64)b * BEFORE * channels + c;
#pragma unroll
        for (int i = 0; i < BEFORE; ++i) store(next_past + i * channels, window.at[i + 1]);
    }
}

// The backward pass. A thread computes dx of BACKWARD_SEGMENT tokens. The outputs of the WIDTH - 1 tokens
// after this segment depend on these inputs, so the thread reads these tokens too. The thread of the first
// segment also computes the gradient of `past`. Dynamic taps get a gradient for each token. The gradient of
// static taps is a sum over tokens. Each thread writes the sum over its own tokens to its row of `dweights`
// [batch * segments, c, WIDTH] f32. Another kernel then sums the rows.
template <bool DYNAMIC, typename DWeight>
__device__ inline void backward(const Real* __restrict__ x, i64 x_b, i64 x_t, const Real* __restrict__ weight, i64 w_b,
                                i64 w_t, const Real* __restrict__ past, const Real* __restrict__ dy, i64 dy_b, i64 dy_t,
                                Real* __restrict__ dx, i64 dx_b, i64 dx_t, DWeight* __restrict__ dweights, i64 dw_b,
                                i64 dw_t, Real* __restrict__ dpast, int channels, int time, int silu) {
    const int c = (blockIdx.x * blockDim.x + threadIdx.x) * LANES, b = blockIdx.z;
    const int start = blockIdx.y * BACKWARD_SEGMENT, end = min(start + BACKWARD_SEGMENT, time);
    const int beyond = min(end + BEFORE, time);
    if (c >= channels) return;
    x += b * x_b + c;
    dy += b * dy_b + c;
    dx += b * dx_b + c;
    weight += b * w_b + c * WIDTH;
    if (past) past += (i64)b * BEFORE * channels + c;
    if (dpast) dpast += (i64)b * BEFORE * channels + c;
    dweights += DYNAMIC ? b * dw_b + c * WIDTH : (((i64)b * gridDim.y + blockIdx.y) * channels + c) * WIDTH;
    Taps taps, dtaps = {};
    if constexpr (!DYNAMIC) taps.take(weight);
    Window window, sums = {};  // the last inputs, and the sums of their gradients so far
#pragma unroll
    for (int i = 0; i < BEFORE; ++i) window.push(widen(input(x, x_t, past, channels, start - BEFORE + i)));

    const auto store_gradient = [&](int t) {  // the sum of token t, the oldest of the window, is complete
        if (t >= start && t < end) store(dx + t * dx_t, sums.at[0]);
        else if (t < 0 && start == 0 && dpast) store(dpast + (t + BEFORE) * channels, sums.at[0]);
    };
    struct Token {
        Raw x, dy;
        RawTaps<DYNAMIC> taps;
    };
    const auto get = [&](int t) {
        return Token{load_raw(x + t * x_t), load_raw(dy + t * dy_t), RawTaps<DYNAMIC>(weight + t * w_t)};
    };
    each_token<DYNAMIC && sizeof(Real) == 4 ? 1 : AHEAD / 2>(start, beyond, get, [&](int t, const Token& token) {
        window.push(widen(token.x));
        sums.push(Vec{});
        if constexpr (DYNAMIC) taps.take(token.taps);
        Vec dz = widen(token.dy);
        if (silu) {
            const Vec z = window.convolve(taps);
#pragma unroll
            for (int i = 0; i < LANES; ++i) {
                const float s = sigmoid(z.at[i]);
                dz.at[i] *= s * (1 + z.at[i] * (1 - s));
            }
        }
#pragma unroll
        for (int w = 0; w < WIDTH; ++w)
#pragma unroll
            for (int i = 0; i < LANES; ++i) {
                sums.at[w].at[i] += taps.at[i][w] * dz.at[i];
                if constexpr (DYNAMIC) dtaps.at[i][w] = window.at[w].at[i] * dz.at[i];
                else if (t < end) dtaps.at[i][w] += window.at[w].at[i] * dz.at[i];
            }
        if (DYNAMIC && t < end) dtaps.store_to(dweights + t * dw_t);
        store_gradient(t - BEFORE);
    });
    for (int t = beyond; t < end + BEFORE; ++t) {  // after the last token
        sums.push(Vec{});
        store_gradient(t - BEFORE);
    }
    if constexpr (!DYNAMIC) dtaps.store_to(dweights);
}

// The batch can hold a stack of layers. Each layer has `layer_batch` rows and its own weight. The grid is
// (ceil(c / (LANES * threads of a block)), ceil(time / tokens of a thread), batch).
extern "C" __global__ void conv_forward(const Real* x, i64 x_b, i64 x_t, const Real* weight, const Real* past,
                                        Real* next_past, Real* y, i64 y_b, i64 y_t, int channels, int time, int silu,
                                        int layer_batch) {
    weight += (i64)(blockIdx.z / layer_batch) * channels * WIDTH;
    forward<false>(x, x_b, x_t, weight, 0, 0, past, next_past, y, y_b, y_t, channels, time, silu);
}

extern "C" __global__ void dynamic_conv_forward(const Real* x, i64 x_b, i64 x_t, const Real* kernels, i64 w_b, i64 w_t,
                                                const Real* past, Real* next_past, Real* y, i64 y_b, i64 y_t,
                                                int channels, int time, int silu) {
    forward<true>(x, x_b, x_t, kernels, w_b, w_t, past, next_past, y, y_b, y_t, channels, time, silu);
}

extern "C" __global__ void conv_backward(const Real* x, i64 x_b, i64 x_t, const Real* weight, const Real* past,
                                         const Real* dy, i64 dy_b, i64 dy_t, Real* dx, i64 dx_b, i64 dx_t,
                                         float* dweights, Real* dpast, int channels, int time, int silu,
                                         int layer_batch) {
    weight += (i64)(blockIdx.z / layer_batch) * channels * WIDTH;
    backward<false>(x, x_b, x_t, weight, 0, 0, past, dy, dy_b, dy_t, dx, dx_b, dx_t, dweights, 0, 0, dpast, channels,
                    time, silu);
}

extern "C" __global__ void dynamic_conv_backward(const Real* x, i64 x_b, i64 x_t, const Real* kernels, i64 w_b, i64 w_t,
                                                 const Real* past, const Real* dy, i64 dy_b, i64 dy_t, Real* dx,
                                                 i64 dx_b, i64 dx_t, Real* dkernels, i64 dw_b, i64 dw_t, Real* dpast,
                                                 int channels, int time, int silu) {
    backward<true>(x, x_b, x_t, kernels, w_b, w_t, past, dy, dy_b, dy_t, dx, dx_b, dx_t, dkernels, dw_b, dw_t, dpast,
                   channels, time, silu);
}
