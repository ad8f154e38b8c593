//! The kernels by the names that burn dispatches to.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::products::multiply;
use super::{adamw, attention, conv, delta, gates, gla, inference, loss, products, rotary, step, train_ops};
use crate::AdamWStep;
use crate::native::autodiff::Lessons;
use crate::native::blocks::Blocks;
use crate::native::decode::Counted;
use crate::native::elements::Elements;
use crate::native::inference::Frozen;

impl Blocks for Cube {
    fn project_exactly(x_rd: CubeTensor, weight_od: CubeTensor) -> CubeTensor {
        multiply(x_rd, false, weight_od, true, DType::F32)
    }

    fn project_to_input(gradient_ro: CubeTensor, weight_od: CubeTensor) -> CubeTensor {
        let dtype = gradient_ro.dtype();
        multiply(gradient_ro, false, weight_od, false, dtype)
    }

    fn project_to_weight(gradient_ro: CubeTensor, x_rd: CubeTensor) -> CubeTensor {
        multiply(gradient_ro, true, x_rd, false, DType::F32)
    }

    fn gla_pass(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        gk: CubeTensor,
        state: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        gla::pass([q, k, v, gk], state)
    }

    fn gla_begin(q: CubeTensor, k: CubeTensor, v: CubeTensor, gk: CubeTensor) -> (CubeTensor, CubeTensor) {
        gla::begin([q, k, v, gk])
    }

    fn gla_keep(q: CubeTensor, k: CubeTensor, v: CubeTensor, gk: CubeTensor) -> (CubeTensor, CubeTensor) {
        gla::keep([q, k, v, gk])
    }

    fn gla_gradients(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        gk: CubeTensor,
        states: CubeTensor,
        gradient: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        gla::gradients([q, k, v, gk], states, gradient).into()
    }

    fn delta_pass(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        beta: CubeTensor,
        g: CubeTensor,
        state: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        delta::pass([q, k, v, beta, g], state)
    }

    fn delta_gradients(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        beta: CubeTensor,
        g: CubeTensor,
        gradient: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        delta::gradients([q, k, v, beta, g], gradient).into()
    }

    fn conv_pass(x: CubeTensor, taps: CubeTensor, past: CubeTensor) -> (CubeTensor, CubeTensor) {
        let (y, next) = conv::forward(x, taps, Some(past));
        (y, next.expect("a past has a next one"))
    }

    fn conv_gradients(x: CubeTensor, taps: CubeTensor, gradient: CubeTensor) -> (CubeTensor, CubeTensor) {
        conv::gradients(x, taps, gradient)
    }

    fn decay_gate_gradient(x: CubeTensor, normalizer: f64, gradient: CubeTensor) -> CubeTensor {
        gates::decay_gate_gradient(x, normalizer, gradient)
    }

    fn readout_gradients(
        o: CubeTensor,
        gate: CubeTensor,
        weight: CubeTensor,
        epsilon: f64,
        gradient: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        gates::readout_gradients([o, gate, weight], epsilon, gradient)
    }

    fn rms_norm_gradients(
        x: CubeTensor,
        weight: CubeTensor,
        epsilon: f64,
        gradient: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        train_ops::rms_norm_gradients(x, weight, epsilon, gradient)
    }

    fn swish_gate_gradients(
        gate: CubeTensor,
        x: CubeTensor,
        gradient: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        train_ops::swish_gate_gradients(gate, x, gradient)
    }

    fn column_sums(x: CubeTensor) -> CubeTensor {
        train_ops::column_sums(x)
    }

    fn swish_gradient(x: CubeTensor, gradient: CubeTensor) -> CubeTensor {
        train_ops::swish_gradient(x, gradient)
    }

    fn squared_error_keep(a: CubeTensor, b: CubeTensor) -> (CubeTensor, CubeTensor) {
        let (mean, gradient) = loss::squared_error(a, b, true);
        (mean, gradient.expect("it was asked for"))
    }
}

impl Lessons for Cube {
    fn project(x_rd: CubeTensor, weight_od: CubeTensor) -> CubeTensor {
        let dtype = x_rd.dtype();
        multiply(x_rd, false, weight_od, true, dtype)
    }

    fn gla_lesson(q: CubeTensor, k: CubeTensor, v: CubeTensor, gk: CubeTensor) -> CubeTensor {
        gla::keep([q, k, v, gk]).0
    }

