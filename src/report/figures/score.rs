//! `score-<model>.svg`: the validation score as one layer after another goes linear, a panel for each task.

use std::collections::BTreeSet;

use super::axis::Axis;
use super::canvas::{Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, MARGIN, Point, figure};
use super::legend::Legend;
use super::panel::{Rows, panel};
use super::sheet::Sheet;
use super::style::{BASE_DASH, INK, LineLook, Mark, REFERENCE, THRESHOLD_DASH, line_look};
use crate::report::evidence::{ChosenEvidence, Evidence, Round, SearchEvidence};
use crate::stats::wilson;
use dtr_core::error::Result;

const BAND_OPACITY: f64 = 0.10;

/// One search as a line of a panel; scores in percent.
struct Line<'a> {
    search: &'a SearchEvidence,
    look: LineLook,
    /// The base, then the winner of each round.
    points: Vec<(f64, f64)>,
    /// The Wilson interval at each point.
    band: Vec<(f64, f64)>,
}

/// Draws the figure.
pub(super) fn draw(sheet: &Sheet<SearchEvidence>, evidence: &Evidence) -> Result<String> {
    let lines: Vec<Line> =
        sheet.cells.iter().map(|search| Line::new(search, sheet.line_index(search), evidence)).collect();
    let tasks: BTreeSet<&str> = sheet.cells.iter().map(|search| search.task.as_str()).collect();
    let panels = Rows::of(tasks.len());
    let width = 2 * MARGIN + panels.width();
    let legend = legend(sheet, evidence.confidence);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: validation score as layers go linear", sheet.model()),
        subtitle: sheet.subtitle(evidence),
        source: format!("Data: tables trajectories and searches, {}", sheet.rows()),
    };
    figure(&captions, (width, top + panels.height() + MARGIN), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        let last = lines.iter().flat_map(|line| &line.points).fold(1.0, |last: f64, point| last.max(point.0));
        for (index, task) in tasks.iter().enumerate() {
            let frame = panels.frame(index, (MARGIN, top));
            let (x_title, y_title) = panels.titles(index, "replaced layers", "validation score (%)");
            let x_axis = Axis::of_counts(x_title, 0, last as u32, 7);
            let of_task: Vec<&Line> = lines.iter().filter(|line| line.search.task == *task).collect();
            draw_panel(canvas, frame, task, (&x_axis, y_title), &of_task)?;
        }
        Ok(())
    })
}

