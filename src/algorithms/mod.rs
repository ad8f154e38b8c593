//! The algorithms: distillation of twins, scoring of hybrids, search, training of hybrids after the search,
//! pretraining of base models, and throughput measurement. [`dtr_model`] defines base, twin, hybrid and mask.

pub mod candidate;
pub mod checkpoint_distil;
pub mod distil;
pub mod finetune;
pub mod logit_distil;
pub mod parallel;
pub mod pretrain;
pub mod score;
pub mod search;
pub mod throughput;
pub mod training;
pub mod tuning;
