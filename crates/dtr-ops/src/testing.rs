//! Random inputs and comparisons for the tests of all operations.

use burn::tensor::{DType, Device, Tensor, TensorData};
use dtr_core::seed::Seed;
use rand::RngExt;

use crate::norm::l2_norm;

/// Sequence lengths just below, at and just above multiples of the chunk length.
pub const SEQUENCE_LENGTHS: [usize; 8] = [1, 15, 63, 64, 65, 127, 130, 257];

/// The kind of random inputs of a recurrence. Some kinds are numerically difficult.
#[derive(Clone, Copy, Debug)]
pub enum InputKind {
    /// Random keys and mild decay.
    Mild,
    /// Decay that shrinks a state by a factor of more than `e^100` within a chunk.
    StrongDecay,
    /// Keys that point in nearly one direction, write strengths of almost 1, and almost no decay.
    Correlated,
}

pub const INPUT_KINDS: [InputKind; 3] = [InputKind::Mild, InputKind::StrongDecay, InputKind::Correlated];

/// Returns uniformly distributed f64 numbers on the CPU. The numbers depend only on the arguments.
pub fn random<const D: usize>(name: &str, shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    let mut rng = Seed(11).child(name).rng();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

/// The inputs of a linear-attention recurrence, in f64.
pub struct RecurrenceInputs {
    pub q: Tensor<4>,
    pub k: Tensor<4>,
    pub v: Tensor<4>,
    /// Log decays of each key channel, `[b, h, t, k]`.
    pub gk: Tensor<4>,
    /// Log decays of each head, `[b, h, t, 1]`.
    pub g: Tensor<4>,
    /// Write strengths, `[b, h, t, 1]`.
    pub beta: Tensor<4>,
    pub state: Tensor<4>,
}

impl RecurrenceInputs {
    pub fn new(time: usize, kind: InputKind) -> Self {
        let (b, h, k, v) = (2, 3, 8, 12);
        let keys = random("k", [b, h, time, k], -1.0, 1.0);
        let (keys, decay, beta) = match kind {
            InputKind::Mild => (keys, -0.5, random("beta", [b, h, time, 1], 0.0, 1.0)),
            InputKind::StrongDecay => (keys, -20.0, random("beta", [b, h, time, 1], 0.0, 1.0)),
            InputKind::Correlated => (keys * 0.1 + 1.0, -1e-6, random("beta", [b, h, time, 1], 0.98, 1.0)),
        };
        Self {
            q: l2_norm(random("q", [b, h, time, k], -1.0, 1.0)),
            k: l2_norm(keys),
            v: random("v", [b, h, time, v], -1.0, 1.0),
            gk: random("gk", [b, h, time, k], decay, 0.0),
            g: random("g", [b, h, time, 1], decay, 0.0),
            beta,
            state: random("state", [b, h, k, v], -1.0, 1.0),
        }
    }
}

pub fn to_f32<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().cast(DType::F32)
}

/// Returns `‖a − b‖ / ‖b‖` over all elements. If a tensor holds NaN, the result is NaN and fails every
/// comparison.
fn relative_error<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    let values = |x: &Tensor<D>| -> Vec<f64> {
        let x = if x.is_autodiff() { x.clone().inner() } else { x.clone() };
        x.cast(DType::F64).to_data().try_to_vec().unwrap()
    };
    let (a, b) = (values(a), values(b));
    let difference: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    (difference / size.max(1e-30)).sqrt()
}

pub fn assert_close<const D: usize>(name: &str, found: &Tensor<D>, expected: &Tensor<D>, bound: f64) {
    let error = relative_error(found, expected);
    assert!(error < bound, "{name}: relative error {error:.2e}, bound {bound:.0e}");
}

/// Returns the gradients of `Σ output · probe` with respect to each input.
pub fn gradients(
    inputs: [&Tensor<4>; 5],
    forward: impl Fn([Tensor<4>; 5]) -> Tensor<4>,
    probe: &Tensor<4>,
) -> Vec<Tensor<4>> {
    let leaves = inputs.map(|x| x.clone().autodiff().require_grad());
    let output = forward(leaves.clone());
    let loss = (output * probe.clone().autodiff()).sum();
    let gradients = loss.backward();
    leaves.iter().map(|leaf| leaf.grad(&gradients).expect("the output depends on every input")).collect()
}
