//! Colours, markers and dashes of figures.
//!
//! Lines differ in colour, marker and dash, so that readers can distinguish them in grey print or without
//! colour vision.

use plotters::style::RGBColor;

/// Colour of text and frames.
pub(super) const TEXT_COLOUR: RGBColor = RGBColor(34, 34, 34);
/// Colour of secondary text.
pub(super) const FAINT_TEXT_COLOUR: RGBColor = RGBColor(95, 95, 95);
/// Colour of reference lines.
pub(super) const REFERENCE_COLOUR: RGBColor = RGBColor(110, 110, 110);
/// Colour of grid lines.
pub(super) const GRID_COLOUR: RGBColor = RGBColor(228, 228, 228);
/// Colour of the border round selected layers.
pub(super) const SELECTED_COLOUR: RGBColor = RGBColor(230, 159, 0);

// Font sizes in pixels.
pub(super) const HEADING_SIZE: f64 = 17.0;
pub(super) const PANEL_HEADING_SIZE: f64 = 13.0;
pub(super) const TEXT_SIZE: f64 = 12.0;
pub(super) const SMALL_TEXT_SIZE: f64 = 11.0;

/// Dashes of the reference line at the score of the base: lengths of dashes and gaps in pixels, alternately.
pub(super) const BASE_DASH: &[f64] = &[7.0, 4.0];
/// Dashes of the reference line at the score threshold of a search.
pub(super) const THRESHOLD_DASH: &[f64] = &[2.0, 3.0];

/// The palette of Okabe and Ito (2008) without black and yellow.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const DASHES: [&[f64]; 6] = [&[], &[9.0, 3.0], &[3.0, 3.0], &[9.0, 3.0, 3.0, 3.0], &[14.0, 4.0], &[5.0, 5.0]];

const MARKERS: [MarkerShape; 6] = [
    MarkerShape::Disc,
    MarkerShape::Square,
    MarkerShape::Triangle,
    MarkerShape::Diamond,
    MarkerShape::InvertedTriangle,
    MarkerShape::Hexagon,
];

/// Shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MarkerShape {
    Disc,
    Square,
    Triangle,
    Diamond,
    InvertedTriangle,
    Hexagon,
    Star,
}

/// Style of a line in a figure.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineStyle {
    /// Colour of the line.
    pub(super) colour: RGBColor,
    /// Lengths of dashes and gaps in pixels, alternately. Empty for a solid line.
    pub(super) dash: &'static [f64],
    /// Shape of the data points.
    pub(super) marker: MarkerShape,
}

/// Returns the style of the line with this index in a figure.
pub(super) fn line_style(index: usize) -> LineStyle {
    LineStyle {
        colour: COLOURS[index % COLOURS.len()],
        dash: DASHES[index % DASHES.len()],
        marker: MARKERS[index % MARKERS.len()],
    }
}

/// Returns the colour of a value from 0 (dark blue) to 1 (light blue).
pub(super) fn sequential_colour(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 3] = [(8.0, 48.0, 107.0), (74.0, 144.0, 196.0), (222.0, 235.0, 247.0)];
    let position = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (position as usize).min(STOPS.len() - 2);
    let (low, high, part) = (STOPS[below], STOPS[below + 1], position - below as f64);
    let mix = |low: f64, high: f64| (low + (high - low) * part).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Returns the colour of a value from -1 (orange) through 0 (near white) to 1 (blue). Colour-blind readers
/// can distinguish these colours.
pub(super) fn diverging_colour(value: f64) -> RGBColor {
    let (middle, end) = (RGBColor(247, 247, 247), if value < 0.0 { COLOURS[1] } else { COLOURS[0] });
    let share = value.abs().min(1.0);
    let mix = |middle: u8, end: u8| {
        (f64::from(middle) + (f64::from(end) - f64::from(middle)) * share).round() as u8
    };
    RGBColor(mix(middle.0, end.0), mix(middle.1, end.1), mix(middle.2, end.2))
}

/// Returns a text colour that is legible on the [`diverging_colour`] of `value`.
pub(super) fn text_colour_on_diverging(value: f64) -> RGBColor {
    if value.abs() > 0.65 { RGBColor(255, 255, 255) } else { TEXT_COLOUR }
}

/// Returns a text colour that is legible on the [`sequential_colour`] of `share`.
pub(super) fn text_colour_on_sequential(share: f64) -> RGBColor {
    if share < 0.6 { RGBColor(255, 255, 255) } else { TEXT_COLOUR }
}

impl MarkerShape {
    /// Returns the corners of the shape around (0, 0), in units of the shape's radius. Empty for a disc.
    pub(super) fn corners(self) -> Vec<(f64, f64)> {
        match self {
            Self::Disc => Vec::new(),
            Self::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Self::Diamond => vec![(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::InvertedTriangle => vec![(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
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
