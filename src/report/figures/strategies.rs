//! The figure `strategies-<model>-<variant>.svg`: validation score by number of replaced layers. It has one
//! panel per task. Each panel has one line per search strategy.
//!
//! All searches with the strategy `random` share one line, which shows the mean of their scores. A band
//! around the line reaches from the lowest to the highest score.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::Axis;
use super::figure_cells::file_name;
use super::legend::Legend;
use super::panel::{PanelGrid, draw_panel_frame};
use super::style::{BASE_DASH, LineStyle, REFERENCE_COLOUR, THRESHOLD_DASH, line_style};
use super::svg_canvas::{
    Captions, DrawResult, HEADING_HEIGHT, MARGIN, Point, Rect, SvgCanvas, render_figure,
};
use crate::algorithms::search::SearchStrategy;
use crate::report::derived_values::format_axes;
use crate::report::experiment_records::{ExperimentRecords, SearchCell};
use dtr_core::error::Result;

const STRATEGY_AXIS: &str = "search.strategy";
const BAND_OPACITY: f64 = 0.15;

/// Draws a figure for each combination of base, variant and other axis values that has searches by several
/// strategies. Returns pairs of file name and SVG.
///
/// # Errors
/// Fails if the crate `plotters` cannot draw.
pub(super) fn draw(searches: &[&SearchCell], records: &ExperimentRecords) -> Result<Vec<(String, String)>> {
    let mut groups: BTreeMap<[String; 3], Vec<&SearchCell>> = BTreeMap::new();
    for search in searches {
        let mut axes = search.labels.axes.clone();
        axes.remove(STRATEGY_AXIS);
        let name = [search.labels.model.clone(), search.variant().to_owned(), format_axes(&axes)];
        groups.entry(name).or_default().push(search);
    }
    let figures = groups.iter().map(|(name, searches)| StrategyFigure {
        name,
        searches,
        labels: line_labels(searches),
    });
    let drawn = figures.filter(|figure| figure.labels.len() > 1).map(|figure| {
        let [model, variant, axes] = figure.name;
        Ok((file_name(&["strategies", model, variant, axes]), figure.draw(records)?))
    });
    drawn.collect()
}

/// The searches of one figure.
struct StrategyFigure<'a> {
    /// The model, the variant and the other axis values, which all searches share.
    name: &'a [String; 3],
    searches: &'a [&'a SearchCell],
    /// Labels of the lines.
    labels: BTreeSet<String>,
}

/// The line of one strategy on one task. Scores are in percent.
struct StrategyLine {
    style: LineStyle,
    /// Pairs of a number of replaced layers and the mean score of the searches at this number.
    mean: Vec<(f64, f64)>,
    /// Lowest and highest score at each point of `mean`. `None` if the line shows a single search.
    band: Option<Vec<(f64, f64)>>,
}

fn line_labels(searches: &[&SearchCell]) -> BTreeSet<String> {
    searches.iter().map(|search| line_label(search)).collect()
}

fn line_label(search: &SearchCell) -> String {
    match search.job.strategy {
        SearchStrategy::Random { .. } => "random".to_owned(),
        _ => search.labels.axes.get(STRATEGY_AXIS).cloned().unwrap_or_default(),
    }
}

