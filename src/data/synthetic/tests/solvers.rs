//! Tests the generator's answers against solvers that read only the text of an item.

use std::collections::{BTreeMap, BTreeSet};

use super::super::vocabulary::{ANIMALS, CRAFTS, DISHES, TOWNS};
use super::super::vocabulary::{COLOURS, OBJECTS, PEOPLE, PLACES, SHARED_NOUNS, TOPICS, UNIQUE_NOUNS};
use super::{answer, documents, language};
use crate::data::{Item, Split, SyntheticTaskKind};

/// Splits a prompt into the words of each statement and the words of the question.
pub(super) fn parse_prompt(prompt: &str) -> (Vec<Vec<&str>>, Vec<&str>) {
    let words = |sentence| str::split_whitespace(sentence).map(|word| word.trim_end_matches('?')).collect();
    let (statements, question) = prompt.rsplit_once(". ").unwrap();
    (statements.split(". ").map(words).collect(), words(question))
}

fn find<'a>(words: &[&'a str], class: &[&str]) -> Option<&'a str> {
    words.iter().find(|word| class.contains(word)).copied()
}

fn solve_recall(prompt: &str) -> String {
    let (statements, question) = parse_prompt(prompt);
    let key = find(&question, &PEOPLE).or(find(&question, &OBJECTS)).unwrap();
    let relevant = statements.iter().filter(|words| words.contains(&key));
    let answer_class: &[&str] = match question.as_slice() {
        ["who", ..] => &PEOPLE,
        words if words.contains(&"colour") => &COLOURS,
        _ => &OBJECTS,
    };
    let answers: BTreeSet<&str> = relevant.map(|words| find(words, answer_class).unwrap()).collect();
    assert_eq!(answers.len(), 1, "the statements about `{key}` do not give one answer in: {prompt}");
    answers.first().unwrap().to_string()
}

fn solve_moves(prompt: &str) -> String {
    let (statements, question) = parse_prompt(prompt);
    let (mut place_of, mut held_by) = (BTreeMap::new(), BTreeMap::new());
    for words in &statements {
        let (object, place) = (find(words, &OBJECTS), find(words, &PLACES));
        match (find(words, &PEOPLE), object, place) {
            (None, Some(object), Some(place)) => {
                place_of.insert(object, place);
            }
            (Some(_), Some(object), Some(place)) => {
                place_of.insert(object, place);
                held_by.remove(object);
            }
            (Some(person), Some(object), None) => {
                held_by.insert(object, person);
            }
            (Some(person), None, Some(place)) => {
                for (object, _) in held_by.iter().filter(|(_, holder)| **holder == person) {
                    place_of.insert(*object, place);
                }
            }
            _ => panic!("unknown statement: {words:?}"),
        }
    }
    place_of[find(&question, &OBJECTS).unwrap()].to_owned()
}

fn solve_topic(prompt: &str) -> String {
    let (statements, _) = parse_prompt(prompt);
    let mut votes = [0; TOPICS.len()];
    for word in statements.concat() {
        for topic in 0..TOPICS.len() {
            let next = (topic + 1) % TOPICS.len();
            votes[topic] += usize::from(UNIQUE_NOUNS[topic].contains(&word));
            votes[topic] += usize::from(SHARED_NOUNS[topic].contains(&word));
            votes[next] += usize::from(SHARED_NOUNS[topic].contains(&word));
        }
    }
    let most = *votes.iter().max().unwrap();
    let second = votes.iter().filter(|count| **count != most).max().unwrap();
    assert_eq!(votes.iter().filter(|count| **count == most).count(), 1);
    assert!(most >= second + 2, "{votes:?} in: {prompt}");
    TOPICS[votes.iter().position(|count| *count == most).unwrap()].to_owned()
}

/// Returns the facts in a document, each as the index of its relation, its person and its value.
pub(super) fn facts_of(document: &str) -> impl Iterator<Item = (usize, String, String)> {
    document.split('.').filter_map(|sentence| {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        if words.contains(&"met") {
            return None; // A filler sentence can name a town in which the person does not live.
        }
        let person = find(&words, &PEOPLE)?;
        let values = [TOWNS, CRAFTS, ANIMALS, DISHES];
        let (class, value) =
            values.iter().enumerate().find_map(|(i, class)| Some((i, find(&words, class)?)))?;
        Some((class, person.to_owned(), value.to_owned()))
    })
}

