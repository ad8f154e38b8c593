//! The algorithms: distilling twins, scoring and searching hybrids, training bases, timing.

pub mod candidate;
pub mod distil;
pub mod parallel;
pub mod pretrain;
pub mod score;
pub mod search;
pub mod throughput;
pub mod training;
