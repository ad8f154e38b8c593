//! The `recall` task: a passage states which person holds which object, and the colour of each object. Some
//! questions name a person, and ask for the object or its colour. The other questions name an object, and ask
//! for the person or the colour.
//!
//! All people, objects and colours of a passage differ, and distractors come from the same passage. The
//! presence of a word in the passage therefore does not reveal the answer.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill_slots};
use super::vocabulary::{COLOURS, OBJECTS, PEOPLE};

const STATEMENTS: [&str; 4] = [
    "{person} has the {colour} {object}.",
    "{person} keeps the {colour} {object}.",
    "the {colour} {object} is with {person}.",
    "the {object} of {person} is {colour}.",
];

/// Templates of questions, each with the part of a [`Holding`] that is the answer.
const QUESTIONS: [(&str, Part); 4] = [
    ("what does {person} have? the", Part::Object),
    ("what colour is the {object}?", Part::Colour),
    ("who has the {object}?", Part::Person),
    ("which colour does {person} have?", Part::Colour),
];

#[derive(Clone, Copy)]
enum Part {
    Person,
    Colour,
    Object,
}

/// A person, the object that the person holds, and the object's colour.
#[derive(Clone, Copy)]
struct Holding {
    person: &'static str,
    colour: &'static str,
    object: &'static str,
}

impl Holding {
    fn part(self, part: Part) -> &'static str {
        match part {
            Part::Person => self.person,
            Part::Colour => self.colour,
            Part::Object => self.object,
        }
    }

    fn fill(self, template: &str) -> String {
        let slots = [("person", self.person), ("colour", self.colour), ("object", self.object)];
        fill_slots(template, &slots)
    }
}

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    STATEMENTS.into_iter().chain(QUESTIONS.map(|question| question.0))
}

/// The maximum number of questions of a corpus passage. No document has room for this many questions.
const NUM_CORPUS_QUESTIONS: usize = 12;

/// Generates a random passage of several holdings, with questions about some of them. A corpus passage can
/// state some of the holdings again, in different words and in a different order.
pub(super) fn draw_passage(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    let (num_holdings, num_questions) = match purpose {
        Purpose::Item => (rng.random_range(6..=9), 1),
        Purpose::Corpus => (rng.random_range(2..=9), NUM_CORPUS_QUESTIONS),
    };
    let holdings = draw_holdings(rng, num_holdings);
    let statements = to_sentences(rng, &holdings);
    let mut corpus_sentences = statements.clone();
    if purpose == Purpose::Corpus {
        let count = rng.random_range(0..=num_holdings);
        let repeated: Vec<Holding> = holdings.sample(rng, count).copied().collect();
        corpus_sentences.extend(to_sentences(rng, &repeated));
    }
    let questions = draw_questions(rng, &holdings, num_questions);
    Passage { statements: statements.join(" "), corpus_sentences, questions }
}

fn to_sentences(rng: &mut ChaCha8Rng, holdings: &[Holding]) -> Vec<String> {
    holdings.iter().map(|holding| holding.fill(STATEMENTS[rng.random_range(0..STATEMENTS.len())])).collect()
}

fn draw_holdings(rng: &mut ChaCha8Rng, count: usize) -> Vec<Holding> {
    let people: Vec<_> = PEOPLE.sample(rng, count).copied().collect();
    let colours: Vec<_> = COLOURS.sample(rng, count).copied().collect();
    let objects: Vec<_> = OBJECTS.sample(rng, count).copied().collect();
    (0..count).map(|i| Holding { person: people[i], colour: colours[i], object: objects[i] }).collect()
}

/// Generates distinct questions about the holdings, in random order.
fn draw_questions(rng: &mut ChaCha8Rng, holdings: &[Holding], count: usize) -> Vec<Question> {
    let mut asked: Vec<(usize, usize)> =
        (0..holdings.len()).flat_map(|holding| (0..QUESTIONS.len()).map(move |i| (holding, i))).collect();
    asked.shuffle(rng);
    asked.truncate(count);
    asked
        .into_iter()
        .map(|(holding, question)| {
            let (template, part) = QUESTIONS[question];
            Question {
                text: holdings[holding].fill(template),
                answer: holdings[holding].part(part),
                distractors: draw_distractors(rng, holdings, holding, part),
            }
        })
        .collect()
}

fn draw_distractors(
    rng: &mut ChaCha8Rng,
    holdings: &[Holding],
    right: usize,
    part: Part,
) -> Vec<&'static str> {
    let candidates: Vec<_> =
        (0..holdings.len()).filter(|i| *i != right).map(|i| holdings[i].part(part)).collect();
    candidates.sample(rng, 3).copied().collect()
}
