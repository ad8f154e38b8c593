//! The parts of an OpenDRIVE map that roads consist of, as types.
//!
//! Lengths are in metres and angles in radians, as in the standard. Ids are texts, as in OpenDRIVE 1.4 and
//! later.

mod junction;
mod lane;
mod profile;
mod road;

pub use junction::{Connection, Junction};
pub use lane::{Lane, LaneSection};
pub use profile::{Cubic, Profile};
pub use road::{Contact, Curve, Geometry, Link, Road};

/// A map: the roads and junctions, and the header's frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// `revMajor` and `revMinor` of the header.
    pub version: (u16, u16),
    /// The projection string of `geoReference`, such as `+proj=tmerc …`.
    pub geo_reference: Option<String>,
    /// The header's offset: x, y and z in metres and the heading in radians.
    pub offset: [f64; 4],
    /// The roads in the order of the file.
    pub roads: Vec<Road>,
    /// The junctions in the order of the file.
    pub junctions: Vec<Junction>,
}

impl Map {
    /// The road with this id.
    pub fn road(&self, id: &str) -> Option<&Road> {
        self.roads.iter().find(|road| road.id == id)
    }

    /// The junction with this id.
    pub fn junction(&self, id: &str) -> Option<&Junction> {
        self.junctions.iter().find(|junction| junction.id == id)
    }

    /// The map without one road. Links to the road stay, and so they point at nothing.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        let roads = self.roads.iter().filter(|road| road.id != id).cloned().collect();
        Self { roads, ..self.clone() }
    }
}