impl StrategyFigure<'_> {
    fn draw(&self, records: &ExperimentRecords) -> Result<String> {
        let [model, variant, axes] = self.name;
        let tasks: BTreeSet<&str> = self.searches.iter().map(|search| search.task()).collect();
        let last =
            self.searches.iter().flat_map(|search| &search.rounds).map(|round| round.num_replaced).max();
        let panels = PanelGrid::new(tasks.len());
        let width = 2 * MARGIN + panels.width();
        let legend = self.legend();
        let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
        let setting = if axes.is_empty() { String::new() } else { format!(", {axes}") };
        let captions = Captions {
            title: format!("{model}, {variant}: validation score by strategy"),
            subtitle: format!("{}{setting}", records.title),
            source: format!(
                "Data: table trajectories, rows with model = {model} and variant = {variant}{setting}, \
                 by axes"
            ),
        };
        render_figure(&captions, (width, top + panels.height() + MARGIN), |canvas| {
            legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
            for (index, task) in tasks.iter().enumerate() {
                let frame = panels.panel_rect(index, (MARGIN, top));
                let (x_title, y_title) =
                    panels.axis_titles(index, "number of replaced layers", "validation score (%)");
                let x = Axis::integers(x_title, 0, last.unwrap_or(1), 7);
                self.draw_panel(canvas, frame, task, (&x, y_title))?;
            }
            Ok(())
        })
    }

    fn draw_panel(
        &self,
        canvas: &SvgCanvas,
        frame: Rect,
        task: &str,
        (x, y_title): (&Axis, &str),
    ) -> DrawResult {
        let lines = self.lines(task);
        let references = self.references(task);
        let scores = lines.iter().flat_map(|line| line.mean.iter().map(|point| point.1));
        let ends = lines.iter().flat_map(|line| line.band.iter().flatten()).flat_map(|ends| [ends.0, ends.1]);
        let seen: Vec<f64> =
            scores.chain(ends).chain(references.iter().map(|reference| reference.0)).collect();
        let y = Axis::linear(y_title, &seen, 5);
        let to_pixel = draw_panel_frame(canvas, frame, task, (x, &y))?;
        for (score, dash) in references {
            canvas.draw_line(
                &[to_pixel(x.low, score), to_pixel(x.high, score)],
                REFERENCE_COLOUR,
                1,
                dash,
            )?;
        }
        lines.iter().try_for_each(|line| line.draw_band(canvas, &to_pixel))?;
        lines.iter().try_for_each(|line| line.draw(canvas, &to_pixel))
    }

    fn lines(&self, task: &str) -> Vec<StrategyLine> {
        let line = |(index, name): (usize, &String)| {
            let is_of_line = |search: &&&SearchCell| search.task() == task && line_label(search) == *name;
            StrategyLine::new(
                &self.searches.iter().copied().filter(|search| is_of_line(&search)).collect::<Vec<_>>(),
                index,
            )
        };
        self.labels.iter().enumerate().map(line).collect()
    }

    /// Returns the reference lines: the score of the base and the thresholds, each with its dash pattern.
    fn references(&self, task: &str) -> Vec<(f64, &'static [f64])> {
        let mut references: Vec<(f64, &'static [f64])> = Vec::new();
        for search in self.searches.iter().filter(|search| search.task() == task) {
            let threshold = search.threshold.map(|threshold| (100.0 * threshold, THRESHOLD_DASH));
            for reference in [Some((100.0 * search.base, BASE_DASH)), threshold].into_iter().flatten() {
                if !references.contains(&reference) {
                    references.push(reference);
                }
            }
        }
        references
    }

    fn legend(&self) -> Legend<'static> {
        let mut legend = Legend::default();
        for (index, label) in self.labels.iter().enumerate() {
            let style = line_style(index);
            legend.add_entry(self.legend_label(label), move |canvas, at, half| {
                canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], style.colour, 2, style.dash)?;
                canvas.draw_marker(style.marker, at, 3.5, style.colour)
            });
        }
        for (name, dash) in [("base", BASE_DASH), ("threshold", THRESHOLD_DASH)] {
            legend.add_entry(name, move |canvas, at, half| {
                canvas.draw_line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE_COLOUR, 1, dash)
            });
        }
        legend
    }

    /// Returns the label of a line in the legend. If the line shows the mean of several random orders, the
    /// label contains the number of orders.
    fn legend_label(&self, label: &str) -> String {
        let of_label = self.searches.iter().filter(|search| line_label(search) == label);
        let settings: BTreeSet<&String> =
            of_label.filter_map(|search| search.labels.axes.get(STRATEGY_AXIS)).collect();
        match settings.len() {
            0 | 1 => label.to_owned(),
            many => format!("{label}: mean and range of {many} orders"),
        }
    }
}

