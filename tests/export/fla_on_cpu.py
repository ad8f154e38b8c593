"""Makes the models of flash-linear-attention run on a CPU.

The kernels of flash-linear-attention need a GPU with Triton, and its attention needs flash-attn. This file
replaces them by PyTorch: the recurrences by the package's own naive functions, all others by definitions. The
modules, their parameters and their data flow stay those of the package. Rows with padding are not supported.
"""

import fla.layers.attn
import fla.layers.gated_deltanet
import fla.layers.gla
import fla.modules.mlp
import torch
import torch.nn.functional as F
from fla.modules import FusedRMSNormGated, RMSNorm, ShortConvolution
from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule
from fla.ops.gla.naive import naive_recurrent_gla


def rms_norm(self, x, residual=None, prenorm=False, residual_in_fp32=False):
    x = x if residual is None else x + residual
    y = F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
    return (y, x) if prenorm else y


def gated_rms_norm(self, x, g, residual=None, prenorm=False, residual_in_fp32=False):
    assert self.activation in ("swish", "silu")
    return F.rms_norm(x, x.shape[-1:], self.weight, self.eps) * F.silu(g)


def short_convolution(self, x, cache=None, output_final_state=False, **kwargs):
    assert self.activation in ("swish", "silu")
    width = self.kernel_size[0]
    x = x.transpose(1, 2)
    past = x.new_zeros(*x.shape[:2], width) if cache is None else cache
    whole = torch.cat([past, x], dim=2)
    y = F.conv1d(whole[:, :, 1:], self.weight, groups=x.shape[1])
    return F.silu(y.transpose(1, 2)), whole[:, :, -width:] if output_final_state else None


def gla(q, k, v, initial_state, output_final_state, g=None, gk=None, **kwargs):
    return naive_recurrent_gla(q, k, v, g if gk is None else gk, initial_state, output_final_state)


def gated_delta_rule(q, k, v, g, beta, A_log, dt_bias, **kwargs):
    assert kwargs["use_qk_l2norm_in_kernel"] and kwargs["use_gate_in_kernel"]
    assert kwargs["use_beta_sigmoid_in_kernel"]
    q, k = (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6) for x in (q, k))
    beta = beta.sigmoid() * (2 if kwargs["allow_neg_eigval"] else 1)
    g = -A_log.exp() * F.softplus(g + dt_bias)
    state, is_kept = kwargs["initial_state"], kwargs["output_final_state"]
    return naive_recurrent_gated_delta_rule(q, k, v, beta, g, None, state, is_kept)


class Rotary(torch.nn.Module):
    """Rotates pairs of channels `i` and `i + k / 2`."""

    def __init__(self, dim, base):
        super().__init__()
        self.dim, self.base = dim, base

    def forward(self, q, k, seqlen_offset=0, **kwargs):
        frequencies = self.base ** -(torch.arange(0, self.dim, 2).double() / self.dim)
        angles = (torch.arange(q.shape[1]) + seqlen_offset)[:, None] * frequencies
        cos, sin = (f(angles).float()[:, None] for f in (torch.cos, torch.sin))

        def rotate(x):
            a, b = x.chunk(2, dim=-1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

        return rotate(q), rotate(k)


def flash_attention(q, k, v, causal, window_size):
    assert causal and window_size == (-1, -1)
    mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True).transpose(1, 2)


def replace_kernels():
    RMSNorm.forward = rms_norm
    FusedRMSNormGated.forward = gated_rms_norm
    ShortConvolution.forward = short_convolution
    fla.layers.gated_deltanet.GatedDeltaNet._use_fused_qkv_conv = lambda *args, **kwargs: False
    fla.layers.gla.chunk_gla = fla.layers.gla.fused_recurrent_gla = gla
    fla.layers.gated_deltanet.chunk_gated_delta_rule = gated_delta_rule
    fla.layers.gated_deltanet.fused_recurrent_gated_delta_rule = gated_delta_rule
    fla.layers.attn.RotaryEmbedding = Rotary
    fla.layers.attn.flash_attn_func = flash_attention
    fla.modules.mlp.swiglu_linear = lambda x, y, weight, bias: F.linear(F.silu(x) * y, weight, bias)
