//! Tensor operations of dtr's models, on burn tensors: attention, linear attention, convolutions, norms,
//! projections, losses and AdamW.
//!
//! Each operation has a folder with several implementations, called forms. `mod.rs` holds the public function
//! and the *portable form*: an implementation in burn's tensor operations that runs on every device. `cpu.rs`
//! holds a faster form for f32 on a CPU, with a kernel of `dtr-kernels`. `cuda.rs` holds faster forms for f32
//! and bf16 on CUDA devices, with kernels in the folder's `.cu` files. Some faster forms have no gradient.
//! `naive.rs` holds the slow reference that tests compare every form with. The public function picks the form
//! by the device and the dtype of its input, and by whether a gradient is needed.
//!
//! Operations with parameters can compute several layers of one shape at once. Such a group of layers is
//! called a *stack*. The batch then holds the rows of all layers, one layer after another. Each parameter
//! holds the values of all layers in the same order.
//!
//! Names of tensors end in their shape, such as `q_bhtk`: `b` batch, `t` time, `s` key positions (past and
//! present), `h` query heads, `g` key/value heads (groups), `k` key width, `v` value width, `d` model width,
//! `l` layers of a stack, `r` rows, `o` outputs of a projection. In forms that compute a chunk of tokens at a
//! time, `m` is batch times heads, `n` the number of chunks, and `c` the chunk length. In logits, `v` is the
//! vocabulary, `p` positions, and `n` targets. In an embedding table, `n` is the number of rows.

mod adamw;
mod attention;
mod autodiff;
mod chunks;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
mod cuda_graph;
mod delta_rule;
mod device;
mod elementwise;
mod embedding;
mod flex_tensors;
mod gates;
mod gla;
mod heads;
mod kernel_support;
mod kv_cache;
mod layer_stack;
mod linear;
mod logits;
mod mean_squared_error;
mod norm;
mod overwrite;
mod rope;
mod triangular;

#[cfg(all(test, feature = "cuda"))]
mod cuda_testing;
#[cfg(all(test, feature = "cuda"))]
mod stacked_cuda_tests;
#[cfg(test)]
mod testing;

pub use adamw::{AdamWStep, WeightDecay, adamw_step, sum_of_squares};
pub use attention::{CausalMask, attention, attention_weights, is_attention_recordable};
pub use conv::{ConvState, causal_conv_silu, conv_state_after, dynamic_conv_silu};
pub use cuda_graph::{PositionCounter, RecordedStep, TokenBuffer};
pub use delta_rule::{gated_delta_rule, normalised_gated_delta_rule};
pub use device::{is_cpu, preferred_dtype, run_on_device_thread};
#[cfg(feature = "cuda")]
pub use device::{missing_cuda_requirements, open_cuda_devices};
pub use elementwise::{add, concat_batches, silu};
pub use embedding::embedding;
pub use gates::{decay_gate, delta_gates, gated_rms_norm};
pub use gla::gla;
pub use heads::{merge_heads, split_heads};
pub use kernel_support::is_linear_attention_recordable;
pub use kv_cache::KvCache;
pub use linear::{linear, linear_f32, linear_triple, stacked_linear, swiglu, to_column_major};
pub use logits::{
    DistilTarget, HeadInputs, HeadLoss, argmax_into, cross_entropy_loss, distillation_loss, head_loss_bytes,
    kl_divergence_loss, linear_cross_entropy, token_log_likelihoods,
};
pub use mean_squared_error::mean_squared_error;
pub use norm::{add_rms_norm, rms_norm};
pub use overwrite::overwrite;
pub use rope::{Rope, RopeScaling, RotaryAngles};
