//! Forward passes of frozen layers.

use burn::backend::{Cube, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, pointer, unwritten};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source, element};
use crate::native::inference::Frozen;

static TRAIN: Source = Source { name: "train", text: include_str!("kernels/train.cu") };

impl Frozen for Cube {
    fn frozen_attention(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        keys: usize,
        first: Option<Vec<usize>>,
    ) -> CubeTensor {
        super::attention::attention(q, k, v, keys, first)
    }

    fn frozen_rotate(x: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
        super::rotary::rotate(x, cos, sin, None)
    }

    fn frozen_rms_norm(x: CubeTensor, weight: CubeTensor, epsilon: f64) -> CubeTensor {
        norm(x, None, weight, epsilon).1
    }

    fn frozen_swish_gate(gate: CubeTensor, x: CubeTensor) -> CubeTensor {
        let [gate, x] = [gate, x].map(contiguous);
        let out = unwritten(&x, x.shape(), x.dtype());
        let width = *x.shape().last().expect("a gate is over a dimension");
        let numbers = x.shape().num_elements();
        let extent = Extent { grid: (numbers.div_ceil(2048) as u32, 1, 1), block: (256, 1), shared: 0 };
        let arguments = [
            pointer(&gate),
            Argument::Long(width as i64),
            pointer(&x),
            Argument::Long(width as i64),
            pointer(&out),
            Argument::Long((numbers / width) as i64),
            Argument::Int(width as i32),
        ];
        // SAFETY: all three are dense, of one shape and one dtype.
        card(&x).run(|lane| unsafe { lane.launch(&train("swish_gate", &x), extent, &arguments) });
        out
    }
}

/// `x + residual`, and its norm.
pub(super) fn sum_and_norm(
    x: CubeTensor,
    residual: CubeTensor,
    weight: CubeTensor,
    epsilon: f64,
) -> (CubeTensor, CubeTensor) {
    norm(x, Some(residual), weight, epsilon)
}

/// What was normed, and its norm.
fn norm(
    x: CubeTensor,
    residual: Option<CubeTensor>,
    weight: CubeTensor,
    epsilon: f64,
) -> (CubeTensor, CubeTensor) {
    let ([x, weight], residual) = ([x, weight].map(contiguous), residual.map(contiguous));
    let out = unwritten(&x, x.shape(), x.dtype());
    let width = *x.shape().last().expect("a norm is over a dimension");
    let rows = x.shape().num_elements() / width;
    // A block of (lanes, rows): a lane takes sixteen numbers of a row, or more of a very wide one.
    let lanes = width.div_ceil(if width > 8192 { 32 } else { 16 }).next_power_of_two();
    let rows_per_block = (256 / lanes).max(1);
    let extent = Extent {
        grid: (rows.div_ceil(rows_per_block) as u32, 1, 1),
        block: (lanes as u32, rows_per_block as u32),
        shared: 0,
    };
    let counts = [Argument::Float(epsilon as f32), Argument::Long(rows as i64), Argument::Int(width as i32)];
    let (name, sum, tensors) = match residual {
        None => ("rms_norm", None, [&x, &weight, &out].map(pointer).to_vec()),
        Some(residual) => {
            let sum = unwritten(&x, x.shape(), x.dtype());
            let tensors = [&x, &residual, &weight, &sum, &out].map(pointer).to_vec();
            ("add_rms_norm", Some((sum, residual)), tensors)
        }
    };
    // SAFETY: all tensors are alive, dense and of one dtype; but for the weight of one row, all are of one shape.
    card(&x).run(|lane| unsafe {
        lane.launch(&train(name, &x), extent, &[tensors, counts.to_vec()].concat());
    });
    (sum.map_or(x, |(sum, _)| sum), out)
}

/// A kernel of `train.cu` for tensors like this.
pub(super) fn train(name: &'static str, like: &CubeTensor) -> Kernel {
    Kernel { source: &TRAIN, defines: format!("-DELEMENT={}", element(like.dtype())), name }
}
