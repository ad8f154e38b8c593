//! `strategies-<model>-<variant>.svg`: the validation score by strategy as more layers go linear, a panel for each
//! task. Random orders of several seeds are one line: their mean, in the band from the worst to the best.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::Axis;
use super::canvas::{Canvas, Captions, Drawn, Frame, HEADING_HEIGHT, MARGIN, Point, figure};
use super::legend::Legend;
use super::panel::{Rows, panel};
use super::sheet::file_name;
use super::style::{BASE_DASH, LineLook, REFERENCE, THRESHOLD_DASH, line_look};
use crate::algorithms::search::SearchStrategy;
use crate::report::derived::format_axes;
use crate::report::evidence::{Evidence, SearchEvidence};
use dtr_core::error::Result;

const AXIS: &str = "search.strategy";
const BAND_OPACITY: f64 = 0.15;

/// The figures: a file's name and its SVG for each base, variant and setting that several strategies searched.
pub(super) fn draw(searches: &[&SearchEvidence], evidence: &Evidence) -> Result<Vec<(String, String)>> {
    let mut groups: BTreeMap<[String; 3], Vec<&SearchEvidence>> = BTreeMap::new();
    for search in searches {
        let mut axes = search.axes.clone();
        axes.remove(AXIS);
        let name = [search.model.clone(), search.variant.clone(), format_axes(&axes)];
        groups.entry(name).or_default().push(search);
    }
    let figures =
        groups.iter().map(|(name, searches)| Comparison { name, searches, labels: labels(searches) });
    let drawn = figures.filter(|figure| figure.labels.len() > 1).map(|figure| {
        let [model, variant, axes] = figure.name;
        Ok((file_name(&["strategies", model, variant, axes]), figure.draw(evidence)?))
    });
    drawn.collect()
}

/// The searches of one figure.
struct Comparison<'a> {
    /// Model, variant and the axes that all share.
    name: &'a [String; 3],
    searches: &'a [&'a SearchEvidence],
    /// What each line is called.
    labels: BTreeSet<String>,
}

/// One strategy on one task; scores in percent by the number of replaced layers.
struct Line {
    look: LineLook,
    mean: Vec<(f64, f64)>,
    /// From the worst to the best, where the line is of several searches.
    band: Option<Vec<(f64, f64)>>,
}

fn labels(searches: &[&SearchEvidence]) -> BTreeSet<String> {
    searches.iter().map(|search| label(search)).collect()
}

fn label(search: &SearchEvidence) -> String {
    match search.strategy {
        SearchStrategy::Random { .. } => "random".to_owned(),
        _ => search.axes.get(AXIS).cloned().unwrap_or_default(),
    }
}

impl Comparison<'_> {
    fn draw(&self, evidence: &Evidence) -> Result<String> {
        let [model, variant, axes] = self.name;
        let tasks: BTreeSet<&str> = self.searches.iter().map(|search| search.task.as_str()).collect();
        let last =
            self.searches.iter().flat_map(|search| &search.rounds).map(|round| round.num_replaced).max();
        let panels = Rows::of(tasks.len());
        let width = 2 * MARGIN + panels.width();
        let legend = self.legend();
        let top = HEADING_HEIGHT + legend.height(width - 2 * MARGIN) + MARGIN;
        let setting = if axes.is_empty() { String::new() } else { format!(", {axes}") };
        let captions = Captions {
            title: format!("{model}, {variant}: validation score by strategy"),
            subtitle: format!("{}{setting}", evidence.title),
            source: format!(
                "Data: table trajectories, rows with model = {model} and variant = {variant}{setting}, by axes"
            ),
        };
        figure(&captions, (width, top + panels.height() + MARGIN), |canvas| {
            legend.draw(canvas, (MARGIN, HEADING_HEIGHT), width - 2 * MARGIN)?;
            for (index, task) in tasks.iter().enumerate() {
                let frame = panels.frame(index, (MARGIN, top));
                let (x_title, y_title) = panels.titles(index, "replaced layers", "validation score (%)");
                let x = Axis::of_counts(x_title, 0, last.unwrap_or(1), 7);
                self.draw_panel(canvas, frame, task, (&x, y_title))?;
            }
            Ok(())
        })
    }

    fn draw_panel(&self, canvas: &Canvas, frame: Frame, task: &str, (x, y_title): (&Axis, &str)) -> Drawn {
        let lines = self.lines(task);
        let references = self.references(task);
        let scores = lines.iter().flat_map(|line| line.mean.iter().map(|point| point.1));
        let ends = lines.iter().flat_map(|line| line.band.iter().flatten()).flat_map(|ends| [ends.0, ends.1]);
        let seen: Vec<f64> =
            scores.chain(ends).chain(references.iter().map(|reference| reference.0)).collect();
        let y = Axis::over(y_title, &seen, 5);
        let place = panel(canvas, frame, task, (x, &y))?;
        for (score, dash) in references {
            canvas.line(&[place(x.low, score), place(x.high, score)], REFERENCE, 1, dash)?;
        }
        lines.iter().try_for_each(|line| line.draw_band(canvas, &place))?;
        lines.iter().try_for_each(|line| line.draw(canvas, &place))
    }

    fn lines(&self, task: &str) -> Vec<Line> {
        let line = |(index, name): (usize, &String)| {
            let is_of_line = |search: &&&SearchEvidence| search.task == task && label(search) == *name;
            Line::new(
                &self.searches.iter().copied().filter(|search| is_of_line(&search)).collect::<Vec<_>>(),
                index,
            )
        };
        self.labels.iter().enumerate().map(line).collect()
    }

    /// The base's score and the thresholds, and how each is dashed.
    fn references(&self, task: &str) -> Vec<(f64, &'static [f64])> {
        let mut references: Vec<(f64, &'static [f64])> = Vec::new();
        for search in self.searches.iter().filter(|search| search.task == task) {
            let threshold = search.threshold.map(|threshold| (100.0 * threshold, THRESHOLD_DASH));
            for reference in
                [Some((100.0 * search.base_validation, BASE_DASH)), threshold].into_iter().flatten()
            {
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
            let look = line_look(index);
            legend.add(self.legend_label(label), move |canvas, at, half| {
                canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], look.colour, 2, look.dash)?;
                canvas.mark(look.mark, at, 3.5, look.colour)
            });
        }
        for (name, dash) in [("base", BASE_DASH), ("threshold", THRESHOLD_DASH)] {
            legend.add(name, move |canvas, at, half| {
                canvas.line(&[(at.0 - half, at.1), (at.0 + half, at.1)], REFERENCE, 1, dash)
            });
        }
        legend
    }

    /// A line's label, for several random orders with their number.
    fn legend_label(&self, label: &str) -> String {
        let of_label = self.searches.iter().filter(|search| self::label(search) == label);
        let settings: BTreeSet<&String> = of_label.filter_map(|search| search.axes.get(AXIS)).collect();
        match settings.len() {
            0 | 1 => label.to_owned(),
            many => format!("{label}: mean of {many} orders, worst to best"),
        }
    }
}

