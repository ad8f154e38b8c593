//! Decoding steps that a device repeats without the host: positions that the device counts, and steps that
//! are recorded once (as a CUDA graph) and replayed. Only CUDA devices have them.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
mod unsupported;

#[cfg(feature = "cuda")]
pub use cuda::{PositionCounter, RecordedStep};
#[cfg(not(feature = "cuda"))]
pub use unsupported::{PositionCounter, RecordedStep};
