//! Which lanes a road has.

use rand::{Rng, RngExt};

use crate::map::{Lane, LaneSection, Profile};

/// The lanes of one side, from the centre outwards: lane type and width in metres.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Side {
    pub lanes: Vec<(&'static str, f64)>,
}

/// The lanes of a road. The right side carries traffic in the direction of the road.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CrossSection {
    pub left: Side,
    pub right: Side,
}

/// What can be beside the driving lanes, from the centre outwards.
const OUTSIDE: [&[(&str, f64)]; 6] = [
    &[("shoulder", 0.5), ("sidewalk", 2.0)],
    &[("shoulder", 1.5)],
    &[("biking", 1.5), ("sidewalk", 2.5)],
    &[("parking", 2.5), ("sidewalk", 2.0)],
    &[("border", 0.25), ("none", 1.0)],
    &[],
];

impl Side {
    fn new(driving: usize, width: f64, outside: usize) -> Self {
        let mut lanes = vec![("driving", width); driving];
        lanes.extend_from_slice(OUTSIDE[outside]);
        Self { lanes }
    }

    /// The number of driving lanes. They are next to the centre.
    pub fn driving(&self) -> usize {
        self.lanes.iter().take_while(|(kind, _)| *kind == "driving").count()
    }

    /// The distance of the inner border of lane `index` from the centre lane, in metres.
    pub fn inner_border(&self, index: usize) -> f64 {
        self.lanes[..index].iter().map(|(_, width)| width).sum()
    }

    /// The lanes with ids of this sign. Links go to the same ids.
    pub fn to_lanes(&self, sign: i32, before: bool, after: bool) -> Vec<Lane> {
        let lane = |(id, (kind, width)): (i32, &(&str, f64))| Lane {
            id: sign * id,
            kind: (*kind).to_owned(),
            width: Profile::constant(*width),
            predecessors: if before { vec![sign * id] } else { Vec::new() },
            successors: if after { vec![sign * id] } else { Vec::new() },
        };
        (1i32..).zip(&self.lanes).map(lane).collect()
    }
}

impl CrossSection {
    pub fn random(random: &mut impl Rng) -> Self {
        let width = f64::from(random.random_range(11..=15)) * 0.25;
        let outside = random.random_range(0..OUTSIDE.len());
        let right = random.random_range(1..=3);
        let left = if random.random_bool(0.8) { right } else { random.random_range(1..=3) };
        Self { left: Side::new(left, width, outside), right: Side::new(right, width, outside) }
    }

    /// The same road seen by who drives in the opposite direction.
    pub fn turned(&self) -> Self {
        Self { left: self.right.clone(), right: self.left.clone() }
    }

    /// A lane section with links to the same ids before and after.
    pub fn section(&self, s: f64, before: bool, after: bool) -> LaneSection {
        let mut lanes = self.left.to_lanes(1, before, after);
        lanes.reverse();
        lanes.push(center());
        lanes.extend(self.right.to_lanes(-1, before, after));
        LaneSection { s, lanes }
    }
}

/// The centre lane.
pub(super) fn center() -> Lane {
    Lane {
        id: 0,
        kind: "none".to_owned(),
        width: Profile::default(),
        predecessors: Vec::new(),
        successors: Vec::new(),
    }
}
