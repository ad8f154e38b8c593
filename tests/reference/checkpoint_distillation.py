"""Writes the fixtures of checkpoint distillation, computed by PyTorch with the models of logit_distillation.py.

The folder tests/fixtures/checkpoint_distillation/ gets one file for each variant. The weights are those of
tests/fixtures/logit_distillation/, and the rows those of finetuning.py. The references are the mixture of the
Kullback-Leibler divergence from the teacher and of the cross entropy on the tokens of completions, with a weight
for each row, and its gradient for each parameter of the student.
"""

from pathlib import Path
from runpy import run_path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures" / "checkpoint_distillation"
HYBRIDS = run_path(str(HERE / "logit_distillation.py"))
FINETUNING = run_path(str(HERE / "finetuning.py"))
# The losses of the fine-tuned student and of the teacher on each row. Their quotients are the weights.
LOSSES = [(1.5, 0.5), (0.6, 1.8)]


def case(name, tied):
    teacher, student = HYBRIDS["teacher_and_student"](name, tied)
    ids, labels = FINETUNING["rows"]()
    with torch.no_grad():
        log_q = F.log_softmax(teacher(ids).logits[:, :-1], -1)
    log_p = F.log_softmax(student(ids).logits[:, :-1], -1)
    is_target = labels[:, 1:] != FINETUNING["IGNORED"]
    divergence = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1)
    cross_entropy = -log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)
    weight = torch.tensor([of_student / (of_student + of_teacher) for of_student, of_teacher in LOSSES])[:, None]
    mixed = weight * divergence + (1 - weight) * cross_entropy
    loss = mixed[is_target].mean()
    loss.backward()
    parameters = HYBRIDS["hybrid_parameters"](student)
    lengths = torch.tensor(FINETUNING["LENGTHS"], dtype=torch.int32)
    expected = {"ids": ids.int(), "lengths": lengths, "losses": torch.tensor(LOSSES)}
    expected |= {"loss": loss.detach().reshape(1)}
    return expected | {f"d_{key}": value.grad.clone() for key, value in parameters.items()}


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name, tied in [("gla", True), ("gdn", False), ("jet", True)]:
        path = FIXTURES / f"{name}.safetensors"
        save_file({key: value.detach().contiguous() for key, value in case(name, tied).items()}, path)
        print(path.name, f"{path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
