//! Guesses that do not understand the passage; each should stay near the chance of one in four.

use super::super::words::{OBJECTS, PLACES};
use super::interpreter::read;
use super::world;
use crate::data::{Item, Split};
use crate::manifest::SyntheticTaskKind;

/// Where each choice occurs in the statements, by word.
fn mentions(item: &Item) -> Vec<Vec<usize>> {
    let (statements, _) = read(&item.prompt);
    let words = statements.concat();
    let of = |choice: &String| (0..words.len()).filter(|i| words[*i] == choice).collect();
    item.choices.iter().map(of).collect()
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

/// The choice named in the last sentence that has the asked thing and any of the choices.
fn beside_the_thing(item: &Item) -> usize {
    let (statements, question) = read(&item.prompt);
    let thing = question.iter().find(|word| OBJECTS.contains(word)).unwrap();
    let told = statements.iter().filter(|words| words.contains(thing));
    let place = told.filter_map(|words| words.iter().find(|word| PLACES.contains(word))).next_back().unwrap();
    item.choices.iter().position(|choice| choice == place).unwrap_or(0)
}

/// The first place that is named after the asked thing was last named.
fn after_the_thing(item: &Item) -> usize {
    let (statements, question) = read(&item.prompt);
    let words = statements.concat();
    let thing = question.iter().find(|word| OBJECTS.contains(word)).unwrap();
    let last = words.iter().rposition(|word| word == thing).unwrap();
    let place = words[last..].iter().find(|word| PLACES.contains(word));
    item.choices.iter().position(|choice| Some(&choice.as_str()) == place).unwrap_or(0)
}

fn score(kind: SyntheticTaskKind, guess: fn(&Item) -> usize) -> f64 {
    let items = world().items(kind, Split::Test, 2_000).unwrap();
    items.iter().filter(|item| guess(item) == item.label).count() as f64 / items.len() as f64
}

/// A way to choose without understanding, by name.
type Guess = (&'static str, fn(&Item) -> usize);

fn assert_below(limit: f64, kind: SyntheticTaskKind, guesses: &[Guess]) {
    for (name, guess) in guesses {
        let score = score(kind, *guess);
        eprintln!("{kind:?}: {name} scores {score:.3}");
        assert!(score < limit, "{kind:?}: {name} scores {score:.3}");
    }
}

const BLIND: [Guess; 3] = [
    ("last mentioned", last_mentioned),
    ("first mentioned", first_mentioned),
    ("most frequent", most_frequent),
];

#[test]
fn the_place_of_a_choice_in_a_recall_passage_says_nothing() {
    assert_below(0.30, SyntheticTaskKind::Recall, &BLIND);
}

#[test]
fn the_place_of_a_choice_in_a_moves_passage_says_little() {
    assert_below(0.45, SyntheticTaskKind::Moves, &BLIND);
}

#[test]
fn half_of_the_moves_need_the_person_who_carries() {
    let guesses: [Guess; 2] = [("beside the thing", beside_the_thing), ("after the thing", after_the_thing)];
    assert_below(0.65, SyntheticTaskKind::Moves, &guesses);
}
