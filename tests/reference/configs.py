"""Writes the fixture of configurations: how Hugging Face transformers interprets each key of `config.json`.

The file tests/fixtures/configs.json gets an entry for each change to a plain configuration. For each
architecture, the entry says whether the changed model computes the same logits and generates the same tokens
as the plain model, and which values are in effect. If transformers refuses the configuration, the entry holds
the error instead. The script needs no GPU and no tokenizer.
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

FIXTURE = Path(__file__).parent.parent / "fixtures" / "configs.json"
CLASSES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
PLAIN = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
ABSENT = "absent"
FULL, SLIDING, CHUNKED = (["full_attention"] * 3, ["sliding_attention"] * 3, ["chunked_attention"] * 3)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
FACTORS = {"rope_type": "longrope", "attention_factor": 1.0, "original_max_position_embeddings": 64}
ONES, OTHERS = [1.0] * 4, [1.0, 1.5, 2.0, 8.0]
CASES = (
    [{key: ABSENT} for key in PLAIN if key not in ("vocab_size", "hidden_size", "num_attention_heads")]
    + [{key: None} for key in PLAIN]
    + [
        {key: None}
        for key in [
            "attention_bias", "attention_chunk_size", "is_causal", "is_encoder_decoder", "layer_types",
            "max_window_layers", "mlp_bias", "num_kv_shared_layers", "original_max_position_embeddings",
            "pad_token_id", "partial_rotary_factor", "per_layer_config", "pretraining_tp",
            "quantization_config", "rope_parameters", "rope_scaling", "rope_theta", "sliding_window",
            "text_config", "use_sliding_window",
        ]
    ]
    + [
        {"hidden_act": "swish"},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"attention_bias": False},
        {"mlp_bias": True},
        {"attention_dropout": 0.5},
        {"pretraining_tp": 4},
        {"use_cache": False},
        {"initializer_range": 0.5},
        {"chunk_size_feed_forward": 4},
        {"pad_token_id": -1},
        {"architectures": ["MistralForCausalLM"]},
        {"torch_dtype": "float16"},
        {"dtype": "float16"},
        {"num_labels": 1},
        {"is_causal": False},
        {"is_causal": True},
        {"is_encoder_decoder": True},
        {"num_kv_shared_layers": 0},
        {"num_kv_shared_layers": 1},
        {"per_layer_config": {}},
        {"per_layer_config": {"1": {"intermediate_size": 40}}},
        {"text_config": {"vocab_size": 60}},
        {"quantization_config": {}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": False, "load_in_4bit": False}},
        # Keys that no architecture knows.
        {"logit_scale": 0.5},
        {"use_qk_norm": True},
        {"residual_multiplier": 0.5},
        {"rope_interleaved": True},
        {"unsloth_version": "2026.1"},
        # Sizes.
        {"head_dim": 16},
        {"head_dim": 7},
        {"head_dim": 0},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 3},
        {"hidden_size": "32"},
        {"vocab_size": 60.0},
        {"rms_norm_eps": 0.5},
        {"rms_norm_eps": 0.0},
        {"rms_norm_eps": 1},
        {"tie_word_embeddings": 1},
        # Sliding windows.
        {"use_sliding_window": True},
        {"use_sliding_window": True, "max_window_layers": 0},
        {"use_sliding_window": True, "max_window_layers": -1},
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 8},
        {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 8},
        {"use_sliding_window": True, "max_window_layers": 3, "sliding_window": 8},
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 64},
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": None},
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 8, "layer_types": FULL},
        {"use_sliding_window": True, "sliding_window": 64, "layer_types": SLIDING},
        {"use_sliding_window": True, "sliding_window": 8, "layer_types": SLIDING},
        {"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 0},
        {"sliding_window": 8},
        {"sliding_window": 64},
        {"sliding_window": 8, "layer_types": SLIDING},
        {"layer_types": FULL},
        {"layer_types": FULL[1:]},
        {"layer_types": SLIDING},
        {"layer_types": ["attention"] * 3},
        {"attention_chunk_size": 8},
        {"attention_chunk_size": 64},
        {"attention_chunk_size": 8, "layer_types": CHUNKED},
        {"layer_types": CHUNKED},
        # The rotary embedding.
        {"rope_theta": 5000.0},
        {"rope_theta": 5000},
        {"rope_theta": "10000"},
        {"rope_parameters": DEFAULT, "rope_theta": 77.0},
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 77.0},
        {"rope_parameters": {"rope_theta": 77.0}},
        {"rope_parameters": {"rope_theta": 77.0}, "rope_scaling": {"type": "default"}},
        {"rope_parameters": {"rope_theta": 77.0}, "rope_scaling": {}},
        {"rope_parameters": {"rope_theta": 77.0}, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 77.0}, "rope_scaling": LLAMA3},
        {"rope_parameters": DEFAULT, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": DEFAULT, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
        {"rope_parameters": {"rope_theta": None}},
        {"rope_parameters": {"full_attention": DEFAULT}, "layer_types": FULL},
        {"rope_parameters": False},
        {"rope_scaling": {"type": "linear", "factor": 1.0}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": {"type": "linear"}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0, "partial_rotary_factor": 0.5}},
        {"rope_scaling": {"type": "dynamic"}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "default", "type": "linear", "factor": 2.0}},
        {"rope_scaling": {"rope_type": None}},
        {"rope_scaling": {"type": "su"}},
        {"rope_scaling": FACTORS | {"short_factor": ONES, "long_factor": ONES}},
        {"rope_scaling": FACTORS | {"short_factor": OTHERS, "long_factor": OTHERS}},
        {"rope_scaling": FACTORS | {"short_factor": OTHERS, "long_factor": ONES}},
        {"rope_scaling": FACTORS | {"short_factor": ONES, "long_factor": ONES, "attention_factor": 2.0}},
        {"rope_scaling": FACTORS | {"short_factor": ONES}},
        {"rope_scaling": "linear"},
        {"rope_scaling": False},
        {"partial_rotary_factor": 0.5},
        {"rope_scaling": LLAMA3},
        {"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 16, "rope_theta": 77.0}},
        {"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32}, "original_max_position_embeddings": 16},
        {"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32}, "partial_rotary_factor": 0.5},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}},
        {"original_max_position_embeddings": 16},
    ]
)


def config_of(name, changes):
    fields = PLAIN | changes
    return {key: value for key, value in fields.items() if value != ABSENT} | {"model_type": name}


def build(name, fields):
    config_class, model_class = CLASSES[name]
    model = model_class(config_class(**json.loads(json.dumps(fields)))).eval().float()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in parameter_name:
                parameter.copy_(1.0 + 0.2 * noise)
            elif "embed" in parameter_name or parameter.ndim == 1:
                parameter.copy_(noise)
            else:
                parameter.copy_(1.5 * noise * parameter.shape[1] ** -0.5)
    return model


@torch.no_grad()
def compute(model):
    ids = torch.randint(0, 60, (1, 48), generator=torch.Generator().manual_seed(1))
    tokens = model.generate(ids[:, :8], max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0)
    return model(ids).logits, tokens


def values(config):
    """Returns the values in effect. A Qwen2 config has no `head_dim`, so this function computes the width."""
    rope = config.rope_parameters
    return {
        "num_layers": config.num_hidden_layers,
        "intermediate_size": config.intermediate_size,
        "num_kv_heads": config.num_key_value_heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        "norm_epsilon": config.rms_norm_eps,
        "max_positions": config.max_position_embeddings,
        "tied_head": config.tie_word_embeddings,
        "rope_theta": rope["rope_theta"],
        "rope_type": rope["rope_type"],
        "original_max_position": rope.get("original_max_position_embeddings"),
    }


def outcome(name, changes, plain):
    try:
        model = build(name, config_of(name, changes))
        logits, tokens = compute(model)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
    is_same = logits.shape == plain[0].shape and torch.equal(logits, plain[0])
    return {
        "same_logits": is_same,
        "same_tokens": torch.equal(tokens, plain[1]),
        "values": values(model.config),
    }


def main():
    cases = []
    plain = {name: compute(build(name, config_of(name, {}))) for name in CLASSES}
    for changes in CASES:
        outcomes = {name: outcome(name, changes, plain[name]) for name in CLASSES}
        cases.append({"changes": changes} | outcomes)
        print(json.dumps(changes), [next(iter(of)) for of in outcomes.values()])
    lines = ",\n".join(json.dumps(case) for case in cases)
    FIXTURE.write_text(f'{{ "plain": {json.dumps(PLAIN)}, "cases": [\n{lines}\n] }}\n')


if __name__ == "__main__":
    main()
