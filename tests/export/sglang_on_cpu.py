"""Makes the Jet-Nemotron model of SGLang run on a CPU.

`sglang/srt/models/jet_nemotron.py` is the file of the installed package: its modules, its data flow and its
reader of weights. All other modules of SGLang that this file imports need a GPU. They are replaced by PyTorch
with one sequence at a time.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn


class Linear(nn.Module):
    """A projection, or several projections one after another. `load` copies a part of its weights."""

    def __init__(self, inputs, outputs, bias=True, quant_config=None, prefix=""):
        super().__init__()
        self.sizes = outputs if isinstance(outputs, list) else [outputs]
        self.weight = nn.Parameter(torch.full((sum(self.sizes), inputs), float("nan")))
        self.weight.weight_loader = self.load
        self.bias = nn.Parameter(torch.full((sum(self.sizes),), float("nan"))) if bias else None
        if bias:
            self.bias.weight_loader = self.load

    def load(self, parameter, values, part=0):
        part = {"q": 0, "k": 1, "v": 2}.get(part, part)
        start = sum(self.sizes[:part])
        assert values.shape[0] == self.sizes[part], (values.shape, self.sizes, part)
        parameter.data[start : start + self.sizes[part]].copy_(values)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias), None


class QkvLinear(Linear):
    def __init__(self, inputs, width, heads, kv_heads, **options):
        super().__init__(inputs, [heads * width, kv_heads * width, kv_heads * width], **options)


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), float("nan")))
        self.eps = eps

    def forward(self, x, gate=None):
        x = F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
        return x if gate is None else x * F.silu(gate)


class Mlp(nn.Module):
    def __init__(self, hidden_size, intermediate_size, hidden_act, quant_config, prefix):
        super().__init__()
        assert hidden_act == "silu"
        self.gate_up_proj = Linear(hidden_size, [intermediate_size] * 2, bias=False)
        self.down_proj = Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x):
        gate, up = self.gate_up_proj(x)[0].chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)[0]


class Model(nn.Module):
    """The parts of SGLang's `Qwen2Model` that its Jet-Nemotron model uses."""

    def __init__(self, config, quant_config, prefix, decoder_layer_type):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList(decoder_layer_type(config, layer_id=layer) for layer in layers)
        self.start_layer, self.end_layer = 0, config.num_hidden_layers
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)


