//! Compares the loss of checkpoint distillation and its gradients with PyTorch.

use burn::tensor::DType;
use dtr_model::{BlockConfig, GdnConfig, GlaConfig, Hybrid, JetConfig};
use dtr_ops::{DistilTarget, distillation_loss};

use crate::finetuning::rows_and_targets;
use crate::logit_distillation::{flat, named_parameters, teacher_and_student};
use crate::support::{ReferenceTensors, assert_close};

/// The largest accepted relative error of the loss and its gradients.
const MAX_ERROR: f64 = 1e-4;

fn check(name: &str, block: BlockConfig, tied_head: bool) {
    let (teacher, student) = teacher_and_student(name, block, tied_head);
    let reference = ReferenceTensors::read(&format!("checkpoint_distillation/{name}.safetensors"));
    let (rows, targets) = rows_and_targets(&reference);
    let losses: Vec<f32> = flat(&reference, "losses").into_data().try_to_vec().unwrap();
    let time = rows[0].len();
    let target = |&(row, token): &(usize, u32)| {
        let [of_student, of_teacher] = [0, 1].map(|which| f64::from(losses[2 * (row / time) + which]));
        let teacher_weight = of_student / (of_student + of_teacher);
        DistilTarget { row, token, teacher_weight, token_weight: 1.0 - teacher_weight }
    };
    let targets: Vec<DistilTarget> = targets.iter().map(target).collect();
    let hidden_btd = Hybrid::from_base(&teacher).forward_hidden(&rows, None, None);
    let [batch, time, width] = hidden_btd.dims();
    let teacher = teacher.head_inputs(hidden_btd.reshape([batch * time, width]));
    let found = student.loss_and_gradient(&rows, DType::F32, &|_| true, |head, needs_head_gradient| {
        distillation_loss(head, &teacher, &targets, targets.len() as f64, needs_head_gradient)
    });
    assert_close(&format!("{name} loss"), found.loss, flat(&reference, "loss"), MAX_ERROR);
    let parameters = named_parameters(&student);
    assert_eq!(found.gradient.len(), parameters.len());
    for ((part, _), gradient) in parameters.iter().zip(found.gradient) {
        let expected = flat(&reference, &format!("d_{part}"));
        assert_close(&format!("{name} gradient of {part}"), gradient, expected, MAX_ERROR);
    }
}

#[test]
fn a_hybrid_with_gated_linear_attention() {
    check("gla", BlockConfig::Gla(GlaConfig::default()), true);
}

#[test]
fn a_hybrid_with_gated_delta_net_and_an_output_head_of_its_own() {
    check("gdn", BlockConfig::Gdn(GdnConfig::default()), false);
}

#[test]
fn a_hybrid_with_jet_block() {
    check("jet", BlockConfig::Jet(JetConfig::default()), true);
}
