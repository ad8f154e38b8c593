//! Tests that loading random texts never panics, and that every error can be formatted.

use proptest::prelude::*;

use super::*;

/// Returns a manifest that uses every table.
fn full() -> String {
    let head = "name = \"try\"\nquestion = \"?\"\n";
    let tables = "[[sweep.exclude]]\nmodel = \"mini\"\nvariant = \"gdn\"\n[sweep.axes]\n\"distil.batch-size\" = [8, 16]\n\
                  [distil]\ntoken-budget = \"1M\"\n[distil.optimizer]\nbetas = [0.9, 0.95]\n[search]\n\
                  strategy = { greedy = {} }\nstop = { max-relative-drop = 0.05 }\n[pretrain]\nseed = 3\n\
                  [corpus]\nsource = { synthetic = { language-seed = 1, seed = 2 } }\n[report]\ntitle = \"T\"\n\
                  [throughput]\ncontexts = [512, 2048]\nreplaced = { every = 1 }\n";
    let sweep = SWEEP.replace("\"gla\"", "\"gla\", \"gdn\"");
    format!("{head}{BASE}{sweep}{tables}")
}

/// Loads `text`, and formats the error if there is one.
fn attempt(text: &str, sets: &[&str]) {
    if let Err(error) = Folder::of(&[("main.toml", text)]).load("main.toml", sets) {
        error_snapshots::render(&error);
    }
}

/// Generates pieces of TOML that can break the syntax or the structure of a manifest.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "\n[",
        "[[",
        "]\n",
        "{",
        "}",
        "=",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        ".",
        ",",
        "\n",
        "\r\n",
        "#",
        "0",
        "-1",
        "inf",
        "nan",
        "1e999",
        "true",
        "\u{feff}",
        "é",
        "\u{1F980}",
        "\0",
        "\\u0000",
        "extends = [\"main.toml\"]\n",
        "sweep.axes.\"models\" = [1]\n",
        "[sweep.axes]\n\"\" = []\n",
        "source",
        "1979-05-27",
        "= {}",
        "= []",
        "language-seed = ",
        "$__toml_private_datetime",
    ];
    prop_oneof![proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), "[ -~]{0,4}"]
}

#[test]
fn the_full_manifest_is_valid() {
    Folder::of(&[("main.toml", &full())]).load("main.toml", &[]).expect("the full manifest must be valid");
}

proptest! {
    #[test]
    fn any_text_loads_or_is_refused(text in "\\PC{0,60}", set in "\\PC{0,20}") {
        attempt(&text, &[]);
        attempt(&full(), &[&set]);
    }

    #[test]
    fn any_pieces_of_toml_load_or_are_refused(pieces in proptest::collection::vec(piece(), 0..12)) {
        attempt(&pieces.concat(), &[]);
        attempt(&full(), &[&pieces.concat()]);
    }

    #[test]
    fn a_broken_manifest_loads_or_is_refused(cuts in proptest::collection::vec((0.0..1.0, 0_usize..6, piece()), 1..4)) {
        let mut text = full();
        for (share, length, piece) in cuts {
            let start = text.floor_char_boundary((share * text.len() as f64) as usize);
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        attempt(&text, &[]);
    }

    #[test]
    fn any_axis_loads_or_is_refused(key in "[a-z.\"= ]{0,12}|(distil|models|search)[.][a-z.-]{0,12}", value in piece()) {
        let key = key.replace('"', "\\\"");
        attempt(&format!("{}\"{key}\" = [1, {value}]\n", full().replace("\"distil.batch-size\"", "#")), &[]);
    }
}
