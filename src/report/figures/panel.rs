//! A panel of a figure: a heading and two axes with grid lines, drawn by plotters.

use plotters::chart::ChartBuilder;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::style::{GRID_COLOUR, PANEL_HEADING_SIZE, SMALL_TEXT_SIZE, TEXT_SIZE};
use super::svg_canvas::{DrawResult, PLAIN_TEXT, Point, Rect, SvgCanvas, TextFormat};

// The space around the plot area for labels and the heading, in pixels.
const LEFT_MARGIN: i32 = 58;
const BOTTOM_MARGIN: i32 = 44;
const TOP_MARGIN: i32 = 26;
const RIGHT_MARGIN: i32 = 10;

const PANEL_WIDTH: i32 = 330;
const PANEL_HEIGHT: i32 = 256;

/// Arrangement of panels of one size in rows and columns.
#[derive(Clone, Copy)]
pub(super) struct PanelGrid {
    num_panels: usize,
    num_columns: usize,
}

impl PanelGrid {
    /// Arranges four panels in two rows of two, and other numbers of panels in rows of three.
    pub(super) fn new(num_panels: usize) -> Self {
        Self { num_panels, num_columns: if num_panels == 4 { 2 } else { num_panels.min(3) } }
    }

    /// Returns the width in pixels. A single column gets the width of two columns, because the title and the
    /// legend need this width.
    pub(super) fn width(self) -> i32 {
        self.num_columns.max(2) as i32 * PANEL_WIDTH
    }

    /// Returns the height in pixels.
    pub(super) fn height(self) -> i32 {
        self.num_panels.div_ceil(self.num_columns) as i32 * PANEL_HEIGHT
    }

    /// Returns the rectangle of a panel. `corner` is the upper left corner of the arrangement.
    pub(super) fn panel_rect(self, index: usize, corner: Point) -> Rect {
        let (column, row) = ((index % self.num_columns) as i32, (index / self.num_columns) as i32);
        let (x, y) = (corner.0 + column * PANEL_WIDTH, corner.1 + row * PANEL_HEIGHT);
        Rect { x, y, width: PANEL_WIDTH, height: PANEL_HEIGHT }
    }

    /// Returns the axis titles of a panel. Only panels at the bottom have the title `x`, and only panels at
    /// the left have the title `y`.
    pub(super) fn axis_titles<'t>(self, index: usize, x: &'t str, y: &'t str) -> (&'t str, &'t str) {
        let is_lowest = index + self.num_columns >= self.num_panels;
        let is_first = index.is_multiple_of(self.num_columns);
        (if is_lowest { x } else { "" }, if is_first { y } else { "" })
    }
}

/// A range of numbers with grid lines at the given ticks.
struct TickedRange {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ranged for TickedRange {
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

/// Draws the heading and the axes of a panel. Returns a function that maps values to pixels.
pub(super) fn draw_panel_frame<'s>(
    canvas: &SvgCanvas<'s>,
    frame: Rect,
    heading: &str,
    (x, y): (&Axis, &Axis),
) -> DrawResult<impl Fn(f64, f64) -> Point + use<'s>> {
    let bold = TextFormat { size: PANEL_HEADING_SIZE, is_bold: true, ..PLAIN_TEXT };
    canvas.draw_text(heading, (frame.x + LEFT_MARGIN, frame.y + TOP_MARGIN / 2), bold)?;
    let area = canvas.sub_area(frame);
    let mut chart = ChartBuilder::on(&area)
        .margin_top(TOP_MARGIN)
        .margin_right(RIGHT_MARGIN)
        .x_label_area_size(BOTTOM_MARGIN)
        .y_label_area_size(LEFT_MARGIN)
        .build_cartesian_2d(
            TickedRange { low: x.low, high: x.high, ticks: x.ticks.clone() },
            TickedRange { low: y.low, high: y.high, ticks: y.ticks.clone() },
        )?;
    let (x_label, y_label) = (|tick: &f64| x.label(*tick), |tick: &f64| y.label(*tick));
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID_COLOUR)
        .axis_style(GRID_COLOUR.mix(0.0))
        .label_style(TextFormat { size: SMALL_TEXT_SIZE, ..PLAIN_TEXT }.to_style())
        .axis_desc_style(TextFormat { size: TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT }.to_style())
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
