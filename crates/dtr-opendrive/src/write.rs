//! Writes a road as an XML element.

use std::fmt::Write;

use crate::map::{Cubic, Curve, Geometry, Lane, LaneSection, Link, Profile, Road};

/// The XML element of a road, without a line break at its end. Every line but the first begins with `indent`.
pub fn road_xml(road: &Road, indent: &str) -> String {
    let mut xml = Xml { text: String::new(), indent };
    let junction = road.junction.as_deref().unwrap_or("-1");
    let rule = if road.left_hand { " rule=\"LHT\"" } else { "" };
    let (name, id) = (escape(&road.name), escape(&road.id));
    let _ = write!(
        xml.text,
        "<road name=\"{name}\" length=\"{}\" id=\"{id}\" junction=\"{}\"{rule}>",
        road.length,
        escape(junction)
    );
    xml.links(road);
    xml.line(1, "<planView>");
    for record in &road.plan {
        xml.record(record);
    }
    xml.line(1, "</planView>");
    if !road.elevation.pieces.is_empty() {
        xml.line(1, "<elevationProfile>");
        xml.profile(2, "elevation", "s", &road.elevation);
        xml.line(1, "</elevationProfile>");
    }
    xml.line(1, "<lanes>");
    xml.profile(2, "laneOffset", "s", &road.lane_offset);
    for section in &road.sections {
        xml.section(section);
    }
    xml.line(1, "</lanes>");
    xml.line(0, "</road>");
    xml.text
}

/// Escapes the characters that an attribute's value may not contain.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

struct Xml<'a> {
    text: String,
    indent: &'a str,
}

impl Xml<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = write!(self.text, "\n{}{}{text}", self.indent, "    ".repeat(depth));
    }

    fn links(&mut self, road: &Road) {
        let ends = [("predecessor", &road.predecessor), ("successor", &road.successor)];
        if ends.iter().all(|(_, link)| link.is_none()) {
            return;
        }
        self.line(1, "<link>");
        for (name, link) in ends {
            let text = match link {
                None => continue,
                Some(Link::Junction { id }) => {
                    format!("elementType=\"junction\" elementId=\"{}\"", escape(id))
                }
                Some(Link::Road { id, contact }) => {
                    let contact =
                        contact.map_or(String::new(), |end| format!(" contactPoint=\"{}\"", end.name()));
                    format!("elementType=\"road\" elementId=\"{}\"{contact}", escape(id))
                }
            };
            self.line(2, &format!("<{name} {text}/>"));
        }
        self.line(1, "</link>");
    }

    fn record(&mut self, record: &Geometry) {
        let Geometry { s, x, y, heading, length, curve } = record;
        self.line(
            2,
            &format!("<geometry s=\"{s}\" x=\"{x}\" y=\"{y}\" hdg=\"{heading}\" length=\"{length}\">"),
        );
        self.line(3, &curve_xml(curve));
        self.line(2, "</geometry>");
    }

    fn profile(&mut self, depth: usize, name: &str, at: &str, profile: &Profile) {
        for Cubic { s, coefficients: [a, b, c, d] } in &profile.pieces {
            self.line(depth, &format!("<{name} {at}=\"{s}\" a=\"{a}\" b=\"{b}\" c=\"{c}\" d=\"{d}\"/>"));
        }
    }

    fn section(&mut self, section: &LaneSection) {
        self.line(2, &format!("<laneSection s=\"{}\">", section.s));
        for (side, sign) in [("left", 1), ("center", 0), ("right", -1)] {
            let lanes: Vec<_> = section.lanes.iter().filter(|lane| lane.id.signum() == sign).collect();
            if lanes.is_empty() {
                continue;
            }
            self.line(3, &format!("<{side}>"));
            for lane in lanes {
                self.lane(lane);
            }
            self.line(3, &format!("</{side}>"));
        }
        self.line(2, "</laneSection>");
    }

    fn lane(&mut self, lane: &Lane) {
        let head = format!("<lane id=\"{}\" type=\"{}\" level=\"false\"", lane.id, escape(&lane.kind));
        if lane.id == 0 {
            return self.line(4, &format!("{head}/>"));
        }
        self.line(4, &format!("{head}>"));
        if !lane.predecessors.is_empty() || !lane.successors.is_empty() {
            self.line(5, "<link>");
            let before = lane.predecessors.iter().map(|id| ("predecessor", id));
            for (name, id) in before.chain(lane.successors.iter().map(|id| ("successor", id))) {
                self.line(6, &format!("<{name} id=\"{id}\"/>"));
            }
            self.line(5, "</link>");
        }
        self.profile(5, "width", "sOffset", &lane.width);
        self.line(4, "</lane>");
    }
}

fn curve_xml(curve: &Curve) -> String {
    let list = |names: [&str; 4], values: &[f64; 4]| {
        let pairs = names.iter().zip(values).map(|(name, value)| format!(" {name}=\"{value}\""));
        pairs.collect::<String>()
    };
    match curve {
        Curve::Line => "<line/>".to_owned(),
        Curve::Arc { curvature } => format!("<arc curvature=\"{curvature}\"/>"),
        Curve::Spiral { start, end } => format!("<spiral curvStart=\"{start}\" curvEnd=\"{end}\"/>"),
        Curve::Poly3 { v } => format!("<poly3{}/>", list(["a", "b", "c", "d"], v)),
        Curve::ParamPoly3 { u, v, normalized } => {
            let range = if *normalized { "normalized" } else { "arcLength" };
            let (u, v) = (list(["aU", "bU", "cU", "dU"], u), list(["aV", "bV", "cV", "dV"], v));
            format!("<paramPoly3{u}{v} pRange=\"{range}\"/>")
        }
    }
}
