//! Junctions and their connections (OpenDRIVE 1.8, section 12).

use super::Contact;

/// A junction.
#[derive(Clone, Debug, PartialEq)]
pub struct Junction {
    /// The id, unique among the junctions of the map.
    pub id: String,
    /// The attribute `type`; `default` if it is missing.
    pub kind: String,
    /// The connections in the order of the file.
    pub connections: Vec<Connection>,
    /// The line of the file where the junction begins, or 0.
    pub line: u32,
}

/// A connection from an incoming road into a connecting road.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The id within the junction.
    pub id: String,
    /// The road by which traffic enters the junction.
    pub incoming: Option<String>,
    /// The connecting road, or the linked road of a direct junction.
    pub connecting: Option<String>,
    /// The end of the connecting road that touches the incoming road.
    pub contact: Contact,
    /// Pairs of a lane of the incoming road and a lane of the connecting road.
    pub lane_links: Vec<(i32, i32)>,
}
