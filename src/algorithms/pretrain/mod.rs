//! Pretraining of a base model by next-token prediction. The bundled base model was trained this way.

mod config;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
mod loss;
mod result;
mod trainer;

pub use config::PretrainConfig;
pub use result::{LossPoint, PretrainResult};
pub use trainer::{Trainer, base_config_and_tokenizer};
