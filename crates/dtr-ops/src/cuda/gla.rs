//! GLA: states of chunks one after another, then outputs (or gradients) of all chunks at once.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{
    card, contiguous, dims, owned, pointer, unwritten, unwritten_by_time, view, with_dense_rows,
};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source};

static GLA: Source = Source { name: "gla", text: include_str!("kernels/gla.cu") };

/// The sizes of a problem.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    groups: usize,
    time: usize,
    key: usize,
    value: usize,
    dtype: DType,
    /// Tokens of a chunk.
    chunk: usize,
}

impl Sizes {
    fn of(q: &CubeTensor, v: &CubeTensor) -> Self {
        let ([batch, heads, time, key], [_, groups, _, value]) = (dims(q), dims(v));
        let chunk = if q.dtype() == DType::F32 { 32 } else { 64 };
        Self { batch, heads, groups, time, key, value, dtype: q.dtype(), chunk }
    }

    fn kernel(&self, name: &'static str) -> Kernel {
        let real = if self.dtype == DType::F32 { " -DREAL_F32" } else { "" };
        let defines = format!("-DKEY_WIDTH={} -DVALUE_WIDTH={}{real}", self.key, self.value);
        Kernel { source: &GLA, defines, name }
    }

    fn num_chunks(&self) -> usize {
        self.time.div_ceil(self.chunk)
    }

    /// Bytes of a tile of bf16 numbers; f32 ones lie as two planes.
    fn tile(&self, rows: usize, columns: usize) -> usize {
        rows * (columns + 8) * 2 * if self.dtype == DType::F32 { 2 } else { 1 }
    }

    fn table(&self, columns: usize) -> usize {
        self.chunk * (columns + 8) * 4
    }

    /// Of the kernels that go from chunk to chunk; `n` states side by side.
    fn over_states(&self, n: usize) -> Extent {
        let (key, value) = (slice(self.key), slice(self.value));
        let shared =
            2 * (self.tile(self.chunk, key) + self.tile(self.chunk, value)) + self.table(key) + 12 * key;
        let slices = self.key / key * (self.value / value);
        Extent {
            grid: (slices as u32, n as u32, self.batch as u32),
            block: (2 * key as u32, 1),
            shared: shared as u32,
        }
    }

    /// Threads of a block with a warp for each half of a tile's width, where it has halves.
    fn wide(&self) -> usize {
        let has_halves = self.key.is_multiple_of(32) && self.value.is_multiple_of(32);
        if has_halves { 8 * self.chunk } else { 4 * self.chunk }
    }

    fn over_chunks(&self, threads: usize, shared: usize) -> Extent {
        let grid = (self.num_chunks() as u32, self.groups as u32, self.batch as u32);
        Extent { grid, block: (threads as u32, 1), shared: shared as u32 }
    }

    fn outputs(&self) -> Extent {
        let Self { chunk: c, key, value, .. } = *self;
        let threads = if self.dtype == DType::F32 { self.wide() } else { 4 * c };
        let shared = 2 * self.tile(c, key)
            + self.tile(c, value)
            + self.tile(c, c)
            + 4 * key
            + self.tile(key, value).max(self.table(key));
        self.over_chunks(threads, shared)
    }

    fn gradients(&self) -> Extent {
        let Self { chunk: c, key, value, .. } = *self;
        let shared = 2 * self.table(key)
            + 4 * self.tile(c, key)
            + 2 * self.tile(c, value)
            + self.tile(key, value)
            + 2 * self.tile(c, c)
            + 8 * key
            + c / 4 * key;
        self.over_chunks(self.wide(), shared)
    }
}

/// The widest slice of a head that a block takes.
fn slice(width: usize) -> usize {
    [64, 32, 16]
        .into_iter()
        .find(|slice| width.is_multiple_of(*slice))
        .expect("heads are multiples of 16 wide")
}

/// The states before all chunks, `[b, n, chunks, k, v]`, and the last ones `[b, h, k, v]`.
fn states(
    sizes: &Sizes,
    n: usize,
    [k, v, gk]: [&CubeTensor; 3],
    first: Argument,
) -> (CubeTensor, CubeTensor) {
    let Sizes { batch, heads, key, value, .. } = *sizes;
    let states = unwritten(k, [batch, n, sizes.num_chunks(), key, value], sizes.dtype);
    let last = unwritten(k, [batch, heads, key, value], DType::F32);
    let arguments = [
        view(k),
        view(v),
        view(gk),
        vec![first, pointer(&states), pointer(&last), Argument::Int((heads / n) as i32)],
        vec![Argument::Int(sizes.groups as i32), Argument::Int(sizes.time as i32)],
    ];
    // SAFETY: all tensors are alive, of the sizes that the kernel was compiled for and is told of, with dense rows.
    card(k).run(|lane| unsafe {
        lane.launch(&sizes.kernel("gla_states"), sizes.over_states(n), &arguments.concat());
    });
    (states, last)
}

