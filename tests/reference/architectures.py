"""Writes the fixtures of the supported architectures, computed by Hugging Face transformers with small
random models.

The folder tests/fixtures/architectures/NAME/ gets the model as transformers saves it, a tokenizer, and the
file expected.safetensors with inputs, hidden states and logits in f32. The script needs no GPU.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FIXTURES = Path(__file__).parent.parent / "fixtures" / "architectures"
VOCABULARY = 60
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    attn_implementation="eager",
)
# The published RoPE scaling with a shorter original context, so that it also affects these short prompts.
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500_000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
MODELS = {
    "llama-3.1": (
        LlamaForCausalLM,
        LlamaConfig(**SHAPE, head_dim=8, rms_norm_eps=1e-5, rope_parameters=LLAMA3, tie_word_embeddings=False),
        torch.bfloat16,
        "20KB",
    ),
    "llama-3.2": (
        LlamaForCausalLM,
        LlamaConfig(**SHAPE, head_dim=8, rms_norm_eps=1e-5, rope_parameters=LLAMA3, tie_word_embeddings=True),
        torch.float32,
        "1GB",
    ),
    "qwen2.5": (
        Qwen2ForCausalLM,
        Qwen2Config(**SHAPE, rms_norm_eps=1e-6, rope_theta=1_000_000.0, tie_word_embeddings=True),
        torch.float16,
        "1GB",
    ),
    "qwen3": (
        Qwen3ForCausalLM,
        Qwen3Config(**SHAPE, head_dim=16, rms_norm_eps=1e-6, rope_theta=1_000_000.0, tie_word_embeddings=False),
        torch.bfloat16,
        "1GB",
    ),
}


def randomise(model):
    """Sets random weights, large enough that every part of the model changes the logits."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1.0 + 0.2 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.5 * noise)
            elif "embed" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(1.5 * noise * parameter.shape[1] ** -0.5)


@torch.no_grad()
def expected_tensors(model):
    generator = torch.Generator().manual_seed(11)
    ids = torch.randint(0, VOCABULARY, (2, 96), generator=generator)
    next_ids = torch.randint(0, VOCABULARY, (2, 5), generator=generator)
    tensors = {"ids": ids, "next_ids": next_ids}

    cache = DynamicCache(config=model.config)
    whole = model(ids, past_key_values=cache, use_cache=True, output_hidden_states=True)
    tensors["logits"] = whole.logits
    # The last hidden state of transformers is normalised, so it is left out. All others are layer inputs.
    for layer, hidden in enumerate(whole.hidden_states[:-1]):
        tensors[f"hidden.{layer}"] = hidden
    steps = [model(next_ids[:, i : i + 1], past_key_values=cache, use_cache=True).logits for i in range(5)]
    tensors["next_logits"] = torch.cat(steps, dim=1)

    pads = torch.tensor([0, 29])
    attended = torch.arange(96)[None, :] >= pads[:, None]
    positions = (attended.long().cumsum(1) - 1).clamp(min=0)
    padded = torch.where(attended, ids, torch.zeros_like(ids))
    output = model(padded, attention_mask=attended.long(), position_ids=positions)
    tensors |= {"left_pads": pads, "padded_ids": padded, "padded_logits": output.logits}
    integers = {"ids", "next_ids", "left_pads", "padded_ids"}
    return {
        name: (tensor.to(torch.int32) if name in integers else tensor.float()).contiguous()
        for name, tensor in tensors.items()
    }


def main():
    for name, (kind, config, dtype, shard) in MODELS.items():
        folder = FIXTURES / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        model = kind(config).eval()
        randomise(model)
        model.to(dtype).save_pretrained(folder, max_shard_size=shard)
        (folder / "generation_config.json").unlink(missing_ok=True)
        tokenizer = Tokenizer(WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        # The stored weights are read again, because the cast rounded the rotary frequencies of `model`.
        stored = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        save_file(expected_tensors(stored), folder / "expected.safetensors")
        size = sum(file.stat().st_size for file in folder.iterdir())
        files = sorted(file.name for file in folder.iterdir())
        print(name, json.dumps(files), f"{size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
