//! Topic: sentences with nouns of several topics, most of them of one, and a question for that one.
//!
//! Neighbouring topics share nouns, and every passage has nouns of two other topics, which are also
//! wrong choices: one keyword is not enough, but counting is.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom, index};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill};
use super::words::{OWN_NOUNS, PEOPLE, SHARED_NOUNS, TOPICS};

const SENTENCES: [&str; 6] = [
    "{person} thought of the {one} and the {other}.",
    "the {one} was near the {other}.",
    "{person} asked for the {one} and the {other}.",
    "they talked of the {one} and the {other}.",
    "after the {one} came the {other}.",
    "{person} knew the {one} and the {other}.",
];

const QUESTION: &str = "what is this about? it is about";

/// By how many nouns the right topic leads over every other one.
const MARGIN: usize = 2;

/// Templates whose words belong to the language.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    SENTENCES.into_iter().chain([QUESTION])
}

/// The nouns of a topic: its own, and those it shares with its neighbours in the ring.
fn nouns(topic: usize) -> Vec<&'static str> {
    let before = (topic + TOPICS.len() - 1) % TOPICS.len();
    [&OWN_NOUNS[topic][..], &SHARED_NOUNS[topic], &SHARED_NOUNS[before]].concat()
}

/// Draws a passage about one topic, with the question for it.
pub(super) fn draw(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    loop {
        let num_sentences = match purpose {
            Purpose::Item => rng.random_range(5..=7),
            Purpose::Corpus => rng.random_range(3..=7),
        };
        let topics = index::sample_array(rng, TOPICS.len()).expect("there are more than four topics");
        let mut found = draw_nouns(rng, topics, 2 * num_sentences);
        if leads(topics[0], &found) {
            found.shuffle(rng);
            let sentences = write(rng, &found);
            let questions = vec![question(topics)];
            return Passage { statements: sentences.join(" "), told: sentences, questions };
        }
    }
}

/// More than half of the nouns from the first topic, the others from the second and third.
fn draw_nouns(rng: &mut ChaCha8Rng, topics: [usize; 4], count: usize) -> Vec<&'static str> {
    let num_right = count / 2 + 1;
    let mut found: Vec<&str> = nouns(topics[0]).sample(rng, num_right).copied().collect();
    let noise: Vec<&str> = [nouns(topics[1]), nouns(topics[2])]
        .concat()
        .into_iter()
        .filter(|noun| !found.contains(noun))
        .collect();
    found.extend(noise.sample(rng, count - num_right));
    found
}

/// Whether `topic` has more of the nouns than any other topic, by the margin.
fn leads(topic: usize, found: &[&str]) -> bool {
    let votes = |topic| {
        let nouns = nouns(topic);
        found.iter().filter(|noun| nouns.contains(noun)).count()
    };
    let others = (0..TOPICS.len()).filter(|other| *other != topic);
    votes(topic) >= MARGIN + others.map(votes).max().unwrap_or(0)
}

fn write(rng: &mut ChaCha8Rng, found: &[&str]) -> Vec<String> {
    found
        .chunks_exact(2)
        .map(|pair| {
            let person = PEOPLE[rng.random_range(0..PEOPLE.len())];
            let template = SENTENCES[rng.random_range(0..SENTENCES.len())];
            fill(template, &[("person", person), ("one", pair[0]), ("other", pair[1])])
        })
        .collect()
}

fn question(topics: [usize; 4]) -> Question {
    Question {
        text: QUESTION.to_owned(),
        answer: TOPICS[topics[0]],
        wrong: topics[1..].iter().map(|topic| TOPICS[*topic]).collect(),
    }
}
