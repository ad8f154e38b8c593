//! A figure in the page.

use serde::Serialize;

use super::RESULTS;

/// A figure as the template shows it.
#[derive(Serialize)]
pub(super) struct Figure<'a> {
    /// The name of its file.
    pub(super) name: &'a str,
    /// Its file, relative to the page.
    pub(super) href: String,
    /// Its SVG, which escapes what it quotes.
    pub(super) svg: &'a str,
}

impl<'a> Figure<'a> {
    /// The figure of a file's name and SVG.
    pub(super) fn of((name, svg): &'a (String, String), experiment: &str) -> Self {
        Self { name, href: format!("{RESULTS}/figures/{experiment}/{name}"), svg }
    }
}