fn assert_answers(kind: SyntheticTaskKind, solve: impl Fn(&str) -> String) {
    for split in [Split::Train, Split::Validation, Split::Test] {
        for item in language().items(kind, split, 1_000).unwrap() {
            assert_answer(&item, &solve(&item.prompt));
        }
    }
}

/// Asserts that the item's answer is `expected`, and that its four choices differ.
fn assert_answer(item: &Item, expected: &str) {
    assert_eq!(item.choices.iter().collect::<BTreeSet<_>>().len(), 4, "{:?}", item.choices);
    assert_eq!(answer(item), expected, "{}: {}", item.id, item.prompt);
}

#[test]
fn recall_items_have_one_correct_choice() {
    assert_answers(SyntheticTaskKind::Recall, solve_recall);
}

#[test]
fn moves_items_have_one_correct_choice() {
    assert_answers(SyntheticTaskKind::Moves, solve_moves);
}

#[test]
fn topic_items_have_one_correct_choice() {
    assert_answers(SyntheticTaskKind::Topic, solve_topic);
}

#[test]
fn distractors_of_recall_and_moves_occur_in_the_passage() {
    for kind in [SyntheticTaskKind::Recall, SyntheticTaskKind::Moves] {
        for item in language().items(kind, Split::Test, 500).unwrap() {
            let (statements, _) = parse_prompt(&item.prompt);
            let words = statements.concat();
            assert!(item.choices.iter().all(|choice| words.contains(&choice.as_str())), "{item:?}");
        }
    }
}

#[test]
fn the_corpus_states_every_fact_in_the_words_of_its_item() {
    let mut stated: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for document in documents(80_000) {
        for sentence in document.split(". ") {
            if let Some((before, last)) = sentence.trim_end_matches('.').rsplit_once(' ') {
                stated.entry(before.to_owned()).or_default().insert(last.to_owned());
            }
        }
    }
    for item in language().items_of_all_tasks().iter().filter(|item| item.id.starts_with("facts")) {
        let values =
            stated.get(&item.prompt).unwrap_or_else(|| panic!("the corpus never states: {}", item.prompt));
        assert_eq!(values.len(), 1, "{} {values:?}", item.prompt);
        assert_answer(item, values.first().unwrap());
    }
}

#[test]
fn the_corpus_never_contradicts_itself() {
    let mut stated = BTreeMap::new();
    for document in documents(20_000).iter().filter(|document| super::kind_of(document) == "facts") {
        for (class, person, value) in facts_of(document) {
            let first = stated.entry((class, person.clone())).or_insert_with(|| value.clone());
            assert_eq!(*first, value, "{person} in: {document}");
        }
    }
    assert_eq!(stated.len(), 640, "the corpus does not state all 640 facts");
}

#[test]
fn answers_in_the_corpus_are_correct() {
    let mut num_answers = BTreeMap::new();
    for document in documents(10_000) {
        let kind = super::kind_of(&document);
        let mut statements = String::new();
        for sentence in without_opening(&document).split_inclusive('.').map(str::trim) {
            if !sentence.contains('?') {
                statements = format!("{statements}{sentence} ");
                continue;
            }
            let (question, stated) = sentence.trim_end_matches('.').rsplit_once(' ').unwrap();
            let prompt = format!("{statements}{question}");
            let answer = match kind {
                "recall" => solve_recall(&prompt),
                "moves" if find(&parse_prompt(&prompt).1, &OBJECTS).is_some() => solve_moves(&prompt),
                "moves" => last_walk(&prompt),
                _ => solve_topic(&prompt),
            };
            assert_eq!(answer, stated, "{prompt}");
            *num_answers.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(["recall", "moves", "topic"].iter().all(|kind| num_answers[kind] > 300), "{num_answers:?}");
}

/// Returns the last place to which the person in the question walks.
fn last_walk(prompt: &str) -> String {
    let (statements, question) = parse_prompt(prompt);
    let person = find(&question, &PEOPLE).unwrap();
    let places = statements.iter().filter(|words| words.contains(&person));
    places.filter_map(|words| find(words, &PLACES)).next_back().unwrap().to_owned()
}

/// Removes a filler sentence at the beginning of a document. A filler sentence has no noun that passages use.
fn without_opening(document: &str) -> &str {
    let (first, rest) = document.split_once(". ").unwrap_or((document, ""));
    let words: Vec<&str> = first.split_whitespace().collect();
    let nouns = [UNIQUE_NOUNS.as_flattened(), SHARED_NOUNS.as_flattened(), &OBJECTS].concat();
    if find(&words, &nouns).is_some() { document } else { rest }
}