fn draw_panel(
    canvas: &Canvas,
    frame: Frame,
    task: &str,
    (x, y_title): (&Axis, &str),
    lines: &[&Line],
) -> Drawn {
    let references: Vec<_> = lines.iter().flat_map(|line| line.references()).collect();
    let seen: Vec<f64> = lines.iter().flat_map(|line| line.seen()).collect();
    let y = Axis::over(y_title, &seen, 5);
    let num_items = lines[0].search.validation_items;
    let place = panel(canvas, frame, &format!("{task} ({num_items} items)"), (x, &y))?;
    for line in lines {
        line.draw_band(canvas, &place)?;
    }
    let mut drawn = Vec::new();
    for reference in references {
        // Lines of the same base share their references.
        if !drawn.contains(&reference) {
            let ends = [place(x.low, reference.0), place(x.high, reference.0)];
            canvas.line(&ends, REFERENCE, 1, reference.1)?;
            drawn.push(reference);
        }
    }
    for line in lines {
        line.draw(canvas, &place)?;
    }
    for line in lines {
        line.draw_chosen(canvas, &place)?;
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn new(search: &'a SearchEvidence, index: usize, evidence: &Evidence) -> Self {
        let rounds = search.sorted_rounds();
        let point = |round: &Round| (f64::from(round.num_replaced), 100.0 * round.score);
        let base = (0.0, 100.0 * search.base_validation);
        let points: Vec<_> = std::iter::once(base).chain(rounds.iter().map(point)).collect();
        let num_items = u64::from(search.validation_items);
        let interval = |(_, score): &(f64, f64)| {
            let num_correct = (score / 100.0 * num_items as f64).round() as u64;
            let (low, high) = wilson(num_correct, num_items, evidence.confidence);
            (100.0 * low, 100.0 * high)
        };
        let band = points.iter().map(interval).collect();
        Self { search, look: line_look(index), points, band }
    }

    /// The scores that the line is compared with, and how each is dashed.
    fn references(&self) -> Vec<(f64, &'static [f64])> {
        let base = (100.0 * self.search.base_validation, BASE_DASH);
        let threshold = self.search.threshold.map(|threshold| (100.0 * threshold, THRESHOLD_DASH));
        std::iter::once(base).chain(threshold).collect()
    }

    /// The values that the panel must have room for.
    fn seen(&self) -> Vec<f64> {
        let band = self.band.iter().flat_map(|(low, high)| [*low, *high]);
        band.chain(self.references().into_iter().map(|(value, _)| value)).collect()
    }

    fn draw_band(&self, canvas: &Canvas, place: &impl Fn(f64, f64) -> Point) -> Drawn {
        let upper = self.points.iter().zip(&self.band).map(|(point, band)| place(point.0, band.1));
        let lower = self.points.iter().zip(&self.band).rev().map(|(point, band)| place(point.0, band.0));
        canvas.shape(upper.chain(lower).collect(), self.look.colour, BAND_OPACITY)
    }

    fn draw(&self, canvas: &Canvas, place: &impl Fn(f64, f64) -> Point) -> Drawn {
        let places: Vec<Point> = self.points.iter().map(|(x, y)| place(*x, *y)).collect();
        canvas.line(&places, self.look.colour, 2, self.look.dash)?;
        // The base, at 0, belongs to no variant; a rejected round is crossed out.
        for (at, round) in places[1..].iter().zip(self.search.sorted_rounds()) {
            if round.accepted {
                canvas.mark(self.look.mark, *at, 3.0, self.look.colour)?;
            } else {
                canvas.cross(*at, 4, self.look.colour)?;
            }
        }
        Ok(())
    }

    fn draw_chosen(&self, canvas: &Canvas, place: &impl Fn(f64, f64) -> Point) -> Drawn {
        let at = |chosen: &ChosenEvidence| place(chosen.layers.len() as f64, 100.0 * chosen.validation);
        canvas.ring(at(&self.search.opt), 9, self.look.colour, 2)?;
        draw_best(canvas, at(&self.search.best), self.look)
    }
}

fn draw_best(canvas: &Canvas, at: Point, look: LineLook) -> Drawn {
    canvas.mark(Mark::Star, at, 10.0, INK)?;
    canvas.mark(Mark::Star, at, 7.0, look.colour)
}

fn legend(sheet: &Sheet<SearchEvidence>, confidence: f64) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in sheet.labels().into_iter().enumerate() {
        let look = line_look(index);
        legend.add(label, move |canvas, at, half| {
            canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 2, look.dash)?;
            canvas.mark(look.mark, at, 3.5, look.colour)
        });
    }
    let reference = |dash: &'static [f64]| {
        move |canvas: &Canvas, at: Point, half: i32| {
            canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE, 1, dash)
        }
    };
    let look = LineLook { colour: REFERENCE, ..line_look(0) };
    legend.add("base", reference(BASE_DASH));
    legend.add("threshold", reference(THRESHOLD_DASH));
    legend.add("M_best: highest score", move |canvas, at, _| draw_best(canvas, at, look));
    legend.add("M_opt: most layers above the threshold", |canvas, at, _| canvas.ring(at, 7, REFERENCE, 2));
    legend.add("rejected, search ends", |canvas, at, _| canvas.cross(at, 4, REFERENCE));
    legend.add(format!("{:.0} % Wilson interval", 100.0 * confidence), |canvas, at, half| {
        let frame = Frame { x: at.0 - half, y: at.1 - 7, width: 2 * half, height: 14 };
        canvas.shape(frame.outline(), REFERENCE, 2.0 * BAND_OPACITY)
    });
    legend
}
