"""Writes the fixtures of the linear attention blocks, computed by flash-linear-attention's naive
recurrences on a CPU.

The folder tests/fixtures/blocks/ gets two kinds of fixtures. The first kind is a recurrence: its inputs and
outputs, and its final states and gradients at several lengths. The second kind is a whole layer: its
weights, inputs, outputs, final state and gradients. GLA and Gated DeltaNet layers have the layout of
flash-linear-attention, and JetBlock layers that of Jet-Nemotron. Several query heads share a key head and a
value head. The script repeats the activations of key and value heads, and not their weights.
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FIXTURES = Path(__file__).parent.parent / "fixtures" / "blocks"
LENGTHS = [1, 15, 63, 64, 65, 130, 257]
HEADS, KEY, VALUE = 2, 6, 8


def load_naive_function(module, name):
    """Loads a function of fla/ops from its file, because importing the package needs Triton."""
    root = Path(importlib.util.find_spec("fla").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location(name, root / "ops" / module / "naive.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


recurrent_gla = load_naive_function("gla", "naive_recurrent_gla")
recurrent_delta = load_naive_function("gated_delta_rule", "naive_recurrent_gated_delta_rule")


def l2_norm(x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def gla(q, k, v, gk, state):
    return recurrent_gla(q, k, v, gk, initial_state=state, output_final_state=True)


def delta(q, k, v, beta, g, state):
    return recurrent_delta(
        q=q, k=k, v=v, beta=beta, g=g, scale=q.shape[-1] ** -0.5, initial_state=state, output_final_state=True
    )


def recurrence_case(rule, case):
    generator = torch.Generator().manual_seed(5)
    time = LENGTHS[-1]

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=generator)

    keys = uniform(-1, 1, 1, time, HEADS, KEY)
    decay = {"mild": -0.5, "strong": -20.0, "correlated": -1e-6}[case]
    beta = uniform(0.98, 1.0, 1, time, HEADS) if case == "correlated" else uniform(0, 1, 1, time, HEADS)
    inputs = {
        "q": l2_norm(uniform(-1, 1, 1, time, HEADS, KEY)),
        "k": l2_norm(keys * 0.1 + 1.0 if case == "correlated" else keys),
        "v": uniform(-1, 1, 1, time, HEADS, VALUE),
    }
    if rule is gla:
        inputs["gk"] = uniform(decay, 0, 1, time, HEADS, KEY)
    else:
        inputs |= {"beta": beta, "g": uniform(decay, 0, 1, time, HEADS)}
    state = uniform(-1, 1, 1, HEADS, KEY, VALUE)
    probe = uniform(-1, 1, 1, time, HEADS, VALUE)
    state_probe = uniform(-1, 1, 1, HEADS, KEY, VALUE)
    tensors = inputs | {"state": state, "probe": probe, "state_probe": state_probe}
    for length in LENGTHS:
        leaves = {name: x[:, :length].clone().requires_grad_() for name, x in inputs.items()}
        leaves["state"] = state.clone().requires_grad_()
        output, last = rule(**leaves)
        loss = (output * probe[:, :length]).sum() + (last * state_probe).sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        tensors[f"{length}.last"] = last
        if length == time:
            tensors["output"] = output
        for name, gradient in zip(leaves, gradients):
            tensors[f"{length}.d_{name}"] = gradient
    return tensors


# The whole layers have width 24, 4 query heads and 2 key/value heads of width 8, and no rotary positions.
WIDTH, QUERY_HEADS, KV_HEADS, HEAD = 24, 4, 2, 8
GROUP_SIZE = QUERY_HEADS // KV_HEADS
PROJECTIONS = {
    "q_proj.weight": (QUERY_HEADS * HEAD, WIDTH),
    "k_proj.weight": (KV_HEADS * HEAD, WIDTH),
    "v_proj.weight": (KV_HEADS * HEAD, WIDTH),
    "g_proj.weight": (QUERY_HEADS * HEAD, WIDTH),
    "o_norm.weight": (HEAD,),
    "o_proj.weight": (WIDTH, QUERY_HEADS * HEAD),
}
GATES = {
    "a_proj.weight": (QUERY_HEADS, WIDTH),
    "b_proj.weight": (QUERY_HEADS, WIDTH),
    "A_log": (QUERY_HEADS,),
    "dt_bias": (QUERY_HEADS,),
}
GENERATOR_WIDTH = KV_HEADS * HEAD // 8
PARAMETERS = {
    "gla": PROJECTIONS
    | {
        "gk_proj.0.weight": (16, WIDTH),
        "gk_proj.1.weight": (KV_HEADS * HEAD, 16),
        "gk_proj.1.bias": (KV_HEADS * HEAD,),
    },
    "gdn": PROJECTIONS
    | GATES
    | {
        "q_conv1d.weight": (QUERY_HEADS * HEAD, 4),
        "k_conv1d.weight": (KV_HEADS * HEAD, 4),
        "v_conv1d.weight": (KV_HEADS * HEAD, 4),
    },
    "jet": PROJECTIONS
    | GATES
    | {
        "dynamic_conv1d.w1.weight": (GENERATOR_WIDTH, WIDTH),
        "dynamic_conv1d.w2.weight": (KV_HEADS * HEAD * 4, GENERATOR_WIDTH),
        "dynamic_conv1d.w2.bias": (KV_HEADS * HEAD * 4,),
    },
}


def split_heads(x, count):
    return x.unflatten(-1, (count, -1))


def repeat_kv_heads(x):
    return x.repeat_interleave(GROUP_SIZE, dim=2)


def short_conv(x, weight):
    channels, width = weight.shape
    padded = F.pad(x.transpose(1, 2), (width - 1, 0))
    return F.conv1d(padded, weight[:, None, :], groups=channels).transpose(1, 2)


def dynamic_conv(x, kernels):
    """Returns y[t, d] = sum over w of kernels[t, d, w] x[t - W + 1 + w, d], where W is the kernel width."""
    width = kernels.shape[-1]
    windows = F.pad(x, (0, 0, width - 1, 0)).unfold(1, width, 1)
    return (windows * kernels).sum(-1)


def readout(output, x, p):
    normed = output * torch.rsqrt(output.square().mean(-1, keepdim=True) + 1e-6) * p["o_norm.weight"]
    gated = normed * F.silu(split_heads(x @ p["g_proj.weight"].T, QUERY_HEADS))
    return gated.flatten(2) @ p["o_proj.weight"].T


def delta_gates(x, p):
    beta = torch.sigmoid(x @ p["b_proj.weight"].T)
    g = -p["A_log"].exp() * F.softplus(x @ p["a_proj.weight"].T + p["dt_bias"])
    return beta, g


def gla_layer(x, p):
    decay = F.logsigmoid(x @ p["gk_proj.0.weight"].T @ p["gk_proj.1.weight"].T + p["gk_proj.1.bias"]) / 16
    output, last = gla(
        split_heads(x @ p["q_proj.weight"].T, QUERY_HEADS),
        repeat_kv_heads(split_heads(x @ p["k_proj.weight"].T, KV_HEADS)),
        repeat_kv_heads(split_heads(x @ p["v_proj.weight"].T, KV_HEADS)),
        repeat_kv_heads(split_heads(decay, KV_HEADS)),
        None,
    )
    return readout(output, x, p), last


def gdn_layer(x, p):
    q, k, v = (F.silu(short_conv(x @ p[f"{n}_proj.weight"].T, p[f"{n}_conv1d.weight"])) for n in "qkv")
    return delta_layer(q, k, v, x, p)


def jet_layer(x, p):
    q, k = (F.silu(x @ p[f"{n}_proj.weight"].T) for n in "qk")
    hidden = F.silu(x @ p["dynamic_conv1d.w1.weight"].T)
    kernels = hidden @ p["dynamic_conv1d.w2.weight"].T + p["dynamic_conv1d.w2.bias"]
    v = F.silu(dynamic_conv(x @ p["v_proj.weight"].T, kernels.unflatten(-1, (-1, 4))))
    return delta_layer(q, k, v, x, p)


def delta_layer(q, k, v, x, p):
    output, last = delta(
        l2_norm(split_heads(q, QUERY_HEADS)),
        repeat_kv_heads(l2_norm(split_heads(k, KV_HEADS))),
        repeat_kv_heads(split_heads(v, KV_HEADS)),
        *delta_gates(x, p),
        None,
    )
    return readout(output, x, p), last


def layer_case(name, layer):
    generator = torch.Generator().manual_seed(9)
    parameters = {}
    for part, shape in PARAMETERS[name].items():
        noise = torch.randn(shape, generator=generator)
        scale = 0.5 if len(shape) == 1 else shape[1] ** -0.5
        parameters[part] = (1.0 if "norm" in part else 0.0) + scale * noise
    x = torch.randn(2, 70, WIDTH, generator=generator)
    probe = torch.randn(2, 70, WIDTH, generator=generator)
    leaves = {part: value.clone().requires_grad_() for part, value in parameters.items()}
    output, last = layer(x, leaves)
    gradients = torch.autograd.grad((output * probe).mean(), list(leaves.values()))
    tensors = {f"layers.0.{part}": value for part, value in parameters.items()}
    expected = {"x": x, "probe": probe, "output": output, "last": last}
    expected |= {f"d_{part}": gradient for part, gradient in zip(leaves, gradients)}
    return tensors, expected


def save(tensors, name):
    path = FIXTURES / f"{name}.safetensors"
    save_file({key: value.detach().float().contiguous() for key, value in tensors.items()}, path)
    print(path.name, f"{path.stat().st_size / 1024:.0f} KiB")


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for case in ["mild", "strong"]:
        save(recurrence_case(gla, case), f"gla-{case}")
    for case in ["mild", "strong", "correlated"]:
        save(recurrence_case(delta, case), f"delta-{case}")
    for name, layer in [("gla", gla_layer), ("gdn", gdn_layer), ("jet", jet_layer)]:
        weights, expected = layer_case(name, layer)
        save(weights, f"{name}-layer-weights")
        save(expected, f"{name}-layer")


if __name__ == "__main__":
    main()
