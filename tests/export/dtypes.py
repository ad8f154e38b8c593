"""Checks the dtypes of exported hybrids, and that transformers loads them.

    dtypes.py DIRECTORY...

The name of a directory ends with the dtype to which its weights were rounded.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def main():
    torch.set_num_threads(1)
    logits = {}
    for directory in map(Path, sys.argv[1:]):
        form, name = directory.name.rsplit("-", 1)
        tensors = load_file(directory / "model.safetensors")
        for tensor, values in tensors.items():
            is_centred = form == "qwen3_5" and "norm" in tensor and "linear_attn.norm" not in tensor
            is_f32 = is_centred or tensor.endswith(("A_log", "dt_bias"))
            assert values.dtype == (torch.float32 if is_f32 else DTYPES[name]), (tensor, values.dtype)
            assert values.isfinite().all(), tensor
        model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True)
        assert model.dtype == DTYPES[name], (model.dtype, name)
        model = model.float().eval()
        with torch.no_grad():
            logits[form, name] = model(torch.arange(40)[None] % 60).logits
    for form, name in logits:
        own, f32 = logits["transformers", name], logits[form, "f32"]
        if form == "qwen3_5" and name == "f32":
            assert torch.allclose(logits[form, name], own, atol=1e-4), "the formats differ"
        assert (logits[form, name] - f32).abs().max() < 0.2 * f32.square().mean().sqrt(), (form, name)


if __name__ == "__main__":
    main()
