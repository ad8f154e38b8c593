//! Tests that `--set` strings and the axes of a sweep override the values in files.

use super::*;
use crate::algorithms::search::StopCriterion;
use crate::manifest::{Manifest, ModelSource};
use dtr_core::count::Count;

fn set(sets: &[&str]) -> Result<Manifest> {
    let main = format!("{HEAD}{SWEEP}");
    Ok(Folder::of(&[("base.toml", BASE), ("main.toml", &main)]).load("main.toml", sets)?.manifest)
}

#[test]
fn a_set_overrides_one_value() {
    let manifest = set(&[
        "distil.token-budget=\"1M\"",
        "distil.seed = 1",
        "distil.seed=2",
        "search.stop={ min-score = 0.5 }",
        "sweep.task=[\"facts\"]",
        "models.\"a.b\".source.path='x/../y'",
        "sweep.axes.\"distil.batch-size\"=[1, 2]",
    ])
    .expect("a manifest");
    assert_eq!(manifest.distil.token_budget, Count(1_000_000));
    assert_eq!(manifest.distil.seed.0, 2, "the last `--set` must win");
    assert_eq!(manifest.search.stop, StopCriterion::MinScore(0.5));
    assert_eq!(manifest.sweep.task, ["facts"]);
    assert_eq!(
        manifest.models["a.b"].source,
        ModelSource::Path("x/../y".to_owned()),
        "`x` may be a link, so `x/..` must stay"
    );
    assert_eq!(manifest.sweep.axes["distil.batch-size"].len(), 2);
}

#[test]
fn an_error_in_a_set_underlines_its_token() {
    let quoting = "quote the string, and quote it again for the shell: `--set 'name=\"other\"'`";
    let budget = "quote the string, and quote it again for the shell: `--set 'distil.token-budget=\"1M\"'`";
    for (text, message, token, expected) in [
        (
            "name=other",
            "cannot read `--set`: string values must be quoted, expected literal string",
            "other",
            quoting,
        ),
        (
            "distil.token-budget=1M",
            "cannot read `--set`: string values must be quoted, expected literal string",
            "1M",
            budget,
        ),
        ("distil.tokn-budget=1", "unknown key `tokn-budget`", "tokn-budget", "did you mean `token-budget`?"),
        (
            "distil.batch-size=0",
            "`distil.batch-size` must be at least 1",
            "0",
            "write a whole number from 1 to 65536",
        ),
        ("sweep.model=[\"miny\"]", "no model is called `miny`", "\"miny\"", "did you mean `mini`?"),
        ("extends=[\"x\"]", "`--set` cannot change `extends`", "extends", ""),
    ] {
        let error = set(&[text]).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(underlined(&error), ("--set".to_owned(), token.to_owned()), "{text}");
        assert_eq!(hint(&error), expected, "{text}");
    }
    for text in ["", "# nothing", "[distil]\nseed = 1", "name = \"a\"\nquestion = \"b\""] {
        let error = set(&[text]).expect_err(text);
        assert_eq!(error.to_string(), "`--set` takes one `path=value`", "{text}");
        assert_eq!(underlined(&error).1, text);
    }
}

#[test]
fn an_axis_value_overrides_every_manifest_layer() {
    let text = format!(
        "{HEAD}{SWEEP}[sweep.axes]\n\"distil.token-budget\" = [\"1M\", \"10M\"]\n\"distil.batch-size\" = [8, 4096]\n"
    );
    let loaded = load_text(&text).expect("a manifest");
    let before = loaded.manifest.clone();
    let at = |budget: &str, batch: i64| {
        loaded.with_overrides(&[
            ("distil.token-budget".to_owned(), budget.into()),
            ("distil.batch-size".to_owned(), batch.into()),
        ])
    };
    assert_eq!(at("10M", 8).expect("a valid manifest").distil.token_budget, Count(10_000_000));
    // Each of the two values is valid alone, but the pair is invalid. The error underlines the value of the
    // later axis.
    let error = at("1M", 4096).expect_err("one step of 2M tokens with a budget of 1M");
    assert_eq!(underlined(&error), ("main.toml".to_owned(), "4096".to_owned()));
    // If no axis lists the value, the error underlines the value in the text of the override.
    let error = at("many", 8).expect_err("`many` as a token budget");
    assert_eq!(underlined(&error), ("override".to_owned(), "\"many\"".to_owned()));
    assert_eq!(loaded.manifest, before, "overrides must not change the loaded manifest");
    assert_eq!(
        loaded.with_overrides(&[]).expect("no override"),
        before,
        "overrides must not change the source map"
    );
}

#[test]
fn later_checks_can_underline_an_entry() {
    use crate::manifest::EntryPart;
    let loaded = load_text(&format!("{HEAD}{SWEEP}")).expect("a manifest");
    let sources = loaded.source_map();
    for (path, at, token) in [
        (&["sweep", "model", "0"][..], EntryPart::Value, "\"mini\""),
        (&["sweep", "model"], EntryPart::Key, "model"),
        (&["sweep", "model", "7"], EntryPart::Value, "model"),
        (&["models", "mini"], EntryPart::Key, "mini"),
        (&["models", "mini", "source", "path"], EntryPart::Value, "\"models/mini\""),
        (&["distil", "seed"], EntryPart::Value, ""),
    ] {
        assert_eq!(underlined(&sources.error_at(path, at, "so")).1, token, "{path:?}");
    }
    assert!(sources.key_span(&["sweep", "model", "0"]).is_none());
    let span = sources.value_span(&["sweep", "task"]).expect("written");
    let (name, text) = sources.file(&span);
    assert!(name.ends_with("main.toml") && &text[span.range] == "[\"recall\"]");
}
