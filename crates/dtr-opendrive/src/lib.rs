//! OpenDRIVE maps: reading, exact geometry, gaps as text items, scores of completed roads, synthetic maps.

pub mod baseline;
pub mod canonical;
pub mod complete;
pub mod check;
pub mod error;
pub mod gap;
pub mod geometry;
pub mod items;
pub mod map;
pub mod metric;
pub mod osm;
pub mod read;
pub mod shape;
pub mod split;
pub mod synthetic;
pub mod text;
pub mod transform;
pub mod write;
pub mod write_map;
pub mod xml;

pub use error::{Error, Result};
