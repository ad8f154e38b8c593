"""Writes the fixtures of fine-tuning, computed by PyTorch with the hybrids of logit_distillation.py.

The folder tests/fixtures/finetuning/ gets one file for each variant. The weights are those of
tests/fixtures/logit_distillation/. The references are the cross entropy of the tokens of completions in two
rows of different lengths, its gradient for each parameter, the gradients of the factors of LoRA, and the
adapted matrices after one step of AdamW.
"""

from pathlib import Path
from runpy import run_path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures" / "finetuning"
HYBRIDS = run_path(str(HERE / "logit_distillation.py"))
RANK, ALPHA, RATE = 3, 12.0, 1e-2
IGNORED = -100
# The number of tokens of each row, and of its prompt.
LENGTHS = [(70, 61), (43, 21)]
TARGETS = ("q_proj.weight", "v_proj.weight", "down_proj.weight")


def rows():
    generator = torch.Generator().manual_seed(3)
    length = max(length for length, _ in LENGTHS)
    ids = torch.randint(HYBRIDS["VOCABULARY"], (len(LENGTHS), length), generator=generator)
    labels = ids.clone()
    for row, (length, prompt) in enumerate(LENGTHS):
        labels[row, :prompt] = IGNORED
        labels[row, length:] = IGNORED
    return ids, labels


def loss_of(model, parameters=None):
    ids, labels = rows()
    output = model(ids) if parameters is None else torch.func.functional_call(model, parameters, (ids,))
    logits = output.logits
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    return F.cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=IGNORED)


def lora(student, parameters):
    """Returns the gradients of the factors, and the matrices before and after a step."""
    generator = torch.Generator().manual_seed(5)
    names = {id(value): name for name, value in student.named_parameters()}
    adapters = {}
    for name, value in parameters.items():
        if name.endswith(TARGETS):
            a = torch.randn(RANK, value.shape[1], generator=generator) * value.shape[1] ** -0.5
            b = torch.randn(value.shape[0], RANK, generator=generator) * 0.1
            adapters[name] = (a.requires_grad_(), b.requires_grad_())
    frozen = {name: value.detach().clone() for name, value in student.named_parameters()}

    def adapted(name):
        a, b = adapters[name]
        return frozen[names[id(parameters[name])]] + ALPHA / RANK * b @ a

    merged = frozen | {names[id(parameters[name])]: adapted(name) for name in adapters}
    loss = loss_of(student, merged)
    loss.backward()
    expected = {"lora_loss": loss.detach().reshape(1)}
    for name, (a, b) in adapters.items():
        expected |= {f"{name}.lora_a": a.detach().clone(), f"{name}.lora_b": b.detach().clone()}
        expected |= {f"d_{name}.lora_a": a.grad.clone(), f"d_{name}.lora_b": b.grad.clone()}
    factors = [factor for pair in adapters.values() for factor in pair]
    count = sum(factor.numel() for factor in factors)
    expected |= {f"adamw.lora.{moment}": torch.zeros(count) for moment in ("first", "second")}
    # With this large epsilon, a step depends on the magnitude of the gradient and not only on its sign.
    torch.optim.AdamW(factors, lr=RATE, betas=(0.9, 0.95), eps=1e-3, weight_decay=0.0).step()
    expected |= {f"merged_{name}": adapted(name).detach() for name in adapters}
    return expected


def case(name, tied):
    _, student = HYBRIDS["teacher_and_student"](name, tied)
    ids, _ = rows()
    loss = loss_of(student)
    loss.backward()
    parameters = HYBRIDS["hybrid_parameters"](student)
    expected = {"ids": ids.int(), "lengths": torch.tensor(LENGTHS, dtype=torch.int32)}
    expected |= {"loss": loss.detach().reshape(1)}
    expected |= {f"d_{key}": value.grad.clone() for key, value in parameters.items()}
    return expected | lora(student, parameters)


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name, tied in [("gla", True), ("gdn", False), ("jet", True)]:
        path = FIXTURES / f"{name}.safetensors"
        save_file({key: value.detach().contiguous() for key, value in case(name, tied).items()}, path)
        print(path.name, f"{path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
