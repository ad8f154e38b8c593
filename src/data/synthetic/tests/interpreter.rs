//! Readers of the text that know only its words, and find each answer without the generator's help.

use std::collections::{BTreeMap, BTreeSet};

use super::super::words::{ANIMALS, CRAFTS, DISHES, TOWNS};
use super::super::words::{COLOURS, OBJECTS, OWN_NOUNS, PEOPLE, PLACES, SHARED_NOUNS, TOPICS};
use super::{answer, documents, world};
use crate::data::{Item, Split};
use crate::manifest::SyntheticTaskKind;

/// A prompt's statements, each as its words, and the words of its question.
pub(super) fn read(prompt: &str) -> (Vec<Vec<&str>>, Vec<&str>) {
    let words = |sentence| str::split_whitespace(sentence).map(|word| word.trim_end_matches('?')).collect();
    let (statements, question) = prompt.rsplit_once(". ").unwrap();
    (statements.split(". ").map(words).collect(), words(question))
}

fn find<'a>(words: &[&'a str], class: &[&str]) -> Option<&'a str> {
    words.iter().find(|word| class.contains(word)).copied()
}

fn recall(prompt: &str) -> String {
    let (statements, question) = read(prompt);
    let key = find(&question, &PEOPLE).or(find(&question, &OBJECTS)).unwrap();
    let told = statements.iter().filter(|words| words.contains(&key));
    let asked: &[&str] = match question.as_slice() {
        ["who", ..] => &PEOPLE,
        words if words.contains(&"colour") => &COLOURS,
        _ => &OBJECTS,
    };
    let answers: BTreeSet<&str> = told.map(|words| find(words, asked).unwrap()).collect();
    assert_eq!(answers.len(), 1, "what is told of `{key}` agrees in: {prompt}");
    answers.first().unwrap().to_string()
}

fn moves(prompt: &str) -> String {
    let (statements, question) = read(prompt);
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
            _ => panic!("what does this say: {words:?}"),
        }
    }
    place_of[find(&question, &OBJECTS).unwrap()].to_owned()
}

fn topic(prompt: &str) -> String {
    let (statements, _) = read(prompt);
    let mut votes = [0; TOPICS.len()];
    for word in statements.concat() {
        for topic in 0..TOPICS.len() {
            let next = (topic + 1) % TOPICS.len();
            votes[topic] += usize::from(OWN_NOUNS[topic].contains(&word));
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

/// The facts that a document tells: a person and a value, in the order of the classes of values.
pub(super) fn facts_of(document: &str) -> impl Iterator<Item = (usize, String, String)> {
    document.split('.').filter_map(|sentence| {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        if words.contains(&"met") {
            return None; // a free sentence: people meet on the way to towns they do not live in
        }
        let person = find(&words, &PEOPLE)?;
        let values = [TOWNS, CRAFTS, ANIMALS, DISHES];
        let (class, value) =
            values.iter().enumerate().find_map(|(i, class)| Some((i, find(&words, class)?)))?;
        Some((class, person.to_owned(), value.to_owned()))
    })
}

fn assert_right(kind: SyntheticTaskKind, derive: impl Fn(&str) -> String) {
    for split in [Split::Train, Split::Validation, Split::Test] {
        for item in world().items(kind, split, 1_000).unwrap() {
            assert_one_right(&item, &derive(&item.prompt));
        }
    }
}

/// Choices are four different ones, so if one is the derived answer the others are wrong.
fn assert_one_right(item: &Item, derived: &str) {
    assert_eq!(item.choices.iter().collect::<BTreeSet<_>>().len(), 4, "{:?}", item.choices);
    assert_eq!(answer(item), derived, "{}: {}", item.id, item.prompt);
}

#[test]
fn recall_items_have_one_right_choice() {
    assert_right(SyntheticTaskKind::Recall, recall);
}

#[test]
fn moves_items_have_one_right_choice() {
    assert_right(SyntheticTaskKind::Moves, moves);
}

#[test]
fn topic_items_have_one_right_choice() {
    assert_right(SyntheticTaskKind::Topic, topic);
}

#[test]
fn wrong_choices_of_recall_and_moves_are_in_the_passage() {
    for kind in [SyntheticTaskKind::Recall, SyntheticTaskKind::Moves] {
        for item in world().items(kind, Split::Test, 500).unwrap() {
            let (statements, _) = read(&item.prompt);
            let words = statements.concat();
            assert!(item.choices.iter().all(|choice| words.contains(&choice.as_str())), "{item:?}");
        }
    }
}

#[test]
fn the_corpus_tells_every_fact_that_is_asked_in_the_words_of_the_question() {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for document in documents(80_000) {
        for sentence in document.split(". ") {
            if let Some((before, last)) = sentence.trim_end_matches('.').rsplit_once(' ') {
                told.entry(before.to_owned()).or_default().insert(last.to_owned());
            }
        }
    }
    for item in world().every_item().iter().filter(|item| item.id.starts_with("facts")) {
        let values = told.get(&item.prompt).unwrap_or_else(|| panic!("never told: {}", item.prompt));
        assert_eq!(values.len(), 1, "{} {values:?}", item.prompt);
        assert_one_right(item, values.first().unwrap());
    }
}

#[test]
fn the_corpus_never_contradicts_itself() {
    let mut told = BTreeMap::new();
    for document in documents(20_000).iter().filter(|document| super::kind_of(document) == "facts") {
        for (class, person, value) in facts_of(document) {
            let first = told.entry((class, person.clone())).or_insert_with(|| value.clone());
            assert_eq!(*first, value, "{person} in: {document}");
        }
    }
    assert_eq!(told.len(), 640, "every fact is told");
}

#[test]
fn answers_in_the_corpus_are_right() {
    let mut num_answers = BTreeMap::new();
    for document in documents(10_000) {
        let kind = super::kind_of(&document);
        let mut statements = String::new();
        for sentence in without_opening(&document).split_inclusive('.').map(str::trim) {
            if !sentence.contains('?') {
                statements = format!("{statements}{sentence} ");
                continue;
            }
            let (question, told) = sentence.trim_end_matches('.').rsplit_once(' ').unwrap();
            let prompt = format!("{statements}{question}");
            let answer = match kind {
                "recall" => recall(&prompt),
                "moves" if find(&read(&prompt).1, &OBJECTS).is_some() => moves(&prompt),
                "moves" => last_walk(&prompt),
                _ => topic(&prompt),
            };
            assert_eq!(answer, told, "{prompt}");
            *num_answers.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(["recall", "moves", "topic"].iter().all(|kind| num_answers[kind] > 300), "{num_answers:?}");
}

/// Where the person asked for was last said to be.
fn last_walk(prompt: &str) -> String {
    let (statements, question) = read(prompt);
    let person = find(&question, &PEOPLE).unwrap();
    let places = statements.iter().filter(|words| words.contains(&person));
    places.filter_map(|words| find(words, &PLACES)).next_back().unwrap().to_owned()
}

/// Drops a free sentence that opens a document: it has none of the words that passages turn on.
fn without_opening(document: &str) -> &str {
    let (first, rest) = document.split_once(". ").unwrap_or((document, ""));
    let words: Vec<&str> = first.split_whitespace().collect();
    let nouns = [OWN_NOUNS.as_flattened(), SHARED_NOUNS.as_flattened(), &OBJECTS].concat();
    if find(&words, &nouns).is_some() { document } else { rest }
}
