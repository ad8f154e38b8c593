//! Compares linear attention blocks with flash-linear-attention: outputs, final states and gradients.

use crate::support::{ReferenceTensors, assert_close, fixture};
use burn::tensor::{DType, Device, Tensor};
use dtr_core::seed::Seed;
use dtr_model::{
    AutodiffCopy, Decoder, ForwardContext, MixerState, Parameters, RandomParams, SafetensorsReader, Twins,
};
use dtr_model::{
    BlockConfig, DecoderShape, GdnConfig, GeometryConfig, GlaConfig, JetConfig, TwinInit, TwinVariant,
};
use dtr_ops::{gla, normalised_gated_delta_rule};

/// The largest accepted relative error of outputs and states in f32.
const MAX_FORWARD_ERROR: f64 = 1e-5;
/// The largest accepted relative error of gradients in f32. A gradient is a sum over all tokens.
const MAX_GRADIENT_ERROR: f64 = 1e-4;
/// Sequence lengths around multiples of the chunk size.
const SEQUENCE_LENGTHS: [usize; 7] = [1, 15, 63, 64, 65, 130, 257];

/// Returns the first `length` tokens of `[batch, time, heads, dim]` as `[batch, heads, time, dim]`.
fn first_tokens(x: &Tensor<4>, length: usize) -> Tensor<4> {
    x.clone().narrow(1, 0, length).swap_dims(1, 2)
}

