//! Training of a hybrid after its search: the parameters that are trained, and their optimizers.

mod hybrid_choice;
mod lora;
mod micro_batches;
mod optimizer_config;
mod parameter_group;
mod trainable_decoder;
mod trained_parts;
mod tuned_decoder;

pub use hybrid_choice::HybridChoice;
pub use lora::{LoraDecoder, LoraShape};
pub use micro_batches::accumulate_gradients;
pub use optimizer_config::TuningOptimizerConfig;
pub use parameter_group::{GroupRate, ParameterGroup};
pub use trainable_decoder::TrainableDecoder;
pub use trained_parts::{AllParts, TrainedParts};
pub use tuned_decoder::TunedDecoder;
