//! `order-<model>.svg`: in which round each layer went linear, a panel for each task, a column for each
//! variant.

use std::collections::BTreeSet;

use plotters::style::text_anchor::HPos;

use super::canvas::{
    Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, Lettering, MARGIN, PLAIN, Point, figure, text_width,
};
use super::legend::Legend;
use super::sheet::Sheet;
use super::style::{CHOSEN, GRID, PANEL_HEADING, SMALL, ink_on_ramp, ramp};
use crate::report::evidence::{Evidence, SearchEvidence};
use dtr_core::error::Result;

const MAX_WIDTH: i32 = 1018;
const MIN_WIDTH: i32 = 560;
/// The least size of a cell, and the widest that is widened for the sake of its heading.
const CELL: (i32, i32) = (32, 17);
const MAX_CELL_WIDTH: i32 = 64;
/// Room left of the panels for the layers' numbers, between panels, and for a panel's heading.
const LEFT: i32 = 46;
const GAP: i32 = 22;
const PANEL_TOP: i32 = 24;

/// Where everything stands.
struct Layout<'a> {
    tasks: Vec<&'a str>,
    labels: Vec<String>,
    num_layers: u32,
    num_rounds: u32,
    cell_width: i32,
    label_height: i32,
    panel_width: i32,
    panels_per_row: usize,
}

/// Draws the figure.
pub(super) fn draw(sheet: &Sheet<SearchEvidence>, evidence: &Evidence) -> Result<String> {
    let layout = Layout::new(sheet);
    let legend = legend(layout.num_rounds);
    let width = layout.width();
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: the round in which each layer went linear", sheet.model()),
        subtitle: sheet.subtitle(evidence),
        source: format!("Data: table trajectories, accepted {}", sheet.rows()),
    };
    figure(&captions, (width, top + layout.height()), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (index, task) in layout.tasks.iter().enumerate() {
            let corner = layout.corner(index, top);
            if index % layout.panels_per_row == 0 {
                layout.draw_layer_numbers(canvas, corner)?;
            }
            layout.draw_headings(canvas, corner, task)?;
            layout.draw_grid(canvas, corner)?;
            for search in sheet.cells.iter().filter(|search| search.task == *task) {
                layout.draw_column(canvas, corner, sheet.line_index(search), search)?;
            }
        }
        Ok(())
    })
}

impl<'a> Layout<'a> {
    fn new(sheet: &Sheet<'a, SearchEvidence>) -> Self {
        let tasks: BTreeSet<&str> = sheet.cells.iter().map(|search| search.task.as_str()).collect();
        let labels = sheet.labels();
        let widest_of = |texts: &mut dyn Iterator<Item = &str>, size| {
            texts.map(|text| text_width(text, size)).max().unwrap_or(0)
        };
        let label_width = widest_of(&mut labels.iter().map(String::as_str), SMALL) + 8;
        // Labels too wide for a column stand upright above it.
        let is_upright = label_width > MAX_CELL_WIDTH;
        let cell_width = if is_upright { CELL.0 } else { label_width.max(CELL.0) };
        let task_width = widest_of(&mut tasks.iter().copied(), PANEL_HEADING);
        let panel_width = (labels.len() as i32 * cell_width).max(task_width) + GAP;
        let accepted = |search: &&SearchEvidence| search.rounds.iter().filter(|round| round.accepted).count();
        Self {
            num_layers: sheet.cells.iter().map(|search| search.num_layers).max().unwrap_or(0),
            num_rounds: sheet.cells.iter().map(accepted).max().unwrap_or(0) as u32,
            cell_width,
            label_height: if is_upright { label_width } else { CELL.1 },
            panel_width,
            panels_per_row: (((MAX_WIDTH - LEFT) / panel_width).max(1) as usize).min(tasks.len()),
            tasks: tasks.into_iter().collect(),
            labels,
        }
    }

    fn width(&self) -> i32 {
        (2 * MARGIN + LEFT + self.panels_per_row as i32 * self.panel_width).max(MIN_WIDTH)
    }

    fn height(&self) -> i32 {
        self.tasks.len().div_ceil(self.panels_per_row) as i32 * self.row_height() + MARGIN
    }

    fn row_height(&self) -> i32 {
        PANEL_TOP + self.label_height + self.num_layers as i32 * CELL.1 + GAP
    }

