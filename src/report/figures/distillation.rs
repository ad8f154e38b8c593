//! `distillation-<model>.svg`: what distillation learned, layer by layer and over its course.

use super::axis::Axis;
use super::canvas::{Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, MARGIN, Point, figure};
use super::legend::Legend;
use super::panel::panel;
use super::sheet::Sheet;
use super::style::{LineLook, REFERENCE, line_look};
use crate::report::evidence::{DistilEvidence, Evidence};
use dtr_core::error::Result;

const LAYERS_WIDTH: i32 = 590;
const COURSE_WIDTH: i32 = 400;
const PANEL_HEIGHT: i32 = 370;
const BEFORE_DASH: &[f64] = &[4.0, 3.0];

/// One distillation as lines of the two panels; losses as decimal logarithms of their share of the variance.
struct Line {
    look: LineLook,
    before: Vec<(f64, f64)>,
    after: Vec<(f64, f64)>,
    /// Million tokens, and the loss of the median layer.
    course: Vec<(f64, f64)>,
}

/// Draws the figure.
pub(super) fn draw(sheet: &Sheet<DistilEvidence>, evidence: &Evidence) -> Result<String> {
    let lines: Vec<Line> = sheet.cells.iter().map(|cell| Line::new(cell, sheet.line_index(cell))).collect();
    let last_layer = sheet.cells.iter().flat_map(|cell| &cell.layers).map(|layer| layer.layer).max();
    let width = 2 * MARGIN + LAYERS_WIDTH + COURSE_WIDTH;
    let legend = legend(sheet);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: how well linear twins answer for attention", sheet.model()),
        subtitle: sheet.subtitle(evidence),
        source: format!(
            "Data: table distillation, {}; the course of training is in the distil cells",
            sheet.rows()
        ),
    };
    figure(&captions, (width, top + PANEL_HEIGHT + MARGIN), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        let frame = Frame { x: MARGIN, y: top, width: LAYERS_WIDTH, height: PANEL_HEIGHT };
        draw_layers(canvas, frame, last_layer.unwrap_or(0), &lines)?;
        let frame = Frame { x: MARGIN + LAYERS_WIDTH, width: COURSE_WIDTH, ..frame };
        draw_course(canvas, frame, &lines)
    })
}

fn draw_layers(canvas: &Canvas, frame: Frame, last_layer: u32, lines: &[Line]) -> Drawn {
    let losses: Vec<f64> =
        lines.iter().flat_map(|line| line.before.iter().chain(&line.after)).map(|p| p.1).collect();
    let x = Axis::of_counts("layer, from the input", 0, last_layer, 14);
    let y = Axis::logarithmic("squared error / output variance", &losses);
    let place = panel(canvas, frame, "each layer, before and after", (&x, &y))?;
    draw_mean_line(canvas, (&x, &y), &place)?;
    for line in lines {
        let colour = line.look.colour;
        let before = placed(&line.before, &place);
        canvas.line(&before, colour, 1, BEFORE_DASH)?;
        before.iter().try_for_each(|at| canvas.open_mark(line.look.mark, *at, 3.5, colour))?;
        let after = placed(&line.after, &place);
        canvas.line(&after, colour, 2, &[])?;
        after.iter().try_for_each(|at| canvas.mark(line.look.mark, *at, 3.5, colour))?;
    }
    Ok(())
}

fn draw_course(canvas: &Canvas, frame: Frame, lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.course);
    let tokens: Vec<f64> = points().map(|point| point.0).chain([0.0]).collect();
    let losses: Vec<f64> = points().map(|point| point.1).collect();
    let x = Axis::over("million tokens", &tokens, 6);
    let y = Axis::logarithmic("", &losses);
    let place = panel(canvas, frame, "the median layer, in training", (&x, &y))?;
    draw_mean_line(canvas, (&x, &y), &place)?;
    lines
        .iter()
        .try_for_each(|line| canvas.line(&placed(&line.course, &place), line.look.colour, 2, line.look.dash))
}

/// A line where a twin does no better than the mean of the output, if that is in sight.
fn draw_mean_line(canvas: &Canvas, (x, y): (&Axis, &Axis), place: &impl Fn(f64, f64) -> Point) -> Drawn {
    if (y.low..y.high).contains(&0.0) {
        canvas.line(&[place(x.low, 0.0), place(x.high, 0.0)], REFERENCE, 1, &[])?;
    }
    Ok(())
}

fn placed(points: &[(f64, f64)], place: &impl Fn(f64, f64) -> Point) -> Vec<Point> {
    points.iter().map(|(x, y)| place(*x, *y)).collect()
}

impl Line {
    fn new(distillation: &DistilEvidence, index: usize) -> Self {
        let mut layers = distillation.layers.clone();
        layers.sort_by_key(|layer| layer.layer);
        let losses: Vec<_> =
            layers.iter().filter_map(|layer| Some((layer.layer, layer.normalised()?))).collect();
        let course = distillation.course();
        Self {
            look: line_look(index),
            before: logarithms(losses.iter().map(|(layer, (before, _))| (f64::from(*layer), *before))),
            after: logarithms(losses.iter().map(|(layer, (_, after))| (f64::from(*layer), *after))),
            course: logarithms(course.iter().map(|(tokens, loss)| (*tokens as f64 / 1e6, *loss))),
        }
    }
}

/// The points that have a place on a logarithmic axis.
fn logarithms(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    points.filter(|(_, loss)| *loss > 0.0 && loss.is_finite()).map(|(x, loss)| (x, loss.log10())).collect()
}

fn legend(sheet: &Sheet<DistilEvidence>) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in sheet.labels().into_iter().enumerate() {
        let look = line_look(index);
        legend.add(label, move |canvas, at, half| {
            canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 2, look.dash)?;
            canvas.mark(look.mark, at, 3.5, look.colour)
        });
    }
    let look = LineLook { colour: REFERENCE, ..line_look(0) };
    legend.add("before training", move |canvas, at, half| {
        canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 1, BEFORE_DASH)?;
        canvas.open_mark(look.mark, at, 3.5, look.colour)
    });
    legend.add("after training", move |canvas, at, half| {
        canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 2, &[])?;
        canvas.mark(look.mark, at, 3.5, look.colour)
    });
    legend.add("no better than the mean output", |canvas, at, half| {
        canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE, 1, &[])
    });
    legend
}
