//! The figure `agreement-<model>.svg`: the similarity of the orders in which searches replaced layers. The
//! figure consists of matrices. Each matrix compares searches that differ in only one setting.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::text_anchor::HPos;

use super::legend::Legend;
use super::style::{
    FAINT_TEXT_COLOUR, GRID_COLOUR, PANEL_HEADING_SIZE, SMALL_TEXT_SIZE, TEXT_COLOUR, diverging_colour,
    text_colour_on_diverging,
};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, PLAIN_TEXT, Point, Rect, SvgCanvas, TextFormat,
    estimate_text_width, render_figure,
};
use crate::report::columns::AgreementRow;
use crate::report::experiment_records::ExperimentRecords;
use dtr_core::error::Result;

const MAX_WIDTH: i32 = 1018;
const MIN_WIDTH: i32 = 640;
const CELL_SIZE: (i32, i32) = (48, 22);
const MATRIX_HEADING_HEIGHT: i32 = 26;
const MATRIX_GAP: i32 = 26;
/// A pair of searches is marked if its q-value is below this false discovery rate.
const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// Draws the figure of one model from its rows of the table `agreement`.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn draw(model: &str, rows: &[AgreementRow], records: &ExperimentRecords) -> Result<String> {
    let matrices = AgreementMatrix::build_all(rows);
    let legend = legend();
    let positions = matrix_positions(&matrices);
    let right = matrices.iter().zip(&positions).map(|(matrix, at)| at.0 + matrix.width()).max().unwrap_or(0);
    let bottom =
        matrices.iter().zip(&positions).map(|(matrix, at)| at.1 + matrix.height()).max().unwrap_or(0);
    let width = (2 * MARGIN + right).max(MIN_WIDTH);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{model}: agreement between orders of replacement"),
        subtitle: records.title.clone(),
        source: format!("Data: table agreement, rows with model = {model}"),
    };
    render_figure(&captions, (width, top + bottom), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (matrix, (x, y)) in matrices.iter().zip(positions) {
            matrix.draw(canvas, (MARGIN + x, top + y))?;
        }
        Ok(())
    })
}

/// A matrix whose rows and columns are searches. The searches differ in one setting, and share all other
/// settings.
struct AgreementMatrix<'a> {
    heading: String,
    /// One label per search.
    labels: Vec<MatrixLabel<'a>>,
    /// The row of the table `agreement` for each pair of searches. A key is two indices into `labels`, the
    /// smaller first.
    pairs: BTreeMap<(usize, usize), &'a AgreementRow>,
}

/// The label of a search in a matrix.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct MatrixLabel<'a> {
    /// Value of the setting in which the searches differ.
    name: &'a str,
    /// Number of layers that the search replaced.
    num_replaced: u32,
    /// Number of rounds with a tie for the best score.
    num_tied: u32,
}

impl<'a> AgreementMatrix<'a> {
    /// Builds one matrix for each differing setting and each combination of shared settings.
    fn build_all(rows: &'a [AgreementRow]) -> Vec<Self> {
        let shared = |row: &AgreementRow| {
            (row.differing_setting.clone(), row.variant.clone(), row.task.clone(), row.shared_axes.clone())
        };
        rows.chunk_by(|one, other| shared(one) == shared(other)).map(Self::new).collect()
    }

