//! The figure `throughput-<model>.svg`: decoding throughput by number of replaced layers. It has one panel
//! per context length.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::figure_cells::{FigureCells, LabelledCell};
use super::legend::Legend;
use super::panel::draw_panel_frame;
use super::style::{SMALL_TEXT_SIZE, line_style};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, PLAIN_TEXT, Point, Rect, SvgCanvas, TextFormat,
    render_figure,
};
use crate::report::columns::ThroughputRow;
use crate::report::derived_values::are_axes_part_of;
use crate::report::experiment_records::ExperimentRecords;
use dtr_core::error::Result;

const PANEL_WIDTH: i32 = 400;
const PANEL_HEIGHT: i32 = 280;

/// Maximum number of speed-up labels on a line. The last point always has a label.
const MAX_LABELS: usize = 4;

/// A line: timings of the base and of the hybrids of one variant, on one machine.
pub(super) struct ThroughputLine {
    model: String,
    variant: String,
    /// Axis values and task of the timings. The setting also contains the batch size if the table has several
    /// batch sizes, and the machine if the table has several machines.
    setting: String,
    /// The points for each context length, in ascending order of the number of replaced layers.
    points: BTreeMap<u64, Vec<ThroughputPoint>>,
}

/// A point of a line: the timing of the base or of a hybrid.
struct ThroughputPoint {
    num_replaced: u32,
    median: f64,
    low: f64,
    high: f64,
    speedup: Option<f64>,
}

impl LabelledCell for ThroughputLine {
    fn model(&self) -> &str {
        &self.model
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn axes(&self) -> String {
        self.setting.clone()
    }
}

/// Returns the lines of all figures.
pub(super) fn lines(rows: &[ThroughputRow]) -> Vec<ThroughputLine> {
    let has_several =
        |value: fn(&ThroughputRow) -> String| rows.iter().map(value).collect::<BTreeSet<_>>().len() > 1;
    let (has_batch_sizes, has_machines) =
        (has_several(|row| row.batch_size.to_string()), has_several(machine));
    let mut lines: BTreeMap<(String, String, String), ThroughputLine> = BTreeMap::new();
    for row in rows {
        let Some(variant) = &row.variant else { continue };
        let parts = [
            row.axes.clone(),
            row.task.as_ref().map_or(String::new(), |task| format!("layers of {task}")),
            if has_batch_sizes { format!("batch {}", row.batch_size) } else { String::new() },
            if has_machines { machine(row) } else { String::new() },
        ];
        let setting = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let name = (row.model.clone(), variant.clone(), setting.clone());
        let line = lines.entry(name).or_insert_with(|| ThroughputLine {
            model: row.model.clone(),
            variant: variant.clone(),
            setting,
            points: BTreeMap::new(),
        });
        let points = line.points.entry(row.context).or_insert_with(|| base_points(row, rows));
        points.push(ThroughputPoint::from_row(row));
    }
    lines.into_values().collect()
}

fn machine(row: &ThroughputRow) -> String {
    format!("{}, {} threads", row.device, row.threads)
}

/// Returns the point of the base for the context, batch size and machine of a hybrid. Returns no point if the
/// base was not timed with these settings.
fn base_points(hybrid: &ThroughputRow, rows: &[ThroughputRow]) -> Vec<ThroughputPoint> {
    let is_base = |row: &&ThroughputRow| {
        let setting = |row: &ThroughputRow| (row.context, row.batch_size, row.threads);
        let name = |row: &ThroughputRow| (row.model.clone(), row.device.clone());
        // The row of a base lists only the axes that change its shape. The hybrid's row also lists these
        // axes.
        let is_base_of_axes = row.variant.is_none() && are_axes_part_of(&row.axes, &hybrid.axes);
        is_base_of_axes && setting(row) == setting(hybrid) && name(row) == name(hybrid)
    };
    rows.iter().filter(is_base).take(1).map(ThroughputPoint::from_row).collect()
}

impl ThroughputPoint {
    fn from_row(row: &ThroughputRow) -> Self {
        Self {
            num_replaced: row.num_replaced,
            median: row.decode,
            low: row.decode_low,
            high: row.decode_high,
            speedup: row.decode_speedup,
        }
    }
}

/// Draws the figure of a model.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn draw(group: &FigureCells<ThroughputLine>, records: &ExperimentRecords) -> Result<String> {
    let contexts: BTreeSet<u64> = group.cells.iter().flat_map(|line| line.points.keys().copied()).collect();
    let num_columns = contexts.len().min(2);
    let width = 2 * MARGIN + 2 * PANEL_WIDTH;
    let legend = legend(group);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let height = top + contexts.len().div_ceil(num_columns) as i32 * PANEL_HEIGHT + MARGIN;
    let captions = Captions {
        title: format!("{}: decoding throughput by number of replaced layers", group.model()),
        subtitle: group.subtitle(records),
        source: format!("Data: table throughput, {}", group.describe_rows()),
    };
    let points = || group.cells.iter().flat_map(|line| line.points.values()).flatten();
    let last = points().map(|point| point.num_replaced).max().unwrap_or(1);
    render_figure(&captions, (width, height), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (index, context) in contexts.iter().enumerate() {
            let (column, row) = ((index % num_columns) as i32, (index / num_columns) as i32);
            let (x, y) = (MARGIN + column * PANEL_WIDTH, top + row * PANEL_HEIGHT);
            let frame = Rect { x, y, width: PANEL_WIDTH, height: PANEL_HEIGHT };
            let x_title =
                if index + num_columns >= contexts.len() { "number of replaced layers" } else { "" };
            let y_title = if column == 0 { "tokens per second" } else { "" };
            let x = Axis::integers(x_title, 0, last, 7);
            draw_panel(canvas, frame, group, *context, (&x, y_title))?;
        }
        Ok(())
    })
}

