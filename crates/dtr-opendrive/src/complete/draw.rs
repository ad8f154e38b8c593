//! Draws maps as SVG: lanes, reference lines, and completed roads in another colour.

use std::fmt::Write;

use crate::geometry::Pose;
use crate::map::{Map, Road};

/// The width of a drawing in pixels.
const WIDTH: f64 = 720.0;
/// The distance of drawn points in metres.
const STEP: f64 = 2.0;
/// The most points of one line.
const MOST_POINTS: f64 = 400.0;
/// How far around the completed roads the drawing goes, in metres.
const MARGIN: f64 = 60.0;

/// Fill colours of lane types.
fn color(kind: &str) -> &'static str {
    match kind {
        "driving" | "bidirectional" | "entry" | "exit" | "onRamp" | "offRamp" | "connectingRamp" => "#9aa0a6",
        "sidewalk" | "walking" => "#e0d3b8",
        "shoulder" | "border" | "stop" | "curb" => "#c9cdd1",
        "parking" => "#b7c4d6",
        "biking" => "#d6b7b7",
        "median" | "none" | "restricted" => "#dfe8da",
        _ => "#d5d5d5",
    }
}

/// A drawing of the map, with the roads `marked` in another colour. `only_marked` shows their surroundings.
pub fn draw_map(map: &Map, marked: &[String], only_marked: bool) -> String {
    let bounds = Bounds::of(map, marked, only_marked);
    let height = bounds.height();
    let body = drawing(map, marked, &bounds);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// The map before and after side by side, around the roads that were completed.
pub fn draw_before_after(before: &Map, after: &Map, completed: &[String]) -> String {
    let bounds = Bounds::of(after, completed, true);
    let (height, width) = (bounds.height() + 28.0, 2.0 * WIDTH + 16.0);
    let panels = [("before", before, 0.0), ("after", after, WIDTH + 16.0)].map(|(title, map, x)| {
        let body = drawing(map, completed, &bounds);
        format!(
            "<g transform=\"translate({x} 0)\"><text x=\"4\" y=\"18\" font-family=\"sans-serif\" \
             font-size=\"15\">{title}</text><svg y=\"28\" width=\"{WIDTH}\" height=\"{:.0}\">\n{body}</svg></g>\n",
            bounds.height()
        )
    });
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" \
         height=\"{height:.0}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
        panels.concat()
    )
}

/// The part of the map that a drawing shows, in metres.
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Bounds {
    fn of(map: &Map, marked: &[String], only_marked: bool) -> Self {
        let is_shown = |road: &&Road| !only_marked || marked.contains(&road.id);
        let points: Vec<Pose> = map.roads.iter().filter(is_shown).flat_map(points).collect();
        let fold = |start: f64, pick: fn(f64, f64) -> f64, of: fn(&Pose) -> f64| {
            points.iter().map(of).filter(|value| value.is_finite()).fold(start, pick)
        };
        let (west, east) = (fold(f64::MAX, f64::min, |p| p.x), fold(f64::MIN, f64::max, |p| p.x));
        let (south, north) = (fold(f64::MAX, f64::min, |p| p.y), fold(f64::MIN, f64::max, |p| p.y));
        if west > east {
            return Self { west: -MARGIN, south: -MARGIN, east: MARGIN, north: MARGIN };
        }
        Self { west: west - MARGIN, south: south - MARGIN, east: east + MARGIN, north: north + MARGIN }
    }

    fn scale(&self) -> f64 {
        WIDTH / (self.east - self.west)
    }

    fn height(&self) -> f64 {
        ((self.north - self.south) * self.scale()).clamp(60.0, 4.0 * WIDTH)
    }

    fn point(&self, x: f64, y: f64) -> String {
        format!("{:.1},{:.1}", (x - self.west) * self.scale(), (self.north - y) * self.scale())
    }
}

/// Points along a road's reference line.
fn points(road: &Road) -> Vec<Pose> {
    let count = (road.length / STEP).ceil().clamp(2.0, MOST_POINTS);
    (0..=count as u32).map(|index| road.pose(road.length * f64::from(index) / count)).collect()
}

fn drawing(map: &Map, marked: &[String], bounds: &Bounds) -> String {
    let mut svg = String::new();
    let (plain, special): (Vec<&Road>, Vec<&Road>) =
        map.roads.iter().partition(|road| !marked.contains(&road.id));
    for (roads, is_marked) in [(plain, false), (special, true)] {
        for road in &roads {
            draw_lanes(&mut svg, road, bounds, is_marked);
        }
        for road in &roads {
            let line: Vec<String> = points(road).iter().map(|pose| bounds.point(pose.x, pose.y)).collect();
            let (stroke, width) = if is_marked { ("#b3261e", 2.0) } else { ("#3c4043", 0.8) };
            let line = line.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\"/>"
            );
        }
    }
    svg
}

fn draw_lanes(svg: &mut String, road: &Road, bounds: &Bounds, is_marked: bool) {
    for (index, section) in road.sections.iter().enumerate() {
        let length = road.section_end(index) - section.s;
        let count = (length / STEP).ceil().clamp(1.0, MOST_POINTS);
        for lane in section.lanes.iter().filter(|lane| lane.id != 0) {
            let (mut inner, mut outer) = (Vec::new(), Vec::new());
            for part in 0..=count as u32 {
                let ds = length * f64::from(part) / count;
                let pose = road.pose(section.s + ds);
                let sign = f64::from(lane.id.signum());
                let inside = section
                    .lanes
                    .iter()
                    .filter(|other| other.id.signum() == lane.id.signum() && other.id.abs() < lane.id.abs());
                let offset = road.lane_offset.value(section.s + ds);
                let from = offset + sign * inside.map(|other| other.width.value(ds)).sum::<f64>();
                let to = from + sign * lane.width.value(ds);
                for (t, side) in [(from, &mut inner), (to, &mut outer)] {
                    let point = pose.place(&Pose::new(0.0, t, 0.0));
                    side.push(bounds.point(point.x, point.y));
                }
            }
            outer.reverse();
            inner.extend(outer);
            let fill = if is_marked { "#f2a7a0" } else { color(&lane.kind) };
            let shape = inner.join(" ");
            let _ = writeln!(
                svg,
                "<polygon points=\"{shape}\" fill=\"{fill}\" stroke=\"#ffffff\" stroke-width=\"0.4\"/>"
            );
        }
    }
}
