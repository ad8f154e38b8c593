//! AdamW in one pass over parameters, means and gradient.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, owned, pointer, unwritten};
use super::card::{Argument, Extent};
use super::inference::train;
use crate::AdamWStep;

fn extent(blocks: usize, threads: u32) -> Extent {
    Extent { grid: (blocks as u32, 1, 1), block: (threads, 1), shared: 0 }
}

/// The sum of squares, blocks' shares added up in their order.
pub(super) fn sum_of_squares(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let count = x.shape().num_elements();
    let blocks = count.div_ceil(16384).clamp(1, 1056);
    let (shares, sum) = (unwritten(&x, [blocks], DType::F32), unwritten(&x, [1], DType::F32));
    let each = [pointer(&x), Argument::Long(count as i64), pointer(&shares)];
    let all = [pointer(&shares), Argument::Int(blocks as i32), Argument::Float(1.0), pointer(&sum)];
    // SAFETY: all are alive and dense.
    card(&x).run(|lane| unsafe {
        lane.launch(&train("sum_squares", &x), extent(blocks, 512), &each);
        lane.launch(&train("sum_partials", &x), extent(1, 1024), &all);
    });
    sum
}

/// Weights, first and second means after a step.
pub(super) fn step(
    state: [CubeTensor; 3],
    gradient: CubeTensor,
    squares: &CubeTensor,
    decay: f32,
    step: &AdamWStep,
) -> [CubeTensor; 3] {
    let (state, gradient) = (state.map(owned), contiguous(gradient));
    let count = gradient.shape().num_elements();
    let [beta_first, beta_second] = step.betas;
    let correct = |beta: f64| 1.0 / (1.0 - beta.powf(step.steps as f64));
    let float = |number: f64| Argument::Float(number as f32);
    let arguments = [
        vec![pointer(&gradient)],
        state.iter().map(pointer).collect(),
        vec![pointer(squares), float(step.clip), Argument::Float(decay), float(step.learning_rate)],
        vec![float(beta_first), float(beta_second)],
        vec![float(step.epsilon), float(correct(beta_first)), float(correct(beta_second))],
        vec![Argument::Long(count as i64)],
    ];
    // SAFETY: all are alive and dense; nobody else holds weights and means.
    card(&gradient).run(|lane| unsafe {
        lane.launch(&train("adamw", &gradient), extent(count.div_ceil(1024), 256), &arguments.concat());
    });
    state
}
