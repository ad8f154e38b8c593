//! Tests that simple heuristics, which ignore the meaning of a passage, score low. A random guess scores
//! 0.25.

use super::super::vocabulary::{OBJECTS, PLACES};
use super::language;
use super::solvers::parse_prompt;
use crate::data::{Item, Split, SyntheticTaskKind};

/// Returns, for each choice, the indices of its occurrences in the statements.
fn mentions(item: &Item) -> Vec<Vec<usize>> {
    let (statements, _) = parse_prompt(&item.prompt);
    let words = statements.concat();
    let occurrences = |choice: &String| (0..words.len()).filter(|i| words[*i] == choice).collect();
    item.choices.iter().map(occurrences).collect()
}

fn best_by<K: Ord>(item: &Item, key: impl Fn(&Vec<usize>) -> K) -> usize {
    let mentions = mentions(item);
    (0..4).max_by_key(|choice| key(&mentions[*choice])).unwrap()
}

fn last_mentioned(item: &Item) -> usize {
    best_by(item, |places| places.last().copied())
}

fn first_mentioned(item: &Item) -> usize {
    best_by(item, |places| std::cmp::Reverse(places.first().copied()))
}

fn most_frequent(item: &Item) -> usize {
    best_by(item, Vec::len)
}

/// Finds the last sentence that names both the object and a place. Returns the choice with this place.
fn in_last_sentence_of_object(item: &Item) -> usize {
    let (statements, question) = parse_prompt(&item.prompt);
    let object = question.iter().find(|word| OBJECTS.contains(word)).unwrap();
    let relevant = statements.iter().filter(|words| words.contains(object));
    let place =
        relevant.filter_map(|words| words.iter().find(|word| PLACES.contains(word))).next_back().unwrap();
    item.choices.iter().position(|choice| choice == place).unwrap_or(0)
}

/// Finds the first place that is named after the last mention of the object. Returns the choice with this
/// place.
fn after_last_mention_of_object(item: &Item) -> usize {
    let (statements, question) = parse_prompt(&item.prompt);
    let words = statements.concat();
    let object = question.iter().find(|word| OBJECTS.contains(word)).unwrap();
    let last = words.iter().rposition(|word| word == object).unwrap();
    let place = words[last..].iter().find(|word| PLACES.contains(word));
    item.choices.iter().position(|choice| Some(&choice.as_str()) == place).unwrap_or(0)
}

fn score(kind: SyntheticTaskKind, heuristic: fn(&Item) -> usize) -> f64 {
    let items = language().items(kind, Split::Test, 2_000).unwrap();
    items.iter().filter(|item| heuristic(item) == item.label).count() as f64 / items.len() as f64
}

type Heuristic = (&'static str, fn(&Item) -> usize);

fn assert_below(limit: f64, kind: SyntheticTaskKind, heuristics: &[Heuristic]) {
    for (name, heuristic) in heuristics {
        let score = score(kind, *heuristic);
        eprintln!("{kind:?}: {name} scores {score:.3}");
        assert!(score < limit, "{kind:?}: {name} scores {score:.3}");
    }
}

const POSITION_HEURISTICS: [Heuristic; 3] = [
    ("last mentioned", last_mentioned),
    ("first mentioned", first_mentioned),
    ("most frequent", most_frequent),
];

#[test]
fn positions_in_a_recall_passage_do_not_reveal_the_answer() {
    assert_below(0.30, SyntheticTaskKind::Recall, &POSITION_HEURISTICS);
}

#[test]
fn positions_in_a_moves_passage_reveal_little() {
    assert_below(0.45, SyntheticTaskKind::Moves, &POSITION_HEURISTICS);
}

#[test]
fn half_of_the_moves_items_require_tracking_the_carrier() {
    let heuristics: [Heuristic; 2] = [
        ("in the last sentence of the object", in_last_sentence_of_object),
        ("after the last mention of the object", after_last_mention_of_object),
    ];
    assert_below(0.65, SyntheticTaskKind::Moves, &heuristics);
}
