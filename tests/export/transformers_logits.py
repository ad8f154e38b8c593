"""Compares exported hybrids in transformers with the outputs of dtr, and saves each hybrid again.

    transformers_logits.py DIRECTORY...

Each directory has a file `expected.safetensors`, which `tests/export/hybrids.rs` describes.
"""

import sys
from pathlib import Path

import torch
from comparison import check, check_greedy_text, compare_logits, difference
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

def load(directory):
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, trust_remote_code=True, dtype=torch.float32, output_loading_info=True
    )
    assert type(model).__name__ == "DtrHybridForCausalLM", type(model)
    assert model.config.model_type == "dtr_hybrid"
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], (kind, report[kind])
    return model.eval()


@torch.no_grad()
def check_padded_generation(model, expected):
    """Checks that a text does not depend on the left padding of its prompt."""
    ids, pads = expected["ids"].long(), expected["left_pads"].long().flatten().tolist()
    mask = (torch.arange(ids.shape[1]) >= expected["left_pads"].long().T).long()
    options = dict(do_sample=False, max_new_tokens=8, pad_token_id=0, eos_token_id=None)
    batch = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
    for row, pad in enumerate(pads):
        prompt = ids[row : row + 1, pad:]
        single = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
        assert torch.equal(single[0, prompt.shape[1] :], batch[row]), f"row {row} depends on its padding"


def check_gradients(model, expected):
    """Checks that every parameter gets a gradient, and the same with gradient checkpointing."""
    ids = expected["ids"].long()
    gradients = []
    for is_checkpointed in (False, True):
        model.train()
        if is_checkpointed:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    model.gradient_checkpointing_disable()
    model.eval()
    for name, gradient in gradients[0].items():
        assert gradient.isfinite().all() and gradient.abs().max() > 0, f"{name} has no gradient"
        assert difference(gradients[1][name], gradient) < 1e-5, f"{name} has another gradient"


def check_saved(model, directory, expected):
    """Saves the model, and checks that the copy computes the same logits."""
    saved = directory / "saved"
    model.save_pretrained(saved)
    AutoTokenizer.from_pretrained(directory, trust_remote_code=True).save_pretrained(saved)
    ids = expected["ids"].long()
    with torch.no_grad():
        assert torch.equal(load(saved)(ids).logits, model(ids).logits), (
            "the saved model computes other logits"
        )


def main():
    # The models are so small that threads would only wait for each other.
    torch.set_num_threads(1)
    for directory in map(Path, sys.argv[1:]):
        expected = load_file(directory / "expected.safetensors")
        model = load(directory)
        check(directory.name, compare_logits(model, expected))
        check_greedy_text(model, expected)
        check_padded_generation(model, expected)
        check_gradients(model, expected)
        check_saved(model, directory, expected)


if __name__ == "__main__":
    main()
