"""A Llama, Qwen2 or Qwen3 decoder in which linear attention takes the place of the attention in some layers.

`dtr export` writes this file beside the weights of a hybrid. The method is Distill-then-Replace (arXiv
2601.11667). The file needs PyTorch and transformers only, from version 5.17 on. On a GPU, it uses the kernels
of flash-linear-attention if that package is installed.

The names of tensors end with their dimensions: `b` rows of a batch, `t` tokens, `d` hidden size, `h` query
heads, `g` key/value heads, `k` key width and `v` value width of a head, `c` channels of a convolution, `w`
its taps.
"""

import functools

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple

from .configuration_dtr import FULL_ATTENTION, LINEAR_ATTENTION, DtrHybridConfig

# The number of tokens that the delta rule processes with matrix products between two updates of its state.
DELTA_RULE_CHUNK = 64

# The same number for gated linear attention. Its decay differs between key channels, so a chunk takes memory
# for each pair of tokens and each channel.
GLA_CHUNK = 16

# The name of the cache among the arguments and outputs of transformers. Version 5.17 has the older name.
CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"


@functools.cache
def fla_ops():
    """Returns the module with the kernels of flash-linear-attention, or `None` if it is not installed."""
    try:
        import fla.ops
    except ImportError:
        return None
    return fla.ops


def fla_ops_for(x):
    """Returns the module of `fla_ops` if its kernels support `x`: numbers of 16 bits on a GPU."""
    return fla_ops() if x.is_cuda and x.dtype != torch.float32 else None


def zero_state(k_bthk, v_bthv):
    """Returns the state before the first token, `[b, h, k, v]`."""
    batch, _, heads, key_dim = k_bthk.shape
    return k_bthk.new_zeros(batch, heads, key_dim, v_bthv.shape[-1])


