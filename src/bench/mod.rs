//! The benchmarks of `dtr bench`.

pub mod device;
pub mod search;
mod search_case;

pub use search_case::{SearchCase, bundled_base_cases, deep_base_case};
