//! Drawing of SVG figures: lines, markers, text and captions.
//!
//! The SVG backend of plotters lacks dashed lines, markers other than circles, and a title for screen
//! readers. This module adds them.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::dashes::split_into_dashes;
use super::style::{FAINT_TEXT_COLOUR, HEADING_SIZE, MarkerShape, SMALL_TEXT_SIZE, TEXT_COLOUR, TEXT_SIZE};
use dtr_core::error::{Error, Result};

/// A point: its distances in pixels from the left and from the top of the figure.
pub(super) type Point = (i32, i32);

pub(super) type DrawResult<T = ()> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// The drawing area of a figure.
pub(super) struct SvgCanvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    /// Left edge, in pixels from the left of the figure.
    pub(super) x: i32,
    /// Top edge, in pixels from the top of the figure.
    pub(super) y: i32,
    /// Width in pixels.
    pub(super) width: i32,
    /// Height in pixels.
    pub(super) height: i32,
}

#[derive(Clone, Copy)]
pub(super) struct TextFormat {
    /// Font size in pixels.
    pub(super) size: f64,
    pub(super) colour: RGBColor,
    /// Whether the text is bold.
    pub(super) is_bold: bool,
    /// Whether the text runs upwards.
    pub(super) is_vertical: bool,
    /// The part of the text that is placed at the given point: its left end, centre or right end.
    pub(super) anchor: HPos,
}

/// Horizontal text of normal size that begins at the given point.
pub(super) const PLAIN_TEXT: TextFormat = TextFormat {
    size: TEXT_SIZE,
    colour: TEXT_COLOUR,
    is_bold: false,
    is_vertical: false,
    anchor: HPos::Left,
};

/// Margin round a figure, in pixels.
pub(super) const MARGIN: i32 = 14;
/// Height of the title and subtitle, in pixels.
pub(super) const HEADING_HEIGHT: i32 = 62;
/// Height, in pixels, of the line of text below a figure. The text names the figure's data.
const SOURCE_HEIGHT: i32 = 18;

/// Texts above and below a figure.
pub(super) struct Captions {
    /// Title: the content of the figure.
    pub(super) title: String,
    /// Subtitle: the title of the experiment.
    pub(super) subtitle: String,
    /// The table and rows that hold the data of the figure.
    pub(super) source: String,
}

