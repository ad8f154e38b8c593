//! The algorithms: distillation of twins, scores of hybrids, search, pretraining of bases, and throughput.

pub mod candidate;
pub mod distil;
pub mod parallel;
pub mod pretrain;
pub mod score;
pub mod search;
pub mod throughput;
pub mod training;
