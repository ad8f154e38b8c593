//! The gated delta rule by its WY form: what chunks need alone, then the states one after another; backward the same way
//! round.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{
    card, dims, owned, pointer, pointer_or_null, restrided, unwritten, unwritten_by_time, view,
    with_dense_rows,
};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source, element};

static DELTA: Source = Source { name: "delta", text: include_str!("kernels/delta.cu") };

/// Tokens of a chunk.
const CHUNK: usize = 64;

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
    /// Value channels of a block.
    slice: usize,
}

impl Sizes {
    fn of(q: &CubeTensor, v: &CubeTensor) -> Self {
        let ([batch, heads, time, key], [_, groups, _, value]) = (dims(q), dims(v));
        let widest = if q.dtype() == DType::F32 { 32 } else { 64 };
        let slice = [64, 32, 16].into_iter().find(|slice| *slice <= widest && value.is_multiple_of(*slice));
        let slice = slice.expect("heads are multiples of 16 wide");
        Self { batch, heads, groups, time, key, value, dtype: q.dtype(), slice }
    }

    fn kernel(&self, name: &'static str) -> Kernel {
        let defines = format!(
            "-DELEMENT={} -DKEY_WIDTH={} -DSLICE={} -DL2NORM=1",
            element(self.dtype),
            self.key,
            self.slice
        );
        Kernel { source: &DELTA, defines, name }
    }

    fn num_chunks(&self) -> usize {
        self.time.div_ceil(CHUNK)
    }

    /// A row of shared memory, padded against bank conflicts.
    fn padded(&self, width: usize) -> usize {
        width + 16 / self.dtype.size()
    }

    fn over_chunks(&self, block: u32, shared: usize) -> Extent {
        let grid = (self.num_chunks() as u32, self.heads as u32, self.batch as u32);
        Extent { grid, block: (block, 1), shared: shared as u32 }
    }

    fn prepare(&self) -> Extent {
        let rows = CHUNK * self.padded(self.key) * self.dtype.size();
        let triangle = CHUNK * 68 * 4;
        self.over_chunks(128, rows + triangle + rows.max(triangle))
    }

    /// Of a kernel that goes from chunk to chunk, with so many tiles of values and of tokens by tokens.
    fn over_slices(&self, tiles: usize, squares: usize) -> Extent {
        let (c, p) = (CHUNK, |width| self.padded(width));
        let numbers = 3 * c * p(self.key) + (self.key + tiles * c) * p(self.slice) + squares * c * p(c);
        let grid = ((self.value / self.slice) as u32, self.heads as u32, self.batch as u32);
        Extent { grid, block: (128, 1), shared: (self.dtype.size() * numbers) as u32 }
    }

    fn gradients(&self) -> Extent {
        let (c, p) = (CHUNK, |width| self.padded(width));
        let numbers = 2 * c * p(self.key) + 2 * c * p(c) + 2 * (c + self.key).max(192) * p(self.slice);
        self.over_chunks(256, self.dtype.size() * numbers)
    }

    fn scale(&self) -> Argument {
        Argument::Float((self.key as f32).powf(-0.5))
    }

    fn counts(&self) -> Vec<Argument> {
        [self.time, self.heads, self.groups].map(|count| Argument::Int(count as i32)).to_vec()
    }
}

/// What `delta_prepare` leaves of every chunk alone.
struct Prepared {
    /// Decays and strengths, f32.
    tokens: CubeTensor,
    /// What mixes a chunk's values into its outputs.
    mixers: CubeTensor,
    /// What writes them into the state.
    writers: CubeTensor,
    /// Inverses of the triangles, where updates are to be kept.
    inverses: Option<CubeTensor>,
}

impl Prepared {
    fn new(sizes: &Sizes, [q, k, beta, g]: [&CubeTensor; 4], keeps_updates: bool) -> Self {
        let Sizes { batch, heads, dtype, .. } = *sizes;
        let chunks = [batch, heads, sizes.num_chunks(), CHUNK];
        let of_width =
            |width: usize, dtype| unwritten(q, [chunks[0], chunks[1], chunks[2], chunks[3], width], dtype);
        let prepared = Self {
            tokens: of_width(4, DType::F32),
            mixers: of_width(CHUNK, dtype),
            writers: of_width(sizes.key, dtype),
            inverses: keeps_updates.then(|| of_width(CHUNK, dtype)),
        };
        let arguments = [
            view(q),
            view(k),
            view(beta),
            view(g),
            prepared.arguments(),
            vec![sizes.scale()],
            sizes.counts(),
        ];
        // SAFETY: all tensors are alive, of the sizes that the kernel was compiled for and is told of, with dense rows.
        card(q).run(|lane| unsafe {
            lane.launch(&sizes.kernel("delta_prepare"), sizes.prepare(), &arguments.concat());
        });
        prepared
    }

