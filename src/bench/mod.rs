//! The benchmarks of `dtr bench`.

pub mod device;
mod search_case;
pub mod search_optimisations;

pub use search_case::{SearchCase, bundled_base_cases, deep_base_case};
