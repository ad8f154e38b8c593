//! The algorithms: distilling twins, scoring and searching hybrids, training bases, timing.

pub mod distil;
pub mod pretrain;
pub mod saving;
pub mod score;
pub mod search;
pub mod throughput;
