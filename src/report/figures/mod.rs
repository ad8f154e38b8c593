//! The figures of a report as SVG files. The same records always give the same files.
//!
//! Each model has five kinds of figures: validation scores, orders in which layers were replaced, the
//! agreement of these orders, distillation errors, and throughput. If several strategies searched with the
//! same variant, another figure compares the strategies.

mod axis;
mod dashes;
mod distillation;
mod figure_cells;
mod legend;
mod order_agreement;
mod panel;
mod replacement_order;
mod strategies;
mod style;
mod svg_canvas;
mod throughput;
mod validation_score;

use std::path::{Path, PathBuf};

use super::report_data::ReportData;
use super::rows::{sorted_distillations, sorted_searches};
use super::throughput::throughput_rows;
use dtr_core::error::Result;
use dtr_core::files::write_bytes_atomically;
use figure_cells::{file_name, group_by_figure};

/// Writes `figures`, pairs of file name and SVG, into `folder`. Returns the paths of the files.
///
/// # Errors
/// Fails if a file cannot be written.
pub(super) fn write(figures: &[(String, String)], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, svg) in figures {
        let path = folder.join(name);
        write_bytes_atomically(&path, svg.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// Draws all figures. Returns the file name and the SVG of each figure.
///
/// # Errors
/// Fails if plotters cannot draw.
pub(super) fn draw(data: &ReportData<'_>) -> Result<Vec<(String, String)>> {
    let records = data.records;
    let mut figures = Vec::new();
    for group in group_by_figure(sorted_searches(records)) {
        figures.push((group.file_name("score"), validation_score::draw(&group, records)?));
        figures.push((group.file_name("order"), replacement_order::draw(&group, records)?));
    }
    figures.extend(strategies::draw(&sorted_searches(records), records)?);
    for rows in data.agreement.chunk_by(|one, other| one.model == other.model) {
        let model = rows[0].model.as_str();
        figures.push((file_name(&["agreement", model]), order_agreement::draw(model, rows, records)?));
    }
    for group in group_by_figure(sorted_distillations(records)) {
        figures.push((group.file_name("distillation"), distillation::draw(&group, records)?));
    }
    let lines = throughput::lines(&throughput_rows(records));
    for group in group_by_figure(lines.iter().collect()) {
        figures.push((group.file_name("throughput"), throughput::draw(&group, records)?));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::experiment_records::ExperimentRecords;
    use crate::report::fixture;

    fn drawn(records: &ExperimentRecords) -> Vec<(String, String)> {
        draw(&ReportData::new(records)).unwrap()
    }

    /// Returns the numeric value of an attribute of an XML element.
    fn attribute(element: &str, name: &str) -> f64 {
        let start = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        element[start..].split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn figures_do_not_depend_on_the_order_of_cells() {
        let records = fixture::records();
        assert_eq!(drawn(&records), drawn(&fixture::shuffled(records.clone())));
    }

    #[test]
    fn every_kind_of_figure_is_written_for_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write(&drawn(&fixture::records()), folder.path()).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let kinds = ["score", "order", "agreement", "distillation", "throughput"];
        assert_eq!(names, kinds.map(|kind| format!("{kind}-tiny-8.svg")));
        assert!(paths.iter().all(|path| path.is_file()));
    }

    #[test]
    fn text_lies_inside_a_figure_of_twelve_panels() {
        for (name, svg) in drawn(&fixture::records_of_size(3, 12, 28)) {
            let root = svg.lines().next().unwrap();
            let (width, height) = (attribute(root, "width"), attribute(root, "height"));
            for element in svg.lines().filter(|line| line.starts_with("<text")) {
                let (x, y) = (attribute(element, "x"), attribute(element, "y"));
                assert!((0.0..width).contains(&x) && (0.0..height).contains(&y), "{name}: {element}");
            }
        }
    }

    #[test]
    fn a_figure_has_a_white_background_and_a_title() {
        for (name, svg) in drawn(&fixture::records()) {
            let mut lines = svg.lines();
            assert!(lines.next().unwrap().ends_with(" role=\"img\">"), "{name}");
            assert!(lines.next().unwrap().starts_with("<title>tiny-8: "), "{name}");
            assert!(lines.next().unwrap().contains("fill=\"#FFFFFF\""), "{name}");
        }
    }

    #[test]
    fn a_figure_names_its_data() {
        for (name, svg) in drawn(&fixture::records()) {
            assert!(svg.contains("Data: table"), "{name}");
            assert!(svg.contains("rows with model = tiny-8"), "{name}");
        }
    }

    #[test]
    fn no_records_give_no_figures() {
        assert!(drawn(&ExperimentRecords::default()).is_empty());
    }
}
