//! The figure `distillation-<model>.svg`. One panel shows the error of each layer's twin. The other panel
//! shows the median error during training.

use super::axis::Axis;
use super::figure_cells::FigureCells;
use super::legend::Legend;
use super::panel::draw_panel_frame;
use super::style::{LineStyle, REFERENCE_COLOUR, line_style};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, Point, Rect, SvgCanvas, render_figure,
};
use crate::report::experiment_records::{DistilCell, ExperimentRecords};
use dtr_core::error::Result;

const LAYERS_WIDTH: i32 = 590;
const CURVE_WIDTH: i32 = 400;
const PANEL_HEIGHT: i32 = 370;
const BEFORE_DASH: &[f64] = &[4.0, 3.0];

/// The lines of one distillation. All losses are decimal logarithms of the normalised loss.
struct DistillationLine {
    style: LineStyle,
    /// Each layer and its loss before training.
    before: Vec<(f64, f64)>,
    /// Each layer and its loss after training.
    after: Vec<(f64, f64)>,
    /// Millions of training tokens, and the median loss over the layers after these tokens.
    median_curve: Vec<(f64, f64)>,
}

/// Draws the figure of a model.
///
/// # Errors
/// Fails if the crate `plotters` cannot draw.
pub(super) fn draw(group: &FigureCells<DistilCell>, records: &ExperimentRecords) -> Result<String> {
    let lines: Vec<DistillationLine> =
        group.cells.iter().map(|cell| DistillationLine::new(cell, group.line_index(cell))).collect();
    let last_layer = group.cells.iter().flat_map(|cell| &cell.layers).map(|layer| layer.layer).max();
    let width = 2 * MARGIN + LAYERS_WIDTH + CURVE_WIDTH;
    let legend = legend(group);
    let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
    let captions = Captions {
        title: format!("{}: error of linear twins after distillation", group.model()),
        subtitle: group.subtitle(records),
        source: format!(
            "Data: table distillation, {}; training curves are in the records of the distil cells",
            group.describe_rows()
        ),
    };
    render_figure(&captions, (width, top + PANEL_HEIGHT + MARGIN), |canvas| {
        legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
        let frame = Rect { x: MARGIN, y: top, width: LAYERS_WIDTH, height: PANEL_HEIGHT };
        draw_layer_losses(canvas, frame, last_layer.unwrap_or(0), &lines)?;
        let frame = Rect { x: MARGIN + LAYERS_WIDTH, width: CURVE_WIDTH, ..frame };
        draw_median_curves(canvas, frame, &lines)
    })
}

fn draw_layer_losses(
    canvas: &SvgCanvas,
    frame: Rect,
    last_layer: u32,
    lines: &[DistillationLine],
) -> DrawResult {
    let losses: Vec<f64> =
        lines.iter().flat_map(|line| line.before.iter().chain(&line.after)).map(|p| p.1).collect();
    let x = Axis::integers("layer (0 is next to the input)", 0, last_layer, 14);
    let y = Axis::logarithmic("mean squared error / output variance", &losses);
    let to_pixel = draw_panel_frame(canvas, frame, "each layer, before and after training", (&x, &y))?;
    draw_variance_line(canvas, (&x, &y), &to_pixel)?;
    for line in lines {
        let colour = line.style.colour;
        let before = to_pixels(&line.before, &to_pixel);
        canvas.draw_line(&before, colour, 1, BEFORE_DASH)?;
        before.iter().try_for_each(|at| canvas.draw_hollow_marker(line.style.marker, *at, 3.5, colour))?;
        let after = to_pixels(&line.after, &to_pixel);
        canvas.draw_line(&after, colour, 2, &[])?;
        after.iter().try_for_each(|at| canvas.draw_marker(line.style.marker, *at, 3.5, colour))?;
    }
    Ok(())
}

fn draw_median_curves(canvas: &SvgCanvas, frame: Rect, lines: &[DistillationLine]) -> DrawResult {
    let points = || lines.iter().flat_map(|line| &line.median_curve);
    let tokens: Vec<f64> = points().map(|point| point.0).chain([0.0]).collect();
    let losses: Vec<f64> = points().map(|point| point.1).collect();
    let x = Axis::linear("training tokens (millions)", &tokens, 6);
    let y = Axis::logarithmic("", &losses);
    let to_pixel = draw_panel_frame(canvas, frame, "median over layers, during training", (&x, &y))?;
    draw_variance_line(canvas, (&x, &y), &to_pixel)?;
    lines.iter().try_for_each(|line| {
        canvas.draw_line(&to_pixels(&line.median_curve, &to_pixel), line.style.colour, 2, line.style.dash)
    })
}

/// Draws the horizontal line at an error equal to the output variance, if the axis includes this error.
fn draw_variance_line(
    canvas: &SvgCanvas,
    (x, y): (&Axis, &Axis),
    to_pixel: &impl Fn(f64, f64) -> Point,
) -> DrawResult {
    if (y.low..y.high).contains(&0.0) {
        canvas.draw_line(&[to_pixel(x.low, 0.0), to_pixel(x.high, 0.0)], REFERENCE_COLOUR, 1, &[])?;
    }
    Ok(())
}

fn to_pixels(points: &[(f64, f64)], to_pixel: &impl Fn(f64, f64) -> Point) -> Vec<Point> {
    points.iter().map(|(x, y)| to_pixel(*x, *y)).collect()
}

impl DistillationLine {
    fn new(distillation: &DistilCell, index: usize) -> Self {
        let mut layers = distillation.layers.clone();
        layers.sort_by_key(|layer| layer.layer);
        let losses: Vec<_> =
            layers.iter().filter_map(|layer| Some((layer.layer, layer.normalised_losses()?))).collect();
        let median_curve = distillation.median_curve();
        Self {
            style: line_style(index),
            before: logarithms(losses.iter().map(|(layer, (before, _))| (f64::from(*layer), *before))),
            after: logarithms(losses.iter().map(|(layer, (_, after))| (f64::from(*layer), *after))),
            median_curve: logarithms(median_curve.iter().map(|(tokens, loss)| (*tokens as f64 / 1e6, *loss))),
        }
    }
}

/// Converts losses to decimal logarithms, and drops points without a finite logarithm.
fn logarithms(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    points.filter(|(_, loss)| *loss > 0.0 && loss.is_finite()).map(|(x, loss)| (x, loss.log10())).collect()
}

fn legend(group: &FigureCells<DistilCell>) -> Legend<'static> {
    let mut legend = Legend::default();
    for (index, label) in group.line_labels().into_iter().enumerate() {
        let style = line_style(index);
        legend.add_entry(label, move |canvas, at, half| {
            canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 2, style.dash)?;
            canvas.draw_marker(style.marker, at, 3.5, style.colour)
        });
    }
    let style = LineStyle { colour: REFERENCE_COLOUR, ..line_style(0) };
    legend.add_entry("before training", move |canvas, at, half| {
        canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 1, BEFORE_DASH)?;
        canvas.draw_hollow_marker(style.marker, at, 3.5, style.colour)
    });
    legend.add_entry("after training", move |canvas, at, half| {
        canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 2, &[])?;
        canvas.draw_marker(style.marker, at, 3.5, style.colour)
    });
    legend.add_entry("error of predicting the mean output", |canvas, at, half| {
        canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE_COLOUR, 1, &[])
    });
    legend
}
