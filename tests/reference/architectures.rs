//! Compares the supported architectures with Hugging Face transformers: hidden states, logits, decoding, and
//! left padding.

use crate::support::{ReferenceTensors, assert_close, fixture};
use burn::tensor::{Device, Tensor};
use dtr_model::{BaseModel, DecoderState, Hybrid, PrefixTree};

/// The largest accepted relative root mean square error, in f32.
const MAX_RELATIVE_ERROR: f64 = 2e-4;

fn token_ids(reference: &ReferenceTensors, name: &str) -> Vec<Vec<u32>> {
    let (shape, words) = reference.element_bytes(name);
    let ids: Vec<u32> = words.into_iter().map(u32::from_le_bytes).collect();
    ids.chunks_exact(*shape.last().unwrap()).map(<[u32]>::to_vec).collect()
}

fn logits(hybrid: &Hybrid<'_>, hidden_btd: Tensor<3>) -> Tensor<3> {
    let [batch, time, width] = hidden_btd.dims();
    let logits = hybrid.logits(hidden_btd.reshape([batch * time, width]));
    let vocabulary = logits.dims()[1];
    logits.reshape([batch, time, vocabulary])
}

/// Compares the model of a fixture with the tensors that transformers computed.
fn check_architecture(name: &str) {
    let folder = format!("architectures/{name}");
    let base = BaseModel::read(&fixture(&folder), &Device::flex()).unwrap();
    let reference = ReferenceTensors::read(&format!("{folder}/expected.safetensors"));
    let model = Hybrid::from_base(&base.decoder);
    let prompt = token_ids(&reference, "ids");
    let check_tensor = |tensor: &str, computed: Tensor<3>| {
        assert_close(
            &format!("{name} {tensor}"),
            computed,
            reference.float_tensor(tensor),
            MAX_RELATIVE_ERROR,
        );
    };

    let tree = PrefixTree::new(&base.decoder, prompt.clone(), None);
    let mut hidden = tree.embed(&base.decoder);
    for layer in 0..model.num_layers() {
        check_tensor(&format!("hidden.{layer}"), hidden.prefixes.clone());
        hidden = model.run_layers(layer..layer + 1, hidden, &tree);
    }
    check_tensor("logits", logits(&model, hidden.prefixes));

    let mut state = DecoderState::new(model.num_layers());
    model.forward_hidden(&prompt, None, Some(&mut state));
    let next = token_ids(&reference, "next_ids");
    let steps = (0..next[0].len()).map(|at| {
        let token: Vec<Vec<u32>> = next.iter().map(|row| vec![row[at]]).collect();
        logits(&model, model.forward_hidden(&token, None, Some(&mut state)))
    });
    check_tensor("next_logits", Tensor::cat(steps.collect(), 1));

    let pads: Vec<usize> =
        token_ids(&reference, "left_pads").concat().into_iter().map(|pad| pad as usize).collect();
    let padded =
        logits(&model, model.forward_hidden(&token_ids(&reference, "padded_ids"), Some(&pads), None));
    let expected = reference.float_tensor::<3>("padded_logits");
    for (row, pad) in pads.into_iter().enumerate() {
        // The test does not compare logits at pads.
        let without_pads = |x: &Tensor<3>| x.clone().narrow(0, row, 1).narrow(1, pad, x.dims()[1] - pad);
        assert_close(
            &format!("{name} padded_logits, row {row}"),
            without_pads(&padded),
            without_pads(&expected),
            MAX_RELATIVE_ERROR,
        );
    }
}

#[test]
fn llama_3_1_with_an_output_head_and_shards() {
    assert!(fixture("architectures/llama-3.1/model.safetensors.index.json").is_file());
    check_architecture("llama-3.1");
}

#[test]
fn llama_3_2_with_tied_embeddings() {
    check_architecture("llama-3.2");
}

#[test]
fn qwen2_5_with_biases_of_q_k_and_v() {
    check_architecture("qwen2.5");
}

#[test]
fn qwen3_with_norms_of_q_and_k_and_wide_heads() {
    check_architecture("qwen3");
}
