//! Tests that any text can be filtered and scored without a panic, and that scores are from 0 to 1.

use dtr_text::filter::{FencedBlock, FilterChain, RegexFilter, RemoveFilter, TextFilter};
use dtr_text::metric::{ExactMatch, MacroF1, TextMetric};
use dtr_text::python_regex::PythonRegex;
use proptest::prelude::*;

fn all_metrics() -> [TextMetric; 6] {
    [
        TextMetric::ExactMatch(ExactMatch {
            ignored_patterns: vec![r"\.$".to_owned(), r"\b\w".to_owned()],
            ignore_case: true,
            ignore_punctuation: true,
            ignore_numbers: true,
        }),
        TextMetric::Contains,
        TextMetric::TokenF1,
        TextMetric::MacroF1(MacroF1::default()),
        TextMetric::RougeL,
        TextMetric::Classification,
    ]
}

/// Generates texts of arbitrary characters, and texts of few different characters with many full stops.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "([abİ.]{1,2}[ \n\u{1c}]{1,2}){0,80}"]
}

proptest! {
    #[test]
    fn every_metric_scores_every_text(
        prediction in any_text(),
        reference in any_text(),
        class in any_text(),
    ) {
        for metric in all_metrics() {
            let classes = [class.clone(), reference.clone()];
            let scorer = metric.compile().unwrap();
            let score = scorer.score(&prediction, &[&reference, &class], &classes).unwrap();
            prop_assert!((0.0..=1.0).contains(&score.value), "{metric:?}: {}", score.value);
            let total = metric.aggregate(&[score.clone(), score]).unwrap();
            prop_assert!((0.0..=1.0).contains(&total), "{metric:?}: {total}");
        }
    }

    #[test]
    fn every_filter_accepts_every_text(text in any_text()) {
        let chain = FilterChain::new(&[
            TextFilter::FencedBlock(FencedBlock { prompt_opens_block: true }),
            TextFilter::TrimLeadingNewlines,
            TextFilter::Remove(RemoveFilter { patterns: vec![r"\B|x*$".to_owned()] }),
            TextFilter::Regex(RegexFilter::new(r"(\w*)|(?m:^(.*?)$)")),
            TextFilter::FirstLine,
            TextFilter::Strip,
            TextFilter::Lowercase,
            TextFilter::TabsToSpaces,
        ]);
        chain.unwrap().apply(&text).unwrap();
        let numbers = TextFilter::Regex(RegexFilter::new(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"));
        FilterChain::new(&[numbers]).unwrap().apply(&text).unwrap();
    }

    #[test]
    fn every_pattern_is_read_or_refused(
        pattern in "[ab(){}\\[\\]?*+|^$\\\\dwsbxiPN<>=!:,0-3#.\\- ]{0,12}",
        text in "[ab\n0 ]{0,8}",
    ) {
        if let Ok(regex) = PythonRegex::new(&pattern) {
            let found = regex.find_all(&text);
            prop_assert_eq!(found.is_ok(), regex.remove_all(&text).is_ok());
        }
    }
}
