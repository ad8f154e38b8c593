//! Training of a hybrid after its search: the parameters that are trained, and their optimizers.

mod micro_batches;
mod optimizer_config;
mod trained_parts;
mod tuned_decoder;

pub use micro_batches::accumulate_gradients;
pub use optimizer_config::TuningOptimizerConfig;
pub use trained_parts::{AllParts, ParameterGroup, TrainedParts};
pub use tuned_decoder::TunedDecoder;