    fn new(rows: &'a [AgreementRow]) -> Self {
        let both = |row: &'a AgreementRow| {
            let name = |name, num_replaced, num_tied| MatrixLabel { name, num_replaced, num_tied };
            [
                name(row.first.as_str(), row.num_replaced_first, row.num_tied_first),
                name(row.second.as_str(), row.num_replaced_second, row.num_tied_second),
            ]
        };
        let labels: BTreeSet<MatrixLabel> = rows.iter().flat_map(both).collect();
        let labels: Vec<MatrixLabel> = labels.into_iter().collect();
        let index = |name: &str| labels.iter().position(|label| label.name == name).unwrap_or_default();
        let pairs = rows
            .iter()
            .map(|row| {
                let (one, other) = (index(&row.first), index(&row.second));
                ((one.min(other), one.max(other)), row)
            })
            .collect();
        Self { heading: heading(&rows[0]), labels, pairs }
    }

    fn label_width(&self) -> i32 {
        self.labels.iter().map(|label| estimate_text_width(label.name, SMALL_TEXT_SIZE)).max().unwrap_or(0)
            + 8
    }

    /// Returns the height of the labels above the cells. If a label is wider than a cell, the labels are
    /// drawn vertically.
    fn label_height(&self) -> i32 {
        if self.is_vertical() { self.label_width() } else { 18 }
    }

    fn is_vertical(&self) -> bool {
        self.label_width() > CELL_SIZE.0 + 6
    }

    fn width(&self) -> i32 {
        let cells = self.label_width() + self.labels.len() as i32 * CELL_SIZE.0;
        cells.max(estimate_text_width(&self.heading, PANEL_HEADING_SIZE)) + MATRIX_GAP
    }

    fn height(&self) -> i32 {
        MATRIX_HEADING_HEIGHT + self.label_height() + self.labels.len() as i32 * CELL_SIZE.1 + MATRIX_GAP
    }

    fn draw(&self, canvas: &SvgCanvas, (x, y): Point) -> DrawResult {
        let bold = TextFormat { size: PANEL_HEADING_SIZE, is_bold: true, ..PLAIN_TEXT };
        canvas.draw_text(&self.heading, (x, y + MATRIX_HEADING_HEIGHT / 2), bold)?;
        let corner = (x + self.label_width(), y + MATRIX_HEADING_HEIGHT + self.label_height());
        self.draw_labels(canvas, corner)?;
        for (index, label) in self.labels.iter().enumerate() {
            let frame = cell(corner, index, index);
            canvas.fill_rect(frame.inset(1), GRID_COLOUR)?;
            let faint = TextFormat {
                size: SMALL_TEXT_SIZE,
                anchor: HPos::Center,
                colour: FAINT_TEXT_COLOUR,
                ..PLAIN_TEXT
            };
            let text = match label.num_tied {
                0 => label.num_replaced.to_string(),
                num_tied => format!("{} ({num_tied})", label.num_replaced),
            };
            canvas.draw_text(&text, frame.center(), faint)?;
        }
        self.pairs.iter().try_for_each(|((one, other), row)| {
            draw_tau(canvas, cell(corner, *one, *other), row)?;
            draw_overlap(canvas, cell(corner, *other, *one), row)
        })
    }

    fn draw_labels(&self, canvas: &SvgCanvas, corner: Point) -> DrawResult {
        let right = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Right, ..PLAIN_TEXT };
        let upright = TextFormat { size: SMALL_TEXT_SIZE, is_vertical: true, ..PLAIN_TEXT };
        let centred = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT };
        for (index, MatrixLabel { name, .. }) in self.labels.iter().enumerate() {
            let (x, y) = cell(corner, index, index).center();
            canvas.draw_text(name, (corner.0 - 6, y), right)?;
            match self.is_vertical() {
                true => canvas.draw_text(name, (x, corner.1 - 4), upright)?,
                false => canvas.draw_text(name, (x, corner.1 - 9), centred)?,
            }
        }
        Ok(())
    }
}

/// Returns the heading of a matrix: the setting in which its searches differ, and the settings that they
/// share.
fn heading(row: &AgreementRow) -> String {
    let compared = match row.differing_setting.as_str() {
        "variant" => "variants".to_owned(),
        "task" => "tasks".to_owned(),
        axis => axis.to_owned(),
    };
    let task = row.task.as_ref().map(|task| format!(" on {task}"));
    let variant = row.variant.as_ref().map(|variant| format!(" by {variant}"));
    let axes = (!row.shared_axes.is_empty()).then(|| format!(", {}", row.shared_axes));
    [Some(compared), task, variant, axes].into_iter().flatten().collect()
}

