//! How figures look: colours that the colour-blind can tell apart, and marks and dashes for those who
//! print in grey.

use plotters::style::RGBColor;

/// Text and frames.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Text that explains.
pub(super) const FAINT_INK: RGBColor = RGBColor(95, 95, 95);
/// Lines that something is compared with.
pub(super) const REFERENCE: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(228, 228, 228);
/// The edge of what a search chose.
pub(super) const CHOSEN: RGBColor = RGBColor(230, 159, 0);

/// The size of the heading, of panel headings, of text, of small text; in pixels.
pub(super) const HEADING: f64 = 17.0;
pub(super) const PANEL_HEADING: f64 = 13.0;
pub(super) const TEXT: f64 = 12.0;
pub(super) const SMALL: f64 = 11.0;

/// Dashes of the line at a base's score and of the line at a threshold: pixels on, off, on, off.
pub(super) const BASE_DASH: &[f64] = &[7.0, 4.0];
pub(super) const THRESHOLD_DASH: &[f64] = &[2.0, 3.0];

/// The palette of Okabe and Ito (2008), without black and yellow.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const DASHES: [&[f64]; 6] = [&[], &[9.0, 3.0], &[3.0, 3.0], &[9.0, 3.0, 3.0, 3.0], &[14.0, 4.0], &[5.0, 5.0]];

const MARKS: [Mark; 6] =
    [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Wedge, Mark::Hexagon];

/// The shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mark {
    Disc,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Hexagon,
    Star,
}

/// How one line of a figure looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLook {
    /// Colour of the line.
    pub(super) colour: RGBColor,
    /// Pixels on, off, on, off; solid when empty.
    pub(super) dash: &'static [f64],
    /// Shape of its data points.
    pub(super) mark: Mark,
}

/// The look of line number `index` of a figure.
pub(super) fn line_look(index: usize) -> LineLook {
    LineLook {
        colour: COLOURS[index % COLOURS.len()],
        dash: DASHES[index % DASHES.len()],
        mark: MARKS[index % MARKS.len()],
    }
}

/// A colour between dark (0) and light (1) of one hue, for ordered values.
pub(super) fn ramp(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 3] = [(8.0, 48.0, 107.0), (74.0, 144.0, 196.0), (222.0, 235.0, 247.0)];
    let place = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (place as usize).min(STOPS.len() - 2);
    let (low, high, part) = (STOPS[below], STOPS[below + 1], place - below as f64);
    let mix = |low: f64, high: f64| (low + (high - low) * part).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// A colour for a value from -1 (orange) by 0 (near white) to 1 (blue), which the colour-blind can tell apart.
pub(super) fn diverging(value: f64) -> RGBColor {
    let (middle, end) = (RGBColor(247, 247, 247), if value < 0.0 { COLOURS[1] } else { COLOURS[0] });
    let share = value.abs().min(1.0);
    let mix = |middle: u8, end: u8| {
        (f64::from(middle) + (f64::from(end) - f64::from(middle)) * share).round() as u8
    };
    RGBColor(mix(middle.0, end.0), mix(middle.1, end.1), mix(middle.2, end.2))
}

/// Black or white, whichever can be read on the diverging colour of `value`.
pub(super) fn ink_on_diverging(value: f64) -> RGBColor {
    if value.abs() > 0.65 { RGBColor(255, 255, 255) } else { INK }
}

/// Black or white, whichever can be read on the ramp's colour at `share`.
pub(super) fn ink_on_ramp(share: f64) -> RGBColor {
    if share < 0.6 { RGBColor(255, 255, 255) } else { INK }
}

impl Mark {
    /// The corners of the mark round (0, 0), in units of its radius; none for a disc.
    pub(super) fn corners(self) -> Vec<(f64, f64)> {
        match self {
            Self::Disc => Vec::new(),
            Self::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Self::Diamond => vec![(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Wedge => vec![(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
            Self::Hexagon => {
                vec![(1.1, 0.0), (0.6, 1.0), (-0.6, 1.0), (-1.1, 0.0), (-0.6, -1.0), (0.6, -1.0)]
            }
            Self::Star => vec![
                (0.0, -1.0),
                (0.26, -0.36),
                (0.95, -0.31),
                (0.43, 0.14),
                (0.59, 0.81),
                (0.0, 0.45),
                (-0.59, 0.81),
                (-0.43, 0.14),
                (-0.95, -0.31),
                (-0.26, -0.36),
            ],
        }
    }
}
