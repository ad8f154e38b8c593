//! The tensors of a base, by name and shape: what its weights must hold, known before any of them is read.

use super::config::Config;
use super::mixer::FULL;

/// The tensors of a decoder of `config` with full attention, in the order in which they are made.
pub(super) fn of_base(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (vocab, width) = (config.vocab_size, config.hidden_size);
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, width])];
    for layer in 0..config.num_layers {
        let parts = of_layer(config);
        shapes.extend(parts.into_iter().map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
    }
    shapes.push(("model.norm.weight".to_owned(), vec![width]));
    if !config.tied_head {
        shapes.push(("lm_head.weight".to_owned(), vec![vocab, width]));
    }
    shapes
}

fn of_layer(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (queries, keys) = (config.num_heads * head, config.num_kv_heads * head);
    let mut parts = vec![
        ("input_layernorm.weight".to_owned(), vec![width]),
        ("post_attention_layernorm.weight".to_owned(), vec![width]),
        ("mlp.gate_proj.weight".to_owned(), vec![inner, width]),
        ("mlp.up_proj.weight".to_owned(), vec![inner, width]),
        ("mlp.down_proj.weight".to_owned(), vec![width, inner]),
        (format!("{FULL}.o_proj.weight"), vec![width, queries]),
    ];
    for (part, out) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
        parts.push((format!("{FULL}.{part}.weight"), vec![out, width]));
        if config.qkv_bias {
            parts.push((format!("{FULL}.{part}.bias"), vec![out]));
        }
    }
    if config.qk_norm {
        parts.extend(["q_norm", "k_norm"].map(|part| (format!("{FULL}.{part}.weight"), vec![head])));
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::decoder;
    use crate::{ParamMut, Parameters};

    #[test]
    fn they_are_those_that_a_decoder_is_made_of() {
        for (bias, norm) in [(false, false), (true, false), (false, true)] {
            let mut decoder = decoder(bias, norm);
            let mut found = BTreeMap::new();
            decoder.visit(&mut |name, slot: ParamMut<'_>| {
                found.insert(name.to_owned(), slot.shape());
            });
            assert_eq!(of_base(&decoder.config).into_iter().collect::<BTreeMap<_, _>>(), found);
        }
    }
}
