//! The `topic` task: a passage has nouns of several topics. A question asks for the topic with the most
//! nouns.
//!
//! The topics form a ring, and neighbouring topics share nouns. Every passage also has nouns of two wrong
//! topics, which are distractors. The answer therefore follows from the number of nouns of each topic, and
//! not from a single keyword.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom, index};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill_slots};
use super::vocabulary::{PEOPLE, SHARED_NOUNS, TOPICS, UNIQUE_NOUNS};

const SENTENCES: [&str; 6] = [
    "{person} thought of the {one} and the {other}.",
    "the {one} was near the {other}.",
    "{person} asked for the {one} and the {other}.",
    "they talked of the {one} and the {other}.",
    "after the {one} came the {other}.",
    "{person} knew the {one} and the {other}.",
];

const QUESTION: &str = "what is this about? it is about";

/// The minimum lead of the correct topic over every other topic, in nouns.
const MIN_MARGIN: usize = 2;

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    SENTENCES.into_iter().chain([QUESTION])
}

/// Returns the nouns of a topic: its unique nouns, and the nouns that it shares with its two neighbours.
fn topic_nouns(topic: usize) -> Vec<&'static str> {
    let before = (topic + TOPICS.len() - 1) % TOPICS.len();
    [&UNIQUE_NOUNS[topic][..], &SHARED_NOUNS[topic], &SHARED_NOUNS[before]].concat()
}

/// Generates a random passage about one topic, with the question about the topic.
pub(super) fn draw_passage(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    loop {
        let num_sentences = match purpose {
            Purpose::Item => rng.random_range(5..=7),
            Purpose::Corpus => rng.random_range(3..=7),
        };
        let topics = index::sample_array(rng, TOPICS.len()).expect("there are more than four topics");
        let mut nouns = draw_nouns(rng, topics, 2 * num_sentences);
        if is_majority_topic(topics[0], &nouns) {
            nouns.shuffle(rng);
            let sentences = to_sentences(rng, &nouns);
            let questions = vec![question(topics)];
            return Passage { statements: sentences.join(" "), corpus_sentences: sentences, questions };
        }
    }
}

/// Draws `count` nouns. More than half of the nouns belong to the first topic. The other nouns belong to the
/// second or the third topic.
fn draw_nouns(rng: &mut ChaCha8Rng, topics: [usize; 4], count: usize) -> Vec<&'static str> {
    let num_right = count / 2 + 1;
    let mut found: Vec<&str> = topic_nouns(topics[0]).sample(rng, num_right).copied().collect();
    let noise: Vec<&str> = [topic_nouns(topics[1]), topic_nouns(topics[2])]
        .concat()
        .into_iter()
        .filter(|noun| !found.contains(noun))
        .collect();
    found.extend(noise.sample(rng, count - num_right));
    found
}

/// Returns whether `topic` has at least [`MIN_MARGIN`] more of `nouns` than every other topic.
fn is_majority_topic(topic: usize, nouns: &[&str]) -> bool {
    let votes = |topic| {
        let own_nouns = topic_nouns(topic);
        nouns.iter().filter(|noun| own_nouns.contains(noun)).count()
    };
    let others = (0..TOPICS.len()).filter(|other| *other != topic);
    votes(topic) >= MIN_MARGIN + others.map(votes).max().unwrap_or(0)
}

/// Returns a sentence for each pair of nouns.
fn to_sentences(rng: &mut ChaCha8Rng, nouns: &[&str]) -> Vec<String> {
    nouns
        .chunks_exact(2)
        .map(|pair| {
            let person = PEOPLE[rng.random_range(0..PEOPLE.len())];
            let template = SENTENCES[rng.random_range(0..SENTENCES.len())];
            fill_slots(template, &[("person", person), ("one", pair[0]), ("other", pair[1])])
        })
        .collect()
}

fn question(topics: [usize; 4]) -> Question {
    Question {
        text: QUESTION.to_owned(),
        answer: TOPICS[topics[0]],
        distractors: topics[1..].iter().map(|topic| TOPICS[*topic]).collect(),
    }
}