fn draw_panel(
    canvas: &SvgCanvas,
    frame: Rect,
    group: &FigureCells<ThroughputLine>,
    context: u64,
    (x, y_title): (&Axis, &str),
) -> DrawResult {
    let lines =
        || group.cells.iter().filter_map(|line| Some((group.line_index(line), line.points.get(&context)?)));
    let seen: Vec<f64> =
        lines().flat_map(|(_, points)| points).flat_map(|point| [point.low, point.high]).collect();
    // The axis starts at 0, so that the height of a point is proportional to the throughput.
    let y = Axis::linear(y_title, &[&seen[..], &[0.0]].concat(), 5);
    let to_pixel = draw_panel_frame(canvas, frame, &format!("context length {context} tokens"), (x, &y))?;
    for (index, points) in lines() {
        draw_line(canvas, index, points, &to_pixel)?;
    }
    let speedups = lines().flat_map(|(index, points)| speedup_labels(index, points, &to_pixel));
    draw_speedup_labels(canvas, speedups.collect())
}

fn draw_line(
    canvas: &SvgCanvas,
    index: usize,
    points: &[ThroughputPoint],
    to_pixel: &impl Fn(f64, f64) -> Point,
) -> DrawResult {
    let style = line_style(index);
    let at = |point: &ThroughputPoint, rate: f64| to_pixel(f64::from(point.num_replaced), rate);
    let medians: Vec<Point> = points.iter().map(|point| at(point, point.median)).collect();
    canvas.draw_line(&medians, style.colour, 2, style.dash)?;
    for (point, median) in points.iter().zip(medians) {
        canvas.draw_line(&[at(point, point.low), at(point, point.high)], style.colour, 1, &[])?;
        canvas.draw_marker(style.marker, median, 3.5, style.colour)?;
    }
    Ok(())
}

/// The label of a point: the right end of the text, the text, and the index of the line.
type SpeedupLabel = (Point, String, usize);

/// Returns labels for evenly spaced points of a line. The last point is always one of these points.
fn speedup_labels(
    index: usize,
    points: &[ThroughputPoint],
    to_pixel: &impl Fn(f64, f64) -> Point,
) -> Vec<SpeedupLabel> {
    let step = points.len().div_ceil(MAX_LABELS).max(1);
    // Each pair holds two neighbouring points. The second point gets a label.
    let pairs = points.windows(2).filter(|pair| pair[1].num_replaced > 0);
    let label = |pair: &[ThroughputPoint]| {
        let (before, point) = (&pair[0], &pair[1]);
        let (x, y) = to_pixel(f64::from(point.num_replaced), point.median);
        // The label must not cover the line. If the line falls towards the point, the label is below the
        // point. If not, the label is above the point.
        let y = if point.median < before.median { y + SMALL_TEXT_SIZE as i32 + 3 } else { y - 5 };
        Some(((x - 7, y), format!("{:.2}x", point.speedup?), index))
    };
    pairs.rev().step_by(step).filter_map(label).collect()
}

/// Draws labels in the colours of their lines, and moves overlapping labels apart.
fn draw_speedup_labels(canvas: &SvgCanvas, mut labels: Vec<SpeedupLabel>) -> DrawResult {
    labels.sort();
    let mut above: Option<Point> = None;
    for ((x, y), text, index) in labels {
        let y =
            above.filter(|above| above.0 == x).map_or(y, |above| y.max(above.1 + SMALL_TEXT_SIZE as i32 + 1));
        let format = TextFormat {
            size: SMALL_TEXT_SIZE,
            anchor: HPos::Right,
            colour: line_style(index).colour,
            ..PLAIN_TEXT
        };
        canvas.draw_text(&text, (x, y), format)?;
        above = Some((x, y));
    }
    Ok(())
}

fn legend(group: &FigureCells<ThroughputLine>) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in group.line_labels().into_iter().enumerate() {
        let style = line_style(index);
        legend.add_entry(label, move |canvas, at, half| {
            canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 2, style.dash)?;
            canvas.draw_marker(style.marker, at, 3.5, style.colour)
        });
    }
    legend.add_entry("slowest to fastest run", |canvas, at, _| {
        canvas.draw_line(&[(at.0, at.1 - 7), (at.0, at.1 + 7)], super::style::REFERENCE_COLOUR, 1, &[])
    });
    legend
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{fixture, throughput::throughput_rows};

    #[test]
    fn a_base_whose_axis_value_is_a_prefix_of_the_hybrids_value_does_not_match() {
        let mut rows = throughput_rows(&fixture::records());
        let mut hybrid = rows.iter().find(|row| row.variant.is_some()).unwrap().clone();
        rows.iter_mut().for_each(|row| row.axes = "models.tiny.num-layers=1".to_owned());
        for (axes, num_bases) in [("models.tiny.num-layers=1", 1), ("models.tiny.num-layers=12", 0)] {
            for more in ["", ",seed=3"] {
                hybrid.axes = format!("{axes}{more}");
                assert_eq!(base_points(&hybrid, &rows).len(), num_bases, "{}", hybrid.axes);
            }
        }
    }
}
