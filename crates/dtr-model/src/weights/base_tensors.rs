//! The names and shapes of a base's tensors. With this list, a reader can check a file's header without
//! building the model.

use crate::DecoderConfig;
use crate::mixer::FULL_ATTENTION_PREFIX;

/// Returns the name and the shape of each tensor of a decoder with full attention in every layer.
pub(crate) fn base_tensors(config: &DecoderConfig) -> Vec<(String, Vec<usize>)> {
    let (vocab, width) = (config.vocab_size, config.hidden_size);
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, width])];
    for layer in 0..config.num_layers {
        let parts = layer_tensors(config).into_iter();
        tensors.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![width]));
    if !config.tied_head {
        tensors.push(("lm_head.weight".to_owned(), vec![vocab, width]));
    }
    tensors
}

fn layer_tensors(config: &DecoderConfig) -> Vec<(String, Vec<usize>)> {
    let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (queries, keys) = (config.num_heads * head, config.num_kv_heads * head);
    let attention = FULL_ATTENTION_PREFIX;
    let mut tensors = vec![
        ("input_layernorm.weight".to_owned(), vec![width]),
        ("post_attention_layernorm.weight".to_owned(), vec![width]),
        ("mlp.gate_proj.weight".to_owned(), vec![inner, width]),
        ("mlp.up_proj.weight".to_owned(), vec![inner, width]),
        ("mlp.down_proj.weight".to_owned(), vec![width, inner]),
        (format!("{attention}.o_proj.weight"), vec![width, queries]),
    ];
    for (part, out) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
        tensors.push((format!("{attention}.{part}.weight"), vec![out, width]));
        if config.qkv_bias {
            tensors.push((format!("{attention}.{part}.bias"), vec![out]));
        }
    }
    if config.qk_norm {
        tensors.extend(["q_norm", "k_norm"].map(|part| (format!("{attention}.{part}.weight"), vec![head])));
    }
    tensors
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::decoder;
    use crate::{ParamMut, Parameters};

    #[test]
    fn the_list_matches_the_parameters_of_a_decoder() {
        for (bias, norm) in [(false, false), (true, false), (false, true)] {
            let mut decoder = decoder(bias, norm);
            let mut found = BTreeMap::new();
            decoder.visit(&mut |name, param: ParamMut<'_>| {
                found.insert(name.to_owned(), param.shape());
            });
            assert_eq!(base_tensors(&decoder.config).into_iter().collect::<BTreeMap<_, _>>(), found);
        }
    }
}
