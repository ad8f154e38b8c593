//! Parts of ways that no road of the map covers, and the gaps that they fill.

use std::collections::HashMap;

use super::Way;
use crate::complete::{Hole, holes};
use crate::gap::{Gap, Neighbors};
use crate::geometry::Pose;
use crate::map::{Contact, LaneSection, Link, Map, Road};

/// A way counts as covered where a road is at most this many metres beside its lanes.
const NEAR: f64 = 4.0;
/// Shorter parts of ways are left out, in metres.
const SHORTEST: f64 = 10.0;
/// The distance of the points at which ways and roads are compared, in metres.
const STEP: f64 = 2.0;
/// How far the end of a road may be from the end of a missing part, in metres.
const REACH: f64 = 25.0;
/// The most points of all ways together.
const MOST_POINTS: usize = 2_000_000;

/// A part of a way that no road covers.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingRoad {
    /// The id of the way.
    pub way: String,
    /// The name of the way.
    pub name: Option<String>,
    /// The points in the map's frame in metres.
    pub points: Vec<[f64; 2]>,
    /// The gap, if roads end at both ends of the part.
    pub gap: Option<Gap>,
}

/// The parts of ways that the map lacks. `points` are the projected points of each way.
pub fn missing_roads(map: &Map, ways: &[Way], points: &[Vec<[f64; 2]>]) -> Vec<MissingRoad> {
    let cover = Cover::new(map);
    let holes = holes(map);
    let mut missing = Vec::new();
    let mut budget = MOST_POINTS;
    for (way, points) in ways.iter().zip(points) {
        for part in uncovered(&cover, points, &mut budget) {
            let number = missing.len();
            let gap = gap_of(map, &holes, &part, number);
            missing.push(MissingRoad { way: way.id.clone(), name: way.name.clone(), points: part, gap });
        }
    }
    missing
}

/// A point of a road, and how far it covers ways in metres.
type Covering = ([f64; 2], f64);

/// Points of all roads in a grid, with the distance up to which each covers a way.
struct Cover {
    cells: HashMap<(i64, i64), Vec<Covering>>,
    size: f64,
}

impl Cover {
    fn new(map: &Map) -> Self {
        let side = |section: &LaneSection, sign: i32| {
            let lanes = section.lanes.iter().filter(move |lane| lane.id.signum() == sign);
            lanes.map(|lane| lane.width.value(0.0).abs()).sum::<f64>()
        };
        let reach = |road: &Road| {
            let sides = road.sections.iter().map(|section| side(section, 1).max(side(section, -1)));
            sides.fold(0.0, f64::max).min(40.0) + NEAR
        };
        let size = map.roads.iter().map(reach).fold(NEAR, f64::max);
        let mut cover = Self { cells: HashMap::new(), size };
        for road in &map.roads {
            let count = (road.length / STEP).ceil().clamp(1.0, 10_000.0);
            for index in 0..=count as u32 {
                let pose = road.pose(road.length * f64::from(index) / count);
                let point = [pose.x, pose.y];
                cover.cells.entry(cover.cell(point)).or_default().push((point, reach(road)));
            }
        }
        cover
    }

    fn cell(&self, [x, y]: [f64; 2]) -> (i64, i64) {
        ((x / self.size).floor() as i64, (y / self.size).floor() as i64)
    }

    fn covers(&self, point: [f64; 2]) -> bool {
        let (column, row) = self.cell(point);
        let near = |cell: (i64, i64)| {
            let points = self.cells.get(&cell).map_or(&[][..], Vec::as_slice);
            points.iter().any(|(other, reach)| (other[0] - point[0]).hypot(other[1] - point[1]) <= *reach)
        };
        (-1..=1).any(|dx| (-1..=1).any(|dy| near((column.saturating_add(dx), row.saturating_add(dy)))))
    }
}

/// The parts of a line that no road covers.
fn uncovered(cover: &Cover, line: &[[f64; 2]], budget: &mut usize) -> Vec<Vec<[f64; 2]>> {
    let mut points = Vec::new();
    for pair in line.windows(2) {
        let length = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        let count = (length / STEP).ceil().max(1.0).min(*budget as f64) as u32;
        *budget = budget.saturating_sub(count as usize);
        points.extend((0..count).map(|index| {
            let part = f64::from(index) / f64::from(count);
            [0, 1].map(|axis| pair[0][axis] + part * (pair[1][axis] - pair[0][axis]))
        }));
    }
    points.extend(line.last());
    let mut parts: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut was_covered = true;
    for point in points {
        let is_covered = cover.covers(point);
        if !is_covered {
            if was_covered {
                parts.push(Vec::new());
            }
            parts.last_mut().expect("a part was begun").push(point);
        }
        was_covered = is_covered;
    }
    parts.retain(|part| part.len() as f64 * STEP >= SHORTEST);
    parts
}

/// The gap that a part fills: a road that the map names, or a new road between two ends without links.
fn gap_of(map: &Map, holes: &[Hole], part: &[[f64; 2]], number: usize) -> Option<Gap> {
    let (first, last) = (*part.first()?, *part.last()?);
    let is_near = |pose: &Pose, point: [f64; 2]| (pose.x - point[0]).hypot(pose.y - point[1]) <= REACH;
    let fits = |gap: &Gap| {
        let Some(Neighbors { entry, exit, .. }) = Neighbors::of(map, gap) else { return false };
        (is_near(&entry, first) && is_near(&exit, last)) || (is_near(&entry, last) && is_near(&exit, first))
    };
    if let Some(gap) = holes.iter().filter_map(Hole::gap).find(fits) {
        return Some(gap);
    }
    let open = |point: [f64; 2]| -> Option<Link> {
        let roads = map.roads.iter().filter(|road| road.junction.is_none());
        let ends = roads.flat_map(|road| [Contact::Start, Contact::End].map(|end| (road, end)));
        let distance = |(road, end): &(&Road, Contact)| {
            let pose = road.end_pose(*end);
            (pose.x - point[0]).hypot(pose.y - point[1])
        };
        let open =
            ends.filter(|(road, end)| road.link(*end).is_none() && is_near(&road.end_pose(*end), point));
        let (road, end) = open.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        Some(Link::Road { id: road.id.clone(), contact: Some(end) })
    };
    let (entry, exit) = (open(first)?, open(last)?);
    let left_hand = 2 * map.roads.iter().filter(|road| road.left_hand).count() > map.roads.len();
    let taken =
        map.roads.iter().map(|road| &road.id).chain(map.junctions.iter().map(|junction| &junction.id));
    let highest = taken.filter_map(|id| id.parse::<u64>().ok()).max().unwrap_or(0);
    let road = highest.saturating_add(1).saturating_add(number as u64).to_string();
    (entry != exit).then_some(Gap { road, junction: None, left_hand, entry, exit })
}
