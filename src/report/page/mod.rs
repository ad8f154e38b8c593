//! One page for an experiment: what holds, what ran, every figure and every table, in a file of its own.
//!
//! It needs no network and no server. What it shows of tables and figures comes from their declarations, so
//! that a new one appears by itself; what manifests and records say is escaped by the template.

mod cells;
mod figure;
mod grid;
mod origin;
mod records;
mod scores;
mod summary;

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use self::figure::Figure;
use self::grid::Grid;
use self::origin::Fact;
use self::records::Records;
use self::scores::Scores;
use self::summary::Missing;
use super::report_data::ReportData;
use super::tables::Table;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// The name of the page's file, beside the tables.
const FILE_NAME: &str = "index.html";

/// The results folder as the page sees it from `tables/EXPERIMENT`.
const RESULTS: &str = "../..";

/// The template's name; its ending is what turns escaping on.
const TEMPLATE: &str = "page.html";

/// What the template shows.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    experiment: &'a str,
    title: &'a str,
    question: Option<&'a str>,
    findings: Vec<String>,
    scores: Vec<Scores>,
    missing: Option<Missing<'a>>,
    origin: Vec<Fact>,
    figures: Vec<Figure<'a>>,
    tables: Vec<Grid>,
    empty_tables: Vec<&'static str>,
}

/// Writes the page into `folder`, where the tables lie; returns its file.
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
    let evidence = data.evidence;
    let records = Records::of(evidence);
    let (filled, empty): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.frame.height() > 0);
    Page {
        style: include_str!("page.css"),
        script: include_str!("page.js"),
        experiment: &evidence.experiment,
        title: &evidence.title,
        question: evidence.question.as_deref().filter(|question| *question != evidence.title),
        findings: summary::findings(data),
        scores: scores::scores(data, &records),
        missing: summary::missing(evidence),
        origin: origin::origin(evidence),
        figures: figures.iter().map(|figure| Figure::of(figure, &evidence.experiment)).collect(),
        tables: filled.into_iter().map(|table| Grid::of(table, &records)).collect(),
        empty_tables: empty.into_iter().map(|table| table.spec.name).collect(),
    }
}

fn render(page: &Page<'_>) -> Result<String> {
    let mut environment = Environment::new();
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    let rendered = environment
        .add_template(TEMPLATE, include_str!("page.html"))
        .and_then(|()| environment.get_template(TEMPLATE))
        .and_then(|template| template.render(Value::from(Serde(page))));
    rendered.map_err(|cause| Error::failed("cannot lay out the page").with_source(cause))
}

#[cfg(test)]
mod tests;