class Rotary:
    def __init__(self, width, rotary_dim, max_position, base, rope_scaling):
        assert width == rotary_dim
        exponents = torch.arange(0, width, 2).double() / width
        frequencies = base**-exponents
        if rope_scaling is not None and rope_scaling["rope_type"] == "llama3":
            frequencies = self.scale(frequencies, rope_scaling)
        self.frequencies = frequencies

    @staticmethod
    def scale(frequencies, scaling):
        """Llama 3.1's scaling."""
        original = scaling["original_max_position_embeddings"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = ((original * frequencies / (2 * torch.pi) - low) / (high - low)).clamp(0, 1)
        return smooth * frequencies + (1 - smooth) * frequencies / scaling["factor"]

    def __call__(self, positions, q, k):
        angles = positions[:, None].double() * self.frequencies
        cos, sin = (f(angles).float()[:, None] for f in (torch.cos, torch.sin))

        def rotate(x):
            a, b = x.unflatten(-1, (-1, 2 * self.frequencies.numel())).chunk(2, dim=-1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(1)

        return rotate(q), rotate(k)


class Attention(nn.Module):
    """Full attention over a cache that grows."""

    def __init__(self, heads, width, scaling, num_kv_heads, layer_id, sliding_window_size, **options):
        super().__init__()
        assert sliding_window_size == -1
        self.width, self.scaling, self.cache = width, scaling, None

    def forward(self, q, k, v, forward_batch):
        q, k, v = (x.unflatten(-1, (-1, self.width)).transpose(0, 1) for x in (q, k, v))
        if self.cache is not None:
            k, v = (torch.cat([past, new], dim=1) for past, new in zip(self.cache, (k, v)))
        self.cache = (k, v)
        mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        groups = q.shape[0] // k.shape[0]
        k, v = (x.repeat_interleave(groups, dim=0) for x in (k, v))
        x = F.scaled_dot_product_attention(q, k, v, mask, scale=self.scaling)
        return x.transpose(0, 1).flatten(1)


def gated_delta_rule(q, k, v, g, beta, initial_state_source, use_qk_l2norm_in_kernel, **options):
    """The gated delta rule, whose state `[1, h, v, k]` is changed in place."""
    assert use_qk_l2norm_in_kernel
    q, k = (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6) for x in (q, k))
    state, outputs = initial_state_source[0], []
    for at in range(q.shape[1]):
        state = state * g[0, at].exp()[:, None, None]
        error = (v[0, at] - torch.einsum("hvk,hk->hv", state, k[0, at])) * beta[0, at][:, None]
        state = state + error[:, :, None] * k[0, at][:, None, :]
        outputs.append(torch.einsum("hvk,hk->hv", state, q[0, at] * q.shape[-1] ** -0.5))
    initial_state_source[0] = state
    return torch.stack(outputs)[None]


class Backend:
    """The cache of the linear layers, for one sequence."""

    def __init__(self, config):
        jet = config.efficient_attention_config["jet"]
        keys, heads = jet["head_dim"], jet["num_heads"]
        values = int(keys * jet["expand_v"])
        self.linear_attn_backend = self
        self.forward_metadata = SimpleNamespace(mamba_cache_indices=torch.tensor([0]), query_start_loc=None)
        self.req_to_token_pool = self
        new = lambda: SimpleNamespace(
            conv=[torch.zeros(1, heads * values, jet["conv_size"] - 1)],
            temporal=torch.zeros(1, heads, values, keys),
        )
        self.caches = {layer: new() for layer in config.linear_layer_ids}

    def mamba2_layer_cache(self, layer):
        return self.caches[layer]


class Stub(ModuleType):
    """A module in which every name that is not set is an unused class."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def load_module(name):
    """Loads a file of the installed SGLang without the packages around it."""
    path = importlib.util.find_spec("sglang").submodule_search_locations[0]
    file = f"{path}/{name.removeprefix('sglang.').replace('.', '/')}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def rope_config(config):
    """As `get_rope_config` of SGLang does."""
    parameters = getattr(config, "rope_parameters", None)
    if parameters is not None:
        return parameters.get("rope_theta", getattr(config, "rope_theta", 10000)), parameters
    return getattr(config, "rope_theta", 10000), getattr(config, "rope_scaling", None)


def load_jet_nemotron():
    """Returns the module with `JetNemotronForCausalLM`, the module with its configuration, and a function that
    sets the cache."""
    location = importlib.util.find_spec("sglang").submodule_search_locations
    replaced = {
        "kernels.ops.attention.fla.fused_recurrent": dict(
            fused_recurrent_gated_delta_rule_update=gated_delta_rule
        ),
        "kernels.ops.attention.fla.layernorm_gated": dict(RMSNorm=RmsNorm),
        "srt.configs.mamba_utils": {},
        "srt.runtime_context": {},
        "srt.layers.attention.hybrid_linear_attn_backend": dict(
            HybridLinearAttnBackend=Backend, MambaAttnBackendBase=Backend
        ),
        "srt.layers.layernorm": dict(RMSNorm=RmsNorm),
        "srt.layers.linear": dict(
            ColumnParallelLinear=Linear,
            MergedColumnParallelLinear=Linear,
            RowParallelLinear=Linear,
            QKVParallelLinear=QkvLinear,
        ),
        "srt.layers.logits_processor": dict(LogitsProcessor=lambda config: None),
        "srt.layers.pooler": dict(
            Pooler=lambda *args, **kwargs: None, PoolingType=SimpleNamespace(LAST=None)
        ),
        "srt.layers.quantization.base_config": {},
        "srt.layers.radix_attention": dict(RadixAttention=Attention),
        "srt.layers.rotary_embedding": dict(get_rope=Rotary),
        "srt.layers.vocab_parallel_embedding": dict(
            ParallelLMHead=lambda vocab, width, **options: nn.Embedding(vocab, width)
        ),
        "srt.model_executor.forward_batch_info": {},
        "srt.model_executor.forward_context": {},
        "srt.model_loader.weight_utils": dict(
            default_weight_loader=lambda parameter, values: parameter.data.copy_(values)
        ),
        "srt.models.qwen2": dict(Qwen2MLP=Mlp, Qwen2Model=Model),
        "srt.utils": dict(add_prefix=lambda name, prefix: name),
        "srt.utils.hf_transformers_utils": dict(get_rope_config=rope_config),
    }
    package = Stub("sglang")
    package.__path__ = location
    package.__spec__ = importlib.util.spec_from_file_location(
        "sglang", f"{location[0]}/__init__.py", submodule_search_locations=location
    )
    sys.modules["sglang"] = package
    for name, names in replaced.items():
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            full = ".".join(["sglang", *parts[:length]])
            sys.modules.setdefault(full, Stub(full))
        for key, value in names.items():
            setattr(sys.modules[f"sglang.{name}"], key, value)
    sys.modules["sglang.srt.models"] = Stub("sglang.srt.models")
    configuration = load_module("sglang.srt.configs.jet_nemotron")
    module = load_module("sglang.srt.models.jet_nemotron")

    def set_cache(config):
        backend = Backend(config)
        module.get_attn_backend = lambda: backend

    return module, configuration, set_cache
