//! The loss of a student that learns tokens from a teacher and from the text, with weights of its own for each
//! token.

use burn::tensor::{DType, IndexingUpdateOp, Tensor, TensorData, activation::log_softmax};

use super::head_loss::{HeadInputs, HeadLoss, chunked_loss, index_tensor, rows_per_chunk, spread_rows};
use crate::linear::linear_f32;

/// A token that a student learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistilTarget {
    /// The index of the row of the heads' inputs that precedes the token.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// The weight of the divergence from the teacher's distribution.
    pub teacher_weight: f64,
    /// The weight of the cross entropy of the token.
    pub token_weight: f64,
}

/// Returns `Σ (a KL(teacher‖student) + b (−log p)) / divisor` over `targets`, and its gradients with respect to
/// the student. `a` and `b` are the weights of a target. The divergence covers the whole vocabulary at
/// temperature 1, and `p` is the probability of the target's token under the student.
///
/// The rows of the targets are in ascending order, and no row occurs twice. Only these rows pass through the
/// heads. The gradient of all other rows is zero.
pub fn distillation_loss(
    student: &HeadInputs<'_>,
    teacher: &HeadInputs<'_>,
    targets: &[DistilTarget],
    divisor: f64,
    needs_head_gradient: bool,
) -> HeadLoss {
    let device = student.x_nd.device();
    let rows: Vec<i32> = targets.iter().map(|target| target.row as i32).collect();
    let select = |x_nd: &Tensor<2>| x_nd.clone().select(0, index_tensor(rows.clone(), &device));
    let selected = HeadInputs { x_nd: select(&student.x_nd), weight_vd: student.weight_vd };
    let teacher_x_nd = select(&teacher.x_nd);
    let loss = chunked_loss(&selected, rows_per_chunk(student), needs_head_gradient, |start, log_p| {
        let num_rows = log_p.dims()[0];
        let in_chunk = &targets[start..start + num_rows];
        let column = |value: fn(&DistilTarget) -> f64| {
            let values: Vec<f32> = in_chunk.iter().map(|target| (value(target) / divisor) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [num_rows, 1]), (&device, DType::F32))
        };
        let (a, b) = (column(|target| target.teacher_weight), column(|target| target.token_weight));
        let tokens = in_chunk.iter().map(|target| target.token as i32).collect();
        let tokens = index_tensor(tokens, &device).reshape([num_rows, 1]);
        let log_q =
            log_softmax(linear_f32(teacher_x_nd.clone().narrow(0, start, num_rows), teacher.weight_vd), 1);
        let (p, q) = (log_p.clone().exp(), log_q.clone().exp());
        let divergence = (q.clone() * (log_q - log_p.clone())).sum_dim(1);
        let cross_entropy = log_p.gather(1, tokens.clone()).neg();
        let loss = (a.clone() * divergence + b.clone() * cross_entropy).sum();
        let d_logits = (p.clone() - q) * a + p * b.clone();
        (loss, d_logits.scatter(1, tokens, b.neg(), IndexingUpdateOp::Add))
    });
    let num_rows = student.x_nd.dims()[0];
    let rows = targets.iter().map(|target| target.row);
    HeadLoss { d_x_nd: spread_rows(loss.d_x_nd, rows, num_rows), ..loss }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, to_f32};
    use crate::{cross_entropy_loss, kl_divergence_loss};

    #[test]
    fn the_weights_mix_the_divergence_and_the_cross_entropy() {
        let tensor = |name, shape| to_f32(&random(name, shape, -2.0, 2.0));
        let (student_vd, teacher_vd) = (tensor("student head", [7, 4]), tensor("teacher head", [7, 4]));
        let student = HeadInputs { x_nd: tensor("student", [5, 4]), weight_vd: &student_vd };
        let teacher = HeadInputs { x_nd: tensor("teacher", [5, 4]), weight_vd: &teacher_vd };
        let tokens = [3, 0, 6, 6, 2];
        let found = |teacher_weight, token_weight| {
            let target = |row: usize| DistilTarget { row, token: tokens[row], teacher_weight, token_weight };
            let targets: Vec<DistilTarget> = (0..5).map(target).collect();
            distillation_loss(&student, &teacher, &targets, 5.0, true)
        };
        let targets: Vec<(usize, u32)> = tokens.iter().copied().enumerate().collect();
        let divergence = kl_divergence_loss(&student, &teacher, true);
        let cross_entropy = cross_entropy_loss(&student, &targets, 5.0, true);
        for (a, b) in [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)] {
            let mix = |x: &Tensor<2>, y: &Tensor<2>| x.clone() * a + y.clone() * b;
            let loss = found(a, b);
            let parts = [
                (
                    loss.loss.unsqueeze(),
                    mix(&divergence.loss.clone().unsqueeze(), &cross_entropy.loss.clone().unsqueeze()),
                ),
                (loss.d_x_nd, mix(&divergence.d_x_nd, &cross_entropy.d_x_nd)),
                (
                    loss.d_head_vd.unwrap(),
                    mix(divergence.d_head_vd.as_ref().unwrap(), cross_entropy.d_head_vd.as_ref().unwrap()),
                ),
            ];
            for (found, expected) in parts {
                let error = (found - expected).abs().max().into_scalar::<f32>();
                assert!(error < 1e-5, "{a} {b}: {error}");
            }
        }
    }

    #[test]
    fn rows_without_a_target_have_no_gradient_and_each_target_has_its_weight() {
        let head_vd = to_f32(&random("head", [7, 4], -2.0, 2.0));
        let [student, teacher] = ["student", "teacher"]
            .map(|name| HeadInputs { x_nd: to_f32(&random(name, [6, 4], -2.0, 2.0)), weight_vd: &head_vd });
        let targets =
            [(1, 3, 0.2, 0.8), (4, 5, 0.9, 0.1)].map(|(row, token, teacher_weight, token_weight)| {
                DistilTarget { row, token, teacher_weight, token_weight }
            });
        let both = distillation_loss(&student, &teacher, &targets, 1.0, false);
        let parts = targets.map(|target| distillation_loss(&student, &teacher, &[target], 1.0, false));
        let [first, second] = parts.map(|part| part.d_x_nd);
        let error = (both.d_x_nd.clone() - first - second).abs().max().into_scalar::<f32>();
        assert!(error < 1e-6, "{error}");
        for row in [0, 2, 3, 5] {
            assert_eq!(both.d_x_nd.clone().narrow(0, row, 1).abs().max().into_scalar::<f32>(), 0.0);
        }
    }
}
