"""Compares hybrids exported as Jet-Nemotron models with the outputs of dtr.

    jet_nemotron_logits.py DIRECTORY...
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from comparison import check, difference
from safetensors.torch import load_file
from sglang_on_cpu import load_jet_nemotron


def load(module, configuration, directory):
    fields = json.loads((directory / "config.json").read_text())
    assert fields["architectures"] == [module.EntryClass.__name__]
    config = configuration.JetNemotronConfig(**fields)
    model = module.JetNemotronForCausalLM(config)
    tensors = load_file(directory / "model.safetensors")
    if config.tie_word_embeddings:
        assert "lm_head.weight" not in tensors
    model.load_weights(tensors.items())
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), f"{name} is not loaded"
    return config, model


def forward(model, ids, start):
    """Returns the logits of the tokens `ids`, whose first position is `start`."""
    positions = torch.arange(start, start + ids.numel())
    batch = SimpleNamespace(batch_size=1, extend_seq_lens=torch.tensor([ids.numel()]))
    hidden = model.model(ids, positions, batch)
    return hidden @ model.lm_head.weight.T


@torch.no_grad()
def compare(model, config, set_cache, expected):
    ids, next_ids = expected["ids"].long(), expected["next_ids"].long()
    for row in range(ids.shape[0]):
        set_cache(config)
        for layer in model.modules():
            if hasattr(layer, "cache"):
                layer.cache = None
        parts, start = [], 0
        for piece in ids[row].split([3, 30, ids.shape[1] - 33]):
            parts.append(forward(model, piece, start))
            start += piece.numel()
        yield f"row {row} in parts", difference(torch.cat(parts), expected["logits"][row])
        steps = []
        for token in next_ids[row].split(1):
            steps.append(forward(model, token, start))
            start += 1
        yield f"row {row} steps", difference(torch.cat(steps), expected["next_logits"][row])


def main():
    torch.set_num_threads(1)
    module, configuration, set_cache = load_jet_nemotron()
    for directory in map(Path, sys.argv[1:]):
        config, model = load(module, configuration, directory)
        expected = load_file(directory / "expected.safetensors")
        check(directory.name, compare(model, config, set_cache, expected))
    print("SKIPPED: the kernels and the scheduler of SGLang need a GPU")


if __name__ == "__main__":
    main()
