//! OpenDRIVE maps: reading, exact geometry, gaps as text items, scores of completed roads, synthetic maps.

pub mod error;
pub mod geometry;
pub mod map;
pub mod read;
pub mod xml;

pub use error::{Error, Result};