impl Line {
    fn new(searches: &[&SearchEvidence], index: usize) -> Self {
        let mut scores: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for search in searches {
            scores.entry(0).or_default().push(100.0 * search.base_validation);
            for round in &search.rounds {
                scores.entry(round.num_replaced).or_default().push(100.0 * round.score);
            }
        }
        // A search that stopped early has no score further on; a mean of the others would be another line's.
        scores.retain(|_, scores| scores.len() == searches.len());
        let mean = |(count, scores): (&u32, &Vec<f64>)| {
            (f64::from(*count), scores.iter().sum::<f64>() / scores.len() as f64)
        };
        let ends = |scores: &Vec<f64>| {
            let (worst, best) = (f64::INFINITY, f64::NEG_INFINITY);
            scores.iter().fold((worst, best), |(worst, best), score| (worst.min(*score), best.max(*score)))
        };
        Self {
            look: line_look(index),
            mean: scores.iter().map(mean).collect(),
            band: (searches.len() > 1).then(|| scores.values().map(ends).collect()),
        }
    }

    fn draw_band(&self, canvas: &Canvas, place: &impl Fn(f64, f64) -> Point) -> Drawn {
        let Some(band) = &self.band else { return Ok(()) };
        let upper = self.mean.iter().zip(band).map(|(point, ends)| place(point.0, ends.1));
        let lower = self.mean.iter().zip(band).rev().map(|(point, ends)| place(point.0, ends.0));
        canvas.shape(upper.chain(lower).collect(), self.look.colour, BAND_OPACITY)
    }

    fn draw(&self, canvas: &Canvas, place: &impl Fn(f64, f64) -> Point) -> Drawn {
        let places: Vec<Point> = self.mean.iter().map(|(x, y)| place(*x, *y)).collect();
        canvas.line(&places, self.look.colour, 2, self.look.dash)?;
        // The base, at 0, belongs to no strategy.
        places.iter().skip(1).try_for_each(|at| canvas.mark(self.look.mark, *at, 3.0, self.look.colour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn searched(strategies: &[(&str, SearchStrategy, &[f64])]) -> Vec<SearchEvidence> {
        let template = fixture::sized(1, 1, 4).searches.remove(0);
        let search = |(name, strategy, scores): &(&str, SearchStrategy, &[f64])| {
            let mut search =
                SearchEvidence { strategy: strategy.clone(), base_validation: 0.9, ..template.clone() };
            search.axes.insert(AXIS.to_owned(), (*name).to_owned());
            search.rounds = fixture::rounds(&[0, 1, 2, 3][..scores.len()]);
            search.rounds.iter_mut().zip(*scores).for_each(|(round, score)| round.score = *score);
            search
        };
        strategies.iter().map(search).collect()
    }

    #[test]
    fn random_orders_are_one_line_as_far_as_all_of_them_go() {
        let searches = searched(&[
            ("random:seed=0", SearchStrategy::Random { seed: dtr_core::seed::Seed(0) }, &[0.8, 0.4, 0.2]),
            ("random:seed=1", SearchStrategy::Random { seed: dtr_core::seed::Seed(1) }, &[0.6, 0.5]),
        ]);
        let line = Line::new(&searches.iter().collect::<Vec<_>>(), 0);
        assert_eq!(line.mean, [(0.0, 90.0), (1.0, 70.0), (2.0, 45.0)]);
        assert_eq!(line.band, Some(vec![(90.0, 90.0), (60.0, 80.0), (40.0, 50.0)]));
    }

    #[test]
    fn only_several_strategies_are_compared() {
        let evidence = fixture::evidence();
        let searches = searched(&[
            ("greedy", SearchStrategy::Greedy {}, &[0.9, 0.8]),
            ("uniform", SearchStrategy::Uniform {}, &[0.7, 0.6]),
        ]);
        let figures = draw(&searches.iter().collect::<Vec<_>>(), &evidence).unwrap();
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[0].0, format!("strategies-tiny-8-{}.svg", searches[0].variant));
        assert!(figures[0].1.contains("greedy") && figures[0].1.contains("uniform"));
        assert!(draw(&[&searches[0]], &evidence).unwrap().is_empty());
    }
}
