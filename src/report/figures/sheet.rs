//! What goes on one figure: the cells of one model, and which line each of them belongs to.

use std::collections::BTreeSet;

use crate::report::derived::format_axes;
use crate::report::evidence::{DistilEvidence, Evidence, SearchEvidence};

/// More lines than this on one panel cannot be told apart; then each setting of the axes gets a figure.
const MAX_LINES: usize = 6;

/// A cell that a figure shows as part of a line.
pub(super) trait Drawable {
    /// Name of the base model.
    fn model(&self) -> &str;
    /// Name of the linear variant.
    fn variant(&self) -> &str;
    /// Values of the further sweep axes.
    fn axes(&self) -> String;
}

impl Drawable for SearchEvidence {
    fn model(&self) -> &str {
        &self.model
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn axes(&self) -> String {
        format_axes(&self.axes)
    }
}

impl Drawable for DistilEvidence {
    fn model(&self) -> &str {
        &self.model
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn axes(&self) -> String {
        format_axes(&self.axes)
    }
}

/// The cells of one figure; never without one.
pub(super) struct Sheet<'a, T> {
    /// The cells, in their canonical order.
    pub(super) cells: Vec<&'a T>,
    /// Variant and axes of each line, sorted.
    lines: Vec<(String, String)>,
    /// Whether the figure holds one setting of several.
    is_split: bool,
}

/// Parts cells into figures.
pub(super) fn sheets<T: Drawable>(cells: Vec<&T>) -> Vec<Sheet<'_, T>> {
    let models: BTreeSet<&str> = cells.iter().map(|cell| cell.model()).collect();
    let of_model = |model: &str| cells.iter().copied().filter(|cell| cell.model() == model).collect();
    models.into_iter().flat_map(|model| sheets_of_model(of_model(model))).collect()
}

fn sheets_of_model<T: Drawable>(cells: Vec<&T>) -> Vec<Sheet<'_, T>> {
    let settings: BTreeSet<String> = cells.iter().map(|cell| cell.axes()).collect();
    let whole = Sheet::new(cells, false);
    if whole.lines.len() <= MAX_LINES || settings.len() == 1 {
        return vec![whole];
    }
    let of_setting = |setting| whole.cells.iter().copied().filter(|cell| cell.axes() == setting).collect();
    settings.into_iter().map(|setting| Sheet::new(of_setting(setting), true)).collect()
}

impl<'a, T: Drawable> Sheet<'a, T> {
    fn new(cells: Vec<&'a T>, is_split: bool) -> Self {
        let lines: BTreeSet<_> = cells.iter().map(|cell| line_of(*cell)).collect();
        Self { cells, lines: lines.into_iter().collect(), is_split }
    }

    /// The model that the figure is about.
    pub(super) fn model(&self) -> &'a str {
        self.cells[0].model()
    }

    /// What the experiment asks, and the setting that all lines share.
    pub(super) fn subtitle(&self, evidence: &Evidence) -> String {
        let parts = [evidence.title.as_str(), self.setting()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }

    fn setting(&self) -> &str {
        let setting = &self.lines[0].1;
        if self.lines.iter().all(|line| line.1 == *setting) { setting } else { "" }
    }

    /// Which rows of a table the figure shows.
    pub(super) fn rows(&self) -> String {
        let setting = if self.is_split { format!(" and axes = {}", self.setting()) } else { String::new() };
        format!("rows with model = {}{setting}", self.model())
    }

    /// What each line is called: what tells it from the others.
    pub(super) fn labels(&self) -> Vec<String> {
        let is_one_setting = self.lines.iter().all(|line| line.1 == self.lines[0].1);
        let is_one_variant = self.lines.iter().all(|line| line.0 == self.lines[0].0);
        let label = |(variant, axes): &(String, String)| match (is_one_setting, is_one_variant) {
            (true, _) => variant.clone(),
            (false, true) => axes.clone(),
            (false, false) => format!("{variant}, {axes}"),
        };
        self.lines.iter().map(label).collect()
    }

    /// The number of the line that a cell of this figure belongs to.
    pub(super) fn line_index(&self, cell: &T) -> usize {
        let line = line_of(cell);
        self.lines
            .iter()
            .position(|candidate| *candidate == line)
            .expect("a figure's cell is on a line of it")
    }

    /// `kind-model.svg`, with the setting where the model has several figures.
    pub(super) fn file_name(&self, kind: &str) -> String {
        let setting = if self.is_split { self.setting() } else { "" };
        file_name(&[kind, self.model(), setting])
    }
}

/// The name of a figure's file: its parts, of which some may be empty, joined by hyphens.
pub(super) fn file_name(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.=,".contains(c);
    format!("{}.svg", parts.join("-")).chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}

fn line_of<T: Drawable>(cell: &T) -> (String, String) {
    (cell.variant().to_owned(), cell.axes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn with_budgets(budgets: &[&str]) -> Vec<DistilEvidence> {
        let cell = |budget: &&str| {
            let mut cells = fixture::evidence().distillations;
            cells.iter_mut().for_each(|cell| {
                cell.model = "hub/model".to_owned();
                cell.axes.insert("distil.token-budget".to_owned(), (*budget).to_owned());
            });
            cells
        };
        budgets.iter().flat_map(cell).collect()
    }

    #[test]
    fn few_settings_share_a_figure_and_are_named_on_their_lines() {
        let cells = with_budgets(&["1M", "10M"]);
        let sheets = sheets(cells.iter().collect());
        assert_eq!(sheets.len(), 1);
        assert_eq!(sheets[0].file_name("score"), "score-hub-model.svg");
        assert_eq!(sheets[0].labels()[0], "gdn, distil.token-budget=10M");
        assert_eq!(sheets[0].setting(), "");
    }

    #[test]
    fn more_lines_than_can_be_told_apart_part_by_setting() {
        let cells = with_budgets(&["1M", "3M", "10M", "30M"]);
        let sheets = sheets(cells.iter().collect());
        assert_eq!(sheets.len(), 4);
        assert_eq!(sheets[0].file_name("score"), "score-hub-model-distil.token-budget=10M.svg");
        assert_eq!(sheets[0].labels(), ["gdn", "gla"]);
        assert_eq!(sheets[0].setting(), "distil.token-budget=10M");
    }
}
