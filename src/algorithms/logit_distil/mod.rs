//! Logit distillation: a hybrid that a search chose learns to predict the next token as its base does.
//!
//! The loss is the Kullback-Leibler divergence of the hybrid's next-token distribution from the base's, over
//! the whole vocabulary and all tokens. RADLADS (arXiv 2505.03005) and HALO (arXiv 2601.22156) train hybrids
//! with this loss after the distillation of single layers.

mod config;
mod result;
mod trainer;

pub use config::{HybridChoice, LogitDistilConfig};
pub use result::{DivergencePoint, LogitDistilResult};
pub use trainer::LogitDistiller;
