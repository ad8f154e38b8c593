"""Compares hybrids exported as Qwen3.5 models with the outputs of dtr.

    qwen3_5_logits.py DIRECTORY...
"""

import sys
from pathlib import Path

import torch
from comparison import check, check_greedy_text, compare_logits
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load(directory):
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    assert type(model).__name__ == "Qwen3_5ForCausalLM", type(model)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], (kind, report[kind])
    return model.eval()


def main():
    torch.set_num_threads(1)
    for directory in map(Path, sys.argv[1:]):
        expected = load_file(directory / "expected.safetensors")
        model = load(directory)
        check(directory.name, compare_logits(model, expected))
        check_greedy_text(model, expected)


if __name__ == "__main__":
    main()
