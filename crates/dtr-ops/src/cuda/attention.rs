//! Causal softmax attention over a cache: of many queries by tiles, of a few by parts of the keys.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cudarc::driver::{DeviceRepr, sys};

use super::buffer::{
    address, card, dims, from_numbers, pointer, pointer_or_null, unwritten, unwritten_by_time, view,
    with_dense_rows,
};
use super::card::{Argument, Card, Extent, sound};
use super::compile::{Kernel, Source};

static PREFILL: Source = Source { name: "prefill", text: include_str!("kernels/prefill.cu") };
static HOPPER: Source = Source { name: "prefill_sm90", text: include_str!("kernels/prefill_sm90.cu") };
static DECODE: Source = Source { name: "decode", text: include_str!("kernels/decode.cu") };

/// Queries of a group, all tokens, up to which the keys are divided among blocks and not the queries.
const FEW: usize = 64;

/// What is asked: q `[b, h, t, k]` over the first `keys` of k and v `[b, g, room, k]`.
struct Question {
    q: CubeTensor,
    k: CubeTensor,
    v: CubeTensor,
    /// The first key that each row sees, i32.
    first: Option<CubeTensor>,
    /// Keys that are there; where `at` counts them, those that there is room for.
    keys: usize,
    /// Where the device counts it, the position of the last query.
    at: Option<CubeTensor>,
    batch: usize,
    heads: usize,
    groups: usize,
    time: usize,
    width: usize,
}

/// See [`Frozen::frozen_attention`](crate::native::inference::Frozen::frozen_attention).
pub(super) fn attention(
    q: CubeTensor,
    k: CubeTensor,
    v: CubeTensor,
    keys: usize,
    first: Option<Vec<usize>>,
) -> CubeTensor {
    // A row of nothing but padding has its last key as its first.
    let first = first.map(|first| {
        let first: Vec<i32> = first.into_iter().map(|key| key.min(keys - 1) as i32).collect();
        from_numbers(&q, &first, DType::I32)
    });
    let question = Question::new([q, k, v], first, keys, None);
    let Question { heads, groups, time, width, .. } = question;
    let output = question.unanswered();
    let card = card(&output);
    if heads / groups * time <= FEW {
        question.decode(card, &output);
    } else if card.capability == (9, 0)
        && question.q.dtype() == DType::BF16
        && matches!(width, 64 | 96 | 128 | 256)
    {
        question.prefill_on_hopper(card, &output);
    } else {
        question.prefill(card, &output);
    }
    output
}

/// The same over a cache whose last token stands where `at` does.
pub(super) fn attention_at(q: CubeTensor, k: CubeTensor, v: CubeTensor, at: &CubeTensor) -> CubeTensor {
    let room = dims::<4>(&k)[2];
    let question = Question::new([q, k, v], None, room, Some(at.clone()));
    let output = question.unanswered();
    question.decode(card(&output), &output);
    output
}

impl Question {
    fn new(tensors: [CubeTensor; 3], first: Option<CubeTensor>, keys: usize, at: Option<CubeTensor>) -> Self {
        let [q, k, v] = tensors.map(with_dense_rows);
        assert!(
            q.dtype() == k.dtype() && k.dtype() == v.dtype(),
            "queries, keys and values are of one dtype"
        );
        let ([batch, heads, time, width], [_, groups, _, _]) = (dims(&q), dims::<4>(&k));
        Self { q, k, v, first, keys, at, batch, heads, groups, time, width }
    }

    fn unanswered(&self) -> CubeTensor {
        unwritten_by_time(&self.q, [self.batch, self.heads, self.time, self.width], self.q.dtype())
    }

    fn kernel(&self, source: &'static Source, name: &'static str) -> Kernel {
        Kernel { source, defines: format!("-DHEAD_DIM={}", self.width), name }
    }

    fn scale(&self) -> Argument {
        Argument::Float((self.width as f32).powf(-0.5))
    }

    fn blocks_of(&self, rows: usize) -> (u32, u32, u32) {
        (self.heads as u32, self.batch as u32, self.time.div_ceil(rows) as u32)
    }

    fn counts(&self) -> Vec<Argument> {
        [self.heads, self.groups, self.time, self.keys].map(|count| Argument::Int(count as i32)).to_vec()
    }

    fn prefill(&self, card: &Card, output: &CubeTensor) {
        let width = self.width;
        let keys = if width <= 128 { 64 } else { 32 };
        let (name, rows, shared) = match self.q.dtype() {
            DType::BF16 => {
                let rows = if width <= 128 { 128 } else { 64 };
                ("prefill_bf16", rows, (rows + 2 * keys) * (width + 8) * 2)
            }
            _ => ("prefill_f32", 64, 4 * ((64 + 2 * keys) * (width + 4) + 64 * (keys + 4))),
        };
        let extent = Extent { grid: self.blocks_of(rows), block: (128, 1), shared: shared as u32 };
        let tensors = [output, &self.q, &self.k, &self.v];
        let strides = tensors.into_iter().flat_map(|tensor| view(tensor).split_off(1));
        let arguments = [
            tensors.map(pointer).to_vec(),
            vec![pointer_or_null(self.first.as_ref())],
            strides.collect(),
            self.counts(),
            vec![self.scale()],
        ];
        // SAFETY: all tensors are alive and of these sizes, with dense rows; no key behind the last is read.
        card.run(|lane| unsafe { lane.launch(&self.kernel(&PREFILL, name), extent, &arguments.concat()) });
    }

