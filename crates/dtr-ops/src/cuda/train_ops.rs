//! What bases and twins learn through beside products and blocks.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, pointer, unwritten};
use super::card::{Argument, Extent};
use super::gates::sum_rows;
use super::inference::train;

/// Shares of the rows whose columns are summed side by side.
const SHARES: usize = 256;

/// See [`Blocks::rms_norm_gradients`](crate::native::blocks::Blocks::rms_norm_gradients).
pub(super) fn rms_norm_gradients(
    x: CubeTensor,
    weight: CubeTensor,
    epsilon: f64,
    gradient: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let [x, weight, gradient] = [x, weight, gradient].map(contiguous);
    let width = *x.shape().last().expect("a norm is over a dimension");
    let rows = x.shape().num_elements() / width;
    let of_x = unwritten(&x, x.shape(), x.dtype());
    let scales = unwritten(&x, [rows], DType::F32);
    let shares = unwritten(&x, [SHARES, width], DType::F32);
    let of_rows = Extent { grid: (rows.div_ceil(8) as u32, 1, 1), block: (256, 1), shared: 0 };
    let sizes = vec![Argument::Long(rows as i64), Argument::Int(width as i32)];
    let backward = [
        [&x, &weight, &gradient, &of_x, &scales].map(pointer).to_vec(),
        vec![Argument::Float(epsilon as f32)],
        sizes.clone(),
    ];
    let sums = [[&x, &gradient, &scales, &shares].map(pointer).to_vec(), sizes];
    // SAFETY: all are alive, dense and of these sizes.
    card(&x).run(|lane| unsafe {
        lane.launch(&train("rms_norm_backward", &x), of_rows, &backward.concat());
        lane.launch(&train("rms_norm_weight", &x), of_shares(width), &sums.concat());
    });
    (of_x, sum_rows(shares, [width]))
}

/// See [`Blocks::swish_gate_gradients`](crate::native::blocks::Blocks::swish_gate_gradients).
pub(super) fn swish_gate_gradients(
    gate: CubeTensor,
    x: CubeTensor,
    gradient: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let [gate, x, gradient] = [gate, x, gradient].map(contiguous);
    let of_gate = unwritten(&x, x.shape(), x.dtype());
    let of_x = unwritten(&x, x.shape(), x.dtype());
    each("swish_gate_backward", &[&gate, &x, &gradient, &of_gate, &of_x]);
    (of_gate, of_x)
}

/// The sums of the columns of x `[.., n]`, in f32: `[n]`.
pub(super) fn column_sums(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let width = *x.shape().last().expect("columns are of a dimension");
    let rows = x.shape().num_elements() / width;
    let shares = unwritten(&x, [SHARES, width], DType::F32);
    let sizes = [Argument::Long(rows as i64), Argument::Int(width as i32)];
    let arguments = [[&x, &shares].map(pointer), sizes].concat();
    // SAFETY: both are alive, dense and of these sizes.
    card(&x).run(|lane| unsafe { lane.launch(&train("column_sums", &x), of_shares(width), &arguments) });
    sum_rows(shares, [width])
}

/// A thread for each column and share of the rows.
fn of_shares(width: usize) -> Extent {
    Extent { grid: (width.div_ceil(128) as u32, SHARES as u32, 1), block: (128, 1), shared: 0 }
}

/// `silu(x)`.
pub(super) fn swish(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let out = unwritten(&x, x.shape(), x.dtype());
    each("silu", &[&x, &out]);
    out
}

/// The gradient of x.
pub(super) fn swish_gradient(x: CubeTensor, gradient: CubeTensor) -> CubeTensor {
    let [x, gradient] = [x, gradient].map(contiguous);
    let of_x = unwritten(&x, x.shape(), x.dtype());
    each("silu_backward", &[&x, &gradient, &of_x]);
    of_x
}

/// Runs a kernel of `train.cu` that takes dense tensors of one shape and dtype, number by number.
fn each(name: &'static str, tensors: &[&CubeTensor]) {
    let numbers = tensors[0].shape().num_elements();
    let extent = Extent { grid: (numbers.div_ceil(2048) as u32, 1, 1), block: (256, 1), shared: 0 };
    let mut arguments: Vec<Argument> = tensors.iter().copied().map(pointer).collect();
    arguments.push(Argument::Long(numbers as i64));
    // SAFETY: all are alive, dense and of one shape and dtype.
    card(tensors[0]).run(|lane| unsafe { lane.launch(&train(name, tensors[0]), extent, &arguments) });
}
