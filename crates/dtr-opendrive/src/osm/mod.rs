//! Roads of OpenStreetMap that a map lacks.

mod missing;
mod projection;

pub use missing::{MissingRoad, missing_roads};
pub use projection::Projection;

use std::collections::HashMap;

use crate::map::Map;
use crate::xml::{Document, Limits};
use crate::{Error, Result};

/// Values of the tag `highway` of ways for cars.
const HIGHWAYS: [&str; 17] = [
    "motorway",
    "motorway_link",
    "trunk",
    "trunk_link",
    "primary",
    "primary_link",
    "secondary",
    "secondary_link",
    "tertiary",
    "tertiary_link",
    "unclassified",
    "residential",
    "living_street",
    "service",
    "road",
    "busway",
    "raceway",
];

/// A way of OpenStreetMap in degrees.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The id of the way.
    pub id: String,
    /// The value of the tag `highway`.
    pub highway: String,
    /// The value of the tag `name`, if it has one.
    pub name: Option<String>,
    /// Latitude and longitude of its nodes.
    pub nodes: Vec<[f64; 2]>,
}

/// Reads the ways for cars of a file of OpenStreetMap (`.osm`). Refuses a file that breaks the format, with
/// the line.
pub fn read_osm(bytes: &[u8], limits: &Limits) -> Result<Vec<Way>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| Error::new("the file is not UTF-8"))?;
    let document = Document::parse(text, limits)?;
    let root = document.root();
    if root.name() != "osm" {
        return Err(root.error("the root element is not `osm`").hint("export the area as OSM XML"));
    }
    let mut nodes = HashMap::new();
    for node in root.all("node") {
        let (latitude, longitude) = (node.number("lat")?, node.number("lon")?);
        if latitude.abs() > 90.0 || longitude.abs() > 360.0 {
            return Err(node.error("the position is not on Earth"));
        }
        nodes.insert(node.text("id")?, [latitude, longitude]);
    }
    let mut ways = Vec::new();
    for way in root.all("way") {
        let tag = |key: &str| way.all("tag").find(|tag| tag.attribute("k") == Some(key))?.attribute("v");
        let Some(highway) = tag("highway").filter(|value| HIGHWAYS.contains(value)) else { continue };
        // Extracts of an area may lack nodes at its border.
        let position = |reference: &str| nodes.get(reference).copied();
        let points = way.all("nd").filter_map(|nd| position(nd.attribute("ref")?)).collect::<Vec<_>>();
        if points.len() >= 2 {
            ways.push(Way {
                id: way.text("id")?.to_owned(),
                highway: highway.to_owned(),
                name: tag("name").map(str::to_owned),
                nodes: points,
            });
        }
    }
    Ok(ways)
}

/// The points of ways in the map's frame, in metres.
///
/// The projection is that of the map's `geoReference` and `offset`. A map without them gets a projection that
/// puts the middle of the ways on the middle of the roads, which is right only if the file covers the map's
/// area.
pub fn project(ways: &[Way], map: &Map) -> Vec<Vec<[f64; 2]>> {
    let projection = Projection::of_map(map).unwrap_or_else(|| Projection::by_middle(ways, map));
    ways.iter().map(|way| way.nodes.iter().map(|&node| projection.to_map(node)).collect()).collect()
}
