//! The sanitiser of code, compared with EvalPlus' on the texts of `own.json`.

use serde::Deserialize;

use crate::support::{read_fixture, sandbox};

#[derive(Deserialize)]
struct OwnTexts {
    texts: Vec<OwnText>,
}

#[derive(Deserialize)]
struct OwnText {
    text: String,
    entry: String,
    code: String,
}

#[test]
fn own_texts_yield_the_code_that_evalplus_finds() {
    let Some(sandbox) = sandbox() else { return };
    let OwnTexts { texts } = read_fixture("own.json");
    let jobs: Vec<_> = texts.iter().map(|text| (text.text.clone(), text.entry.clone())).collect();
    let codes = sandbox.sanitize_code(&jobs).unwrap();
    assert_eq!(codes.len(), texts.len());
    let wrong: Vec<_> = texts.iter().zip(&codes).filter(|(text, code)| text.code != **code).collect();
    for (text, code) in &wrong {
        eprintln!("{:?}: expected {:?}, found {code:?}", text.text, text.code);
    }
    assert!(wrong.is_empty());
}