    fn delta_lesson(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        beta: CubeTensor,
        g: CubeTensor,
    ) -> CubeTensor {
        delta::lesson([q, k, v, beta, g])
    }

    fn conv_lesson(x: CubeTensor, taps: CubeTensor) -> CubeTensor {
        conv::forward(x, taps, None).0
    }

    fn decay_gate(x: CubeTensor, normalizer: f64) -> CubeTensor {
        gates::decay_gate(x, normalizer)
    }

    fn readout(o: CubeTensor, gate: CubeTensor, weight: CubeTensor, epsilon: f64) -> CubeTensor {
        gates::readout(o, gate, weight, epsilon)
    }

    fn rotate_lesson(x: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
        Self::frozen_rotate(x, cos, sin)
    }

    fn rms_norm_lesson(x: CubeTensor, weight: CubeTensor, epsilon: f64) -> CubeTensor {
        Self::frozen_rms_norm(x, weight, epsilon)
    }

    fn repeat_row(row: CubeTensor, batch: usize, time: usize) -> CubeTensor {
        let width = row.shape()[0];
        Self::float_expand(Self::float_reshape(row, [1, 1, width].into()), [batch, time, width].into())
    }

    fn swish_lesson(x: CubeTensor) -> CubeTensor {
        train_ops::swish(x)
    }

    fn swish_gate_lesson(gate: CubeTensor, x: CubeTensor) -> CubeTensor {
        Self::frozen_swish_gate(gate, x)
    }

    fn squared_error(a: CubeTensor, b: CubeTensor) -> CubeTensor {
        loss::squared_error(a, b, false).0
    }
}

impl Elements for Cube {
    fn rows(table: CubeTensor, numbers: CubeTensor) -> CubeTensor {
        step::rows(table, &numbers)
    }

    fn largest_into(x: CubeTensor, numbers: CubeTensor) -> CubeTensor {
        step::largest_into(x, numbers)
    }

    fn log_likelihoods(logits: CubeTensor, rows: CubeTensor, targets: CubeTensor) -> CubeTensor {
        loss::log_likelihoods(logits, rows, targets)
    }

    fn sum(a: CubeTensor, b: CubeTensor) -> CubeTensor {
        step::sum(a, b)
    }

    fn sum_and_norm(
        x: CubeTensor,
        residual: CubeTensor,
        weight: CubeTensor,
        epsilon: f64,
    ) -> (CubeTensor, CubeTensor) {
        inference::sum_and_norm(x, residual, weight, epsilon)
    }

    fn project_by_three(
        x_rd: CubeTensor,
        one_od: CubeTensor,
        two_od: CubeTensor,
        three_od: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        products::project(x_rd, [one_od, two_od, three_od]).into()
    }

    fn swish_gated(x_rd: CubeTensor, gate_od: CubeTensor, up_od: CubeTensor) -> CubeTensor {
        products::gated(x_rd, gate_od, up_od)
    }

    fn with_bias(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        step::with_bias(x, bias)
    }

    fn swish(x: CubeTensor) -> CubeTensor {
        train_ops::swish(x)
    }

    fn delta_gates(
        a: CubeTensor,
        b: CubeTensor,
        a_log: CubeTensor,
        dt_bias: CubeTensor,
        scale: f64,
    ) -> (CubeTensor, CubeTensor) {
        step::delta_gates([a, b], [a_log, dt_bias], scale)
    }

    fn sum_of_squares(x: CubeTensor) -> CubeTensor {
        adamw::sum_of_squares(x)
    }

    fn adamw(
        weights: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        gradient: CubeTensor,
        squares: CubeTensor,
        decay: f32,
        step: AdamWStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        adamw::step([weights, first, second], gradient, &squares, decay, &step).into()
    }
}

impl Counted for Cube {
    fn rotate_at(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, at: CubeTensor) -> CubeTensor {
        rotary::rotate(x, cos, sin, Some(&at))
    }

    fn rotate_and_append(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        cos: CubeTensor,
        sin: CubeTensor,
        at: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        rotary::rotate_and_append([q, k, v], [keys, values], [cos, sin], &at)
    }

    fn attention_at(q: CubeTensor, k: CubeTensor, v: CubeTensor, at: CubeTensor) -> CubeTensor {
        attention::attention_at(q, k, v, &at)
    }

    fn advance(at: CubeTensor, by: usize) -> CubeTensor {
        rotary::advance(at, by)
    }
}