def l2_normalize(x):
    """Divides each head by its Euclidean norm."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def repeat_kv_heads(x_btgk, num_heads):
    """Repeats each key/value head for the query heads that share it."""
    return x_btgk.repeat_interleave(num_heads // x_btgk.shape[2], dim=2)


def split_into_chunks(x_bth, chunk):
    """Splits `[b, t, h, ...]` into `[chunks, b, h, chunk, ...]`. Pads the last chunk with zeros."""
    x_bht = x_bth.transpose(1, 2)
    missing = -x_bht.shape[2] % chunk
    padded = F.pad(x_bht, (0, 0) * (x_bht.ndim - 3) + (0, missing))
    return padded.unflatten(2, (-1, chunk)).movedim(2, 0)


def join_chunks(chunks_bhtv, num_tokens):
    """Joins chunks `[b, h, chunk, v]` to `[b, t, h, v]`, without the padding of the last one."""
    return torch.cat(chunks_bhtv, dim=2)[:, :, :num_tokens].transpose(1, 2)


def delta_rule_in_chunks(q_bthk, k_bthk, v_bthv, beta_bth, g_bth, state_bhkv):
    """Computes the gated delta rule chunk by chunk, as in arXiv 2412.06464, section 3.3."""
    num_tokens = q_bthk.shape[1]
    q, k, v, beta, g = (
        split_into_chunks(x, DELTA_RULE_CHUNK) for x in (q_bthk, k_bthk, v_bthv, beta_bth, g_bth)
    )
    # The log decay from the beginning of a chunk to each token, and between each pair of tokens.
    g = g.cumsum(-1)
    is_later = torch.ones(DELTA_RULE_CHUNK, DELTA_RULE_CHUNK, dtype=torch.bool, device=q.device).triu(1)
    pair_decay = (g.unsqueeze(-1) - g.unsqueeze(-2)).masked_fill(is_later, float("-inf")).exp()
    decay = g.exp().unsqueeze(-1)
    decay_to_end = (g[..., -1:] - g).exp().unsqueeze(-1)
    # Within a chunk, each written value depends on the values before it: a unit lower triangular system.
    beta_k = beta.unsqueeze(-1) * k
    system = (beta_k @ k.transpose(-1, -2)) * pair_decay
    right_sides = torch.cat([beta.unsqueeze(-1) * v, beta_k * decay], dim=-1)
    solved = torch.linalg.solve_triangular(system.tril(-1), right_sides, upper=False, unitriangular=True)
    written, read = solved.split([v.shape[-1], k.shape[-1]], dim=-1)
    scores = (q @ k.transpose(-1, -2)) * pair_decay
    outputs, state = [], state_bhkv
    for chunk in range(q.shape[0]):
        values = written[chunk] - read[chunk] @ state
        outputs.append((q[chunk] * decay[chunk]) @ state + scores[chunk] @ values)
        state = (
            state * decay[chunk][..., -1:, :] + (k[chunk] * decay_to_end[chunk]).transpose(-1, -2) @ values
        )
    return join_chunks(outputs, num_tokens), state


def delta_rule_step(q_bthk, k_bthk, v_bthv, beta_bth, g_bth, state_bhkv):
    """Computes the gated delta rule for one token."""
    q, k, v, beta, g = (x.squeeze(1) for x in (q_bthk, k_bthk, v_bthv, beta_bth, g_bth))
    state = state_bhkv * g.exp()[..., None, None]
    read = (state * k.unsqueeze(-1)).sum(-2)
    state = state + k.unsqueeze(-1) * (beta.unsqueeze(-1) * (v - read)).unsqueeze(-2)
    return (state * q.unsqueeze(-1)).sum(-2).unsqueeze(1), state


def gated_delta_rule(q_bthk, k_bthk, v_bthv, beta_bth, g_bth, state_bhkv=None):
    """Computes `S ← e^g S; S ← S + β k (v − Sᵀk)ᵀ; o = Sᵀq / √K` for each token, with `q` and `k` of norm 1.

    Returns the outputs `[b, t, h, v]` and the last state `[b, h, k, v]`.
    """
    is_step = q_bthk.shape[1] == 1
    if ops := fla_ops_for(q_bthk):
        # The kernel for single tokens has no backward pass.
        is_recurrent = is_step and not torch.is_grad_enabled()
        kernel = ops.fused_recurrent_gated_delta_rule if is_recurrent else ops.chunk_gated_delta_rule
        return kernel(
            q_bthk,
            k_bthk,
            v_bthv,
            g=g_bth,
            beta=beta_bth,
            initial_state=state_bhkv,
            output_final_state=True,
            use_qk_l2norm_in_kernel=True,
        )
    q, k, v, beta, g = (x.float() for x in (q_bthk, k_bthk, v_bthv, beta_bth, g_bth))
    q, k = l2_normalize(q) * q.shape[-1] ** -0.5, l2_normalize(k)
    rule = delta_rule_step if is_step else delta_rule_in_chunks
    outputs, state = rule(q, k, v, beta, g, zero_state(k, v) if state_bhkv is None else state_bhkv)
    return outputs.to(q_bthk.dtype), state


def gla_in_chunks(q_bthk, k_bthk, v_bthv, g_bthk, state_bhkv):
    """Computes gated linear attention chunk by chunk, as in arXiv 2312.06635, section 4."""
    num_tokens = q_bthk.shape[1]
    chunks = zip(*(split_into_chunks(x, GLA_CHUNK) for x in (q_bthk, k_bthk, v_bthv, g_bthk)))
    is_later = torch.ones(GLA_CHUNK, GLA_CHUNK, dtype=torch.bool, device=q_bthk.device).triu(1).unsqueeze(-1)
    outputs, state = [], state_bhkv
    for q, k, v, g in chunks:
        # The log decay of each channel from the beginning of the chunk, and between each pair of tokens.
        g = g.cumsum(2)
        pair_decay = (g.unsqueeze(3) - g.unsqueeze(2)).masked_fill(is_later, float("-inf")).exp()
        scores = torch.einsum("bhik,bhjk,bhijk->bhij", q, k, pair_decay)
        outputs.append((q * g.exp()) @ state + scores @ v)
        end = g[:, :, -1:]
        state = state * end.exp().transpose(2, 3) + (k * (end - g).exp()).transpose(2, 3) @ v
    return join_chunks(outputs, num_tokens), state


def gla_step(q_bthk, k_bthk, v_bthv, g_bthk, state_bhkv):
    """Computes gated linear attention for one token."""
    q, k, v, g = (x.squeeze(1) for x in (q_bthk, k_bthk, v_bthv, g_bthk))
    state = state_bhkv * g.exp().unsqueeze(-1) + k.unsqueeze(-1) * v.unsqueeze(-2)
    return (state * q.unsqueeze(-1)).sum(-2).unsqueeze(1), state


def gated_linear_attention(q_bthk, k_bthk, v_bthv, g_bthk, state_bhkv=None):
    """Computes `S ← diag(e^g) S + k vᵀ; o = Sᵀq / √K` for each token.

    Returns the outputs `[b, t, h, v]` and the last state `[b, h, k, v]`.
    """
    is_step = q_bthk.shape[1] == 1
    if ops := fla_ops_for(q_bthk):
        kernel = ops.fused_recurrent_gla if is_step else ops.chunk_gla
        gate = {"gk" if is_step else "g": g_bthk}
        return kernel(q_bthk, k_bthk, v_bthv, initial_state=state_bhkv, output_final_state=True, **gate)
    q, k, v, g = (x.float() for x in (q_bthk, k_bthk, v_bthv, g_bthk))
    q = q * q.shape[-1] ** -0.5
    rule = gla_step if is_step else gla_in_chunks
    outputs, state = rule(q, k, v, g, zero_state(k, v) if state_bhkv is None else state_bhkv)
    return outputs.to(q_bthk.dtype), state


class DtrHybridRMSNorm(nn.Module):
    """Divides by the root mean square of the last dimension, in f32, and multiplies by a weight."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


