//! The figure `order-<model>.svg`: the round in which each layer was replaced. It has one panel per task. A
//! panel has one row per layer, and one column per variant and combination of axis values.

use std::collections::BTreeSet;

use plotters::style::text_anchor::HPos;

use super::figure_cells::FigureCells;
use super::legend::Legend;
use super::style::{
    GRID_COLOUR, PANEL_HEADING_SIZE, SELECTED_COLOUR, SMALL_TEXT_SIZE, sequential_colour,
    text_colour_on_sequential,
};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, PLAIN_TEXT, Point, Rect, SvgCanvas, TextFormat,
    estimate_text_width, render_figure,
};
use crate::report::experiment_records::{ExperimentRecords, SearchCell};
use dtr_core::error::Result;

const MAX_WIDTH: i32 = 1018;
const MIN_WIDTH: i32 = 560;
/// Minimum width and height of a cell in pixels.
const CELL_SIZE: (i32, i32) = (32, 17);
/// Maximum width of a cell in pixels. Cells are widened to the width of the widest label, up to this maximum.
const MAX_CELL_WIDTH: i32 = 64;
/// Width of the layer numbers left of the panels, in pixels.
const LAYER_LABEL_WIDTH: i32 = 46;
/// Gap between panels in pixels.
const PANEL_GAP: i32 = 22;
/// Height of the heading of a panel in pixels.
const PANEL_HEADING_HEIGHT: i32 = 24;

/// Sizes and positions of the parts of the figure.
struct OrderLayout<'a> {
    tasks: Vec<&'a str>,
    labels: Vec<String>,
    num_layers: u32,
    num_rounds: u32,
    cell_width: i32,
    label_height: i32,
    panel_width: i32,
    panels_per_row: usize,
}

/// Draws the figure of a model.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn draw(group: &FigureCells<SearchCell>, records: &ExperimentRecords) -> Result<String> {
    let layout = OrderLayout::new(group);
    let legend = legend(layout.num_rounds);
    let width = layout.width();
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: round in which each layer was replaced", group.model()),
        subtitle: group.subtitle(records),
        source: format!("Data: table trajectories, accepted {}", group.describe_rows()),
    };
    render_figure(&captions, (width, top + layout.height()), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        for (index, task) in layout.tasks.iter().enumerate() {
            let corner = layout.corner(index, top);
            if index % layout.panels_per_row == 0 {
                layout.draw_layer_numbers(canvas, corner)?;
            }
            layout.draw_headings(canvas, corner, task)?;
            layout.draw_grid(canvas, corner)?;
            for search in group.cells.iter().filter(|search| search.task() == *task) {
                layout.draw_column(canvas, corner, group.line_index(search), search)?;
            }
        }
        Ok(())
    })
}

impl<'a> OrderLayout<'a> {
    fn new(group: &FigureCells<'a, SearchCell>) -> Self {
        let tasks: BTreeSet<&str> = group.cells.iter().map(|search| search.task()).collect();
        let labels = group.line_labels();
        let widest_of = |texts: &mut dyn Iterator<Item = &str>, size| {
            texts.map(|text| estimate_text_width(text, size)).max().unwrap_or(0)
        };
        let label_width = widest_of(&mut labels.iter().map(String::as_str), SMALL_TEXT_SIZE) + 8;
        // If a label is wider than `MAX_CELL_WIDTH`, all labels are drawn vertically.
        let is_vertical = label_width > MAX_CELL_WIDTH;
        let cell_width = if is_vertical { CELL_SIZE.0 } else { label_width.max(CELL_SIZE.0) };
        let task_width = widest_of(&mut tasks.iter().copied(), PANEL_HEADING_SIZE);
        let panel_width = (labels.len() as i32 * cell_width).max(task_width) + PANEL_GAP;
        let accepted = |search: &&SearchCell| search.rounds.iter().filter(|round| round.accepted).count();
        Self {
            num_layers: group.cells.iter().map(|search| search.num_layers).max().unwrap_or(0),
            num_rounds: group.cells.iter().map(accepted).max().unwrap_or(0) as u32,
            cell_width,
            label_height: if is_vertical { label_width } else { CELL_SIZE.1 },
            panel_width,
            panels_per_row: (((MAX_WIDTH - LAYER_LABEL_WIDTH) / panel_width).max(1) as usize)
                .min(tasks.len()),
            tasks: tasks.into_iter().collect(),
            labels,
        }
    }

    fn width(&self) -> i32 {
        (2 * MARGIN + LAYER_LABEL_WIDTH + self.panels_per_row as i32 * self.panel_width).max(MIN_WIDTH)
    }

    fn height(&self) -> i32 {
        self.tasks.len().div_ceil(self.panels_per_row) as i32 * self.row_height() + MARGIN
    }

    fn row_height(&self) -> i32 {
        PANEL_HEADING_HEIGHT + self.label_height + self.num_layers as i32 * CELL_SIZE.1 + PANEL_GAP
    }

