//! Decoding steps that are recorded once as a CUDA graph and then replayed, and the position counter in
//! device memory that they read. Only CUDA devices support them.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
mod unsupported;

#[cfg(feature = "cuda")]
pub use cuda::{PositionCounter, RecordedStep};
#[cfg(not(feature = "cuda"))]
pub use unsupported::{PositionCounter, RecordedStep};