/// Returns the position of each matrix. Matrices are side by side, in as many rows as necessary.
fn matrix_positions(matrices: &[AgreementMatrix]) -> Vec<Point> {
    let (mut x, mut y, mut height) = (0, 0, 0);
    let mut positions = Vec::with_capacity(matrices.len());
    for matrix in matrices {
        if x > 0 && x + matrix.width() > MAX_WIDTH - 2 * MARGIN {
            (x, y, height) = (0, y + height, 0);
        }
        positions.push((x, y));
        x += matrix.width();
        height = height.max(matrix.height());
    }
    positions
}

fn cell(corner: Point, column: usize, row: usize) -> Rect {
    let (x, y) = (corner.0 + column as i32 * CELL_SIZE.0, corner.1 + row as i32 * CELL_SIZE.1);
    Rect { x, y, width: CELL_SIZE.0, height: CELL_SIZE.1 }
}

fn draw_tau(canvas: &SvgCanvas, frame: Rect, row: &AgreementRow) -> DrawResult {
    let Some(tau) = row.kendall_tau else { return canvas.draw_border(frame.inset(1), GRID_COLOUR, 1) };
    canvas.fill_rect(frame.inset(1), diverging_colour(tau))?;
    let ink = text_colour_on_diverging(tau);
    let number = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, colour: ink, ..PLAIN_TEXT };
    // Adding 0 turns -0 into 0.
    let rounded = (100.0 * tau).round() / 100.0 + 0.0;
    canvas.draw_text(&format!("{rounded:.2}"), frame.center(), number)?;
    if row.kendall_q.is_some_and(|q| q < FALSE_DISCOVERY_RATE) {
        canvas.draw_border(frame.inset(2), TEXT_COLOUR, 2)?;
    }
    Ok(())
}

fn draw_overlap(canvas: &SvgCanvas, frame: Rect, row: &AgreementRow) -> DrawResult {
    canvas.draw_border(frame.inset(1), GRID_COLOUR, 1)?;
    let number = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT };
    canvas.draw_text(&format!("{}/{}", row.overlap, row.overlap_k), frame.center(), number)?;
    if row.overlap_q.is_some_and(|q| q < FALSE_DISCOVERY_RATE) {
        canvas.draw_border(frame.inset(2), TEXT_COLOUR, 2)?;
    }
    Ok(())
}

fn legend() -> Legend<'static> {
    const NUM_STEPS: i32 = 8;
    let mut legend = Legend::default();
    legend.add_entry("below the diagonal: Kendall's tau-b, from -1 over 0 to 1", |canvas, at, half| {
        let width = 2 * half / NUM_STEPS;
        for step in 0..NUM_STEPS {
            let x = at.0 - half + step * width;
            let value = 2.0 * f64::from(step) / f64::from(NUM_STEPS - 1) - 1.0;
            canvas.fill_rect(Rect { x, y: at.1 - 7, width, height: 14 }, diverging_colour(value))?;
        }
        Ok(())
    });
    let sample = |at: Point| Rect { x: at.0 - 15, y: at.1 - 8, width: 30, height: 16 };
    legend.add_entry("above the diagonal: shared layers among the first k", move |canvas, at, _| {
        canvas.draw_border(sample(at), GRID_COLOUR, 1)?;
        canvas.draw_text("5/7", at, TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT })
    });
    legend.add_entry("diagonal: replaced layers (rounds with a tie)", move |canvas, at, _| {
        canvas.fill_rect(sample(at), GRID_COLOUR)
    });
    legend.add_entry(
        format!("more than expected by chance (q < {FALSE_DISCOVERY_RATE})"),
        move |canvas, at, _| canvas.draw_border(sample(at), TEXT_COLOUR, 2),
    );
    legend
}
