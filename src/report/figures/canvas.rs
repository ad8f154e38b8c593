//! A sheet of pixels to draw on, and the SVG that comes of it.
//!
//! A thin layer over plotters' SVG backend, which has no dashes, no marks beside circles and no title.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::dash::strokes;
use super::style::{FAINT_INK, HEADING, INK, Mark, SMALL, TEXT};
use dtr_core::error::{Error, Result};

/// Pixels from the left and from the top.
pub(super) type Point = (i32, i32);

/// The outcome of drawing.
pub(super) type Drawn<T = ()> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// The whole sheet of a figure.
pub(super) struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// A rectangle of a sheet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Pixels from the left.
    pub(super) x: i32,
    /// Pixels from the top.
    pub(super) y: i32,
    /// Width in pixels.
    pub(super) width: i32,
    /// Height in pixels.
    pub(super) height: i32,
}

/// How text is set.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    /// Height in pixels.
    pub(super) size: f64,
    /// Colour.
    pub(super) ink: RGBColor,
    /// Whether it is bold.
    pub(super) is_bold: bool,
    /// Whether it runs upwards.
    pub(super) is_upright: bool,
    /// Which end of the text its point is at.
    pub(super) anchor: HPos,
}

/// Plain text that begins at its point.
pub(super) const PLAIN: Lettering =
    Lettering { size: TEXT, ink: INK, is_bold: false, is_upright: false, anchor: HPos::Left };

/// Room at the edge of a figure, and under its upper edge for its heading; in pixels.
pub(super) const MARGIN: i32 = 14;
pub(super) const HEADING_HEIGHT: i32 = 62;
/// Room under a figure for the line that names its data.
const SOURCE_HEIGHT: i32 = 18;

/// What is said round a figure.
pub(super) struct Captions {
    /// What the figure shows.
    pub(super) title: String,
    /// What the experiment asks.
    pub(super) subtitle: String,
    /// The table that holds the data, and which of its rows.
    pub(super) source: String,
}

/// Draws a figure with its captions on white, so that it is legible on a dark page too.
pub(super) fn figure(
    captions: &Captions,
    (width, height): (i32, i32),
    paint: impl FnOnce(&Canvas) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    let draw = || -> Drawn {
        let size = (width as u32, (height + SOURCE_HEIGHT) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let canvas = Canvas { root };
        canvas.heading(captions, width - 2 * MARGIN)?;
        canvas.source(&captions.source, (MARGIN, height), width - 2 * MARGIN)?;
        paint(&canvas)?;
        canvas.root.present()
    };
    draw().map_err(|cause| Error::failed("cannot draw a figure").with_source(cause))?;
    // For those who cannot see it.
    let title = captions.title.replace('&', "&amp;").replace('<', "&lt;");
    Ok(svg.replacen(">\n", &format!(" role=\"img\">\n<title>{title}</title>\n"), 1))
}

impl<'a> Canvas<'a> {
    /// A part of the sheet, for plotters' own charts.
    pub(super) fn area(&self, frame: Frame) -> DrawingArea<SVGBackend<'a>, Shift> {
        self.root.clone().shrink((frame.x, frame.y), (frame.width, frame.height))
    }

    fn heading(&self, captions: &Captions, width: i32) -> Drawn {
        let bold = Lettering { size: HEADING, is_bold: true, ..PLAIN };
        let faint = Lettering { ink: FAINT_INK, ..PLAIN };
        self.text(&text_within(&captions.title, HEADING, width), (MARGIN, 22), bold)?;
        self.text(&text_within(&captions.subtitle, TEXT, width), (MARGIN, 44), faint)
    }

    fn source(&self, source: &str, at: Point, width: i32) -> Drawn {
        let faint = Lettering { size: SMALL, ink: FAINT_INK, ..PLAIN };
        self.text(&text_within(source, SMALL, width), at, faint)
    }

    /// Lines from point to point, dashed by pixels on, off, on, off; solid when `dash` is empty.
    pub(super) fn line(&self, points: &[Point], colour: RGBColor, width: u32, dash: &[f64]) -> Drawn {
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width };
        for stroke in strokes(points, dash) {
            self.root.draw(&PathElement::new(stroke, style))?;
        }
        Ok(())
    }

    /// A filled shape.
    pub(super) fn shape(&self, corners: Vec<Point>, colour: RGBColor, opacity: f64) -> Drawn {
        self.root.draw(&Polygon::new(corners, colour.mix(opacity).filled()))
    }

    /// A filled rectangle.
    pub(super) fn fill(&self, frame: Frame, colour: RGBColor) -> Drawn {
        self.root.draw(&Rectangle::new(frame.corners(), colour.filled()))
    }

    /// The edge of a rectangle.
    pub(super) fn edge(&self, frame: Frame, colour: RGBColor, width: u32) -> Drawn {
        // One side is drawn twice, so that the last corner is whole as well.
        let round = frame.outline().into_iter().cycle().take(6);
        self.line(&round.collect::<Vec<_>>(), colour, width, &[])
    }

    /// A circle's edge.
    pub(super) fn ring(&self, centre: Point, radius: i32, colour: RGBColor, width: u32) -> Drawn {
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width };
        self.root.draw(&Circle::new(centre, radius, style))
    }

    /// A filled data point.
    pub(super) fn mark(&self, mark: Mark, centre: Point, radius: f64, colour: RGBColor) -> Drawn {
        match corners_at(mark, centre, radius) {
            corners if corners.is_empty() => {
                self.root.draw(&Circle::new(centre, radius.round() as i32, colour.filled()))
            }
            corners => self.shape(corners, colour, 1.0),
        }
    }

    /// A data point whose inside is white.
    pub(super) fn open_mark(&self, mark: Mark, centre: Point, radius: f64, colour: RGBColor) -> Drawn {
        self.mark(mark, centre, radius, WHITE)?;
        match corners_at(mark, centre, radius) {
            corners if corners.is_empty() => self.ring(centre, radius.round() as i32, colour, 1),
            mut corners => {
                corners.push(corners[0]);
                self.line(&corners, colour, 1, &[])
            }
        }
    }

    /// A small cross.
    pub(super) fn cross(&self, (x, y): Point, radius: i32, colour: RGBColor) -> Drawn {
        self.line(&[(x - radius, y - radius), (x + radius, y + radius)], colour, 2, &[])?;
        self.line(&[(x - radius, y + radius), (x + radius, y - radius)], colour, 2, &[])
    }

    /// Text, with the middle of its height at the point.
    pub(super) fn text(&self, text: &str, at: Point, lettering: Lettering) -> Drawn {
        self.root.draw_text(text, &lettering.style(), at)
    }
}

