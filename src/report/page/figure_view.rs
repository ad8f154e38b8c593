//! A figure on the page.

use serde::Serialize;

use super::RESULTS;

/// Data of a figure for the template.
#[derive(Serialize)]
pub(super) struct FigureView<'a> {
    /// Name of the SVG file.
    pub(super) name: &'a str,
    /// Path of the SVG file, relative to the page.
    pub(super) href: String,
    /// The SVG. Its text is escaped already.
    pub(super) svg: &'a str,
}

impl<'a> FigureView<'a> {
    /// Builds the view from a file name and an SVG.
    pub(super) fn new((name, svg): &'a (String, String), experiment: &str) -> Self {
        Self { name, href: format!("{RESULTS}/figures/{experiment}/{name}"), svg }
    }
}
