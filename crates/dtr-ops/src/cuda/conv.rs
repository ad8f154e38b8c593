//! Short causal convolutions followed by `silu`, static and dynamic.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, dims, pointer_or_null, unwritten, view, with_dense_rows};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source};
use super::gates::sum_rows;

static CONV: Source = Source { name: "conv", text: include_str!("kernels/conv.cu") };

/// Tokens that a block goes through, forward and backward.
const FORWARD: usize = 32;
const BACKWARD: usize = 64;

/// The sizes of a problem.
struct Sizes {
    batch: usize,
    time: usize,
    channels: usize,
    width: usize,
    dtype: DType,
    is_dynamic: bool,
}

impl Sizes {
    fn of(x: &CubeTensor, taps: &CubeTensor) -> Self {
        let [batch, time, channels] = dims(x);
        let shape = taps.shape();
        let width = *shape.last().expect("taps have a width");
        Self { batch, time, channels, width, dtype: x.dtype(), is_dynamic: shape.num_dims() == 4 }
    }

    fn kernel(&self, fixed: &'static str, dynamic: &'static str) -> Kernel {
        let real = if self.dtype == DType::F32 { " -DREAL_F32" } else { "" };
        let name = if self.is_dynamic { dynamic } else { fixed };
        Kernel { source: &CONV, defines: format!("-DCONV_WIDTH={}{real}", self.width), name }
    }

    fn extent(&self, tokens: usize) -> Extent {
        let (channels, times) = (self.channels.div_ceil(4 * 128), self.time.div_ceil(tokens));
        let grid = (channels as u32, times as u32, self.batch as u32);
        Extent { grid, block: (128, 1), shared: 0 }
    }

    /// The taps and, where each token has its own, their strides.
    fn taps(&self, taps: &CubeTensor) -> Vec<Argument> {
        let mut arguments = view(taps);
        arguments.truncate(if self.is_dynamic { 3 } else { 1 });
        arguments
    }

    fn counts(&self) -> Vec<Argument> {
        [self.channels, self.time, 1].map(|count| Argument::Int(count as i32)).to_vec()
    }
}

/// The output, and the past after it where `past` is told.
pub(super) fn forward(
    x: CubeTensor,
    taps: CubeTensor,
    past: Option<CubeTensor>,
) -> (CubeTensor, Option<CubeTensor>) {
    let (x, taps, past) = (with_dense_rows(x), contiguous(taps), past.map(contiguous));
    let sizes = Sizes::of(&x, &taps);
    let Sizes { batch, time, channels, width, dtype, .. } = sizes;
    let y = unwritten(&x, [batch, time, channels], dtype);
    // One token's next past may take the place of the past.
    let next = match past.as_ref() {
        Some(past) if time == 1 && past.can_mut() => Some(past.clone()),
        past => past.map(|past| unwritten(past, [batch, width - 1, channels], dtype)),
    };
    let arguments = [
        view(&x),
        sizes.taps(&taps),
        vec![pointer_or_null(past.as_ref()), pointer_or_null(next.as_ref())],
        view(&y),
        sizes.counts(),
    ];
    let kernel = sizes.kernel("conv_forward", "dynamic_conv_forward");
    // SAFETY: all tensors are alive, of the sizes that the kernel was compiled for and is told of, with dense rows.
    card(&x).run(|lane| unsafe { lane.launch(&kernel, sizes.extent(FORWARD), &arguments.concat()) });
    (y, next)
}

/// The gradients of input and taps, after no past.
pub(super) fn gradients(x: CubeTensor, taps: CubeTensor, gradient: CubeTensor) -> (CubeTensor, CubeTensor) {
    let (x, taps, gradient) = (with_dense_rows(x), contiguous(taps), with_dense_rows(gradient));
    let sizes = Sizes::of(&x, &taps);
    let Sizes { batch, time, channels, width, dtype, is_dynamic } = sizes;
    let of_x = unwritten(&x, [batch, time, channels], dtype);
    let of_taps = match is_dynamic {
        true => unwritten(&x, [batch, time, channels, width], dtype),
        // Each block's share, to be added up in order.
        false => unwritten(&x, [batch * time.div_ceil(BACKWARD), channels * width], DType::F32),
    };
    let arguments = [
        view(&x),
        sizes.taps(&taps),
        vec![Argument::Pointer(0)],
        view(&gradient),
        view(&of_x),
        sizes.taps(&of_taps),
        vec![Argument::Pointer(0)],
        sizes.counts(),
    ];
    let kernel = sizes.kernel("conv_backward", "dynamic_conv_backward");
    // SAFETY: as above.
    card(&x).run(|lane| unsafe { lane.launch(&kernel, sizes.extent(BACKWARD), &arguments.concat()) });
    let of_taps = if is_dynamic { of_taps } else { sum_rows(of_taps, [channels, width]) };
    (of_x, of_taps)
}