class DtrHybridRotaryEmbedding(nn.Module):
    """The cosines and sines of rotary positions, with every scaling that transformers has."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.rope_type = config.rope_parameters["rope_type"]
        is_scaled = self.rope_type != "default"
        compute = ROPE_INIT_FUNCTIONS[self.rope_type] if is_scaled else self.compute_default_rope_parameters
        frequencies, self.attention_scaling = compute(config)
        # transformers fills these buffers again, by their names, after it has created a model without memory.
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.register_buffer("original_inv_freq", frequencies.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config, device=None, **kwargs):
        """Returns the frequencies without scaling, and a factor of 1 for cosines and sines."""
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float, device=device) / config.head_dim
        return config.rope_parameters["rope_theta"] ** -exponents, 1.0

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x, position_ids):
        with torch.autocast(x.device.type, enabled=False):
            angles = position_ids.unsqueeze(-1).float() * self.inv_freq.float().to(x.device)
            angles = torch.cat([angles, angles], dim=-1)
            cos, sin = angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling
        return cos.to(x.dtype), sin.to(x.dtype)


def rotate(x_bthk, position_embeddings):
    """Rotates each pair of channels `(i, i + k/2)` of each head by the position of its token."""
    cos, sin = (table.unsqueeze(2) for table in position_embeddings)
    first, second = x_bthk.chunk(2, dim=-1)
    return x_bthk * cos + torch.cat([-second, first], dim=-1) * sin


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Computes softmax attention without fused kernels, over heads `[b, h, t, k]`."""
    key, value = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.dropout(scores.softmax(-1, dtype=torch.float32).to(query.dtype), dropout, module.training)
    return (weights @ value).transpose(1, 2), weights