    fn arguments(&self) -> Vec<Argument> {
        let mut arguments = self.without_inverses();
        arguments.push(pointer_or_null(self.inverses.as_ref()));
        arguments
    }

    fn without_inverses(&self) -> Vec<Argument> {
        [&self.tokens, &self.mixers, &self.writers].map(pointer).to_vec()
    }
}

/// `beta` and `g` are views of numbers: a row is a token's.
fn inputs(tensors: [CubeTensor; 5]) -> [CubeTensor; 5] {
    let [q, k, v, beta, g] = tensors;
    let [q, k, v] = [q, k, v].map(with_dense_rows);
    [q, k, v, per_token(beta), per_token(g)]
}

/// `[b, h, t]` as `[b, h, t, 1]`, which kernels take by its first three strides.
fn per_token(tensor: CubeTensor) -> CubeTensor {
    let [batch, heads, time] = dims(&tensor);
    let strides = tensor.meta.strides();
    let strides = [strides[0], strides[1], strides[2], 1];
    restrided(tensor, [batch, heads, time, 1], strides)
}

/// See [`Blocks::delta_pass`](crate::native::blocks::Blocks::delta_pass).
pub(super) fn pass(tensors: [CubeTensor; 5], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [q, k, v, beta, g] = inputs(tensors);
    let sizes = Sizes::of(&q, &v);
    let state = owned(state);
    let Sizes { batch, heads, time, value, dtype, .. } = sizes;
    let output = unwritten_by_time(&q, [batch, heads, time, value], dtype);
    if time == 1 {
        step(&sizes, [&q, &k, &v, &beta, &g], &output, &state);
        return (output, state);
    }
    let prepared = Prepared::new(&sizes, [&q, &k, &beta, &g], false);
    let none = Argument::Pointer(0);
    let arguments = [
        view(&q),
        view(&k),
        view(&v),
        view(&output),
        prepared.arguments(),
        vec![pointer(&state), pointer(&state), none, none],
        sizes.counts(),
    ];
    // SAFETY: as above; the state, which nobody else holds, is read before it is written.
    card(&q).run(|lane| unsafe {
        lane.launch(&sizes.kernel("delta_forward"), sizes.over_slices(1, 1), &arguments.concat());
    });
    (output, state)
}

/// One token: the state is read once and written in place.
fn step(sizes: &Sizes, inputs: [&CubeTensor; 5], output: &CubeTensor, state: &CubeTensor) {
    let token = |tensor: &CubeTensor| view(tensor)[..3].to_vec();
    let grid = ((sizes.value / sizes.slice.min(32)) as u32, sizes.heads as u32, sizes.batch as u32);
    let extent = Extent { grid, block: (128, 1), shared: 0 };
    let arguments = [
        inputs.into_iter().flat_map(token).collect(),
        token(output),
        vec![pointer(state), sizes.scale()],
        sizes.counts()[1..].to_vec(),
    ];
    // SAFETY: as above.
    card(output).run(|lane| unsafe { lane.launch(&sizes.kernel("delta_step"), extent, &arguments.concat()) });
}

/// See [`Lessons::delta_lesson`](crate::native::autodiff::Lessons::delta_lesson).
pub(super) fn lesson(tensors: [CubeTensor; 5]) -> CubeTensor {
    let [q, k, v, beta, g] = inputs(tensors);
    let sizes = Sizes::of(&q, &v);
    let Sizes { batch, heads, time, value, dtype, .. } = sizes;
    let output = unwritten_by_time(&q, [batch, heads, time, value], dtype);
    let prepared = Prepared::new(&sizes, [&q, &k, &beta, &g], false);
    forward(&sizes, [&q, &k, &v], &prepared, Some(&output), None);
    output
}

