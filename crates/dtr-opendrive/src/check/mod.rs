//! Rules of the OpenDRIVE standard that a map, or one road of it, keeps or breaks.
//!
//! Section numbers are those of ASAM OpenDRIVE 1.8.

mod junctions;
mod lanes;
mod roads;

use std::collections::HashMap;
use std::fmt;

use crate::map::{Junction, Map, Road};

/// A rule of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Ids of roads and of junctions are unique (sections 10.1 and 12.2).
    UniqueIds,
    /// Predecessors, successors and junctions of roads exist (section 10.3).
    LinksResolve,
    /// A road that a road links to links back, or belongs to the linked junction (section 10.3).
    LinksMutual,
    /// Linked roads meet: the gap along the road is at most 0.1 m, and the headings differ by at most 0.02
    /// rad.
    RoadsMeet,
    /// Each record of the plan view begins where the one before ends, within 0.02 m (section 9.2).
    PositionContinuous,
    /// The reference line has no kinks above 0.01 rad (section 9.2).
    HeadingContinuous,
    /// `s` of each record is the sum of the lengths before it, within 0.02 m (section 9.2).
    RecordPositions,
    /// The road's length is the sum of its records, within 0.05 m (section 10.1).
    RoadLength,
    /// Lane sections begin at 0, ascend strictly and lie on the road (section 11.2).
    SectionsAscend,
    /// Lane ids are unique and contiguous, with the centre lane 0 (sections 11.3 and 11.4).
    LaneIds,
    /// Each lane but the centre lane has a width that holds from the section's start (section 11.6.1).
    WidthsDefined,
    /// Widths are not negative, within 0.02 m (section 11.6.1).
    WidthsNonNegative,
    /// Links of lanes name lanes of the adjacent section or road (section 11.5).
    LaneLinksResolve,
    /// A connecting road has a predecessor and a successor (section 12.3).
    ConnectingRoadLinks,
    /// Connections name an incoming road and a connecting road of this junction (section 12.4).
    ConnectionsResolve,
    /// Lane links of connections name lanes of these roads (section 12.4).
    ConnectionLanes,
    /// The incoming road and the connecting road touch each other at the named end (section 12.4).
    ConnectionContacts,
}

impl Rule {
    /// A short name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniqueIds => "unique-ids",
            Self::LinksResolve => "links-resolve",
            Self::LinksMutual => "links-mutual",
            Self::RoadsMeet => "roads-meet",
            Self::PositionContinuous => "position-continuous",
            Self::HeadingContinuous => "heading-continuous",
            Self::RecordPositions => "record-positions",
            Self::RoadLength => "road-length",
            Self::SectionsAscend => "sections-ascend",
            Self::LaneIds => "lane-ids",
            Self::WidthsDefined => "widths-defined",
            Self::WidthsNonNegative => "widths-non-negative",
            Self::LaneLinksResolve => "lane-links-resolve",
            Self::ConnectingRoadLinks => "connecting-road-links",
            Self::ConnectionsResolve => "connections-resolve",
            Self::ConnectionLanes => "connection-lanes",
            Self::ConnectionContacts => "connection-contacts",
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The road or junction, such as `road "7"`.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// The line of the road or junction in the file, or 0.
    pub line: u32,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}: ", self.line)?;
        }
        write!(formatter, "{}: {} ({})", self.subject, self.message, self.rule.name())
    }
}

/// A map with its roads and junctions by id.
pub(crate) struct Index<'a> {
    roads: HashMap<&'a str, &'a Road>,
    junctions: HashMap<&'a str, &'a Junction>,
}

impl<'a> Index<'a> {
    /// The index of `map`. `instead` replaces the road of its id, or is added.
    pub fn new(map: &'a Map, instead: Option<&'a Road>) -> Self {
        let roads = map.roads.iter().chain(instead).map(|road| (road.id.as_str(), road)).collect();
        let junctions = map.junctions.iter().map(|junction| (junction.id.as_str(), junction)).collect();
        Self { roads, junctions }
    }

    pub fn road(&self, id: &str) -> Option<&'a Road> {
        self.roads.get(id).copied()
    }

    pub fn junction(&self, id: &str) -> Option<&'a Junction> {
        self.junctions.get(id).copied()
    }
}

/// All broken rules of a map.
pub fn check_map(map: &Map) -> Vec<Finding> {
    let index = Index::new(map, None);
    let mut findings = unique_ids(map);
    for road in &map.roads {
        check(&index, road, &mut findings);
    }
    for junction in &map.junctions {
        junctions::check_junction(&index, junction, &mut findings);
    }
    findings
}

/// The broken rules of one road in a map. The road takes the place of the map's road of the same id.
pub fn check_road(map: &Map, road: &Road) -> Vec<Finding> {
    let index = Index::new(map, Some(road));
    let mut findings = Vec::new();
    check(&index, road, &mut findings);
    if let Some(junction) = road.junction.as_deref().and_then(|id| index.junction(id)) {
        junctions::check_connections_of(&index, junction, &road.id, &mut findings);
    }
    findings
}

fn check(index: &Index<'_>, road: &Road, findings: &mut Vec<Finding>) {
    roads::check_plan(road, findings);
    roads::check_links(index, road, findings);
    lanes::check_sections(road, findings);
    lanes::check_lane_links(index, road, findings);
}

fn unique_ids(map: &Map) -> Vec<Finding> {
    let mut seen = std::collections::HashSet::new();
    let roads = map.roads.iter().map(|road| ("road", road.id.as_str(), road.line));
    let junctions = map.junctions.iter().map(|junction| ("junction", junction.id.as_str(), junction.line));
    let repeated = roads.chain(junctions).filter(|&(kind, id, _)| !seen.insert((kind, id)));
    repeated
        .map(|(kind, id, line)| Finding {
            rule: Rule::UniqueIds,
            subject: format!("{kind} {id:?}"),
            message: "the id is used twice".to_owned(),
            line,
        })
        .collect()
}

fn add(findings: &mut Vec<Finding>, rule: Rule, road: &Road, message: String) {
    findings.push(Finding { rule, subject: format!("road {:?}", road.id), message, line: road.line });
}