    fn prefill_on_hopper(&self, card: &Card, output: &CubeTensor) {
        let consumers = if self.width == 64 { 3 } else { 2 };
        let (keys, stages) = if self.width == 256 { (64, 1) } else { (128, 2) };
        let shared = 2048 + (stages * consumers * 64 + 4 * keys) * self.width.next_multiple_of(64) * 2;
        let jobs = self.batch * self.heads * self.time.div_ceil(64 * consumers);
        // Blocks that go on to a next job have its first tiles already there; long jobs the card spreads better itself.
        let is_short = 2 * self.keys < 2 * 3072 + self.time;
        let blocks = if is_short { jobs.min(card.processors as usize) } else { jobs };
        let extent = Extent {
            grid: (blocks as u32, 1, 1),
            block: (128 * (consumers as u32 + 1), 1),
            shared: shared as u32,
        };
        // A map is made in the context of the thread's device.
        card.bind();
        let maps = [
            TensorMap::new(&self.q, self.time, 64),
            TensorMap::new(&self.k, self.keys, keys as u32),
            TensorMap::new(&self.v, self.keys, keys as u32),
        ];
        let strides = view(output).split_off(1);
        let arguments = [
            vec![pointer(output)],
            maps.map(Argument::Map).to_vec(),
            vec![pointer_or_null(self.first.as_ref())],
            strides,
            vec![Argument::Int(self.batch as i32)],
            self.counts(),
            vec![self.scale()],
        ];
        // SAFETY: as above; the maps end with the last key.
        card.run(|lane| unsafe {
            lane.launch(&self.kernel(&HOPPER, "prefill_sm90"), extent, &arguments.concat());
        });
    }

    fn decode(&self, card: &Card, output: &CubeTensor) {
        let queries = self.heads / self.groups * self.time;
        let (name, rows) = match (self.q.dtype(), queries) {
            (DType::BF16, queries) if queries <= 8 || self.width == 256 => ("decode_bf16_8", 8),
            (DType::BF16, _) => ("decode_bf16_16", 16),
            (_, queries) if queries <= 4 || self.width == 256 => ("decode_f32_4", 4),
            _ => ("decode_f32_8", 8),
        };
        // Blocks that a multiprocessor holds at a time.
        let resident = match (self.width, rows) {
            (256, rows) => {
                if rows == 8 {
                    1
                } else {
                    2
                }
            }
            (..=64, _) => 4,
            (_, 16) => 2,
            _ => 3,
        };
        let groups = self.batch * self.groups * queries.div_ceil(rows);
        let splits = splits(groups, card.processors as usize * resident, self.keys);
        let extent = Extent {
            grid: (splits as u32, (groups / self.batch) as u32, self.batch as u32),
            block: (128, 1),
            shared: (4 * (4 * rows * (self.width + 6) + splits.max(4) * rows)) as u32,
        };
        let partial = unwritten(output, [groups * splits * rows * (self.width + 6)], DType::F32);
        let tensors = [output, &self.q, &self.k, &self.v];
        let strides = tensors.into_iter().flat_map(|tensor| view(tensor).split_off(1));
        // How many keys there are is told as `added` to a length: to zero, or to what the device counts.
        let (length, added) = match &self.at {
            None => (card.zero(), self.keys),
            Some(at) => (pointer(at), 1),
        };
        let counts = [self.heads, self.groups, self.time, added].map(|count| Argument::Int(count as i32));
        let arguments = [
            tensors.map(pointer).to_vec(),
            vec![length, pointer_or_null(self.first.as_ref()), pointer(&partial), card.counters(groups)],
            strides.collect(),
            counts.to_vec(),
            vec![self.scale()],
        ];
        // SAFETY: as above; the counters of finished parts are zero, and every launch leaves them so.
        card.run(|lane| unsafe { lane.launch(&self.kernel(&DECODE, name), extent, &arguments.concat()) });
    }
}

/// Into how many parts keys are divided, so that `groups` times as many blocks fill the card's `places` evenly.
fn splits(groups: usize, places: usize, keys: usize) -> usize {
    let most = keys.div_ceil(64).clamp(1, 128);
    for splits in 1..=most {
        let waves = (groups * splits) as f64 / places as f64;
        if (0.94..=1.0).contains(&waves) || (waves > 1.4 && waves / waves.ceil() > 0.85) {
            return splits;
        }
        if waves > 8.0 {
            break;
        }
    }
    most.min((places / groups).max(1))
}

/// A tensor `[b, h, t, k]` as Hopper's copy engine takes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct TensorMap([u64; 16]);

// SAFETY: it is plain data, of the size and alignment of the driver's own.
unsafe impl DeviceRepr for TensorMap {}

impl TensorMap {
    /// The first `time` tokens of `tensor`, copied `rows` by `rows`, 64 numbers wide; what lies outside reads as zeros.
    fn new(tensor: &CubeTensor, time: usize, rows: u32) -> Self {
        let [batch, heads, _, width] = dims(tensor);
        let lengths = [width, time, heads, batch].map(|length| length as u64);
        let strides = tensor.meta.strides();
        let bytes = [strides[2], strides[1], strides[0]].map(|stride| 2 * stride as u64);
        let (mut map, box_, each) = (Self([0; 16]), [64, rows, 1, 1], [1_u32; 4]);
        // SAFETY: the arrays have as many members as the tensor has dimensions, and live across the call.
        let made = unsafe {
            sys::cuTensorMapEncodeTiled(
                (&raw mut map).cast(),
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                4,
                address(tensor) as *mut _,
                lengths.as_ptr(),
                bytes.as_ptr(),
                box_.as_ptr(),
                each.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        sound(made.result(), "describe a tensor");
        map
    }
}
