//! `throughput-<model>.svg`: tokens decoded in a second as layers go linear, a panel for each context.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{
    Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, Lettering, MARGIN, PLAIN, Point, figure,
};
use super::legend::Legend;
use super::panel::panel;
use super::sheet::{Drawable, Sheet};
use super::style::{SMALL, line_look};
use crate::report::columns::ThroughputRow;
use crate::report::evidence::Evidence;
use dtr_core::error::Result;

const PANEL_WIDTH: i32 = 400;
const PANEL_HEIGHT: i32 = 280;

/// At most so many points of a line have their speed-up written beside them, the last one always.
const MOST_LABELS: usize = 4;

/// The hybrids of one variant on one machine, with the base before them.
pub(super) struct Line {
    model: String,
    variant: String,
    /// What else tells lines of a variant apart.
    setting: String,
    /// By context, ascending by replaced layers.
    points: BTreeMap<u64, Vec<Spot>>,
}

/// A timing on a line.
struct Spot {
    num_replaced: u32,
    median: f64,
    low: f64,
    high: f64,
    speedup: Option<f64>,
}

impl Drawable for Line {
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

/// The lines of all figures.
pub(super) fn lines(rows: &[ThroughputRow]) -> Vec<Line> {
    let distinct = |of: fn(&ThroughputRow) -> String| rows.iter().map(of).collect::<BTreeSet<_>>().len() > 1;
    let (batches, machines) = (distinct(|row| row.batch_size.to_string()), distinct(machine));
    let mut lines: BTreeMap<(String, String, String), Line> = BTreeMap::new();
    for row in rows {
        let Some(variant) = &row.variant else { continue };
        let parts = [
            row.axes.clone(),
            row.task.as_ref().map_or(String::new(), |task| format!("layers of {task}")),
            if batches { format!("batch {}", row.batch_size) } else { String::new() },
            if machines { machine(row) } else { String::new() },
        ];
        let setting = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let name = (row.model.clone(), variant.clone(), setting.clone());
        let line = lines.entry(name).or_insert_with(|| Line {
            model: row.model.clone(),
            variant: variant.clone(),
            setting,
            points: BTreeMap::new(),
        });
        let points = line.points.entry(row.context).or_insert_with(|| base_of(row, rows));
        points.push(Spot::of(row));
    }
    lines.into_values().collect()
}

fn machine(row: &ThroughputRow) -> String {
    format!("{}, {} threads", row.device, row.threads)
}

/// The base that a hybrid's speed is compared with, if it was timed.
fn base_of(hybrid: &ThroughputRow, rows: &[ThroughputRow]) -> Vec<Spot> {
    let is_base = |row: &&ThroughputRow| {
        let place = |row: &ThroughputRow| (row.context, row.batch_size, row.threads);
        let name = |row: &ThroughputRow| (row.model.clone(), row.device.clone());
        // Of the axes only those over the base's own shape are a base's, and they stand together in a hybrid's.
        let is_of = row.variant.is_none() && hybrid.axes.contains(&row.axes);
        is_of && place(row) == place(hybrid) && name(row) == name(hybrid)
    };
    rows.iter().filter(is_base).take(1).map(Spot::of).collect()
}

impl Spot {
    fn of(row: &ThroughputRow) -> Self {
        Self {
            num_replaced: row.num_replaced,
            median: row.decode,
            low: row.decode_low,
            high: row.decode_high,
            speedup: row.decode_speedup,
        }
    }
}

/// Draws the figure.
pub(super) fn draw(sheet: &Sheet<Line>, evidence: &Evidence) -> Result<String> {
    let contexts: BTreeSet<u64> = sheet.cells.iter().flat_map(|line| line.points.keys().copied()).collect();
    let num_columns = contexts.len().min(2);
    let width = 2 * MARGIN + 2 * PANEL_WIDTH;
    let legend = legend(sheet);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let height = top + contexts.len().div_ceil(num_columns) as i32 * PANEL_HEIGHT + MARGIN;
    let captions = Captions {
        title: format!("{}: tokens decoded in a second as layers go linear", sheet.model()),
        subtitle: sheet.subtitle(evidence),
        source: format!("Data: table throughput, {}", sheet.rows()),
    };
    let spots = || sheet.cells.iter().flat_map(|line| line.points.values()).flatten();
    let last = spots().map(|spot| spot.num_replaced).max().unwrap_or(1);
    figure(&captions, (width, height), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (index, context) in contexts.iter().enumerate() {
            let (column, row) = ((index % num_columns) as i32, (index / num_columns) as i32);
            let (x, y) = (MARGIN + column * PANEL_WIDTH, top + row * PANEL_HEIGHT);
            let frame = Frame { x, y, width: PANEL_WIDTH, height: PANEL_HEIGHT };
            let x_title = if index + num_columns >= contexts.len() { "replaced layers" } else { "" };
            let y_title = if column == 0 { "tokens per second" } else { "" };
            let x = Axis::of_counts(x_title, 0, last, 7);
            draw_panel(canvas, frame, sheet, *context, (&x, y_title))?;
        }
        Ok(())
    })
}

