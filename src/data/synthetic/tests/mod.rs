//! Tests that the synthetic language has correct answers, disjoint splits, no shortcuts and a stable text.

mod shortcuts;
mod solvers;

use std::collections::{BTreeMap, BTreeSet};

use super::passage::num_tokens;
use super::{SyntheticLanguage, vocabulary};
use crate::data::{Item, Split, SyntheticTask, SyntheticTaskKind, Task, TaskSource, load_items};
use dtr_core::error::ErrorKind;
use dtr_core::seed::Seed;

const KINDS: [SyntheticTaskKind; 4] =
    [SyntheticTaskKind::Recall, SyntheticTaskKind::Facts, SyntheticTaskKind::Topic, SyntheticTaskKind::Moves];
const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn language() -> SyntheticLanguage {
    SyntheticLanguage::new(Seed(1))
}

fn documents(count: u64) -> Vec<String> {
    let language = language();
    (0..count).map(|index| language.document(Seed(2), index)).collect()
}

fn task(kind: SyntheticTaskKind, validation_items: usize, test_items: usize) -> Task {
    Task {
        source: TaskSource::Synthetic(SyntheticTask {
            kind,
            language_seed: Seed(1),
            train_items: None,
            validation_items,
            test_items,
        }),
    }
}

fn answer(item: &Item) -> &str {
    &item.choices[item.label]
}

#[test]
fn every_word_belongs_to_one_class() {
    let mut seen = BTreeSet::new();
    for word in vocabulary::word_lists().into_iter().flatten() {
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        assert!(seen.insert(word), "`{word}` is listed twice");
    }
}

#[test]
fn splits_have_the_requested_sizes() {
    for kind in KINDS {
        let sizes = SPLITS.map(|split| load_items(&task(kind, 20, 30), split).unwrap().len());
        assert_eq!(sizes, [if kind == SyntheticTaskKind::Facts { 160 } else { 1_000 }, 20, 30]);
    }
}

#[test]
fn a_larger_split_begins_with_the_smaller_one() {
    for kind in KINDS {
        for split in SPLITS {
            let large = language().items(kind, split, 150).unwrap();
            for count in [0, 1, 64] {
                assert_eq!(language().items(kind, split, count).unwrap(), large[..count]);
            }
        }
    }
}

#[test]
fn a_request_for_too_many_facts_is_a_manifest_error() {
    let task = task(SyntheticTaskKind::Facts, 160, 321);
    assert_eq!(load_items(&task, Split::Validation).unwrap().len(), 160);
    let error = load_items(&task, Split::Test).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Manifest);
    assert!(error.message_with_sources().contains("321"), "{error}");
}

#[test]
fn no_item_occurs_twice_in_or_across_splits() {
    let (mut ids, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for item in language().items_of_all_tasks() {
        assert!(texts.insert(format!("{} {}", item.prompt, answer(&item))), "repeated text: {}", item.prompt);
        assert!(ids.insert(item.id.clone()), "repeated id: {}", item.id);
    }
}

#[test]
fn correct_choices_are_uniformly_distributed() {
    let mut counts: BTreeMap<_, [usize; 4]> = BTreeMap::new();
    for item in language().items_of_all_tasks() {
        let kind = item.id.split('/').next().unwrap().to_owned();
        counts.entry(kind).or_default()[item.label] += 1;
    }
    for (kind, counts) in counts {
        let expected = counts.iter().sum::<usize>() as f64 / 4.0;
        let chi_square: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
        assert!(chi_square < 16.3, "{kind}: {counts:?}");
    }
}

#[test]
fn prompts_have_a_moderate_length() {
    for item in language().items_of_all_tasks() {
        let range = if item.id.starts_with("facts") { 6..=12 } else { 40..=110 };
        assert!(range.contains(&num_tokens(&item.prompt)), "{}", item.prompt);
        assert_eq!(item.prompt.trim_end(), item.prompt);
    }
}

#[test]
fn the_corpus_contains_no_prompt() {
    let corpus = documents(20_000);
    // To save time, search for a prompt only in the documents that contain its first sentence.
    let mut by_sentence: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for document in &corpus {
        for sentence in document.split_inclusive(". ") {
            by_sentence.entry(sentence).or_default().push(document);
        }
    }
    for item in language().items_of_all_tasks().iter().filter(|item| !item.id.starts_with("facts")) {
        let opening = item.prompt.split_inclusive(". ").next().unwrap();
        for document in by_sentence.get(opening).into_iter().flatten() {
            assert!(!document.contains(&item.prompt), "the prompt of {} is in: {document}", item.id);
        }
    }
}

#[test]
fn documents_have_a_moderate_length_and_are_rarely_repeated() {
    let corpus = documents(20_000);
    let lengths: Vec<usize> = corpus.iter().map(|document| num_tokens(document)).collect();
    assert!(lengths.iter().all(|length| (10..=120).contains(length)));
    let num_long = lengths.iter().filter(|length| **length > 40).count();
    let distinct: BTreeSet<_> = corpus.iter().filter(|document| num_tokens(document) > 40).collect();
    let num_repeats = num_long - distinct.len();
    assert!(1_000 * num_repeats <= num_long, "{num_repeats} of {num_long} long documents are repeats");
}

#[test]
fn the_corpus_has_the_intended_shares_of_each_kind() {
    let mut tokens: BTreeMap<&str, usize> = BTreeMap::new();
    for document in documents(20_000) {
        *tokens.entry(kind_of(&document)).or_default() += num_tokens(&document);
    }
    let total: usize = tokens.values().sum();
    for (kind, range) in [
        ("lists", 0.35..0.5),
        ("recall", 0.15..0.3),
        ("moves", 0.1..0.25),
        ("topic", 0.02..0.1),
        ("facts", 0.04..0.15),
    ] {
        let share = tokens[kind] as f64 / total as f64;
        assert!(range.contains(&share), "{kind}: {share}");
    }
}

/// Returns the kind of a document, from its questions and sentences.
fn kind_of(document: &str) -> &'static str {
    match document {
        text if text.contains("? in the ") => "moves",
        text if text.contains("what is this about?") => "topic",
        text if text.contains('?') => "recall",
        text if solvers::facts_of(text).next().is_some() => "facts",
        text if ["reads the list", "counts", "on the paper", "sings"]
            .iter()
            .any(|word| text.contains(word)) =>
        {
            "lists"
        }
        _ => "narrative",
    }
}

#[test]
fn text_changes_only_with_the_version() {
    let mut hasher = blake3::Hasher::new();
    for document in documents(2_000) {
        hasher.update(document.as_bytes());
    }
    for item in language().items_of_all_tasks() {
        let Item { id, prompt, choices, label, .. } = item;
        let text =
            format!("Item {{ id: {id:?}, prompt: {prompt:?}, choices: {choices:?}, label: {label:?} }}");
        hasher.update(text.as_bytes());
    }
    for word in super::vocabulary() {
        hasher.update(word.as_bytes());
    }
    let digest = hasher.finalize().to_hex().to_string();
    // A change of this digest requires a new GENERATOR_VERSION.
    insta::assert_snapshot!(format!("version {}: {digest}", super::GENERATOR_VERSION));
}
