//! Products of a few rows with weights that are read once, side by side in one launch.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, dims, pointer, unwritten};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source, element};

static FEW: Source = Source { name: "few", text: include_str!("kernels/small_gemm.cu") };

/// Rows of weights that a block takes.
const WARPS: usize = 4;

/// `x · weightᵀ` for each of one to three weights.
pub(super) fn project<const N: usize>(
    x: CubeTensor,
    weights: [CubeTensor; N],
    output: DType,
) -> [CubeTensor; N] {
    let (x, weights) = (contiguous(x), weights.map(contiguous));
    let [rows, width] = dims(&x);
    let outs = weights.each_ref().map(|weight| dims::<2>(weight)[0]);
    let y = outs.map(|out| unwritten(&x, [rows, out], output));
    let mut arguments = vec![pointer(&x), Argument::Int(width as i32)];
    for ((weight, y), out) in weights.iter().zip(&y).zip(outs) {
        arguments.extend([pointer(weight), pointer(y), Argument::Int(out as i32)]);
    }
    let none = [Argument::Pointer(0), Argument::Pointer(0), Argument::Int(0)];
    arguments.extend(std::iter::repeat_n(none, 3 - N).flatten());
    let kernel = kernel("project", &x, output);
    // SAFETY: all are alive and dense, weights are as wide as x and of its dtype; what is not there has no rows.
    card(&x).run(|lane| unsafe { lane.launch(&kernel, a_warp_each(outs.iter().sum()), &arguments) });
    y
}

/// `silu(x · gateᵀ) · (x · upᵀ)`.
pub(super) fn gated(x: CubeTensor, gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [x, gate, up] = [x, gate, up].map(contiguous);
    let ([rows, width], [out, _]) = (dims(&x), dims(&gate));
    let y = unwritten(&x, [rows, out], x.dtype());
    let [width, columns] = [width, out].map(|count| Argument::Int(count as i32));
    let arguments = [pointer(&x), width, pointer(&gate), pointer(&up), pointer(&y), columns];
    let kernel = kernel("project_gated", &x, x.dtype());
    // SAFETY: all are alive and dense; both weights are of one shape, as wide as x and of its dtype.
    card(&x).run(|lane| unsafe { lane.launch(&kernel, a_warp_each(out), &arguments) });
    y
}

fn kernel(name: &'static str, x: &CubeTensor, output: DType) -> Kernel {
    let (rows, input, output) = (x.shape()[0], element(x.dtype()), element(output));
    Kernel { source: &FEW, defines: format!("-DROWS={rows} -DELEMENT={input} -DRESULT={output}"), name }
}

fn a_warp_each(columns: usize) -> Extent {
    Extent { grid: (columns.div_ceil(WARPS) as u32, 1, 1), block: (32 * WARPS as u32, 1), shared: 0 }
}
