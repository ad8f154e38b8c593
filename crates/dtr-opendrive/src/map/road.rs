//! Roads: links, reference line, elevation and lanes (OpenDRIVE 1.8, sections 9 and 10).

use super::{LaneSection, Profile};

/// A road. Its reference line has the direction of ascending `s`.
#[derive(Clone, Debug, PartialEq)]
pub struct Road {
    /// The id, unique among the roads of the map.
    pub id: String,
    /// The name, possibly empty.
    pub name: String,
    /// The junction to which a connecting road belongs.
    pub junction: Option<String>,
    /// The length of the reference line in metres.
    pub length: f64,
    /// Whether traffic keeps to the left (`rule="LHT"`).
    pub left_hand: bool,
    /// What touches the road where `s` is 0.
    pub predecessor: Option<Link>,
    /// What touches the road where `s` is its length.
    pub successor: Option<Link>,
    /// The reference line.
    pub plan: Vec<Geometry>,
    /// The height of the reference line in metres.
    pub elevation: Profile,
    /// The lateral shift of the centre lane in metres, positive to the left.
    pub lane_offset: Profile,
    /// The lane sections, by ascending `s`.
    pub sections: Vec<LaneSection>,
    /// The line of the file where the road begins, or 0.
    pub line: u32,
}

/// An end of a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contact {
    /// Where `s` is 0.
    Start,
    /// Where `s` is the road's length.
    End,
}

impl Contact {
    /// The other end.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Start => Self::End,
            Self::End => Self::Start,
        }
    }

    /// The value of the attribute `contactPoint`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

/// What a road's predecessor or successor is (section 10.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A road and the end that touches. Virtual junctions have links without an end.
    Road {
        /// The id of the linked road.
        id: String,
        /// The end of the linked road.
        contact: Option<Contact>,
    },
    /// A junction.
    Junction {
        /// The id of the linked junction.
        id: String,
    },
}

/// One record of the plan view (section 9.2): a curve from a start pose.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Where the record begins along the road, in metres.
    pub s: f64,
    /// The start in metres.
    pub x: f64,
    /// The start in metres.
    pub y: f64,
    /// The direction at the start in radians, counter-clockwise from the x axis.
    pub heading: f64,
    /// The length of the record in metres.
    pub length: f64,
    /// The kind of the curve.
    pub curve: Curve,
}

/// The kind of a plan-view record. Curvatures are in 1/m and positive to the left.
#[derive(Clone, Debug, PartialEq)]
pub enum Curve {
    /// A straight line.
    Line,
    /// An arc.
    Arc {
        /// The curvature in 1/m.
        curvature: f64,
    },
    /// A clothoid, whose curvature changes linearly.
    Spiral {
        /// The curvature at the start in 1/m.
        start: f64,
        /// The curvature at the end in 1/m.
        end: f64,
    },
    /// v as a cubic of u in the frame of the start, coefficients by ascending power (deprecated since 1.6).
    Poly3 {
        /// The coefficients of v.
        v: [f64; 4],
    },
    /// u and v as cubics of a parameter, coefficients by ascending power.
    ParamPoly3 {
        /// The coefficients of u.
        u: [f64; 4],
        /// The coefficients of v.
        v: [f64; 4],
        /// Whether the parameter runs from 0 to 1. Otherwise it runs from 0 to the length.
        normalized: bool,
    },
}

impl Road {
    /// The link at one end.
    pub fn link(&self, end: Contact) -> Option<&Link> {
        match end {
            Contact::Start => self.predecessor.as_ref(),
            Contact::End => self.successor.as_ref(),
        }
    }

    /// The lane section at one end.
    pub fn section_at(&self, end: Contact) -> Option<&LaneSection> {
        match end {
            Contact::Start => self.sections.first(),
            Contact::End => self.sections.last(),
        }
    }

    /// Where each lane section ends, in metres along the road.
    pub fn section_end(&self, index: usize) -> f64 {
        self.sections.get(index + 1).map_or(self.length, |next| next.s)
    }

    /// The position of an end, in metres along the road.
    pub fn s_of(&self, end: Contact) -> f64 {
        match end {
            Contact::Start => 0.0,
            Contact::End => self.length,
        }
    }
}