impl StrategyLine {
    fn new(searches: &[&SearchCell], index: usize) -> Self {
        let mut scores: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for search in searches {
            scores.entry(0).or_default().push(100.0 * search.base);
            for round in &search.rounds {
                scores.entry(round.num_replaced).or_default().push(100.0 * round.score);
            }
        }
        // Keep only the numbers of replaced layers that every search reached.
        scores.retain(|_, scores| scores.len() == searches.len());
        let mean = |(count, scores): (&u32, &Vec<f64>)| {
            (f64::from(*count), scores.iter().sum::<f64>() / scores.len() as f64)
        };
        let ends = |scores: &Vec<f64>| {
            let (worst, best) = (f64::INFINITY, f64::NEG_INFINITY);
            scores.iter().fold((worst, best), |(worst, best), score| (worst.min(*score), best.max(*score)))
        };
        Self {
            style: line_style(index),
            mean: scores.iter().map(mean).collect(),
            band: (searches.len() > 1).then(|| scores.values().map(ends).collect()),
        }
    }

    fn draw_band(&self, canvas: &SvgCanvas, to_pixel: &impl Fn(f64, f64) -> Point) -> DrawResult {
        let Some(band) = &self.band else { return Ok(()) };
        let upper = self.mean.iter().zip(band).map(|(point, ends)| to_pixel(point.0, ends.1));
        let lower = self.mean.iter().zip(band).rev().map(|(point, ends)| to_pixel(point.0, ends.0));
        canvas.fill_polygon(upper.chain(lower).collect(), self.style.colour, BAND_OPACITY)
    }

    fn draw(&self, canvas: &SvgCanvas, to_pixel: &impl Fn(f64, f64) -> Point) -> DrawResult {
        let pixels: Vec<Point> = self.mean.iter().map(|(x, y)| to_pixel(*x, *y)).collect();
        canvas.draw_line(&pixels, self.style.colour, 2, self.style.dash)?;
        // The point of the base has no marker, because all strategies share it.
        pixels
            .iter()
            .skip(1)
            .try_for_each(|at| canvas.draw_marker(self.style.marker, *at, 3.0, self.style.colour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn searched(strategies: &[(&str, SearchStrategy, &[f64])]) -> Vec<SearchCell> {
        let template = fixture::records_of_size(1, 1, 4).searches.remove(0);
        let search = |(name, strategy, scores): &(&str, SearchStrategy, &[f64])| {
            let mut search = template.clone();
            search.cell.job.strategy = strategy.clone();
            search.base = 0.9;
            search.cell.labels.axes.insert(STRATEGY_AXIS.to_owned(), (*name).to_owned());
            search.rounds = fixture::rounds(&[0, 1, 2, 3][..scores.len()]);
            search.rounds.iter_mut().zip(*scores).for_each(|(round, score)| round.score = *score);
            search
        };
        strategies.iter().map(search).collect()
    }

    #[test]
    fn random_orders_share_a_line_up_to_the_end_of_the_shortest_order() {
        let searches = searched(&[
            ("random:seed=0", SearchStrategy::Random { seed: dtr_core::seed::Seed(0) }, &[0.8, 0.4, 0.2]),
            ("random:seed=1", SearchStrategy::Random { seed: dtr_core::seed::Seed(1) }, &[0.6, 0.5]),
        ]);
        let line = StrategyLine::new(&searches.iter().collect::<Vec<_>>(), 0);
        assert_eq!(line.mean, [(0.0, 90.0), (1.0, 70.0), (2.0, 45.0)]);
        assert_eq!(line.band, Some(vec![(90.0, 90.0), (60.0, 80.0), (40.0, 50.0)]));
    }

    #[test]
    fn a_single_strategy_has_no_figure() {
        let records = fixture::records();
        let searches = searched(&[
            ("greedy", SearchStrategy::Greedy {}, &[0.9, 0.8]),
            ("uniform", SearchStrategy::Uniform {}, &[0.7, 0.6]),
        ]);
        let figures = draw(&searches.iter().collect::<Vec<_>>(), &records).unwrap();
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[0].0, format!("strategies-tiny-8-{}.svg", searches[0].variant()));
        assert!(figures[0].1.contains("greedy") && figures[0].1.contains("uniform"));
        assert!(draw(&[&searches[0]], &records).unwrap().is_empty());
    }
}
