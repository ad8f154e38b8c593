//! The HTML page of an experiment: findings, provenance, all figures and all tables in one file.
//!
//! The page needs neither a network nor a server. The template escapes all text from manifests and records.

mod figure_view;
mod provenance;
mod record_links;
mod score_table;
mod summary;
mod table_view;
mod values;

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use self::figure_view::FigureView;
use self::provenance::ProvenanceEntry;
use self::record_links::RecordLinks;
use self::score_table::ScoreTable;
use self::summary::MissingCells;
use self::table_view::TableView;
use super::report_data::ReportData;
use super::tables::Table;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// Name of the page's file. The page is in the folder of the tables.
const FILE_NAME: &str = "index.html";

/// Path from the folder of the page, `tables/EXPERIMENT`, to the results folder.
const RESULTS: &str = "../..";

/// Name of the template. The template engine escapes HTML because of the extension `.html`.
const TEMPLATE: &str = "page.html";

/// The values that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    experiment: &'a str,
    title: &'a str,
    question: Option<&'a str>,
    findings: Vec<String>,
    scores: Vec<ScoreTable>,
    missing: Option<MissingCells<'a>>,
    provenance: Vec<ProvenanceEntry>,
    figures: Vec<FigureView<'a>>,
    tables: Vec<TableView>,
    empty_tables: Vec<&'static str>,
}

/// Writes the page into `folder`, which also holds the tables. Returns the path of the page.
///
/// # Errors
/// Fails if the page cannot be rendered, or if the file cannot be written.
pub(super) fn write(
    data: &ReportData<'_>,
    tables: &[Table],
    figures: &[(String, String)],
    folder: &Path,
) -> Result<PathBuf> {
    let path = folder.join(FILE_NAME);
    write_bytes_atomically(&path, render(&page(data, tables, figures))?.as_bytes())?;
    Ok(path)
}

fn page<'a>(data: &ReportData<'a>, tables: &[Table], figures: &'a [(String, String)]) -> Page<'a> {
    let records = data.records;
    let links = RecordLinks::new(records);
    let (filled, empty): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.frame.height() > 0);
    Page {
        style: include_str!("page.css"),
        script: include_str!("page.js"),
        experiment: &records.experiment,
        title: &records.title,
        question: records.question.as_deref().filter(|question| *question != records.title),
        findings: summary::findings(data),
        scores: score_table::score_tables(data, &links),
        missing: summary::missing_cells(records),
        provenance: provenance::provenance_entries(records),
        figures: figures.iter().map(|figure| FigureView::new(figure, &records.experiment)).collect(),
        tables: filled.into_iter().map(|table| TableView::new(table, &links)).collect(),
        empty_tables: empty.into_iter().map(|table| table.spec.name).collect(),
    }
}

fn render(page: &Page<'_>) -> Result<String> {
    let mut environment = Environment::new();
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    let rendered = environment
        .add_template(TEMPLATE, include_str!("page.html"))
        .and_then(|()| environment.get_template(TEMPLATE))
        .and_then(|template| template.render(Value::from(Serde(page))));
    rendered.map_err(|cause| Error::failed("cannot render the page").with_source(cause))
}

#[cfg(test)]
mod tests;
