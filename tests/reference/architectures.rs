//! Each served architecture against Hugging Face transformers: hidden states of every layer, logits, a
//! decode after a prefill, and a batch with left padding.

use crate::support::{Expected, compare, fixture};
use burn::tensor::{Device, Tensor};
use dtr_model::{BaseModel, DecoderState, Hybrid, PrefixTree};

/// Largest relative root mean square error in f32.
const BOUND: f64 = 2e-4;

fn ids(expected: &Expected, name: &str) -> Vec<Vec<u32>> {
    let (shape, words) = expected.words(name);
    let ids: Vec<u32> = words.into_iter().map(u32::from_le_bytes).collect();
    ids.chunks_exact(*shape.last().unwrap()).map(<[u32]>::to_vec).collect()
}

fn logits(hybrid: &Hybrid<'_>, hidden_btd: Tensor<3>) -> Tensor<3> {
    let [batch, time, width] = hidden_btd.dims();
    let logits = hybrid.logits(hidden_btd.reshape([batch * time, width]));
    let vocabulary = logits.dims()[1];
    logits.reshape([batch, time, vocabulary])
}

fn check(name: &str) {
    let folder = format!("architectures/{name}");
    let base = BaseModel::read(&fixture(&folder), &Device::flex()).unwrap();
    let expected = Expected::read(&format!("{folder}/expected.safetensors"));
    let model = Hybrid::from_base(&base.decoder);
    let prompt = ids(&expected, "ids");
    let close = |what: &str, ours: Tensor<3>| {
        compare(&format!("{name} {what}"), ours, expected.floats(what), BOUND);
    };

    let tree = PrefixTree::new(&base.decoder, prompt.clone(), None);
    let mut hidden = tree.embed(&base.decoder);
    for layer in 0..model.num_layers() {
        close(&format!("hidden.{layer}"), hidden.prefixes.clone());
        hidden = model.run_layers(layer..layer + 1, hidden, &tree);
    }
    close("logits", logits(&model, hidden.prefixes));

    let mut state = DecoderState::new(model.num_layers());
    model.forward(&prompt, None, Some(&mut state));
    let next = ids(&expected, "next_ids");
    let steps = (0..next[0].len()).map(|at| {
        let token: Vec<Vec<u32>> = next.iter().map(|row| vec![row[at]]).collect();
        logits(&model, model.forward(&token, None, Some(&mut state)))
    });
    close("next_logits", Tensor::cat(steps.collect(), 1));

    let pads: Vec<usize> = ids(&expected, "left_pads").concat().into_iter().map(|pad| pad as usize).collect();
    let padded = logits(&model, model.forward(&ids(&expected, "padded_ids"), Some(&pads), None));
    let theirs = expected.floats::<3>("padded_logits");
    for (row, pad) in pads.into_iter().enumerate() {
        // What stands at a pad means nothing.
        let seen = |x: &Tensor<3>| x.clone().narrow(0, row, 1).narrow(1, pad, x.dims()[1] - pad);
        compare(&format!("{name} padded_logits, row {row}"), seen(&padded), seen(&theirs), BOUND);
    }
}

#[test]
fn llama_3_1_with_a_head_of_its_own_in_shards() {
    assert!(fixture("architectures/llama-3.1/model.safetensors.index.json").is_file());
    check("llama-3.1");
}

#[test]
fn llama_3_2_with_a_tied_head() {
    check("llama-3.2");
}

#[test]
fn qwen2_5_with_biases() {
    check("qwen2.5");
}

#[test]
fn qwen3_with_query_and_key_norms_and_wide_heads() {
    check("qwen3");
}
