//! `agreement-<model>.svg`: how far orders agree, a matrix for everything that searches share.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::text_anchor::HPos;

use super::canvas::{
    Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, Lettering, MARGIN, PLAIN, Point, figure, text_width,
};
use super::legend::Legend;
use super::style::{FAINT_INK, GRID, INK, PANEL_HEADING, SMALL, diverging, ink_on_diverging};
use crate::report::columns::AgreementRow;
use crate::report::evidence::Evidence;
use dtr_core::error::Result;

const MAX_WIDTH: i32 = 1018;
const MIN_WIDTH: i32 = 640;
const CELL: (i32, i32) = (48, 22);
const PANEL_TOP: i32 = 26;
const GAP: i32 = 26;
/// At most this share of the pairs that are marked is expected to be marked wrongly.
const RATE: f64 = 0.05;

/// Draws the figure of one model from its rows of the table.
pub(super) fn draw(model: &str, rows: &[AgreementRow], evidence: &Evidence) -> Result<String> {
    let matrices = Matrix::all(rows);
    let legend = legend();
    let places = places(&matrices);
    let right = matrices.iter().zip(&places).map(|(matrix, at)| at.0 + matrix.width()).max().unwrap_or(0);
    let bottom = matrices.iter().zip(&places).map(|(matrix, at)| at.1 + matrix.height()).max().unwrap_or(0);
    let width = (2 * MARGIN + right).max(MIN_WIDTH);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{model}: whether layers go linear in the same order"),
        subtitle: evidence.title.clone(),
        source: format!("Data: table agreement, rows with model = {model}"),
    };
    figure(&captions, (width, top + bottom), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (matrix, (x, y)) in matrices.iter().zip(places) {
            matrix.draw(canvas, (MARGIN + x, top + y))?;
        }
        Ok(())
    })
}

/// The pairs of searches that share all but one thing.
struct Matrix<'a> {
    heading: String,
    /// What the searches are in that one thing.
    names: Vec<Name<'a>>,
    /// The pairs, the one that stands first in `names` before the other.
    pairs: BTreeMap<(usize, usize), &'a AgreementRow>,
}

/// One of the searches.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a> {
    name: &'a str,
    /// Layers in its order.
    num_replaced: u32,
    /// Rounds that a tie decided.
    num_tied: u32,
}

impl<'a> Matrix<'a> {
    /// One for each thing that searches differ in and what they share, in the order of the rows.
    fn all(rows: &'a [AgreementRow]) -> Vec<Self> {
        let shared = |row: &AgreementRow| {
            (row.differing_setting.clone(), row.variant.clone(), row.task.clone(), row.shared_axes.clone())
        };
        rows.chunk_by(|one, other| shared(one) == shared(other)).map(Self::new).collect()
    }

    fn new(rows: &'a [AgreementRow]) -> Self {
        let both = |row: &'a AgreementRow| {
            let name = |name, num_replaced, num_tied| Name { name, num_replaced, num_tied };
            [
                name(row.first.as_str(), row.num_replaced_first, row.num_tied_first),
                name(row.second.as_str(), row.num_replaced_second, row.num_tied_second),
            ]
        };
        let names: BTreeSet<Name> = rows.iter().flat_map(both).collect();
        let names: Vec<Name> = names.into_iter().collect();
        let index = |name: &str| names.iter().position(|named| named.name == name).unwrap_or_default();
        let pairs = rows
            .iter()
            .map(|row| {
                let (one, other) = (index(&row.first), index(&row.second));
                ((one.min(other), one.max(other)), row)
            })
            .collect();
        Self { heading: heading(&rows[0]), names, pairs }
    }

    fn label_width(&self) -> i32 {
        self.names.iter().map(|named| text_width(named.name, SMALL)).max().unwrap_or(0) + 8
    }

    /// The room over the cells for the names; names that are too wide for a cell stand upright.
    fn label_height(&self) -> i32 {
        if self.is_upright() { self.label_width() } else { 18 }
    }

    fn is_upright(&self) -> bool {
        self.label_width() > CELL.0 + 6
    }

    fn width(&self) -> i32 {
        let cells = self.label_width() + self.names.len() as i32 * CELL.0;
        cells.max(text_width(&self.heading, PANEL_HEADING)) + GAP
    }

    fn height(&self) -> i32 {
        PANEL_TOP + self.label_height() + self.names.len() as i32 * CELL.1 + GAP
    }

    fn draw(&self, canvas: &Canvas, (x, y): Point) -> Drawn {
        let bold = Lettering { size: PANEL_HEADING, is_bold: true, ..PLAIN };
        canvas.text(&self.heading, (x, y + PANEL_TOP / 2), bold)?;
        let corner = (x + self.label_width(), y + PANEL_TOP + self.label_height());
        self.draw_names(canvas, corner)?;
        for (index, named) in self.names.iter().enumerate() {
            let frame = cell(corner, index, index);
            canvas.fill(frame.shrunk(1), GRID)?;
            let faint = Lettering { size: SMALL, anchor: HPos::Center, ink: FAINT_INK, ..PLAIN };
            let text = match named.num_tied {
                0 => named.num_replaced.to_string(),
                num_tied => format!("{} ({num_tied})", named.num_replaced),
            };
            canvas.text(&text, frame.middle(), faint)?;
        }
        self.pairs.iter().try_for_each(|((one, other), row)| {
            draw_tau(canvas, cell(corner, *one, *other), row)?;
            draw_overlap(canvas, cell(corner, *other, *one), row)
        })
    }

    fn draw_names(&self, canvas: &Canvas, corner: Point) -> Drawn {
        let right = Lettering { size: SMALL, anchor: HPos::Right, ..PLAIN };
        let upright = Lettering { size: SMALL, is_upright: true, ..PLAIN };
        let centred = Lettering { size: SMALL, anchor: HPos::Center, ..PLAIN };
        for (index, Name { name, .. }) in self.names.iter().enumerate() {
            let (x, y) = cell(corner, index, index).middle();
            canvas.text(name, (corner.0 - 6, y), right)?;
            match self.is_upright() {
                true => canvas.text(name, (x, corner.1 - 4), upright)?,
                false => canvas.text(name, (x, corner.1 - 9), centred)?,
            }
        }
        Ok(())
    }
}