/// Draws a figure with its captions. Returns the SVG.
///
/// The background is white, so that the figure is legible on a dark page.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn render_figure(
    captions: &Captions,
    (width, height): (i32, i32),
    paint: impl FnOnce(&SvgCanvas) -> DrawResult,
) -> Result<String> {
    let mut svg = String::new();
    let draw = || -> DrawResult {
        let size = (width as u32, (height + SOURCE_HEIGHT) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let canvas = SvgCanvas { root };
        canvas.draw_heading(captions, width - 2 * MARGIN)?;
        canvas.draw_source(&captions.source, (MARGIN, height), width - 2 * MARGIN)?;
        paint(&canvas)?;
        canvas.root.present()
    };
    draw().map_err(|cause| Error::failed("cannot draw a figure").with_source(cause))?;
    // Screen readers read the title.
    let title = captions.title.replace('&', "&amp;").replace('<', "&lt;");
    Ok(svg.replacen(">\n", &format!(" role=\"img\">\n<title>{title}</title>\n"), 1))
}

impl<'a> SvgCanvas<'a> {
    /// Returns the part of the figure in `frame`, for a chart drawn by plotters.
    pub(super) fn sub_area(&self, frame: Rect) -> DrawingArea<SVGBackend<'a>, Shift> {
        self.root.clone().shrink((frame.x, frame.y), (frame.width, frame.height))
    }

    fn draw_heading(&self, captions: &Captions, width: i32) -> DrawResult {
        let bold = TextFormat { size: HEADING_SIZE, is_bold: true, ..PLAIN_TEXT };
        let faint = TextFormat { colour: FAINT_TEXT_COLOUR, ..PLAIN_TEXT };
        self.draw_text(&truncate_text(&captions.title, HEADING_SIZE, width), (MARGIN, 22), bold)?;
        self.draw_text(&truncate_text(&captions.subtitle, TEXT_SIZE, width), (MARGIN, 44), faint)
    }

    fn draw_source(&self, source: &str, at: Point, width: i32) -> DrawResult {
        let faint = TextFormat { size: SMALL_TEXT_SIZE, colour: FAINT_TEXT_COLOUR, ..PLAIN_TEXT };
        self.draw_text(&truncate_text(source, SMALL_TEXT_SIZE, width), at, faint)
    }

    /// Draws a line through `points`. `dash` has the lengths of dashes and gaps in pixels, alternately. If
    /// `dash` is empty, the line is solid.
    pub(super) fn draw_line(
        &self,
        points: &[Point],
        colour: RGBColor,
        width: u32,
        dash: &[f64],
    ) -> DrawResult {
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width };
        for stroke in split_into_dashes(points, dash) {
            self.root.draw(&PathElement::new(stroke, style))?;
        }
        Ok(())
    }

    pub(super) fn fill_polygon(&self, corners: Vec<Point>, colour: RGBColor, opacity: f64) -> DrawResult {
        self.root.draw(&Polygon::new(corners, colour.mix(opacity).filled()))
    }

    pub(super) fn fill_rect(&self, frame: Rect, colour: RGBColor) -> DrawResult {
        self.root.draw(&Rectangle::new(frame.corners(), colour.filled()))
    }

    pub(super) fn draw_border(&self, frame: Rect, colour: RGBColor, width: u32) -> DrawResult {
        // Draw the first side again at the end, so that the first corner has a line join too.
        let sides = frame.outline().into_iter().cycle().take(6);
        self.draw_line(&sides.collect::<Vec<_>>(), colour, width, &[])
    }

    /// Draws the outline of a circle.
    pub(super) fn draw_circle(&self, centre: Point, radius: i32, colour: RGBColor, width: u32) -> DrawResult {
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width };
        self.root.draw(&Circle::new(centre, radius, style))
    }

    /// Draws a filled marker.
    pub(super) fn draw_marker(
        &self,
        shape: MarkerShape,
        centre: Point,
        radius: f64,
        colour: RGBColor,
    ) -> DrawResult {
        match marker_polygon(shape, centre, radius) {
            corners if corners.is_empty() => {
                self.root.draw(&Circle::new(centre, radius.round() as i32, colour.filled()))
            }
            corners => self.fill_polygon(corners, colour, 1.0),
        }
    }

    /// Draws a marker that is white inside.
    pub(super) fn draw_hollow_marker(
        &self,
        shape: MarkerShape,
        centre: Point,
        radius: f64,
        colour: RGBColor,
    ) -> DrawResult {
        self.draw_marker(shape, centre, radius, WHITE)?;
        match marker_polygon(shape, centre, radius) {
            corners if corners.is_empty() => self.draw_circle(centre, radius.round() as i32, colour, 1),
            mut corners => {
                corners.push(corners[0]);
                self.draw_line(&corners, colour, 1, &[])
            }
        }
    }

    /// Draws a diagonal cross.
    pub(super) fn draw_cross(&self, (x, y): Point, radius: i32, colour: RGBColor) -> DrawResult {
        self.draw_line(&[(x - radius, y - radius), (x + radius, y + radius)], colour, 2, &[])?;
        self.draw_line(&[(x - radius, y + radius), (x + radius, y - radius)], colour, 2, &[])
    }

    /// Draws text, vertically centred at the point.
    pub(super) fn draw_text(&self, text: &str, at: Point, format: TextFormat) -> DrawResult {
        self.root.draw_text(text, &format.to_style(), at)
    }
}

impl Rect {
    fn corners(self) -> [Point; 2] {
        [(self.x, self.y), (self.x + self.width, self.y + self.height)]
    }

    pub(super) fn center(self) -> Point {
        (self.x + self.width / 2, self.y + self.height / 2)
    }

    /// Returns the rectangle with each side moved inwards by `by` pixels.
    pub(super) fn inset(self, by: i32) -> Self {
        Self { x: self.x + by, y: self.y + by, width: self.width - 2 * by, height: self.height - 2 * by }
    }

    /// Returns the four corners in clockwise order.
    pub(super) fn outline(self) -> Vec<Point> {
        let [(x0, y0), (x1, y1)] = self.corners();
        vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    }
}

impl TextFormat {
    /// Converts the format to a text style of plotters.
    pub(super) fn to_style(self) -> TextStyle<'static> {
        let weight = if self.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let turn = if self.is_vertical { FontTransform::Rotate270 } else { FontTransform::None };
        // The backend divides a font size by 1.24 to convert it to pixels.
        let font = FontDesc::from(("sans-serif", self.size * 1.24, weight)).transform(turn);
        TextStyle { font, color: self.colour.to_backend_color(), pos: Pos::new(self.anchor, VPos::Center) }
    }
}

/// Estimates the width of text in pixels, for a wide sans-serif font.
pub(super) fn estimate_text_width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.6).ceil() as i32
}

/// Truncates text that is wider than `width` pixels. Truncated text ends with an ellipsis.
pub(super) fn truncate_text(text: &str, size: f64, width: i32) -> String {
    if estimate_text_width(text, size) <= width {
        return text.to_owned();
    }
    let num_chars = (f64::from(width) / (size * 0.6)) as usize;
    text.chars().take(num_chars.saturating_sub(1)).chain(['…']).collect()
}

/// Returns the corners of a marker. Empty for a disc.
fn marker_polygon(shape: MarkerShape, (x, y): Point, radius: f64) -> Vec<Point> {
    let corner = |(dx, dy): (f64, f64)| (x + (dx * radius).round() as i32, y + (dy * radius).round() as i32);
    shape.corners().into_iter().map(corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(truncate_text("short", 10.0, 100), "short");
        assert_eq!(truncate_text("much too long for it", 10.0, 60), "much too …");
    }
}
