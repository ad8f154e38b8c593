//! The data that the template of the page needs to show a figure.

use serde::Serialize;

use super::RESULTS;

/// Data of a figure for the template.
#[derive(Serialize)]
pub(super) struct FigureView<'a> {
    /// Name of the SVG file.
    pub(super) name: &'a str,
    /// Path of the SVG file, relative to the page.
    pub(super) href: String,
    /// The content of the SVG file. Its text is already escaped.
    pub(super) svg: &'a str,
}

impl<'a> FigureView<'a> {
    /// Builds the view from the name and the content of an SVG file.
    pub(super) fn new((name, svg): &'a (String, String), experiment: &str) -> Self {
        Self { name, href: format!("{RESULTS}/figures/{experiment}/{name}"), svg }
    }
}