/// What a group of rows shares, and what it compares.
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

/// Where each matrix stands: side by side as far as there is room, then below.
fn places(matrices: &[Matrix]) -> Vec<Point> {
    let (mut x, mut y, mut height) = (0, 0, 0);
    let mut places = Vec::with_capacity(matrices.len());
    for matrix in matrices {
        if x > 0 && x + matrix.width() > MAX_WIDTH - 2 * MARGIN {
            (x, y, height) = (0, y + height, 0);
        }
        places.push((x, y));
        x += matrix.width();
        height = height.max(matrix.height());
    }
    places
}

fn cell(corner: Point, column: usize, row: usize) -> Frame {
    let (x, y) = (corner.0 + column as i32 * CELL.0, corner.1 + row as i32 * CELL.1);
    Frame { x, y, width: CELL.0, height: CELL.1 }
}

fn draw_tau(canvas: &Canvas, frame: Frame, row: &AgreementRow) -> Drawn {
    let Some(tau) = row.kendall_tau else { return canvas.edge(frame.shrunk(1), GRID, 1) };
    canvas.fill(frame.shrunk(1), diverging(tau))?;
    let ink = ink_on_diverging(tau);
    let number = Lettering { size: SMALL, anchor: HPos::Center, ink, ..PLAIN };
    // Adding 0 turns -0 into 0.
    let rounded = (100.0 * tau).round() / 100.0 + 0.0;
    canvas.text(&format!("{rounded:.2}"), frame.middle(), number)?;
    if row.kendall_q.is_some_and(|q| q < RATE) {
        canvas.edge(frame.shrunk(2), INK, 2)?;
    }
    Ok(())
}

fn draw_overlap(canvas: &Canvas, frame: Frame, row: &AgreementRow) -> Drawn {
    canvas.edge(frame.shrunk(1), GRID, 1)?;
    let number = Lettering { size: SMALL, anchor: HPos::Center, ..PLAIN };
    canvas.text(&format!("{}/{}", row.overlap, row.overlap_k), frame.middle(), number)?;
    if row.overlap_q.is_some_and(|q| q < RATE) {
        canvas.edge(frame.shrunk(2), INK, 2)?;
    }
    Ok(())
}

fn legend() -> Legend<'static> {
    const NUM_STEPS: i32 = 8;
    let mut legend = Legend::default();
    legend.add("below: Kendall's tau-b, from -1 by 0 to 1", |canvas, at, half| {
        let width = 2 * half / NUM_STEPS;
        for step in 0..NUM_STEPS {
            let x = at.0 - half + step * width;
            let value = 2.0 * f64::from(step) / f64::from(NUM_STEPS - 1) - 1.0;
            canvas.fill(Frame { x, y: at.1 - 7, width, height: 14 }, diverging(value))?;
        }
        Ok(())
    });
    let sample = |at: Point| Frame { x: at.0 - 15, y: at.1 - 8, width: 30, height: 16 };
    legend.add("above: layers shared of the first k", move |canvas, at, _| {
        canvas.edge(sample(at), GRID, 1)?;
        canvas.text("5/7", at, Lettering { size: SMALL, anchor: HPos::Center, ..PLAIN })
    });
    legend.add("between: layers in the order (rounds that a tie decided)", move |canvas, at, _| {
        canvas.fill(sample(at), GRID)
    });
    legend.add(format!("more than by chance (q < {RATE})"), move |canvas, at, _| {
        canvas.edge(sample(at), INK, 2)
    });
    legend
}
