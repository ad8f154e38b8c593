//! Snapshot tests of errors in the format of the terminal.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

/// Formats the error as `main` does for a terminal without colours.
pub(super) fn render(error: &Error) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_wrap_lines(false);
    let mut text = String::new();
    handler.render_report(&mut text, error).expect("cannot format the error");
    text
}

/// Returns the formatted error of a manifest in `tests/manifests`.
fn shown(name: &str, sets: &[&str]) -> String {
    let path = Path::new("tests/manifests").join(name);
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    render(&load_manifest(&path, &sets).expect_err(name))
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(shown("unknown-key.toml", &[]));
}

#[test]
fn a_value_in_a_base_file() {
    insta::assert_snapshot!(shown("bad-base.toml", &[]));
}

#[test]
fn an_unknown_name_on_an_axis() {
    insta::assert_snapshot!(shown("unknown-model.toml", &[]));
}

#[test]
fn a_value_in_the_list_of_an_axis() {
    insta::assert_snapshot!(shown("bad-axis.toml", &[]));
}

#[test]
fn a_duplicate_key() {
    insta::assert_snapshot!(shown("duplicate-key.toml", &[]));
}

#[test]
fn a_set_without_quotes() {
    insta::assert_snapshot!(shown("good.toml", &["distil.token-budget=1M"]));
}

#[test]
fn a_cycle_of_files() {
    insta::assert_snapshot!(shown("circle.toml", &[]));
}

#[test]
fn a_manifest_without_a_name() {
    insta::assert_snapshot!(shown("no-name.toml", &[]));
}
