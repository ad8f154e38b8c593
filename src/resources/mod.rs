//! Estimates of a job's resources: memory, tokens, evaluations and work.

mod checkpoint_distil_memory;
mod evaluations;
mod finetune_memory;
mod logit_distil_memory;
mod memory;
mod tuning_memory;
mod work;

pub use checkpoint_distil_memory::CheckpointDistilMemory;
pub use evaluations::{max_evaluations, num_test_evaluations};
pub use finetune_memory::FinetuneMemory;
pub use logit_distil_memory::LogitDistilMemory;
pub use memory::{
    DistilMemory, GPU_OVERHEAD_BYTES, kv_cache_bytes, training_bytes, twin_bytes, weight_bytes,
};
pub use work::{
    SplitSize, WorkAmount, WorkRates, distil_work, finetune_work, forward_work, logit_distil_work,
    search_work,
};

/// The resources of a job, as estimated before the job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceEstimate {
    /// Maximum number of times that the job scores a base or a hybrid.
    pub evaluations: u64,
    /// Number of tokens that the job trains on, or that it processes in timed runs.
    pub tokens: u64,
    /// Bytes of the weights that the job must hold at the same time, including the moments and gradients of
    /// trained weights.
    pub weight_bytes: u64,
    /// Peak memory of the job in bytes. 0 if unknown. Temporary tensors are counted only for distillation on
    /// a GPU.
    pub peak_bytes: u64,
}
