//! The figure `score-<model>.svg`: validation score by number of replaced layers. It has one panel per task.

use std::collections::BTreeSet;

use super::axis::Axis;
use super::figure_cells::FigureCells;
use super::legend::Legend;
use super::panel::{PanelGrid, draw_panel_frame};
use super::style::{
    BASE_DASH, LineStyle, MarkerShape, REFERENCE_COLOUR, TEXT_COLOUR, THRESHOLD_DASH, line_style,
};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, Point, Rect, SvgCanvas, render_figure,
};
use crate::algorithms::search::RoundWinner;
use crate::report::experiment_records::{ExperimentRecords, SearchCell};
use crate::stages::search::ChosenHybrid;
use crate::stats::wilson_interval;
use dtr_core::error::Result;

const BAND_OPACITY: f64 = 0.10;

/// The line of one search. Scores are in percent.
struct ScoreLine<'a> {
    search: &'a SearchCell,
    style: LineStyle,
    /// Pairs of a number of replaced layers and a score. The first pair is for the base. Each of the other
    /// pairs is for the winner of a round.
    points: Vec<(f64, f64)>,
    /// The Wilson interval of each point.
    band: Vec<(f64, f64)>,
}

/// Draws the figure of a model.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn draw(group: &FigureCells<SearchCell>, records: &ExperimentRecords) -> Result<String> {
    let lines: Vec<ScoreLine> =
        group.cells.iter().map(|search| ScoreLine::new(search, group.line_index(search), records)).collect();
    let tasks: BTreeSet<&str> = group.cells.iter().map(|search| search.task()).collect();
    let panels = PanelGrid::new(tasks.len());
    let width = 2 * MARGIN + panels.width();
    let legend = legend(group, records.confidence);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: validation score by number of replaced layers", group.model()),
        subtitle: group.subtitle(records),
        source: format!("Data: tables trajectories and searches, {}", group.describe_rows()),
    };
    render_figure(&captions, (width, top + panels.height() + MARGIN), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        let last = lines.iter().flat_map(|line| &line.points).fold(1.0, |last: f64, point| last.max(point.0));
        for (index, task) in tasks.iter().enumerate() {
            let frame = panels.panel_rect(index, (MARGIN, top));
            let (x_title, y_title) =
                panels.axis_titles(index, "number of replaced layers", "validation score (%)");
            let x_axis = Axis::integers(x_title, 0, last as u32, 7);
            let of_task: Vec<&ScoreLine> = lines.iter().filter(|line| line.search.task() == *task).collect();
            draw_panel(canvas, frame, task, (&x_axis, y_title), &of_task)?;
        }
        Ok(())
    })
}

fn draw_panel(
    canvas: &SvgCanvas,
    frame: Rect,
    task: &str,
    (x, y_title): (&Axis, &str),
    lines: &[&ScoreLine],
) -> DrawResult {
    let references: Vec<_> = lines.iter().flat_map(|line| line.references()).collect();
    let seen: Vec<f64> = lines.iter().flat_map(|line| line.axis_values()).collect();
    let y = Axis::linear(y_title, &seen, 5);
    let num_items = lines[0].search.validation_items;
    let to_pixel = draw_panel_frame(canvas, frame, &format!("{task} ({num_items} items)"), (x, &y))?;
    for line in lines {
        line.draw_band(canvas, &to_pixel)?;
    }
    let mut drawn = Vec::new();
    for reference in references {
        // Searches of one base can have the same reference lines. Draw each line once.
        if !drawn.contains(&reference) {
            let ends = [to_pixel(x.low, reference.0), to_pixel(x.high, reference.0)];
            canvas.draw_line(&ends, REFERENCE_COLOUR, 1, reference.1)?;
            drawn.push(reference);
        }
    }
    for line in lines {
        line.draw(canvas, &to_pixel)?;
    }
    for line in lines {
        line.draw_selected(canvas, &to_pixel)?;
    }
    Ok(())
}

impl<'a> ScoreLine<'a> {
    fn new(search: &'a SearchCell, index: usize, records: &ExperimentRecords) -> Self {
        let rounds = search.sorted_rounds();
        let point = |round: &RoundWinner| (f64::from(round.num_replaced), 100.0 * round.score);
        let base = (0.0, 100.0 * search.base);
        let points: Vec<_> = std::iter::once(base).chain(rounds.iter().map(point)).collect();
        let num_items = u64::from(search.validation_items);
        let interval = |(_, score): &(f64, f64)| {
            let num_correct = (score / 100.0 * num_items as f64).round() as u64;
            let (low, high) = wilson_interval(num_correct, num_items, records.confidence);
            (100.0 * low, 100.0 * high)
        };
        let band = points.iter().map(interval).collect();
        Self { search, style: line_style(index), points, band }
    }