/// From no state; with `keep` the states of chunks and their updates are written there.
fn forward(
    sizes: &Sizes,
    [q, k, v]: [&CubeTensor; 3],
    prepared: &Prepared,
    output: Option<&CubeTensor>,
    keep: Option<[&CubeTensor; 2]>,
) {
    let Sizes { batch, heads, key, value, .. } = *sizes;
    let last = unwritten(q, [batch, heads, key, value], DType::F32);
    let none = Argument::Pointer(0);
    let absent = vec![none, Argument::Long(0), Argument::Long(0), Argument::Long(0)];
    let arguments = [
        view(q),
        view(k),
        view(v),
        output.map_or(absent, view),
        prepared.arguments(),
        vec![none, pointer(&last)],
        keep.map_or(vec![none, none], |keep| keep.map(pointer).to_vec()),
        sizes.counts(),
    ];
    // SAFETY: as above.
    card(q).run(|lane| unsafe {
        let squares = if keep.is_some() { 2 } else { 1 };
        lane.launch(&sizes.kernel("delta_forward"), sizes.over_slices(1, squares), &arguments.concat());
    });
}

/// See [`Blocks::delta_gradients`](crate::native::blocks::Blocks::delta_gradients). What the forward pass had of
/// chunks is made again: keeping it would take more memory than the layer's activations.
pub(super) fn gradients(tensors: [CubeTensor; 5], gradient: CubeTensor) -> [CubeTensor; 5] {
    let [q, k, v, beta, g] = inputs(tensors);
    let gradient = with_dense_rows(gradient);
    let sizes = Sizes::of(&q, &v);
    let Sizes { batch, heads, groups, time, key, value, dtype, .. } = sizes;
    let prepared = Prepared::new(&sizes, [&q, &k, &beta, &g], true);
    let of_states = || unwritten(&q, [batch, heads, sizes.num_chunks(), key, value], dtype);
    let of_updates = || unwritten(&q, [batch, heads, sizes.num_chunks(), CHUNK, value], dtype);
    let (states, updates, of_state, of_residual) = (of_states(), of_updates(), of_states(), of_updates());
    forward(&sizes, [&q, &k, &v], &prepared, None, Some([&states, &updates]));

    let of_q = unwritten_by_time(&q, [batch, heads, time, key], dtype);
    // Of keys and values each head's share: all of it, or to be added up over the heads of a group.
    let share = |width: usize| match groups == heads {
        true => unwritten_by_time(&q, [batch, heads, time, width], dtype),
        false => unwritten(&q, [batch, heads, time, width], dtype),
    };
    let (of_k, of_v) = (share(key), share(value));
    let per_head = || unwritten_by_time(&q, [batch, heads, time, 1], DType::F32);
    let (of_beta, of_g) = (per_head(), per_head());
    let scan = [
        view(&q),
        view(&k),
        view(&gradient),
        view(&of_v),
        prepared.without_inverses(),
        vec![Argument::Pointer(0), Argument::Pointer(0), pointer(&of_state), pointer(&of_residual)],
        sizes.counts(),
    ];
    let chunks = [
        [&q, &k, &gradient, &of_q, &of_k, &of_beta, &of_g].into_iter().flat_map(view).collect(),
        [&prepared.tokens, &states, &updates, &of_state, &of_residual].map(pointer).to_vec(),
        vec![sizes.scale()],
        sizes.counts(),
        vec![Argument::Int(value as i32)],
    ];
    // SAFETY: as above.
    card(&q).run(|lane| unsafe {
        lane.launch(&sizes.kernel("delta_backward_scan"), sizes.over_slices(3, 1), &scan.concat());
        lane.launch(&sizes.kernel("delta_backward_chunks"), sizes.gradients(), &chunks.concat());
    });
    let summed = |of_head| if groups == heads { of_head } else { sum_of_groups(&sizes, of_head) };
    let per_token = |tensor: CubeTensor| {
        let strides = tensor.meta.strides();
        let strides = [strides[0], strides[1], strides[2]];
        restrided(tensor, [batch, heads, time], strides)
    };
    [of_q, summed(of_k), summed(of_v), per_token(of_beta), per_token(of_g)]
}

/// The sum over the heads of each group, in their order.
fn sum_of_groups(sizes: &Sizes, of_head: CubeTensor) -> CubeTensor {
    let Sizes { batch, heads, groups, time, dtype, .. } = *sizes;
    let [_, _, _, width] = dims(&of_head);
    let sum = unwritten_by_time(&of_head, [batch, groups, time, width], dtype);
    let extent = Extent {
        grid: ((time * width).div_ceil(512) as u32, groups as u32, batch as u32),
        block: (256, 1),
        shared: 0,
    };
    let counts = [heads / groups, time, width].map(|count| Argument::Int(count as i32));
    let arguments = [vec![pointer(&of_head)], view(&sum), counts.to_vec()];
    // SAFETY: as above; the input is dense.
    card(&sum).run(|lane| unsafe {
        lane.launch(&sizes.kernel("delta_group_sum"), extent, &arguments.concat());
    });
    sum
}
