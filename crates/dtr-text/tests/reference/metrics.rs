//! Compares metrics with those of lm-evaluation-harness, LongBench, scikit-learn and `rouge`.

use dtr_text::metric::{ExactMatch, MacroF1, TextMetric, rouge_l};
use serde::Deserialize;

use crate::read_fixture;

#[derive(Deserialize)]
struct ExactMatches {
    config: ExactMatch,
    pairs: Vec<(String, String, f64)>,
}

#[derive(Deserialize)]
struct MacroF1Case {
    classes: Vec<String>,
    golds: Vec<String>,
    answers: Vec<String>,
    all: f64,
    given: f64,
}

fn check_pairs(metric: &TextMetric, pairs: Vec<(String, String, f64)>) {
    let scorer = metric.compile().unwrap();
    for (prediction, reference, expected) in pairs {
        let score = scorer.score(&prediction, &[&reference], &[]).unwrap();
        assert_eq!(score.value, expected, "{metric:?}: {prediction:?} against {reference:?}");
        assert_eq!(score.classes, None);
    }
}

#[test]
fn exact_match_equals_that_of_the_harness() {
    for row in read_fixture::<Vec<ExactMatches>>("exact_matches") {
        check_pairs(&TextMetric::ExactMatch(row.config), row.pairs);
    }
}

#[test]
fn contains_ignores_case_as_python_does() {
    check_pairs(&TextMetric::Contains, read_fixture("contains"));
}

#[test]
fn token_f1_equals_that_of_the_harness_to_the_last_digit() {
    check_pairs(&TextMetric::TokenF1, read_fixture("token_f1"));
}

#[test]
fn rouge_l_equals_that_of_the_package_to_the_last_digit() {
    let rows: Vec<(String, String, Option<[f64; 3]>)> = read_fixture("rouge_l");
    assert!(rows.len() > 300);
    let scorer = TextMetric::RougeL.compile().unwrap();
    for (text, reference, expected) in rows {
        let score = rouge_l(&text, &reference).map(|score| [score.recall, score.precision, score.f]);
        assert_eq!(score, expected, "{text:?} against {reference:?}");
        let value = scorer.score(&text, &[&reference], &[]).unwrap().value;
        assert_eq!(value, expected.map_or(0.0, |[_, _, f]| f), "an error of the package counts as 0");
    }
}

#[test]
fn classification_equals_that_of_the_harness_with_its_skipped_classes() {
    let scorer = TextMetric::Classification.compile().unwrap();
    let rows: Vec<(String, String, Vec<String>, f64)> = read_fixture("classification");
    for (prediction, gold, classes, expected) in rows {
        let score = scorer.score(&prediction, &[&gold], &classes).unwrap();
        assert_eq!(score.value, expected, "{prediction:?}, {gold:?}, {classes:?}");
    }
}

#[test]
fn macro_f1_equals_that_of_scikit_learn() {
    for case in read_fixture::<Vec<MacroF1Case>>("macro_f1") {
        for (classes, expected) in [(Vec::new(), case.all), (case.classes, case.given)] {
            let metric = TextMetric::MacroF1(MacroF1 { classes });
            let scorer = metric.compile().unwrap();
            let answers = case.answers.iter().zip(&case.golds);
            let scores: Vec<_> =
                answers.map(|(answer, gold)| scorer.score(answer, &[gold], &[]).unwrap()).collect();
            let score = metric.aggregate(&scores).unwrap();
            assert!((score - expected).abs() < 1e-15, "{score}, scikit-learn: {expected}");
        }
    }
}

#[test]
fn the_best_reference_counts_and_the_mean_is_the_score_of_a_task() {
    let metric = TextMetric::TokenF1;
    let scorer = metric.compile().unwrap();
    let best = scorer.score("a red car", &["bike", "red car", "red"], &[]).unwrap();
    assert_eq!(best.value, 1.0);
    let other = scorer.score("blue", &["red"], &[]).unwrap();
    assert_eq!(metric.aggregate(&[best, other]), Some(0.5));
    assert_eq!(metric.aggregate(&[]), None);
    let error = scorer.score("blue", &[] as &[&str], &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot score an answer: its item has no reference");
    let classes = TextMetric::MacroF1(MacroF1::default());
    assert!(metric.is_mean() && !classes.is_mean());
    let scorer = classes.compile().unwrap();
    let score = scorer.score("no", &["yes", "no"], &[]).unwrap();
    assert_eq!((score.value, score.classes.unwrap().correct.as_str()), (1.0, "no"));
}

#[test]
fn metrics_of_a_manifest_are_names_or_tables() {
    #[derive(Deserialize)]
    struct Task {
        metric: TextMetric,
    }
    let read = |text: &str| toml::from_str::<Task>(text).map(|task| task.metric);
    assert_eq!(read(r#"metric = "rouge-l""#).unwrap(), TextMetric::RougeL);
    let exact = ExactMatch { ignore_case: true, ..ExactMatch::default() };
    assert_eq!(
        read("metric = { exact-match = { ignore-case = true } }").unwrap(),
        TextMetric::ExactMatch(exact)
    );
    assert!(read("metric = { exact-match = { ignore_case = true } }").is_err());
}
