//! Writes a whole map as OpenDRIVE XML.

use std::fmt::Write;

use crate::geometry::Pose;
use crate::map::{Connection, Junction, Map, Road};
use crate::write::{escape, road_xml};

/// The text of a map that was not read from a file, such as a synthetic one.
pub fn map_xml(map: &Map, name: &str) -> String {
    let [west, south, east, north] = bounds(map);
    let (major, minor) = map.version;
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<OpenDRIVE>\n");
    let _ = writeln!(
        text,
        "    <header revMajor=\"{major}\" revMinor=\"{minor}\" name=\"{}\" version=\"1.0\" north=\"{north}\" \
         south=\"{south}\" east=\"{east}\" west=\"{west}\" vendor=\"dtr\">",
        escape(name)
    );
    if let Some(reference) = &map.geo_reference {
        let _ = writeln!(text, "        <geoReference>{}</geoReference>", escape(reference));
    }
    if map.offset != [0.0; 4] {
        let [x, y, z, heading] = map.offset;
        let _ = writeln!(text, "        <offset x=\"{x}\" y=\"{y}\" z=\"{z}\" hdg=\"{heading}\"/>");
    }
    text.push_str("    </header>\n");
    for road in &map.roads {
        let _ = writeln!(text, "    {}", road_xml(road, "    "));
    }
    for junction in &map.junctions {
        write_junction(&mut text, junction);
    }
    text.push_str("</OpenDRIVE>\n");
    text
}

fn write_junction(text: &mut String, junction: &Junction) {
    let (id, kind) = (escape(&junction.id), escape(&junction.kind));
    let kind = if kind == "default" { String::new() } else { format!(" type=\"{kind}\"") };
    let _ = writeln!(text, "    <junction name=\"\" id=\"{id}\"{kind}>");
    for Connection { id, incoming, connecting, contact, lane_links } in &junction.connections {
        let road = |name: &str, id: &Option<String>| {
            id.as_ref().map_or(String::new(), |id| format!(" {name}=\"{}\"", escape(id)))
        };
        let (incoming, connecting) = (road("incomingRoad", incoming), road("connectingRoad", connecting));
        let (id, contact) = (escape(id), contact.name());
        let _ = writeln!(
            text,
            "        <connection id=\"{id}\"{incoming}{connecting} contactPoint=\"{contact}\">"
        );
        for (from, to) in lane_links {
            let _ = writeln!(text, "            <laneLink from=\"{from}\" to=\"{to}\"/>");
        }
        text.push_str("        </connection>\n");
    }
    text.push_str("    </junction>\n");
}

/// West, south, east and north of the reference lines in metres.
fn bounds(map: &Map) -> [f64; 4] {
    let points = map
        .roads
        .iter()
        .flat_map(|road: &Road| (0..=8).map(move |part| road.pose(road.length * f64::from(part) / 8.0)));
    points.fold([0.0; 4], |[west, south, east, north], Pose { x, y, .. }| {
        [west.min(x), south.min(y), east.max(x), north.max(y)]
    })
}
