//! Compares stop strings and filters with those of lm-evaluation-harness.

use dtr_text::filter::{FencedBlock, FilterChain, MatchChoice, RegexFilter, TextFilter};
use dtr_text::stop_strings::StopStrings;
use serde::Deserialize;

use crate::read_fixture;

#[derive(Deserialize)]
struct RegexCases {
    pattern: String,
    last: bool,
    texts: Vec<String>,
    answers: Vec<String>,
}

fn apply(filters: &[TextFilter], text: &str) -> String {
    FilterChain::new(filters).unwrap().apply(text).unwrap()
}

#[test]
fn stop_strings_cut_texts_as_the_harness_does() {
    for (stops, text, cut) in read_fixture::<Vec<(Vec<String>, String, String)>>("stop_strings") {
        assert_eq!(StopStrings::new(stops.clone()).cut(&text), cut, "{stops:?} in {text:?}");
    }
}

#[test]
fn regular_expressions_select_the_answer_of_the_harness() {
    for cases in read_fixture::<Vec<RegexCases>>("regex_filters") {
        let match_choice = if cases.last { MatchChoice::Last } else { MatchChoice::First };
        let filter = RegexFilter { match_choice, ..RegexFilter::new(&cases.pattern) };
        let chain = FilterChain::new(&[TextFilter::Regex(filter)]).unwrap();
        for (text, answer) in cases.texts.iter().zip(cases.answers) {
            assert_eq!(chain.apply(text).unwrap(), answer, "`{}` in {text:?}", cases.pattern);
        }
    }
}

#[test]
fn a_fenced_block_is_that_of_the_harness() {
    let filter = TextFilter::FencedBlock(FencedBlock { prompt_opens_block: true });
    for (text, code) in read_fixture::<Vec<(String, String)>>("fenced_blocks") {
        assert_eq!(apply(std::slice::from_ref(&filter), &text), code, "{text:?}");
    }
    let filter = [TextFilter::FencedBlock(FencedBlock::default())];
    assert_eq!(apply(&filter, "Here:\n```python\nx = 1\n```\nand ```y```"), "x = 1");
    assert_eq!(apply(&filter, "x = 1\n```"), "");
}

#[test]
fn a_group_and_the_number_of_a_match_select_an_answer() {
    let select = |group, match_choice, text: &str| {
        let filter = RegexFilter { group, match_choice, ..RegexFilter::new(r"(\w)=(\d)?") };
        apply(&[TextFilter::Regex(filter)], text)
    };
    assert_eq!(select(None, MatchChoice::First, "a=1 b=2"), "a");
    assert_eq!(select(Some(2), MatchChoice::Index(1), "a=1 b=2"), "2");
    assert_eq!(select(Some(0), MatchChoice::Last, "a=1 b=2"), "b=2");
    assert_eq!(select(Some(2), MatchChoice::First, "a= b=2"), "[invalid]");
    assert_eq!(select(None, MatchChoice::Index(2), "a=1 b=2"), "[invalid]");
    let filter = RegexFilter { group: Some(3), ..RegexFilter::new(r"(\w)=(\d)?") };
    let error = FilterChain::new(&[TextFilter::Regex(filter)]).unwrap_err();
    assert_eq!(error.to_string(), r"cannot select group 3 of `(\w)=(\d)?`: it has 2 groups");
}

#[test]
fn filters_of_a_manifest_apply_in_their_order() {
    #[derive(Deserialize)]
    struct Task {
        filters: Vec<TextFilter>,
    }
    let read = |text: &str| toml::from_str::<Task>(text).map(|task| task.filters);
    let filters = read(
        r#"filters = [
            "trim-leading-newlines", "first-line", { remove = { patterns = [",", '\.$'] } },
            "strip", "lowercase",
            { regex = { pattern = 'is (\w+)', match = { index = 0 }, fallback = "none" } },
        ]"#,
    );
    let filters = filters.unwrap();
    assert_eq!(apply(&filters, "\n\n The answer, is BLUE.\nis red"), "blue");
    assert_eq!(apply(&filters, "no answer"), "none");
    assert_eq!(apply(&[TextFilter::TabsToSpaces], "\tif x:\n \t\ty"), "    if x:\n         y");
    assert_eq!(apply(&[TextFilter::FirstLine], "\nType: Food"), "", "the harness stops at the first newline");
    let error = read("filters = [{ regex = { pattern = 'a', groups = 1 } }]").unwrap_err().to_string();
    assert!(error.contains("unknown field `groups`"), "{error}");
}
