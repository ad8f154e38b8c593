//! Compares fine-tuning with PyTorch: the cross entropy of completions, its gradients, and one step of LoRA.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use dtr::algorithms::tuning::{LoraDecoder, LoraShape, TrainableDecoder};
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;
use dtr_model::{BlockConfig, GdnConfig, GlaConfig, JetConfig, SafetensorsReader};
use dtr_ops::{HeadInputs, cross_entropy_loss};

use crate::logit_distillation::{flat, named_parameters, teacher_and_student, token_rows};
use crate::support::{ReferenceTensors, assert_close, fixture};

/// The largest accepted relative error of the loss, its gradients, and the changes of matrices.
const MAX_ERROR: f64 = 1e-4;

const LORA: LoraShape = LoraShape { rank: 3, alpha: 12.0 };

fn is_adapted(name: &str) -> bool {
    ["q_proj.weight", "v_proj.weight", "down_proj.weight"].iter().any(|target| name.ends_with(target))
}

/// Returns the inputs, and the tokens of the completions with the indices of the tokens before them.
pub fn rows_and_targets(reference: &ReferenceTensors) -> (Vec<Vec<u32>>, Vec<(usize, u32)>) {
    let rows = token_rows(reference);
    let (_, words) = reference.element_bytes("lengths");
    let lengths: Vec<usize> = words.into_iter().map(|word| u32::from_le_bytes(word) as usize).collect();
    let time = rows[0].len() - 1;
    let mut targets = Vec::new();
    for (index, (row, lengths)) in rows.iter().zip(lengths.chunks(2)).enumerate() {
        targets.extend((lengths[1]..lengths[0]).map(|at| (index * time + at - 1, row[at])));
    }
    (rows.iter().map(|row| row[..time].to_vec()).collect(), targets)
}

fn check(name: &str, block: BlockConfig, tied_head: bool) {
    let (_, model) = teacher_and_student(name, block, tied_head);
    let path = format!("finetuning/{name}.safetensors");
    let reference = ReferenceTensors::read(&path);
    let (rows, targets) = rows_and_targets(&reference);
    let head_loss = |head: &HeadInputs<'_>, needs_head_gradient| {
        cross_entropy_loss(head, &targets, targets.len() as f64, needs_head_gradient)
    };
    let found = model.loss_and_gradient(&rows, DType::F32, &|_| true, head_loss);
    assert_close(&format!("{name} loss"), found.loss, flat(&reference, "loss"), MAX_ERROR);
    let parameters = named_parameters(&model);
    assert_eq!(found.gradient.len(), parameters.len());
    for ((part, _), gradient) in parameters.iter().zip(found.gradient) {
        let expected = flat(&reference, &format!("d_{part}"));
        assert_close(&format!("{name} gradient of {part}"), gradient, expected, MAX_ERROR);
    }

    let optimizer = AdamWConfig {
        learning_rate: 1e-2,
        final_fraction: 1.0,
        warmup_fraction: 0.0,
        epsilon: 1e-3,
        weight_decay: 0.0,
        clip: 1e6,
        ..AdamWConfig::default()
    };
    let mut lora = LoraDecoder::new(model, LORA, &optimizer, Seed(0), is_adapted).unwrap();
    let mut stored = SafetensorsReader::open(&[fixture(&path)], &Device::flex()).unwrap();
    lora.restore(&mut stored, 0).unwrap();
    let (is_trained, reduce) =
        (|name: &str| lora.is_trained(name), |name: &str, gradient| lora.reduce(name, gradient));
    let found = lora.decoder().loss_and_reduced_gradient(&rows, DType::F32, &is_trained, &reduce, head_loss);
    assert_close(&format!("{name} loss with LoRA"), found.loss, flat(&reference, "lora_loss"), MAX_ERROR);
    let adapted: Vec<&String> =
        parameters.iter().map(|(part, _)| part).filter(|part| is_adapted(part)).collect();
    let factors =
        adapted.iter().flat_map(|part| ["lora_a", "lora_b"].map(|factor| format!("{part}.{factor}")));
    let factors: Vec<String> = factors.collect();
    assert_eq!(found.gradient.len(), factors.len());
    for (factor, gradient) in factors.iter().zip(&found.gradient) {
        let expected = flat(&reference, &format!("d_{factor}"));
        assert_close(&format!("{name} gradient of {factor}"), gradient.clone(), expected, MAX_ERROR);
    }
    let before: BTreeMap<String, Tensor<1>> = named_parameters(lora.decoder()).into_iter().collect();
    lora.update(found.gradient, 0, 1);
    for (part, after) in named_parameters(lora.decoder()).into_iter().filter(|(part, _)| is_adapted(part)) {
        let start = before[&part].clone();
        let expected = flat(&reference, &format!("merged_{part}")) - start.clone();
        assert_close(&format!("{name} change of {part}"), after - start, expected, 10.0 * MAX_ERROR);
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