    /// Returns the reference lines: the score of the base and the threshold, each with its dashes.
    fn references(&self) -> Vec<(f64, &'static [f64])> {
        let base = (100.0 * self.search.base, BASE_DASH);
        let threshold = self.search.threshold.map(|threshold| (100.0 * threshold, THRESHOLD_DASH));
        std::iter::once(base).chain(threshold).collect()
    }

    /// Returns the values that the vertical axis must include.
    fn axis_values(&self) -> Vec<f64> {
        let band = self.band.iter().flat_map(|(low, high)| [*low, *high]);
        band.chain(self.references().into_iter().map(|(value, _)| value)).collect()
    }

    fn draw_band(&self, canvas: &SvgCanvas, to_pixel: &impl Fn(f64, f64) -> Point) -> DrawResult {
        let upper = self.points.iter().zip(&self.band).map(|(point, band)| to_pixel(point.0, band.1));
        let lower = self.points.iter().zip(&self.band).rev().map(|(point, band)| to_pixel(point.0, band.0));
        canvas.fill_polygon(upper.chain(lower).collect(), self.style.colour, BAND_OPACITY)
    }

    fn draw(&self, canvas: &SvgCanvas, to_pixel: &impl Fn(f64, f64) -> Point) -> DrawResult {
        let pixels: Vec<Point> = self.points.iter().map(|(x, y)| to_pixel(*x, *y)).collect();
        canvas.draw_line(&pixels, self.style.colour, 2, self.style.dash)?;
        // The point of the base has no marker, because all variants share it.
        for (at, round) in pixels[1..].iter().zip(self.search.sorted_rounds()) {
            if round.accepted {
                canvas.draw_marker(self.style.marker, *at, 3.0, self.style.colour)?;
            } else {
                canvas.draw_cross(*at, 4, self.style.colour)?;
            }
        }
        Ok(())
    }

    fn draw_selected(&self, canvas: &SvgCanvas, to_pixel: &impl Fn(f64, f64) -> Point) -> DrawResult {
        let at = |chosen: &ChosenHybrid| to_pixel(chosen.layers.len() as f64, 100.0 * chosen.validation);
        canvas.draw_circle(at(&self.search.opt), 9, self.style.colour, 2)?;
        draw_best(canvas, at(&self.search.best), self.style)
    }
}

fn draw_best(canvas: &SvgCanvas, at: Point, style: LineStyle) -> DrawResult {
    canvas.draw_marker(MarkerShape::Star, at, 10.0, TEXT_COLOUR)?;
    canvas.draw_marker(MarkerShape::Star, at, 7.0, style.colour)
}

fn legend(group: &FigureCells<SearchCell>, confidence: f64) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in group.line_labels().into_iter().enumerate() {
        let style = line_style(index);
        legend.add_entry(label, move |canvas, at, half| {
            canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 2, style.dash)?;
            canvas.draw_marker(style.marker, at, 3.5, style.colour)
        });
    }
    let reference = |dash: &'static [f64]| {
        move |canvas: &SvgCanvas, at: Point, half: i32| {
            canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE_COLOUR, 1, dash)
        }
    };
    let style = LineStyle { colour: REFERENCE_COLOUR, ..line_style(0) };
    legend.add_entry("base", reference(BASE_DASH));
    legend.add_entry("threshold", reference(THRESHOLD_DASH));
    legend.add_entry("M_best: highest validation score", move |canvas, at, _| draw_best(canvas, at, style));
    legend.add_entry("M_opt: last accepted hybrid", |canvas, at, _| {
        canvas.draw_circle(at, 7, REFERENCE_COLOUR, 2)
    });
    legend
        .add_entry("rejected: end of the search", |canvas, at, _| canvas.draw_cross(at, 4, REFERENCE_COLOUR));
    legend.add_entry(format!("{:.0} % Wilson interval", 100.0 * confidence), |canvas, at, half| {
        let frame = Rect { x: at.0 - half, y: at.1 - 7, width: 2 * half, height: 14 };
        canvas.fill_polygon(frame.outline(), REFERENCE_COLOUR, 2.0 * BAND_OPACITY)
    });
    legend
}
