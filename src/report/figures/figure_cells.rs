//! Groups the cells of an experiment (searches, distillations, timings) into figures. A figure shows cells of
//! one model. Each cell belongs to one line of the figure.

use std::collections::BTreeSet;

use crate::report::derived_values::format_axes;
use crate::report::experiment_records::{DistilCell, ExperimentRecords, SearchCell};

/// Maximum number of lines in a figure. If a model has more lines, each combination of sweep axis values gets
/// its own figure.
const MAX_LINES: usize = 6;

/// A cell of the experiment that a figure shows. Its variant and axes determine the line to which it belongs.
pub(super) trait LabelledCell {
    /// Name of the base model.
    fn model(&self) -> &str;
    /// Name of the linear variant.
    fn variant(&self) -> &str;
    /// Values of the sweep axes other than model, variant and task.
    fn axes(&self) -> String;
}

impl LabelledCell for SearchCell {
    fn model(&self) -> &str {
        &self.labels.model
    }

    fn variant(&self) -> &str {
        self.labels.variant.as_deref().unwrap_or_default()
    }

    fn axes(&self) -> String {
        format_axes(&self.labels.axes)
    }
}

impl LabelledCell for DistilCell {
    fn model(&self) -> &str {
        &self.labels.model
    }

    fn variant(&self) -> &str {
        self.labels.variant.as_deref().unwrap_or_default()
    }

    fn axes(&self) -> String {
        format_axes(&self.labels.axes)
    }
}

/// The cells of one figure. Every figure has at least one cell.
pub(super) struct FigureCells<'a, T> {
    /// The cells, sorted.
    pub(super) cells: Vec<&'a T>,
    /// Variant and axes of each line, sorted.
    lines: Vec<(String, String)>,
    /// Whether the model has several figures, one for each combination of axis values.
    is_split: bool,
}

/// Groups cells by model. If the figure of a model would have too many lines, also groups its cells by the
/// values of the axes.
pub(super) fn group_by_figure<T: LabelledCell>(cells: Vec<&T>) -> Vec<FigureCells<'_, T>> {
    let models: BTreeSet<&str> = cells.iter().map(|cell| cell.model()).collect();
    let cells_of_model = |model: &str| cells.iter().copied().filter(|cell| cell.model() == model).collect();
    models.into_iter().flat_map(|model| group_model_by_figure(cells_of_model(model))).collect()
}

fn group_model_by_figure<T: LabelledCell>(cells: Vec<&T>) -> Vec<FigureCells<'_, T>> {
    let settings: BTreeSet<String> = cells.iter().map(|cell| cell.axes()).collect();
    let whole = FigureCells::new(cells, false);
    if whole.lines.len() <= MAX_LINES || settings.len() == 1 {
        return vec![whole];
    }
    let of_setting = |setting| whole.cells.iter().copied().filter(|cell| cell.axes() == setting).collect();
    settings.into_iter().map(|setting| FigureCells::new(of_setting(setting), true)).collect()
}

impl<'a, T: LabelledCell> FigureCells<'a, T> {
    fn new(cells: Vec<&'a T>, is_split: bool) -> Self {
        let lines: BTreeSet<_> = cells.iter().map(|cell| line_of(*cell)).collect();
        Self { cells, lines: lines.into_iter().collect(), is_split }
    }

    pub(super) fn model(&self) -> &'a str {
        self.cells[0].model()
    }

    /// Returns the title of the experiment, and the values of the axes if all lines share them.
    pub(super) fn subtitle(&self, records: &ExperimentRecords) -> String {
        let parts = [records.title.as_str(), self.setting()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }

    /// Returns the values of the axes if all lines share them. If not, returns an empty string.
    fn setting(&self) -> &str {
        let setting = &self.lines[0].1;
        if self.lines.iter().all(|line| line.1 == *setting) { setting } else { "" }
    }

    /// Describes the rows of a table that the figure shows.
    pub(super) fn describe_rows(&self) -> String {
        let setting = if self.is_split { format!(" and axes = {}", self.setting()) } else { String::new() };
        format!("rows with model = {}{setting}", self.model())
    }

    /// Returns the label of each line. If all lines share the axis values, the label is the variant. If all
    /// lines share only the variant, the label is the axis values. In all other cases, the label is the
    /// variant and the axis values.
    pub(super) fn line_labels(&self) -> Vec<String> {
        let is_one_setting = self.lines.iter().all(|line| line.1 == self.lines[0].1);
        let is_one_variant = self.lines.iter().all(|line| line.0 == self.lines[0].0);
        let label = |(variant, axes): &(String, String)| match (is_one_setting, is_one_variant) {
            (true, _) => variant.clone(),
            (false, true) => axes.clone(),
            (false, false) => format!("{variant}, {axes}"),
        };
        self.lines.iter().map(label).collect()
    }

    /// Returns the index of the line of a cell.
    pub(super) fn line_index(&self, cell: &T) -> usize {
        let line = line_of(cell);
        self.lines
            .iter()
            .position(|candidate| *candidate == line)
            .expect("the figure has no line for this cell")
    }

    /// Returns `kind-model.svg`, or `kind-model-axes.svg` if the model has several figures.
    pub(super) fn file_name(&self, kind: &str) -> String {
        let setting = if self.is_split { self.setting() } else { "" };
        file_name(&[kind, self.model(), setting])
    }
}

/// Returns the name of an SVG file. Joins the parts with hyphens, skips empty parts, and replaces unsafe
/// characters by hyphens.
pub(super) fn file_name(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.=,".contains(c);
    format!("{}.svg", parts.join("-")).chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}

fn line_of<T: LabelledCell>(cell: &T) -> (String, String) {
    (cell.variant().to_owned(), cell.axes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn with_budgets(budgets: &[&str]) -> Vec<DistilCell> {
        let cell = |budget: &&str| {
            let mut cells = fixture::records().distillations;
            cells.iter_mut().for_each(|cell| {
                cell.labels.model = "hub/model".to_owned();
                cell.labels.axes.insert("distil.token-budget".to_owned(), (*budget).to_owned());
            });
            cells
        };
        budgets.iter().flat_map(cell).collect()
    }

    #[test]
    fn a_few_settings_share_a_figure_with_labelled_lines() {
        let cells = with_budgets(&["1M", "10M"]);
        let groups = group_by_figure(cells.iter().collect());
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].file_name("score"), "score-hub-model.svg");
        assert_eq!(groups[0].line_labels()[0], "gdn, distil.token-budget=10M");
        assert_eq!(groups[0].setting(), "");
    }

    #[test]
    fn many_lines_are_split_into_a_figure_per_setting() {
        let cells = with_budgets(&["1M", "3M", "10M", "30M"]);
        let groups = group_by_figure(cells.iter().collect());
        assert_eq!(groups.len(), 4);
        assert_eq!(groups[0].file_name("score"), "score-hub-model-distil.token-budget=10M.svg");
        assert_eq!(groups[0].line_labels(), ["gdn", "gla"]);
        assert_eq!(groups[0].setting(), "distil.token-budget=10M");
    }
}
