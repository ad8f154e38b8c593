//! The figures: SVG with text as text, the same bytes for the same evidence.
//!
//! One file of each kind for each model: scores along the searches, the order of replacement, whether orders agree, what
//! distillation learned, and how fast hybrids are; where several strategies searched, their scores side by side for each variant.

mod agreement;
mod axis;
mod canvas;
mod dash;
mod distillation;
mod legend;
mod order;
mod panel;
mod score;
mod sheet;
mod strategies;
mod style;
mod throughput;

use std::path::{Path, PathBuf};

use super::report_data::ReportData;
use super::rows::{sorted_distillations, sorted_searches};
use super::throughput::throughput_rows;
use dtr_core::error::Result;
use dtr_core::files::write_bytes_atomically;
use sheet::{file_name, sheets};

/// Writes figures into `folder`; returns the files.
pub(super) fn write(figures: &[(String, String)], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, svg) in figures {
        let path = folder.join(name);
        write_bytes_atomically(&path, svg.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// Every figure: the name of its file and its SVG.
pub(super) fn draw(data: &ReportData<'_>) -> Result<Vec<(String, String)>> {
    let evidence = data.evidence;
    let mut figures = Vec::new();
    for sheet in sheets(sorted_searches(evidence)) {
        figures.push((sheet.file_name("score"), score::draw(&sheet, evidence)?));
        figures.push((sheet.file_name("order"), order::draw(&sheet, evidence)?));
    }
    figures.extend(strategies::draw(&sorted_searches(evidence), evidence)?);
    for rows in data.agreement.chunk_by(|one, other| one.model == other.model) {
        let model = rows[0].model.as_str();
        figures.push((file_name(&["agreement", model]), agreement::draw(model, rows, evidence)?));
    }
    for sheet in sheets(sorted_distillations(evidence)) {
        figures.push((sheet.file_name("distillation"), distillation::draw(&sheet, evidence)?));
    }
    let lines = throughput::lines(&throughput_rows(evidence));
    for sheet in sheets(lines.iter().collect()) {
        figures.push((sheet.file_name("throughput"), throughput::draw(&sheet, evidence)?));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::evidence::Evidence;
    use crate::report::fixture;

    fn drawn(evidence: &Evidence) -> Vec<(String, String)> {
        draw(&ReportData::new(evidence)).unwrap()
    }

    /// The value of an attribute of an element that starts with `tag`.
    fn attribute(element: &str, name: &str) -> f64 {
        let start = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        element[start..].split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn figures_do_not_depend_on_the_order_of_cells() {
        let evidence = fixture::evidence();
        assert_eq!(drawn(&evidence), drawn(&fixture::shuffled(evidence.clone())));
    }

    #[test]
    fn every_kind_of_figure_is_written_for_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write(&drawn(&fixture::evidence()), folder.path()).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let kinds = ["score", "order", "agreement", "distillation", "throughput"];
        assert_eq!(names, kinds.map(|kind| format!("{kind}-tiny-8.svg")));
        assert!(paths.iter().all(|path| path.is_file()));
    }

    #[test]
    fn all_text_lies_inside_a_figure_of_twelve_panels() {
        for (name, svg) in drawn(&fixture::sized(3, 12, 28)) {
            let root = svg.lines().next().unwrap();
            let (width, height) = (attribute(root, "width"), attribute(root, "height"));
            for element in svg.lines().filter(|line| line.starts_with("<text")) {
                let (x, y) = (attribute(element, "x"), attribute(element, "y"));
                assert!((0.0..width).contains(&x) && (0.0..height).contains(&y), "{name}: {element}");
            }
        }
    }

    #[test]
    fn a_figure_is_white_and_has_a_title() {
        for (name, svg) in drawn(&fixture::evidence()) {
            let mut lines = svg.lines();
            assert!(lines.next().unwrap().ends_with(" role=\"img\">"), "{name}");
            assert!(lines.next().unwrap().starts_with("<title>tiny-8: "), "{name}");
            assert!(lines.next().unwrap().contains("fill=\"#FFFFFF\""), "{name}");
        }
    }

    #[test]
    fn a_figure_names_its_data() {
        for (name, svg) in drawn(&fixture::evidence()) {
            assert!(svg.contains("Data: table"), "{name}");
            assert!(svg.contains("rows with model = tiny-8"), "{name}");
        }
    }

    #[test]
    fn no_evidence_gives_no_figures() {
        assert!(drawn(&Evidence::default()).is_empty());
    }
}