class DtrHybridAttention(nn.Module):
    """The softmax attention of the base, in the layers that the search did not replace."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = config.head_dim**-0.5
        self.is_causal = True
        width, bias = config.hidden_size, config.qkv_bias
        num_channels, num_kv_channels = (
            heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(width, num_channels, bias=bias)
        self.k_proj = nn.Linear(width, num_kv_channels, bias=bias)
        self.v_proj = nn.Linear(width, num_kv_channels, bias=bias)
        self.o_proj = nn.Linear(num_channels, width, bias=False)
        norm = (
            (lambda: DtrHybridRMSNorm(config.head_dim, config.rms_norm_eps))
            if config.qk_norm
            else nn.Identity
        )
        self.q_norm, self.k_norm = norm(), norm()

    def forward(self, x_btd, position_embeddings, attention_mask=None, cache=None, **kwargs):
        q, k, v = (
            projection(x_btd).unflatten(-1, (-1, self.head_dim))
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = (rotate(x, position_embeddings) for x in (self.q_norm(q), self.k_norm(k)))
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.config.attention_dropout if self.training else 0.0
        outputs, weights = attend(
            self, q, k, v, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.o_proj(outputs.flatten(2)), weights


class DtrHybridLinearAttention(nn.Module):
    """The parts that all twins share: projections, norms, output gate, and the use of the cache.

    A subclass defines `mix`, which computes the outputs of the heads.
    """

    def __init__(self, config, layer_idx):
        super().__init__()
        self.layer_idx = layer_idx
        geometry = config.linear_geometry
        self.num_heads, self.num_kv_heads = geometry["num-heads"], geometry["num-kv-heads"]
        self.key_dim, self.value_dim = geometry["key-dim"], geometry["value-dim"]
        self.has_rope = geometry["rope"]
        width, bias = config.hidden_size, geometry["qkv-bias"]
        self.q_proj = nn.Linear(width, self.num_heads * self.key_dim, bias=bias)
        self.k_proj = nn.Linear(width, self.num_kv_heads * self.key_dim, bias=bias)
        self.v_proj = nn.Linear(width, self.num_kv_heads * self.value_dim, bias=bias)
        norm = (
            (lambda: DtrHybridRMSNorm(self.key_dim, config.rms_norm_eps))
            if geometry["qk-norm"]
            else nn.Identity
        )
        self.q_norm, self.k_norm = norm(), norm()
        has_gate = geometry["output-gate"]
        self.g_proj = nn.Linear(width, self.num_heads * self.value_dim, bias=False) if has_gate else None
        self.o_norm = DtrHybridRMSNorm(self.value_dim, config.rms_norm_eps)
        self.o_proj = nn.Linear(self.num_heads * self.value_dim, width, bias=False)

    def forward(self, x_btd, position_embeddings, attention_mask=None, cache=None, **kwargs):
        state = None
        if cache is not None:
            state = cache.layers[self.layer_idx].recurrent_states[0]
        outputs, state = self.mix(x_btd, position_embeddings, attention_mask, cache, state)
        if cache is not None:
            cache.update_recurrent_state(state, self.layer_idx)
        outputs = self.o_norm(outputs).flatten(2)
        if self.g_proj is not None:
            outputs = outputs * F.silu(self.g_proj(x_btd))
        return self.o_proj(outputs), None

    def mix(self, x_btd, position_embeddings, attention_mask, cache, state_bhkv):
        """Returns the outputs of the heads, `[b, t, h, v]`, and the next state."""
        raise NotImplementedError

    def project(self, x_btd, attention_mask):
        """Returns queries, keys and values before they are split into heads. They are zero at padding."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        return (zero_padding(projection(x_btd), attention_mask) for projection in projections)

    def split_heads(self, q_btc, k_btc, v_btc, position_embeddings):
        """Splits queries, keys and values into heads. Normalises and rotates queries and keys."""
        q = self.q_norm(q_btc.unflatten(-1, (self.num_heads, self.key_dim)))
        k = self.k_norm(k_btc.unflatten(-1, (self.num_kv_heads, self.key_dim)))
        v = v_btc.unflatten(-1, (self.num_kv_heads, self.value_dim))
        if self.has_rope:
            q, k = rotate(q, position_embeddings), rotate(k, position_embeddings)
        return q, repeat_kv_heads(k, self.num_heads), repeat_kv_heads(v, self.num_heads)


def zero_padding(x_btc, attention_mask):
    """Sets `x_btc` to zero where `attention_mask`, `[b, t]`, is zero."""
    return x_btc if attention_mask is None else x_btc * attention_mask.unsqueeze(-1).to(x_btc.dtype)


def with_history(x_btc, num_taps, cache, layer_idx):
    """Returns the inputs of a causal convolution, `[b, c, t + num_taps - 1]`.

    These are the tokens before `x_btc`, from the cache, and `x_btc`. Stores the last of them in the cache.
    """
    history = x_btc.transpose(1, 2)
    if cache is not None:
        history = cache.update_conv_state(history, layer_idx, conv_kernel_size=num_taps)
    return F.pad(history, (num_taps - 1, 0))[..., -(x_btc.shape[1] + num_taps - 1) :]


