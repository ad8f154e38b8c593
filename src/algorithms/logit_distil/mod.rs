//! Logit distillation trains a hybrid that a search has chosen. The hybrid learns to reproduce the base's
//! next-token distribution.
//!
//! The loss is the Kullback-Leibler divergence `KL(base ‖ hybrid)` of the two distributions, over the whole
//! vocabulary, averaged over all tokens. RADLADS (arXiv 2505.03005) and HALO (arXiv 2601.22156) train hybrids
//! with this loss after the distillation of single layers.

mod config;
mod result;
mod trainer;

pub use config::LogitDistilConfig;
pub use result::{DivergencePoint, LogitDistilResult};
pub use trainer::LogitDistiller;
