//! Reads OpenDRIVE 1.1 to 1.8. A file that breaks the format is refused with the line.

mod geometry;
mod lanes;
mod roads;

use std::ops::Range;

use crate::map::{Connection, Contact, Junction, Map};
use crate::xml::{Document, Limits, Node};
use crate::{Error, Result};

/// A map together with its text. Edits replace bytes of the text, so they change nothing else.
#[derive(Clone, Debug)]
pub struct MapFile {
    /// The text of the file, without a byte-order mark.
    pub text: String,
    /// What was read.
    pub map: Map,
    /// The bytes of each road's element, in the order of `map.roads`.
    pub road_spans: Vec<Range<usize>>,
    /// The byte where the end tag `</OpenDRIVE>` begins.
    pub end: usize,
}

impl MapFile {
    /// Reads a map from the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes_within(bytes, &Limits::default())
    }

    /// Reads a map from the bytes of a file, with other limits.
    pub fn from_bytes_within(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let newlines = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            Error::at(u32::try_from(newlines + 1).unwrap_or(u32::MAX), "the file is not UTF-8")
                .hint("convert the file, for example with `iconv -f latin1 -t utf-8`")
        })?;
        Self::from_text(text, limits)
    }

    /// Reads a map from a text.
    pub fn from_text(text: &str, limits: &Limits) -> Result<Self> {
        let document = Document::parse(text, limits)?;
        let root = document.root();
        if root.name() != "OpenDRIVE" {
            return Err(root.error("the root element is not `OpenDRIVE`"));
        }
        let map = read_map(root)?;
        let road_spans = root.all("road").map(|road| road.element().span.clone()).collect();
        let span = &root.element().span;
        let end = text[span.clone()].rfind("</").map_or(span.end, |at| span.start + at);
        Ok(Self { text: text.to_owned(), map, road_spans, end })
    }
}

fn read_map(root: Node<'_>) -> Result<Map> {
    let header = root.first("header").ok_or_else(|| root.error("the element `header` is missing"))?;
    let part = |name| -> Result<u16> {
        let value = header.integer(name)?;
        u16::try_from(value).map_err(|_| header.error(format!("`{name}` is out of range: {value}")))
    };
    let version = (part("revMajor")?, part("revMinor")?);
    if version.0 != 1 {
        let message = format!("the map has OpenDRIVE version {}.{}", version.0, version.1);
        return Err(header.error(message).hint("versions 1.1 to 1.8 can be read"));
    }
    let geo_reference = header.first("geoReference").map(|node| node.element().text.trim().to_owned());
    let offset = match header.first("offset") {
        Some(node) => [node.number("x")?, node.number("y")?, node.number("z")?, node.number_or("hdg", 0.0)?],
        None => [0.0; 4],
    };
    let roads = root.all("road").map(roads::read_road).collect::<Result<_>>()?;
    let junctions = root.all("junction").map(read_junction).collect::<Result<_>>()?;
    Ok(Map { version, geo_reference, offset, roads, junctions })
}

fn read_junction(node: Node<'_>) -> Result<Junction> {
    Ok(Junction {
        id: node.text("id")?.to_owned(),
        kind: node.attribute("type").unwrap_or("default").to_owned(),
        connections: node.all("connection").map(read_connection).collect::<Result<_>>()?,
        line: node.element().line,
    })
}

fn read_connection(node: Node<'_>) -> Result<Connection> {
    let owned = |name| node.attribute(name).map(str::to_owned);
    let contact = match node.attribute("contactPoint") {
        Some("end") => Contact::End,
        Some("start") | None => Contact::Start,
        Some(other) => return Err(node.error(format!("`contactPoint` is neither start nor end: {other:?}"))),
    };
    let lane_link = |link: Node<'_>| Ok((link.integer("from")?, link.integer("to")?));
    Ok(Connection {
        id: node.text("id")?.to_owned(),
        incoming: owned("incomingRoad"),
        connecting: owned("connectingRoad").or_else(|| owned("linkedRoad")),
        contact,
        lane_links: node.all("laneLink").map(lane_link).collect::<Result<_>>()?,
    })
}