/// Compares a recurrence and its gradients with a fixture. `names` lists the inputs of the recurrence. The
/// recurrence receives an input with one value per head in the shape `[batch, heads, time, 1]`.
fn check_recurrence(
    case: &str,
    names: &[&str],
    recurrence: impl Fn(Vec<Tensor<4>>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
) {
    let reference = ReferenceTensors::read(&format!("blocks/{case}.safetensors"));
    let read = |name: &str| -> Tensor<4> {
        match reference.element_bytes(name).0.len() {
            3 => reference.float_tensor::<3>(name).unsqueeze_dim(3),
            _ => reference.float_tensor::<4>(name),
        }
    };
    let (output, probe) = (reference.float_tensor::<4>("output"), reference.float_tensor::<4>("probe"));
    let state_probe = reference.float_tensor::<4>("state_probe");
    for length in SEQUENCE_LENGTHS {
        let mut leaves: Vec<Tensor<4>> = names.iter().map(|name| first_tokens(&read(name), length)).collect();
        leaves.push(reference.float_tensor("state"));
        let leaves: Vec<Tensor<4>> = leaves.into_iter().map(|x| x.autodiff().require_grad()).collect();
        let (inputs, state) = (leaves[..names.len()].to_vec(), leaves[names.len()].clone());
        let (computed, last) = recurrence(inputs, state);
        let label = |tensor: &str| format!("{case}, {length} tokens, {tensor}");
        assert_close(
            &label("output"),
            computed.clone().inner(),
            first_tokens(&output, length),
            MAX_FORWARD_ERROR,
        );
        assert_close(
            &label("final state"),
            last.clone().inner(),
            reference.float_tensor(&format!("{length}.last")),
            MAX_FORWARD_ERROR,
        );
        let loss = (computed * first_tokens(&probe, length).autodiff()).sum()
            + (last * state_probe.clone().autodiff()).sum();
        let gradients = loss.backward();
        for (name, leaf) in names.iter().chain(&["state"]).zip(&leaves) {
            let computed = leaf.grad(&gradients).expect("the loss depends on every input");
            let expected = read(&format!("{length}.d_{name}"));
            let expected = if *name == "state" { expected } else { expected.swap_dims(1, 2) };
            assert_close(&label(&format!("gradient of {name}")), computed, expected, MAX_GRADIENT_ERROR);
        }
    }
}

fn check_gla(case: &str) {
    check_recurrence(case, &["q", "k", "v", "gk"], |inputs, state| {
        let [q, k, v, gk] = inputs.try_into().expect("four inputs");
        gla(q, k, v, gk, Some(state))
    });
}

fn check_delta(case: &str) {
    check_recurrence(case, &["q", "k", "v", "beta", "g"], |inputs, state| {
        let [q, k, v, beta, g] = inputs.try_into().expect("five inputs");
        normalised_gated_delta_rule(q, k, v, beta.squeeze_dim::<3>(3), g.squeeze_dim::<3>(3), Some(state))
    });
}

#[test]
fn gla_with_mild_decay() {
    check_gla("gla-mild");
}

#[test]
fn gla_with_strong_decay() {
    check_gla("gla-strong");
}

#[test]
fn gated_delta_with_mild_decay() {
    check_delta("delta-mild");
}

#[test]
fn gated_delta_with_strong_decay() {
    check_delta("delta-strong");
}

#[test]
fn gated_delta_with_correlated_keys_and_full_write_strength() {
    check_delta("delta-correlated");
}

/// Returns a base with the head geometry of the reference layers. Its weights are not used.
fn base() -> Decoder {
    let architecture = DecoderShape {
        hidden_size: 24,
        intermediate_size: 16,
        num_layers: 1,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        tokenizer: None,
    };
    let config = architecture.llama_config(10, 128);
    Decoder::new(&config, &mut RandomParams::new(Seed(1), &Device::flex())).unwrap()
}

fn check_layer(name: &str, block: BlockConfig) {
    let (base, reference) = (base(), ReferenceTensors::read(&format!("blocks/{name}-layer.safetensors")));
    let variant = TwinVariant { block, geometry: GeometryConfig::default(), init: TwinInit::Random };
    let weights = fixture(&format!("blocks/{name}-layer-weights.safetensors"));
    let mut checkpoint = SafetensorsReader::open(&[weights], &Device::flex()).unwrap();
    let mut twin = Twins::new(&variant, &base, &mut checkpoint).unwrap().layers.remove(0);
    checkpoint.ensure_all_read().unwrap();

    let (x, output) = (reference.float_tensor::<3>("x"), reference.float_tensor::<3>("output"));
    let [batch, time, _] = x.dims();
    let pass = |time: usize, past: usize, pads: Option<&[usize]>| {
        ForwardContext::new(&base.config, batch, time, past, pads, &Device::flex())
    };
    let mut state = None;
    assert_close(
        &format!("{name} output"),
        twin.forward(x.clone(), &pass(time, 0, None), Some(&mut state)),
        output.clone(),
        MAX_FORWARD_ERROR,
    );
    let Some(MixerState::Recurrent { state, .. }) = state else { panic!("the state is not recurrent") };
    assert_close(&format!("{name} final state"), state, reference.float_tensor("last"), MAX_FORWARD_ERROR);

    // The twin reads the same tokens in parts. The last four parts have one token each.
    let mut state = None;
    let mut parts = Vec::new();
    let mut past = 0;
    for length in [3, 63, 1, 1, 1, 1] {
        let part = x.clone().narrow(1, past, length);
        parts.push(twin.forward(part, &pass(length, past, None), Some(&mut state)));
        past += length;
    }
    assert_close(&format!("{name} in parts"), Tensor::cat(parts, 1), output.clone(), MAX_FORWARD_ERROR);

    // The twin reads the same tokens after left padding that holds noise.
    let noise = x.clone().narrow(1, 10, 7) * 3.0;
    let padded =
        twin.forward(Tensor::cat(vec![noise, x.clone()], 1), &pass(time + 7, 0, Some(&[7, 7])), None);
    assert_close(&format!("{name} after pads"), padded.narrow(1, 7, time), output, MAX_FORWARD_ERROR);

    let tracked = AutodiffCopy::new(&twin, DType::F32);
    let output = tracked.0.forward(x.autodiff(), &pass(time, 0, None).autodiff(), None);
    let loss = (output * reference.float_tensor::<3>("probe").autodiff()).mean();
    let mut gradients = tracked.gradients(&loss).into_iter();
    twin.visit(&mut |part, _| {
        let (_, words) = reference.element_bytes(&format!("d_{part}"));
        let values: Vec<f32> = words.into_iter().map(f32::from_le_bytes).collect();
        let expected = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
        assert_close(
            &format!("{name} gradient of {part}"),
            gradients.next().unwrap(),
            expected,
            MAX_GRADIENT_ERROR,
        );
    });
}

#[test]
fn a_gla_layer() {
    check_layer("gla", BlockConfig::Gla(GlaConfig::default()));
}

#[test]
fn a_gated_delta_net_layer() {
    check_layer("gdn", BlockConfig::Gdn(GdnConfig::default()));
}

#[test]
fn a_jet_block_layer() {
    check_layer("jet", BlockConfig::Jet(JetConfig::default()));
}
