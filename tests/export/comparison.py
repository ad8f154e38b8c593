"""Functions that compare the logits of a model with those of dtr. `tests/export/hybrids.rs` describes the
files `expected.safetensors`, which hold the inputs and the outputs of dtr."""

import torch

# The largest difference between logits, relative to their root mean square if that is above 1.
MAX_DIFFERENCE = 1e-4


def cache_of(outputs):
    """Returns the cache among the outputs, whose name differs between versions of transformers."""
    return outputs["cache"] if "cache" in outputs else outputs["past_key_values"]


def difference(computed, expected):
    scale = expected.square().mean().sqrt().clamp(min=1)
    return ((computed - expected).abs().max() / scale).item()


@torch.no_grad()
def compare_rows(model, expected):
    """Yields the largest difference of the logits for each way of computing them without padding."""
    ids, next_ids = expected["ids"].long(), expected["next_ids"].long()
    yield "prefill", difference(model(ids).logits, expected["logits"])
    yield "no cache", difference(model(ids, use_cache=False).logits, expected["logits"])

    outputs, parts = None, []
    for piece in ids.split([3, 30, ids.shape[1] - 33], dim=1):
        cache = None if outputs is None else cache_of(outputs)
        outputs = model(piece, past_key_values=cache, use_cache=True)
        parts.append(outputs.logits)
    yield "prefill in parts", difference(torch.cat(parts, dim=1), expected["logits"])

    steps = []
    for token in next_ids.split(1, dim=1):
        outputs = model(token, past_key_values=cache_of(outputs), use_cache=True)
        steps.append(outputs.logits)
    yield "steps", difference(torch.cat(steps, dim=1), expected["next_logits"])


@torch.no_grad()
def compare_logits(model, expected):
    """Yields the largest difference of the logits for each way of computing them."""
    yield from compare_rows(model, expected)
    ids = expected["ids"].long()
    is_token = torch.arange(ids.shape[1]) >= expected["left_pads"].long().T
    padded = model(ids, attention_mask=is_token.long()).logits
    yield "left padding", difference(padded[is_token], expected["padded_logits"][is_token])


@torch.no_grad()
def check_greedy_text(model, expected):
    ids = expected["ids"][:1].long()
    options = dict(
        do_sample=False, max_new_tokens=expected["greedy"].numel(), pad_token_id=0, eos_token_id=None
    )
    for options["use_cache"] in (True, False):
        tokens = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, ids.shape[1] :]
        assert tokens.tolist() == expected["greedy"].flatten().long().tolist(), "the greedy texts differ"


def check(name, differences):
    """Prints the differences, and checks that all are small."""
    differences = dict(differences)
    print(name, {way: f"{value:.1e}" for way, value in differences.items()})
    assert max(differences.values()) < MAX_DIFFERENCE, differences
