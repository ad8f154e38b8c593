//! Decoding steps that are recorded once as a CUDA graph and then replayed. A recorded step reads the
//! position from a counter in device memory. Only CUDA devices support recorded steps and counters.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
mod unsupported;

#[cfg(feature = "cuda")]
pub use cuda::{PositionCounter, RecordedStep};
#[cfg(not(feature = "cuda"))]
pub use unsupported::{PositionCounter, RecordedStep};
