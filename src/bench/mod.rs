//! Benchmarks behind `dtr bench`: what a search saves, and how long pieces of work take on a device.

mod case;
pub mod device;
pub mod search;

pub use case::{Case, bundled, deep};
