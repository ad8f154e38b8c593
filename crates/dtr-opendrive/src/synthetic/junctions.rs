//! Junctions: connecting roads from the lanes of each arm to the lanes of the others.

use super::cross_section::{CrossSection, center};
use super::network::Growth;
use super::roads::{EASING, road};
use crate::geometry::{Pose, wrap};
use crate::map::{Connection, Contact, Cubic, Junction, Lane, LaneSection, Link, Profile};
use crate::shape::connect;

/// The part of the distance to the point where the directions meet that a turn takes.
const TURN_SHARE: f64 = 0.9;

/// A road at a junction.
pub(super) struct Arm {
    /// The id of the road.
    pub road: String,
    /// The end of the road that touches the junction.
    pub contact: Contact,
    /// Where the road meets the junction, in the direction away from the junction.
    pub mouth: Pose,
    /// The lanes in the direction away from the junction: traffic leaves the junction on the right side.
    pub lanes: CrossSection,
}

impl Arm {
    /// The road's own id of the lane `index` on which traffic enters the junction.
    fn entering_id(&self, index: usize) -> i32 {
        let id = i32::try_from(index + 1).expect("a road has few lanes");
        if self.contact == Contact::End { -id } else { id }
    }

    /// The road's own id of the lane `index` on which traffic leaves the junction.
    fn leaving_id(&self, index: usize) -> i32 {
        -self.entering_id(index)
    }
}

pub(super) fn add_junction(growth: &mut Growth, id: &str, arms: &[Arm], height: f64, is_wide: bool) {
    let mut connections = Vec::new();
    for from in arms {
        for to in arms.iter().filter(|to| to.road != from.road) {
            for pairs in lane_pairs(from, to, is_wide) {
                let road = connecting_road(growth.id(), id, from, to, &pairs, height);
                let lane_links =
                    (1i32..).zip(&pairs).map(|(lane, pair)| (from.entering_id(pair.0), -lane)).collect();
                connections.push(Connection {
                    id: connections.len().to_string(),
                    incoming: Some(from.road.clone()),
                    connecting: Some(road.id.clone()),
                    contact: Contact::Start,
                    lane_links,
                });
                growth.map.roads.push(road);
            }
        }
    }
    growth.map.junctions.push(Junction {
        id: id.to_owned(),
        kind: "default".to_owned(),
        connections,
        line: 0,
    });
}

/// The pairs of an entering and a leaving lane, by connecting road. Innermost lanes turn left and outermost
/// lanes turn right. All lanes go straight on, and the outermost lane splits or merges if the numbers differ.
/// If `is_wide`, one connecting road has all lanes that go straight on; else each lane has its own.
fn lane_pairs(from: &Arm, to: &Arm, is_wide: bool) -> Vec<Vec<(usize, usize)>> {
    let (entering, leaving) = (from.lanes.left.driving(), to.lanes.right.driving());
    let turn = wrap(to.mouth.heading - from.mouth.turned().heading);
    if turn > 0.6 {
        return vec![vec![(0, 0)]];
    }
    if turn < -0.6 {
        return vec![vec![(entering - 1, leaving - 1)]];
    }
    let common = entering.min(leaving);
    let straight: Vec<_> = (0..common).map(|index| (index, index)).collect();
    let rest =
        (common..entering.max(leaving)).map(|index| vec![(index.min(entering - 1), index.min(leaving - 1))]);
    let single = straight.iter().map(|&pair| vec![pair]);
    if is_wide {
        std::iter::once(straight.clone()).chain(rest).collect()
    } else {
        single.chain(rest).collect()
    }
}

fn connecting_road(
    id: usize,
    junction: &str,
    from: &Arm,
    to: &Arm,
    pairs: &[(usize, usize)],
    height: f64,
) -> crate::map::Road {
    let start = from.mouth.turned().place(&Pose::new(0.0, -from.lanes.left.inner_border(pairs[0].0), 0.0));
    let end = to.mouth.place(&Pose::new(0.0, -to.lanes.right.inner_border(pairs[0].1), 0.0));
    let is_left = wrap(end.heading - start.heading) > 0.0;
    // Left turns are wide enough for clothoids.
    let plan = connect(Pose { curvature: 0.0, ..start }, end, if is_left { EASING } else { 0.0 }, TURN_SHARE);
    let length: f64 = plan.iter().map(|record| record.length).sum();
    let lane = |(number, pair): (i32, &(usize, usize))| {
        let widths = [from.lanes.left.lanes[pair.0].1, to.lanes.right.lanes[pair.1].1];
        let width = if widths[0] == widths[1] {
            Profile::constant(widths[0])
        } else {
            Profile { pieces: vec![Cubic::hermite(0.0, length, widths, [0.0; 2])] }
        };
        Lane {
            id: -number,
            kind: "driving".to_owned(),
            width,
            predecessors: vec![from.entering_id(pair.0)],
            successors: vec![to.leaving_id(pair.1)],
        }
    };
    let lanes = std::iter::once(center()).chain((1i32..).zip(pairs).map(lane)).collect();
    let mut road = road(id, plan, vec![LaneSection { s: 0.0, lanes }], [height; 2]);
    road.junction = Some(junction.to_owned());
    road.predecessor = Some(Link::Road { id: from.road.clone(), contact: Some(from.contact) });
    road.successor = Some(Link::Road { id: to.road.clone(), contact: Some(to.contact) });
    road
}
