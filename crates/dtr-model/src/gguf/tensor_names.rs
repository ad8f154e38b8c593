//! Translates names of tensors in GGUF files to names in transformers.

/// The names of tensors outside the layers, in GGUF files and in transformers.
const GLOBAL: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// The names of the parts of a layer, in GGUF files and in transformers.
const LAYER_PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The name of the tensor that holds a divisor for each rotary frequency. The divisors become a part of
/// `config.json`.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The name of the output head's tensor in GGUF files.
pub(super) const HEAD: &str = "output.weight";

/// The name of the embedding's tensor in GGUF files.
pub(super) const EMBEDDING: &str = "token_embd.weight";

/// Returns the name in transformers of the tensor `name`. Returns `None` if no supported architecture has the
/// tensor.
pub(super) fn transformers_name(name: &str) -> Option<String> {
    if let Some((_, global)) = GLOBAL.iter().find(|(known, _)| *known == name) {
        return Some((*global).to_owned());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.split_once('.')?;
    let (_, part) = LAYER_PARTS.iter().find(|(known, _)| *known == part)?;
    let is_number = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && matches!(kind, "weight" | "bias")).then(|| format!("model.layers.{layer}.{part}.{kind}"))
}