    /// Returns the upper left corner of the cells of a panel.
    fn corner(&self, index: usize, top: i32) -> Point {
        let (column, row) = ((index % self.panels_per_row) as i32, (index / self.panels_per_row) as i32);
        let x = MARGIN + LAYER_LABEL_WIDTH + column * self.panel_width;
        (x, top + row * self.row_height() + PANEL_HEADING_HEIGHT + self.label_height)
    }

    fn cell(&self, corner: Point, line: usize, layer: u32) -> Rect {
        let (x, y) = (corner.0 + line as i32 * self.cell_width, corner.1 + layer as i32 * CELL_SIZE.1);
        Rect { x, y, width: self.cell_width, height: CELL_SIZE.1 }
    }

    fn draw_layer_numbers(&self, canvas: &SvgCanvas, corner: Point) -> DrawResult {
        let number = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Right, ..PLAIN_TEXT };
        for layer in 0..self.num_layers {
            let y = self.cell(corner, 0, layer).center().1;
            canvas.draw_text(&layer.to_string(), (corner.0 - 6, y), number)?;
        }
        let title = TextFormat { is_vertical: true, anchor: HPos::Center, ..PLAIN_TEXT };
        let middle = corner.1 + self.num_layers as i32 * CELL_SIZE.1 / 2;
        canvas.draw_text("layer (0 is next to the input)", (corner.0 - LAYER_LABEL_WIDTH + 8, middle), title)
    }

    fn draw_headings(&self, canvas: &SvgCanvas, corner: Point, task: &str) -> DrawResult {
        let bold = TextFormat { size: PANEL_HEADING_SIZE, is_bold: true, ..PLAIN_TEXT };
        canvas.draw_text(task, (corner.0, corner.1 - self.label_height - PANEL_HEADING_HEIGHT / 2), bold)?;
        let is_vertical = self.label_height > CELL_SIZE.1;
        for (line, label) in self.labels.iter().enumerate() {
            let x = self.cell(corner, line, 0).center().0;
            if is_vertical {
                let upright = TextFormat { size: SMALL_TEXT_SIZE, is_vertical, ..PLAIN_TEXT };
                canvas.draw_text(label, (x, corner.1 - 4), upright)?;
            } else {
                let centred = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT };
                canvas.draw_text(label, (x, corner.1 - CELL_SIZE.1 / 2), centred)?;
            }
        }
        Ok(())
    }

    fn draw_grid(&self, canvas: &SvgCanvas, (x, y): Point) -> DrawResult {
        let (width, height) =
            (self.labels.len() as i32 * self.cell_width, self.num_layers as i32 * CELL_SIZE.1);
        for line in 0..=self.labels.len() as i32 {
            let x = x + line * self.cell_width;
            canvas.draw_line(&[(x, y), (x, y + height)], GRID_COLOUR, 1, &[])?;
        }
        for layer in 0..=self.num_layers as i32 {
            let y = y + layer * CELL_SIZE.1;
            canvas.draw_line(&[(x, y), (x + width, y)], GRID_COLOUR, 1, &[])?;
        }
        Ok(())
    }

    fn draw_column(&self, canvas: &SvgCanvas, corner: Point, line: usize, search: &SearchCell) -> DrawResult {
        let number = TextFormat { size: SMALL_TEXT_SIZE, anchor: HPos::Center, ..PLAIN_TEXT };
        for (layer, round) in search.rounds_by_layer() {
            let cell = self.cell(corner, line, layer);
            let share = f64::from(round - 1) / f64::from(self.num_rounds.max(2) - 1);
            canvas.fill_rect(cell.inset(1), sequential_colour(share))?;
            let ink = text_colour_on_sequential(share);
            canvas.draw_text(&round.to_string(), cell.center(), TextFormat { colour: ink, ..number })?;
            if search.best.layers.contains(&layer) {
                canvas.draw_border(cell.inset(2), SELECTED_COLOUR, 2)?;
            }
        }
        Ok(())
    }
}

fn legend(num_rounds: u32) -> Legend<'static> {
    const NUM_STEPS: i32 = 8;
    let mut legend = Legend::default();
    legend.add_entry(format!("round 1 (dark) to {num_rounds} (light)"), |canvas, at, half| {
        let width = 2 * half / NUM_STEPS;
        for step in 0..NUM_STEPS {
            let x = at.0 - half + step * width;
            let share = f64::from(step) / f64::from(NUM_STEPS - 1);
            canvas.fill_rect(Rect { x, y: at.1 - 7, width, height: 14 }, sequential_colour(share))?;
        }
        Ok(())
    });
    legend.add_entry("part of M_best", |canvas, at, _| {
        let frame = Rect { x: at.0 - 13, y: at.1 - 7, width: 26, height: 14 };
        canvas.fill_rect(frame, sequential_colour(0.5))?;
        canvas.draw_border(frame.inset(1), SELECTED_COLOUR, 2)
    });
    legend.add_entry("never replaced", |canvas, at, _| {
        canvas.draw_border(Rect { x: at.0 - 13, y: at.1 - 7, width: 26, height: 14 }, GRID_COLOUR, 1)
    });
    legend
}