fn draw_panel(
    canvas: &Canvas,
    frame: Frame,
    sheet: &Sheet<Line>,
    context: u64,
    (x, y_title): (&Axis, &str),
) -> Drawn {
    let lines =
        || sheet.cells.iter().filter_map(|line| Some((sheet.line_index(line), line.points.get(&context)?)));
    let seen: Vec<f64> =
        lines().flat_map(|(_, spots)| spots).flat_map(|spot| [spot.low, spot.high]).collect();
    // Speed is a ratio: an axis from 0 shows it as one.
    let y = Axis::over(y_title, &[&seen[..], &[0.0]].concat(), 5);
    let place = panel(canvas, frame, &format!("context of {context} tokens"), (x, &y))?;
    for (index, spots) in lines() {
        draw_line(canvas, index, spots, &place)?;
    }
    let speedups = lines().flat_map(|(index, spots)| speedups(index, spots, &place));
    draw_speedups(canvas, speedups.collect())
}

fn draw_line(canvas: &Canvas, index: usize, spots: &[Spot], place: &impl Fn(f64, f64) -> Point) -> Drawn {
    let look = line_look(index);
    let at = |spot: &Spot, rate: f64| place(f64::from(spot.num_replaced), rate);
    let points: Vec<Point> = spots.iter().map(|spot| at(spot, spot.median)).collect();
    canvas.line(&points, look.colour, 2, look.dash)?;
    for (spot, point) in spots.iter().zip(points) {
        canvas.line(&[at(spot, spot.low), at(spot, spot.high)], look.colour, 1, &[])?;
        canvas.mark(look.mark, point, 3.5, look.colour)?;
    }
    Ok(())
}

/// What is written beside a point: where it ends, the text, and its line's number.
type Note = (Point, String, usize);

/// The speed-ups of some points of a line, evenly from the last one back.
fn speedups(index: usize, spots: &[Spot], place: &impl Fn(f64, f64) -> Point) -> Vec<Note> {
    let step = spots.len().div_ceil(MOST_LABELS).max(1);
    // Each with the point before it, which a base's is for the first hybrid.
    let pairs = spots.windows(2).filter(|pair| pair[1].num_replaced > 0);
    let note = |pair: &[Spot]| {
        let (before, spot) = (&pair[0], &pair[1]);
        let (x, y) = place(f64::from(spot.num_replaced), spot.median);
        // On the side of the line that it does not come from.
        let y = if spot.median < before.median { y + SMALL as i32 + 3 } else { y - 5 };
        Some(((x - 7, y), format!("{:.2}x", spot.speedup?), index))
    };
    pairs.rev().step_by(step).filter_map(note).collect()
}

/// Writes speed-ups in the colours of their lines, those beside one another apart.
fn draw_speedups(canvas: &Canvas, mut notes: Vec<Note>) -> Drawn {
    notes.sort();
    let mut above: Option<Point> = None;
    for ((x, y), text, index) in notes {
        let y = above.filter(|above| above.0 == x).map_or(y, |above| y.max(above.1 + SMALL as i32 + 1));
        let lettering = Lettering { size: SMALL, anchor: HPos::Right, ink: line_look(index).colour, ..PLAIN };
        canvas.text(&text, (x, y), lettering)?;
        above = Some((x, y));
    }
    Ok(())
}

fn legend(sheet: &Sheet<Line>) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in sheet.labels().into_iter().enumerate() {
        let look = line_look(index);
        legend.add(label, move |canvas, at, half| {
            canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 2, look.dash)?;
            canvas.mark(look.mark, at, 3.5, look.colour)
        });
    }
    legend.add("least to most of the runs", |canvas, at, _| {
        canvas.line(&[(at.0, at.1 - 7), (at.0, at.1 + 7)], super::style::REFERENCE, 1, &[])
    });
    legend
}