class GatedLinearAttention(DtrHybridLinearAttention):
    """Gated linear attention (arXiv 2312.06635), with a decay for each key channel."""

    def __init__(self, config, layer_idx):
        super().__init__(config, layer_idx)
        _, settings = config.linear_block
        rank, num_channels = settings["gate-low-rank-dim"], self.num_kv_heads * self.key_dim
        self.gate_logit_normalizer = settings["gate-logit-normalizer"]
        self.gk_proj = nn.Sequential(
            nn.Linear(config.hidden_size, rank, bias=False), nn.Linear(rank, num_channels, bias=True)
        )

    def mix(self, x_btd, position_embeddings, attention_mask, cache, state_bhkv):
        q, k, v = self.split_heads(*self.project(x_btd, attention_mask), position_embeddings)
        decay = F.logsigmoid(self.gk_proj(x_btd).float()) / self.gate_logit_normalizer
        decay = zero_padding(decay, attention_mask).unflatten(-1, (self.num_kv_heads, self.key_dim))
        return gated_linear_attention(q, k, v, repeat_kv_heads(decay, self.num_heads), state_bhkv)


class GatedDeltaRuleAttention(DtrHybridLinearAttention):
    """The gates of Gated DeltaNet and JetBlock: a decay and a write strength for each head."""

    def __init__(self, config, layer_idx, beta_scale=1.0):
        super().__init__(config, layer_idx)
        self.beta_scale = beta_scale
        self.a_proj = nn.Linear(config.hidden_size, self.num_heads, bias=False)
        self.b_proj = nn.Linear(config.hidden_size, self.num_heads, bias=False)
        self.A_log = nn.Parameter(torch.zeros(self.num_heads))
        self.dt_bias = nn.Parameter(torch.zeros(self.num_heads))

    def apply_rule(self, x_btd, heads, attention_mask, state_bhkv):
        """Runs the gated delta rule over the queries, keys and values of `heads`."""
        beta = self.beta_scale * self.b_proj(x_btd).float().sigmoid()
        decay = -self.A_log.float().exp() * F.softplus(self.a_proj(x_btd).float() + self.dt_bias.float())
        beta, decay = zero_padding(beta, attention_mask), zero_padding(decay, attention_mask)
        return gated_delta_rule(*heads, beta, decay, state_bhkv)


class ShortConvolution(nn.Module):
    """The kernels of a causal convolution of each channel, `[c, w]`, from the oldest token to the newest."""

    def __init__(self, num_channels, num_taps):
        super().__init__()
        self.weight = nn.Parameter(F.pad(torch.ones(num_channels, 1), (num_taps - 1, 0)))


class GatedDeltaNet(GatedDeltaRuleAttention):
    """Gated DeltaNet (arXiv 2412.06464), with short convolutions on queries, keys and values."""

    def __init__(self, config, layer_idx):
        _, settings = config.linear_block
        super().__init__(config, layer_idx, beta_scale=2.0 if settings["allow-neg-eigval"] else 1.0)
        self.conv_size = settings["conv-size"]
        if self.conv_size > 0:
            self.q_conv1d = ShortConvolution(self.num_heads * self.key_dim, self.conv_size)
            self.k_conv1d = ShortConvolution(self.num_kv_heads * self.key_dim, self.conv_size)
            self.v_conv1d = ShortConvolution(self.num_kv_heads * self.value_dim, self.conv_size)

    def mix(self, x_btd, position_embeddings, attention_mask, cache, state_bhkv):
        qkv = tuple(self.project(x_btd, attention_mask))
        if self.conv_size > 0:
            qkv = self.convolve(qkv, cache)
        heads = self.split_heads(*(F.silu(x) for x in qkv), position_embeddings)
        return self.apply_rule(x_btd, heads, attention_mask, state_bhkv)

    def convolve(self, qkv, cache):
        """Convolves queries, keys and values together, so that the cache holds one state."""
        inputs = with_history(torch.cat(qkv, dim=-1), self.conv_size, cache, self.layer_idx)
        kernels = torch.cat([self.q_conv1d.weight, self.k_conv1d.weight, self.v_conv1d.weight])
        outputs = F.conv1d(inputs, kernels.unsqueeze(1), groups=kernels.shape[0]).transpose(1, 2)
        return outputs.split([x.shape[-1] for x in qkv], dim=-1)