    /// The upper left corner of a panel's cells.
    fn corner(&self, index: usize, top: i32) -> Point {
        let (column, row) = ((index % self.panels_per_row) as i32, (index / self.panels_per_row) as i32);
        let x = MARGIN + LEFT + column * self.panel_width;
        (x, top + row * self.row_height() + PANEL_TOP + self.label_height)
    }

    fn cell(&self, corner: Point, line: usize, layer: u32) -> Frame {
        let (x, y) = (corner.0 + line as i32 * self.cell_width, corner.1 + layer as i32 * CELL.1);
        Frame { x, y, width: self.cell_width, height: CELL.1 }
    }

    fn draw_layer_numbers(&self, canvas: &Canvas, corner: Point) -> Drawn {
        let number = Lettering { size: SMALL, anchor: HPos::Right, ..PLAIN };
        for layer in 0..self.num_layers {
            let y = self.cell(corner, 0, layer).middle().1;
            canvas.text(&layer.to_string(), (corner.0 - 6, y), number)?;
        }
        let title = Lettering { is_upright: true, anchor: HPos::Center, ..PLAIN };
        let middle = corner.1 + self.num_layers as i32 * CELL.1 / 2;
        canvas.text("layer, from the input", (corner.0 - LEFT + 8, middle), title)
    }

    fn draw_headings(&self, canvas: &Canvas, corner: Point, task: &str) -> Drawn {
        let bold = Lettering { size: PANEL_HEADING, is_bold: true, ..PLAIN };
        canvas.text(task, (corner.0, corner.1 - self.label_height - PANEL_TOP / 2), bold)?;
        let is_upright = self.label_height > CELL.1;
        for (line, label) in self.labels.iter().enumerate() {
            let x = self.cell(corner, line, 0).middle().0;
            if is_upright {
                let upright = Lettering { size: SMALL, is_upright, ..PLAIN };
                canvas.text(label, (x, corner.1 - 4), upright)?;
            } else {
                let centred = Lettering { size: SMALL, anchor: HPos::Center, ..PLAIN };
                canvas.text(label, (x, corner.1 - CELL.1 / 2), centred)?;
            }
        }
        Ok(())
    }

    fn draw_grid(&self, canvas: &Canvas, (x, y): Point) -> Drawn {
        let (width, height) = (self.labels.len() as i32 * self.cell_width, self.num_layers as i32 * CELL.1);
        for line in 0..=self.labels.len() as i32 {
            let x = x + line * self.cell_width;
            canvas.line(&[(x, y), (x, y + height)], GRID, 1, &[])?;
        }
        for layer in 0..=self.num_layers as i32 {
            let y = y + layer * CELL.1;
            canvas.line(&[(x, y), (x + width, y)], GRID, 1, &[])?;
        }
        Ok(())
    }

    fn draw_column(&self, canvas: &Canvas, corner: Point, line: usize, search: &SearchEvidence) -> Drawn {
        let number = Lettering { size: SMALL, anchor: HPos::Center, ..PLAIN };
        for (layer, round) in search.rounds_by_layer() {
            let cell = self.cell(corner, line, layer);
            let share = f64::from(round - 1) / f64::from(self.num_rounds.max(2) - 1);
            canvas.fill(cell.shrunk(1), ramp(share))?;
            let ink = ink_on_ramp(share);
            canvas.text(&round.to_string(), cell.middle(), Lettering { ink, ..number })?;
            if search.best.layers.contains(&layer) {
                canvas.edge(cell.shrunk(2), CHOSEN, 2)?;
            }
        }
        Ok(())
    }
}

fn legend(num_rounds: u32) -> Legend<'static> {
    const NUM_STEPS: i32 = 8;
    let mut legend = Legend::default();
    legend.add(format!("round 1 (dark) to {num_rounds} (light)"), |canvas, at, half| {
        let width = 2 * half / NUM_STEPS;
        for step in 0..NUM_STEPS {
            let x = at.0 - half + step * width;
            let share = f64::from(step) / f64::from(NUM_STEPS - 1);
            canvas.fill(Frame { x, y: at.1 - 7, width, height: 14 }, ramp(share))?;
        }
        Ok(())
    });
    legend.add("also in M_best", |canvas, at, _| {
        let frame = Frame { x: at.0 - 13, y: at.1 - 7, width: 26, height: 14 };
        canvas.fill(frame, ramp(0.5))?;
        canvas.edge(frame.shrunk(1), CHOSEN, 2)
    });
    legend.add("never replaced", |canvas, at, _| {
        canvas.edge(Frame { x: at.0 - 13, y: at.1 - 7, width: 26, height: 14 }, GRID, 1)
    });
    legend
}