impl Frame {
    fn corners(self) -> [Point; 2] {
        [(self.x, self.y), (self.x + self.width, self.y + self.height)]
    }

    /// The middle.
    pub(super) fn middle(self) -> Point {
        (self.x + self.width / 2, self.y + self.height / 2)
    }

    /// The same with so many pixels less at every side.
    pub(super) fn shrunk(self, by: i32) -> Self {
        Self { x: self.x + by, y: self.y + by, width: self.width - 2 * by, height: self.height - 2 * by }
    }

    /// The four corners, round.
    pub(super) fn outline(self) -> Vec<Point> {
        let [(x0, y0), (x1, y1)] = self.corners();
        vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    }
}

impl Lettering {
    /// The same in plotters' terms.
    pub(super) fn style(self) -> TextStyle<'static> {
        let weight = if self.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let turn = if self.is_upright { FontTransform::Rotate270 } else { FontTransform::None };
        // The backend divides a font's size by 1.24 to come to pixels.
        let font = FontDesc::from(("sans-serif", self.size * 1.24, weight)).transform(turn);
        TextStyle { font, color: self.ink.to_backend_color(), pos: Pos::new(self.anchor, VPos::Center) }
    }
}

/// The width that text takes in the wider of the usual sans-serif fonts, in pixels.
pub(super) fn text_width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.6).ceil() as i32
}

/// Text cut to a width, with an ellipsis where it was cut.
pub(super) fn text_within(text: &str, size: f64, width: i32) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let num_chars = (f64::from(width) / (size * 0.6)) as usize;
    text.chars().take(num_chars.saturating_sub(1)).chain(['…']).collect()
}

fn corners_at(mark: Mark, (x, y): Point, radius: f64) -> Vec<Point> {
    let corner = |(dx, dy): (f64, f64)| (x + (dx * radius).round() as i32, y + (dy * radius).round() as i32);
    mark.corners().into_iter().map(corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(text_within("short", 10.0, 100), "short");
        assert_eq!(text_within("much too long for it", 10.0, 60), "much too …");
    }
}