class DynamicConvolution(nn.Module):
    """A causal convolution of each channel. A small network computes each token's kernels."""

    def __init__(self, hidden_size, num_channels, num_taps, reduction):
        super().__init__()
        self.num_taps = num_taps
        inner = max(num_channels // reduction, 1)
        self.w1 = nn.Linear(hidden_size, inner, bias=False)
        self.w2 = nn.Linear(inner, num_channels * num_taps, bias=True)

    def forward(self, x_btd, v_btc, cache, layer_idx):
        kernels_btcw = self.w2(F.silu(self.w1(x_btd))).unflatten(-1, (-1, self.num_taps))
        inputs = with_history(v_btc, self.num_taps, cache, layer_idx)
        windows_btcw = inputs.unfold(-1, self.num_taps, 1).transpose(1, 2)
        return (windows_btcw * kernels_btcw).sum(-1)


class JetBlock(GatedDeltaRuleAttention):
    """JetBlock (arXiv 2508.15884): the gated delta rule with a dynamic convolution on the values."""

    def __init__(self, config, layer_idx):
        super().__init__(config, layer_idx)
        _, settings = config.linear_block
        self.dynamic_conv1d = DynamicConvolution(
            config.hidden_size,
            self.num_kv_heads * self.value_dim,
            settings["conv-size"],
            settings["generator-reduction"],
        )

    def mix(self, x_btd, position_embeddings, attention_mask, cache, state_bhkv):
        q, k, v = self.project(x_btd, attention_mask)
        v = self.dynamic_conv1d(x_btd, v, cache, self.layer_idx)
        heads = self.split_heads(*(F.silu(x) for x in (q, k, v)), position_embeddings)
        return self.apply_rule(x_btd, heads, attention_mask, state_bhkv)


LINEAR_BLOCKS = {"gla": GatedLinearAttention, "gdn": GatedDeltaNet, "jet": JetBlock}


class DtrHybridMLP(nn.Module):
    """The SwiGLU of the base."""

    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class DtrHybridDecoderLayer(GradientCheckpointingLayer):
    """A layer of the decoder: full or linear attention, and the MLP."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.layer_type = config.layer_types[layer_idx]
        if self.layer_type == LINEAR_ATTENTION:
            name, _ = config.linear_block
            self.linear_attn = LINEAR_BLOCKS[name](config, layer_idx)
        else:
            self.self_attn = DtrHybridAttention(config, layer_idx)
        self.mlp = DtrHybridMLP(config)
        self.input_layernorm = DtrHybridRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = DtrHybridRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x_btd, position_embeddings, attention_mask=None, cache=None, **kwargs):
        attention = self.linear_attn if self.layer_type == LINEAR_ATTENTION else self.self_attn
        mixed, weights = attention(
            self.input_layernorm(x_btd), position_embeddings, attention_mask, cache, **kwargs
        )
        x_btd = x_btd + mixed
        return x_btd + self.mlp(self.post_attention_layernorm(x_btd)), weights


class LinearOnlyCache(DynamicCache):
    """The cache of a hybrid without full attention. It counts tokens, because its layers do not."""

    def __init__(self, config):
        super().__init__(config=config)
        self.num_tokens = 0

    def get_seq_length(self, layer_idx=0):
        return self.num_tokens

    def reset(self):
        super().reset()
        self.num_tokens = 0


class DtrHybridPreTrainedModel(PreTrainedModel):
    config_class = DtrHybridConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["DtrHybridDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values", "cache"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The cache cannot go back to an earlier token.
    _is_stateful = True
    # In 16 bits, rounding these parameters would change how long a state lasts.
    _keep_in_fp32_modules_strict = ["A_log", "dt_bias"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, GatedDeltaRuleAttention):
            # As in flash-linear-attention: A is uniform, and the time step is log-uniform from 0.001 to 0.1.
            init.copy_(module.A_log, torch.empty_like(module.A_log).uniform_(1e-3, 16).log())
            step = torch.exp(torch.empty_like(module.dt_bias).uniform_(-6.9, -2.3))
            init.copy_(module.dt_bias, step + torch.log(-torch.expm1(-step)))
        elif isinstance(module, ShortConvolution):
            init.zeros_(module.weight)
            init.ones_(module.weight[:, -1])


class DtrHybridModel(DtrHybridPreTrainedModel):
    """The decoder without its output head."""

    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(
            DtrHybridDecoderLayer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = DtrHybridRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = DtrHybridRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values: Cache | None = None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=None,
        output_attentions=None,
        cache: Cache | None = None,
        **kwargs,
    ):
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("cannot run the decoder: pass either `input_ids` or `inputs_embeds`")
        if kwargs.get("cu_seq_lens_q") is not None:
            raise ValueError(
                "cannot run the decoder on packed sequences: pad them and pass an `attention_mask`"
            )
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        defaults = self.config
        use_cache = defaults.use_cache if use_cache is None else use_cache
        output_attentions = defaults.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = defaults.output_hidden_states
        cache = past_key_values if cache is None else cache
        if self.gradient_checkpointing and self.training:
            use_cache, cache = False, None
        if use_cache and cache is None:
            has_full_attention = FULL_ATTENTION in self.config.layer_types
            cache = DynamicCache(config=self.config) if has_full_attention else LinearOnlyCache(self.config)
        if position_ids is None:
            position_ids = self.positions(x, attention_mask, cache)
        masks = self.attention_masks(x, attention_mask, position_ids, cache)
        position_embeddings = self.rotary_emb(x, position_ids)
        hidden_states, attentions = [], []
        for layer in self.layers:
            if output_hidden_states:
                hidden_states.append(x)
            mask = masks[layer.layer_type]
            x, weights = layer(x, position_embeddings, mask, cache=cache, **kwargs)
            if output_attentions:
                attentions.append(weights)
        if isinstance(cache, LinearOnlyCache):
            cache.num_tokens += x.shape[1]
        x = self.norm(x)
        return BaseModelOutputWithPast(
            last_hidden_state=x,
            **{CACHE: cache if use_cache else None},
            hidden_states=(*hidden_states, x) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )

    def positions(self, x_btd, attention_mask, cache):
        """Returns the position of each token, `[b, t]` or `[1, t]`. Padding on the left is not counted."""
        num_tokens = x_btd.shape[1]
        if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 2:
            return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -num_tokens:]
        past = 0 if cache is None else cache.get_seq_length()
        return torch.arange(past, past + num_tokens, device=x_btd.device).unsqueeze(0)

    def attention_masks(self, x_btd, attention_mask, position_ids, cache):
        """Returns the mask of each type of layer.

        Full attention has a causal mask. The mask of linear attention, `[b, t]`, is zero at padding.
        """
        if isinstance(attention_mask, dict):
            return attention_mask
        masks = dict.fromkeys((FULL_ATTENTION, LINEAR_ATTENTION))
        if FULL_ATTENTION in self.config.layer_types:
            masks[FULL_ATTENTION] = create_causal_mask(
                config=self.config,
                inputs_embeds=x_btd,
                attention_mask=attention_mask,
                position_ids=position_ids,
                **{CACHE: cache},
            )
        # A token that follows a prompt is not padding.
        if attention_mask is not None and attention_mask.ndim == 2 and x_btd.shape[1] > 1:
            masks[LINEAR_ATTENTION] = attention_mask[:, -x_btd.shape[1] :]
        return masks


class DtrHybridForCausalLM(DtrHybridPreTrainedModel, GenerationMixin):
    """The decoder with its output head."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = DtrHybridModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values: Cache | None = None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        logits_to_keep: int | torch.Tensor = 0,
        cache: Cache | None = None,
        **kwargs,
    ):
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=past_key_values if cache is None else cache,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            **{CACHE: outputs[CACHE] if CACHE in outputs else None},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *args, **kwargs):
        """Chooses the cache of `generate`. A hybrid without full attention needs one that counts tokens."""
        given = model_kwargs.get(CACHE)
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)
        is_new = given is None and model_kwargs.get(CACHE) is not None
        if is_new and FULL_ATTENTION not in self.config.layer_types:
            model_kwargs[CACHE] = LinearOnlyCache(self.config)


__all__ = ["DtrHybridForCausalLM", "DtrHybridModel", "DtrHybridPreTrainedModel"]
