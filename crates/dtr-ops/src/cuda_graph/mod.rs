//! Decoding steps that are recorded once as a CUDA graph and then replayed. A recorded step reads the
//! positions from counters in device memory. Only CUDA devices support recorded steps and counters.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(not(feature = "cuda"))]
mod unsupported;

#[cfg(feature = "cuda")]
pub use cuda::{PositionCounter, RecordedStep, TokenBuffer};
#[cfg(not(feature = "cuda"))]
pub use unsupported::{PositionCounter, RecordedStep, TokenBuffer};
