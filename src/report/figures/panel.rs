//! A panel: a frame with two axes, by plotters' chart builder.

use plotters::chart::ChartBuilder;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{Canvas, Drawn, Frame, Lettering, PLAIN, Point};
use super::style::{GRID, PANEL_HEADING, SMALL, TEXT};

/// Room for the labels left of and under the axes, and for the heading; in pixels.
const LEFT: i32 = 58;
const BOTTOM: i32 = 44;
const TOP: i32 = 26;
const RIGHT: i32 = 10;

const PANEL_WIDTH: i32 = 330;
const PANEL_HEIGHT: i32 = 256;

/// How panels of one size stand in rows.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    num_panels: usize,
    num_columns: usize,
}

impl Rows {
    /// Three panels in a row, or two where there are four.
    pub(super) fn of(num_panels: usize) -> Self {
        Self { num_panels, num_columns: if num_panels == 4 { 2 } else { num_panels.min(3) } }
    }

    /// The width of the rows; one panel alone would leave no room for heading and legend.
    pub(super) fn width(self) -> i32 {
        self.num_columns.max(2) as i32 * PANEL_WIDTH
    }

    /// The height of all rows.
    pub(super) fn height(self) -> i32 {
        self.num_panels.div_ceil(self.num_columns) as i32 * PANEL_HEIGHT
    }

    /// The place of a panel below `corner`.
    pub(super) fn frame(self, index: usize, corner: Point) -> Frame {
        let (column, row) = ((index % self.num_columns) as i32, (index / self.num_columns) as i32);
        let (x, y) = (corner.0 + column * PANEL_WIDTH, corner.1 + row * PANEL_HEIGHT);
        Frame { x, y, width: PANEL_WIDTH, height: PANEL_HEIGHT }
    }

    /// Titles of a panel's axes: outer panels speak for those above and beside them.
    pub(super) fn titles<'t>(self, index: usize, x: &'t str, y: &'t str) -> (&'t str, &'t str) {
        let is_lowest = index + self.num_columns >= self.num_panels;
        let is_first = index.is_multiple_of(self.num_columns);
        (if is_lowest { x } else { "" }, if is_first { y } else { "" })
    }
}

/// A range of numbers whose grid lines stand at given ticks.
struct Ticked {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        first + (f64::from(last - first) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

/// Draws a panel's heading and axes; gives where a value of the two axes lies on the sheet.
pub(super) fn panel<'s>(
    canvas: &Canvas<'s>,
    frame: Frame,
    heading: &str,
    (x, y): (&Axis, &Axis),
) -> Drawn<impl Fn(f64, f64) -> Point + use<'s>> {
    let bold = Lettering { size: PANEL_HEADING, is_bold: true, ..PLAIN };
    canvas.text(heading, (frame.x + LEFT, frame.y + TOP / 2), bold)?;
    let area = canvas.area(frame);
    let mut chart = ChartBuilder::on(&area)
        .margin_top(TOP)
        .margin_right(RIGHT)
        .x_label_area_size(BOTTOM)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(
            Ticked { low: x.low, high: x.high, ticks: x.ticks.clone() },
            Ticked { low: y.low, high: y.high, ticks: y.ticks.clone() },
        )?;
    let (x_label, y_label) = (|tick: &f64| x.label(*tick), |tick: &f64| y.label(*tick));
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID)
        .axis_style(GRID.mix(0.0))
        .label_style(Lettering { size: SMALL, ..PLAIN }.style())
        .axis_desc_style(Lettering { size: TEXT, anchor: HPos::Center, ..PLAIN }.style())
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label);
    if !x.title.is_empty() {
        mesh.x_desc(&x.title);
    }
    if !y.title.is_empty() {
        mesh.y_desc(&y.title);
    }
    mesh.draw()?;
    Ok(move |x, y| chart.backend_coord(&(x, y)))
}
