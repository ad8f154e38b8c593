//! Decoding steps that a device repeats without work on the host: a position counter in device memory, and a
//! step that is recorded once (as a CUDA graph) and replayed. Only CUDA devices support them.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
mod unsupported;

#[cfg(feature = "cuda")]
pub use cuda::{PositionCounter, RecordedStep};
#[cfg(not(feature = "cuda"))]
pub use unsupported::{PositionCounter, RecordedStep};
