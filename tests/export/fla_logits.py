"""Compares hybrids exported as models of flash-linear-attention with the outputs of dtr.

    fla_logits.py DIRECTORY...
"""

import sys
from pathlib import Path

import torch
from comparison import check, compare_rows
from fla_on_cpu import replace_kernels
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def main():
    torch.set_num_threads(1)
    replace_kernels()
    for directory in map(Path, sys.argv[1:]):
        expected = load_file(directory / "expected.safetensors")
        model, report = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, output_loading_info=True
        )
        assert type(model).__module__.startswith("fla."), type(model)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[kind], (kind, report[kind])
        check(directory.name, compare_rows(model.eval(), expected))
    print("SKIPPED: batches with padding in flash-linear-attention need flash-attn and a GPU")


if __name__ == "__main__":
    main()
