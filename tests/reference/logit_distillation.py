"""Writes the fixtures of logit distillation, computed by PyTorch with the decoder of Hugging Face transformers
and the naive recurrences of flash-linear-attention.

The folder tests/fixtures/logit_distillation/ gets two files for each variant. The weights are those of a small
Llama, which is the teacher, and of a linear block, which replaces the attention of its second layer in the
student. The references are the Kullback-Leibler divergence of the student from the teacher, its gradient for
each parameter of the student, and the parameters after one step of AdamW with clipping and two learning rates.
"""

from pathlib import Path
from runpy import run_path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures" / "logit_distillation"
BLOCKS = run_path(str(Path(__file__).parent / "blocks.py"))
VOCABULARY, REPLACED = 31, 1
RATES = {"mixers": 1e-2, "rest": 1e-3, "attention": 5e-4}


class LinearBlock(torch.nn.Module):
    """A linear block in place of a layer's attention. Its parameters are named as in a hybrid's file."""

    def __init__(self, name, generator):
        super().__init__()
        self.layer = BLOCKS[f"{name}_layer"]
        self.names = list(BLOCKS["PARAMETERS"][name])
        self.values = torch.nn.ParameterList()
        for part, shape in BLOCKS["PARAMETERS"][name].items():
            scale = 0.5 if len(shape) == 1 else shape[1] ** -0.5
            noise = scale * torch.randn(shape, generator=generator)
            self.values.append(torch.nn.Parameter(noise + (1.0 if "norm" in part else 0.0)))

    def forward(self, hidden_states, **_):
        output, _ = self.layer(hidden_states, dict(zip(self.names, self.values)))
        return output, None


def teacher_and_student(name, tied):
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-6,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    teacher, student = LlamaForCausalLM(config), LlamaForCausalLM(config)
    for model in [teacher, student]:
        model.load_state_dict(teacher.state_dict())
    student.model.layers[REPLACED].self_attn = LinearBlock(name, torch.Generator().manual_seed(9))
    return teacher, student


def hybrid_parameters(student):
    """Returns the parameters under the names that they have in an exported hybrid."""
    block = student.model.layers[REPLACED].self_attn
    prefix = f"model.layers.{REPLACED}.self_attn.values."
    named = {}
    for name, value in student.named_parameters():
        if name.startswith(prefix):
            part = block.names[int(name.removeprefix(prefix))]
            name = f"model.layers.{REPLACED}.linear_attn.{part}"
        named[name] = value
    return named


def group(name):
    return "mixers" if ".linear_attn." in name else "attention" if ".self_attn." in name else "rest"


def case(name, tied):
    teacher, student = teacher_and_student(name, tied)
    ids = torch.randint(VOCABULARY, (2, 70), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        log_q = F.log_softmax(teacher(ids).logits, -1)
    log_p = F.log_softmax(student(ids).logits, -1)
    divergence = F.kl_div(log_p, log_q, log_target=True, reduction="sum") / ids.numel()
    divergence.backward()
    parameters = hybrid_parameters(student)
    weights = {f"model.{key.removeprefix('model.')}": value for key, value in teacher.model.state_dict().items()}
    if not tied:
        weights["lm_head.weight"] = teacher.lm_head.weight
    twin = f"model.layers.{REPLACED}.linear_attn."
    twins = {
        f"layers.{REPLACED}.{key.removeprefix(twin)}": value.detach().clone()
        for key, value in parameters.items()
        if key.startswith(twin)
    }
    expected = {"ids": ids.int(), "divergence": divergence.detach().reshape(1)}
    expected |= {f"d_{key}": value.grad.clone() for key, value in parameters.items()}
    norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), 0.5 * gradient_norm(parameters))
    expected["norm"] = norm.reshape(1)
    groups = [
        {"params": [value], "lr": RATES[group(key)], "weight_decay": 0.1 if value.dim() == 2 else 0.0}
        for key, value in parameters.items()
    ]
    # With this large epsilon, a step depends on the magnitude of the gradient and not only on its sign.
    torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-3).step()
    expected |= {f"after_{key}": value.detach() for key, value in parameters.items()}
    return weights, twins, expected


def gradient_norm(parameters):
    return torch.stack([value.grad.norm() for value in parameters.values()]).norm().item()


def save(tensors, name):
    path = FIXTURES / f"{name}.safetensors"
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path)
    print(path.name, f"{path.stat().st_size / 1024:.0f} KiB")


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name, tied in [("gla", True), ("gdn", False), ("jet", True)]:
        weights, twins, expected = case(name, tied)
        save(weights, f"{name}-base")
        save(twins, f"{name}-twin")
        save(expected, name)


if __name__ == "__main__":
    main()
