//! Compares logit distillation with PyTorch: the divergence, its gradients, and one step of AdamW.

use crate::support::{ReferenceTensors, assert_close, fixture};
use burn::tensor::{DType, Device, Tensor};
use dtr::algorithms::tuning::{AllParts, TrainableDecoder, TrainedParts, TunedDecoder};
use dtr_model::optimizer::AdamWConfig;
use dtr_model::{
    BlockConfig, Decoder, DecoderConfig, DecoderShape, GdnConfig, GeometryConfig, GlaConfig, Hybrid,
    JetConfig, Mask, Mixer, Parameters, SafetensorsReader, TwinInit, TwinVariant, Twins,
};
use dtr_ops::kl_divergence_loss;

/// The largest accepted relative error of the divergence, its gradients, and the changes of parameters.
const MAX_ERROR: f64 = 1e-4;

/// The layer that a twin replaces in the student.
const REPLACED: usize = 1;

fn config(tied_head: bool) -> DecoderConfig {
    let shape = DecoderShape {
        hidden_size: 24,
        intermediate_size: 16,
        num_layers: 3,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        tokenizer: None,
    };
    DecoderConfig { tied_head, ..shape.llama_config(31, 128) }
}

fn reader(name: &str) -> SafetensorsReader {
    let path = fixture(&format!("logit_distillation/{name}.safetensors"));
    SafetensorsReader::open(&[path], &Device::flex()).unwrap()
}

pub fn teacher_and_student(name: &str, block: BlockConfig, tied_head: bool) -> (Decoder, Decoder) {
    let base = Decoder::new(&config(tied_head), &mut reader(&format!("{name}-base"))).unwrap();
    let variant = TwinVariant { block, geometry: GeometryConfig::default(), init: TwinInit::Random };
    let mut twin = reader(&format!("{name}-twin"));
    let twin: Mixer = Twins::new_layer(&variant, &base, REPLACED, &mut twin).unwrap();
    let twins = Twins { layers: vec![twin; base.config.num_layers] };
    let student = base.with_twins(&twins, &[REPLACED as u32].into_iter().collect::<Mask>());
    (base, student)
}

pub fn flat(reference: &ReferenceTensors, name: &str) -> Tensor<1> {
    let (_, words) = reference.element_bytes(name);
    let values: Vec<f32> = words.into_iter().map(f32::from_le_bytes).collect();
    Tensor::from_floats(values.as_slice(), &Device::flex())
}

pub fn token_rows(reference: &ReferenceTensors) -> Vec<Vec<u32>> {
    let (shape, words) = reference.element_bytes("ids");
    let ids: Vec<u32> = words.into_iter().map(u32::from_le_bytes).collect();
    ids.chunks(shape[1]).map(<[u32]>::to_vec).collect()
}

pub fn named_parameters(decoder: &Decoder) -> Vec<(String, Tensor<1>)> {
    let mut named = Vec::new();
    decoder.clone().visit(&mut |name, param| named.push((name.to_owned(), param.flat())));
    named
}

fn check(name: &str, block: BlockConfig, tied_head: bool) {
    let (teacher, student) = teacher_and_student(name, block, tied_head);
    let reference = ReferenceTensors::read(&format!("logit_distillation/{name}.safetensors"));
    let rows = token_rows(&reference);
    let hidden = Hybrid::from_base(&teacher).forward_hidden(&rows, None, None);
    let [batch, time, width] = hidden.dims();
    let teacher_head = teacher.head_inputs(hidden.reshape([batch * time, width]));
    let found = student.loss_and_gradient(&rows, DType::F32, &|_| true, |head, needs_head_gradient| {
        kl_divergence_loss(head, &teacher_head, needs_head_gradient)
    });
    assert_close(&format!("{name} divergence"), found.loss, flat(&reference, "divergence"), MAX_ERROR);
    let before = named_parameters(&student);
    assert_eq!(found.gradient.len(), before.len());
    for ((part, _), gradient) in before.iter().zip(&found.gradient) {
        let expected = flat(&reference, &format!("d_{part}"));
        assert_close(&format!("{name} gradient of {part}"), gradient.clone(), expected, MAX_ERROR);
    }

    let norm = flat(&reference, "norm");
    let optimizer = AdamWConfig {
        learning_rate: 1e-2,
        final_fraction: 1.0,
        warmup_fraction: 0.0,
        epsilon: 1e-3,
        weight_decay: 0.1,
        clip: 0.5 * f64::from(norm.clone().into_scalar::<f32>()),
        ..AdamWConfig::default()
    };
    let rates = AllParts { rest_learning_rate: 1e-3, attention_learning_rate: 5e-4 };
    let rates = TrainedParts::All(rates).group_rates(optimizer.learning_rate);
    let mut tuned = TunedDecoder::new(student, &optimizer, rates).unwrap();
    assert_close(&format!("{name} norm"), tuned.update(found.gradient, 0, 1), norm, MAX_ERROR);
    for ((part, before), (_, after)) in before.into_iter().zip(named_parameters(tuned.decoder())) {
        let expected = flat(&reference, &format!("after_{part}")) - before.clone();
        assert_close(&format!("{name} change of {part}"), after - before, expected, 10.0 * MAX_ERROR);
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