fn outputs(
    sizes: &Sizes,
    n: usize,
    q: &CubeTensor,
    [k, v, gk]: [&CubeTensor; 3],
    states: &CubeTensor,
) -> CubeTensor {
    let Sizes { batch, heads, time, value, .. } = *sizes;
    let output = unwritten_by_time(q, [batch, heads, time, value], sizes.dtype);
    let arguments = [
        view(q),
        view(k),
        view(v),
        view(gk),
        vec![pointer(states), Argument::Int(n as i32)],
        view(&output),
        vec![Argument::Int(heads as i32), Argument::Int(time as i32)],
    ];
    // SAFETY: as above; `states` is what `gla_states` made of the same tensors.
    card(q).run(|lane| unsafe {
        lane.launch(&sizes.kernel("gla_outputs"), sizes.outputs(), &arguments.concat());
    });
    output
}

/// See [`Blocks::gla_pass`](crate::native::blocks::Blocks::gla_pass).
pub(super) fn pass(inputs: [CubeTensor; 4], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [q, k, v, gk] = inputs.map(with_dense_rows);
    let sizes = Sizes::of(&q, &v);
    if sizes.time == 1 {
        return step(&sizes, [&q, &k, &v, &gk], owned(state));
    }
    let state = contiguous(state);
    // A state of its own for every head, as the caller holds them.
    let (states, last) = states(&sizes, sizes.heads, [&k, &v, &gk], pointer(&state));
    (outputs(&sizes, sizes.heads, &q, [&k, &v, &gk], &states), last)
}

/// One token: the state is read once and written in place.
fn step(sizes: &Sizes, [q, k, v, gk]: [&CubeTensor; 4], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let Sizes { batch, heads, groups, value, .. } = *sizes;
    let output = unwritten_by_time(q, [batch, heads, 1, value], sizes.dtype);
    let token = |tensor: &CubeTensor| view(tensor)[..3].to_vec();
    let width = if value.is_multiple_of(32) { 32 } else { 16 };
    let extent =
        Extent { grid: ((value / width) as u32, heads as u32, batch as u32), block: (128, 1), shared: 0 };
    let arguments = [
        token(q),
        token(k),
        token(v),
        token(gk),
        vec![pointer(&state)],
        token(&output),
        vec![Argument::Int(heads as i32), Argument::Int(groups as i32)],
    ];
    // SAFETY: as above; nobody else holds the state.
    card(q).run(|lane| unsafe { lane.launch(&sizes.kernel("gla_step"), extent, &arguments.concat()) });
    (output, state)
}

/// Output, states of chunks and last state from nothing: heads of a group share keys, values and decays, and so their
/// states too.
fn from_nothing(inputs: [CubeTensor; 4]) -> [CubeTensor; 3] {
    let [q, k, v, gk] = inputs.map(with_dense_rows);
    let sizes = Sizes::of(&q, &v);
    let (states, last) = states(&sizes, sizes.groups, [&k, &v, &gk], Argument::Pointer(0));
    [outputs(&sizes, sizes.groups, &q, [&k, &v, &gk], &states), states, last]
}

/// See [`Blocks::gla_begin`](crate::native::blocks::Blocks::gla_begin).
pub(super) fn begin(inputs: [CubeTensor; 4]) -> (CubeTensor, CubeTensor) {
    let [output, _, last] = from_nothing(inputs);
    (output, last)
}

/// See [`Blocks::gla_keep`](crate::native::blocks::Blocks::gla_keep).
pub(super) fn keep(inputs: [CubeTensor; 4]) -> (CubeTensor, CubeTensor) {
    let [output, states, _] = from_nothing(inputs);
    (output, states)
}

/// See [`Blocks::gla_gradients`](crate::native::blocks::Blocks::gla_gradients).
pub(super) fn gradients(
    inputs: [CubeTensor; 4],
    states: CubeTensor,
    gradient: CubeTensor,
) -> [CubeTensor; 4] {
    let [q, k, v, gk] = inputs.map(with_dense_rows);
    let (states, gradient) = (contiguous(states), with_dense_rows(gradient));
    let sizes = Sizes::of(&q, &v);
    let Sizes { batch, heads, groups, time, key, value, dtype, .. } = sizes;
    let later = unwritten(&states, states.shape(), dtype);
    let numbers =
        |numbers: &[usize]| numbers.iter().map(|number| Argument::Int(*number as i32)).collect::<Vec<_>>();
    let to_states = [
        view(&q),
        view(&gradient),
        view(&gk),
        vec![Argument::Pointer(0)],
        numbers(&[heads / groups]),
        vec![pointer(&later), Argument::Pointer(0)],
        numbers(&[heads, groups, time]),
    ];
    let found = [
        unwritten_by_time(&q, [batch, heads, time, key], dtype),
        unwritten_by_time(&q, [batch, groups, time, key], dtype),
        unwritten_by_time(&q, [batch, groups, time, value], dtype),
        unwritten_by_time(&q, [batch, groups, time, key], gk.dtype()),
    ];
    let to_inputs = [
        view(&q),
        view(&k),
        view(&v),
        view(&gk),
        view(&gradient),
        vec![pointer(&states), pointer(&later)],
        numbers(&[groups]),
        found.iter().flat_map(view).collect(),
        numbers(&[heads, time]),
    ];
    // SAFETY: as above.
    card(&q).run(|lane| unsafe {
        lane.launch(&sizes.kernel("gla_state_grads"), sizes.over_states(groups), &to_states.concat());
        lane.launch(&sizes.kernel("gla_grads"), sizes.gradients(), &to_inputs.concat());
    });
    found
}
