//! What is done element by element or row by row, and products that share their rows, on CUDA devices and outside of any autodiff
//! graph.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor};

use crate::AdamWStep;

/// Kernels that go through memory once.
#[backend_extension(Cube)]
#[allow(clippy::type_complexity)]
pub trait Elements: Backend {
    /// Rows of a table `[n, d]` by their numbers: `[r, d]`.
    fn rows(table: FloatTensor<Self>, numbers: IntTensor<Self>) -> FloatTensor<Self>;

    /// The column of the largest number of each row, the first of equals, written into `numbers` `[r]`.
    fn largest_into(x: FloatTensor<Self>, numbers: IntTensor<Self>) -> IntTensor<Self>;

    /// The log-probabilities of targets `[n]`, each under the logits `[p, v]` in the row that `rows` `[n]` says, in f32.
    fn log_likelihoods(
        logits: FloatTensor<Self>,
        rows: IntTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `a + b`.
    fn sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x + residual`, and its RMSNorm.
    fn sum_and_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `x_rd · weight_odᵀ` for three weights.
    fn project_by_three(
        x: FloatTensor<Self>,
        one: FloatTensor<Self>,
        two: FloatTensor<Self>,
        three: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `silu(x_rd · gate_odᵀ) · (x_rd · up_odᵀ)`.
    fn swish_gated(x: FloatTensor<Self>, gate: FloatTensor<Self>, up: FloatTensor<Self>)
    -> FloatTensor<Self>;

    /// `x + bias` for a bias `[o]` of every row.
    fn with_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `silu(x)`.
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Write strengths and log decays `[b, t, h]` in f32 from projections a and b `[b, t, h]` and `[h]` of both.
    fn delta_gates(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        a_log: FloatTensor<Self>,
        dt_bias: FloatTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The sum of squares, `[1]` in f32.
    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Weights, first and second means, all f32, after a step of AdamW along a gradient of any dtype; `squares` `[1]` is the sum
    /// of squares of all that is clipped together.
    fn adamw(
        weights: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        squares: FloatTensor<Self>,
        decay: f32,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Rows of a table by their numbers.
pub(crate) fn rows(table_nd: Tensor<2>, numbers_r: Tensor<1, Int>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::rows(table_nd.into_dispatch(), numbers_r.into_dispatch()))
}

/// The column of the largest number of each row, written into `numbers`.
pub(crate) fn largest_into(x_rn: Tensor<2>, numbers_r: Tensor<1, Int>) -> Tensor<1, Int> {
    Tensor::from_dispatch(Dispatch::largest_into(x_rn.into_dispatch(), numbers_r.into_dispatch()))
}

/// The log-probabilities of targets, each under the logits in the row that `rows_n` says.
pub(crate) fn log_likelihoods(
    logits_pv: Tensor<2>,
    rows_n: Tensor<1, Int>,
    targets_n: Tensor<1, Int>,
) -> Tensor<1> {
    let (rows, targets) = (rows_n.into_dispatch(), targets_n.into_dispatch());
    Tensor::from_dispatch(Dispatch::log_likelihoods(logits_pv.into_dispatch(), rows, targets))
}

/// `a + b`.
pub(crate) fn sum(a_btd: Tensor<3>, b_btd: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::sum(a_btd.into_dispatch(), b_btd.into_dispatch()))
}

/// `x + residual`, and its RMSNorm.
pub(crate) fn sum_and_norm(
    x_btd: Tensor<3>,
    residual_btd: Tensor<3>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> (Tensor<3>, Tensor<3>) {
    let (x, residual) = (x_btd.into_dispatch(), residual_btd.into_dispatch());
    let (sum, normed) = Dispatch::sum_and_norm(x, residual, weight.clone().into_dispatch(), epsilon);
    (Tensor::from_dispatch(sum), Tensor::from_dispatch(normed))
}

/// The most rows that are few: with more, tensor cores are worth their preparations.
const MOST_FEW: usize = 4;

/// Whether `rows` rows of `width` numbers are few, and weights as wide can be read in whole vectors.
pub(crate) fn are_few(rows: usize, width: usize, dtype: DType) -> bool {
    rows <= MOST_FEW && (width * dtype.size()).is_multiple_of(16)
}

/// `x · weightᵀ` for three weights.
pub(crate) fn project_by_three(x_rd: Tensor<2>, weights_od: [&Tensor<2>; 3]) -> [Tensor<2>; 3] {
    let [one, two, three] = weights_od.map(|weight| weight.clone().into_dispatch());
    let found = Dispatch::project_by_three(x_rd.into_dispatch(), one, two, three);
    <[_; 3]>::from(found).map(Tensor::from_dispatch)
}

/// `silu(x · gateᵀ) · (x · upᵀ)`.
pub(crate) fn swish_gated(x_rd: Tensor<2>, [gate_od, up_od]: [&Tensor<2>; 2]) -> Tensor<2> {
    let [gate, up] = [gate_od, up_od].map(|weight| weight.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::swish_gated(x_rd.into_dispatch(), gate, up))
}

/// `x + bias`.
pub(crate) fn with_bias(x_btd: Tensor<3>, bias: &Tensor<1>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::with_bias(x_btd.into_dispatch(), bias.clone().into_dispatch()))
}

/// `silu(x)`.
pub(crate) fn swish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::swish(x.into_dispatch()))
}

/// Write strengths and log decays `[b, t, h]` of the gated delta rule.
pub(crate) fn delta_gates(
    [a_bth, b_bth]: [Tensor<3>; 2],
    [a_log, dt_bias]: [&Tensor<1>; 2],
    scale: f64,
) -> [Tensor<3>; 2] {
    let [a, b] = [a_bth, b_bth].map(Tensor::into_dispatch);
    let [a_log, dt_bias] = [a_log, dt_bias].map(|x| x.clone().into_dispatch());
    let (beta, g) = Dispatch::delta_gates(a, b, a_log, dt_bias, scale);
    [Tensor::from_dispatch(beta), Tensor::from_dispatch(g)]
}

/// The sum of squares.
pub(crate) fn sum_of_squares(x_n: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::sum_of_squares(x_n.into_dispatch()))
}

/// Weights and both means after a step of AdamW.
pub(crate) fn adamw(
    state: [Tensor<1>; 3],
    gradient: Tensor<1>,
    squares: Tensor<1>,
    decay: f32,
    step: &AdamWStep,
) -> [Tensor<1>; 3] {
    let [weights, first, second] = state.map(Tensor::into_dispatch);
    let (gradient, squares) = (gradient.into_dispatch(), squares.into_dispatch());
    let found = Dispatch::adamw(weights, first, second, gradient, squares, decay, step.clone());
    <[_; 3]>::from(found).map(Tensor::from_dispatch)
}
