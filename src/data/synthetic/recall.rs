//! Recall: who holds which thing in what colour, and questions that bind one of the three to another.
//!
//! All persons, things and colours of a passage differ, and wrong choices come from the same passage,
//! so only the binding gives the answer, not the presence of a word.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill};
use super::words::{COLOURS, OBJECTS, PEOPLE};

const STATEMENTS: [&str; 4] = [
    "{person} has the {colour} {object}.",
    "{person} keeps the {colour} {object}.",
    "the {colour} {object} is with {person}.",
    "the {object} of {person} is {colour}.",
];

/// A question's text, and which parts of a holding answer it.
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

/// A person, the thing held, and its colour.
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
        fill(template, &slots)
    }
}

/// Templates whose words belong to the language.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    STATEMENTS.into_iter().chain(QUESTIONS.map(|question| question.0))
}

/// More questions than a document has room for.
const MANY: usize = 12;

/// Draws a passage of several holdings with questions about some of them; a corpus first tells some
/// of them again, in other words and another order.
pub(super) fn draw(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    let (num_holdings, num_questions) = match purpose {
        Purpose::Item => (rng.random_range(6..=9), 1),
        Purpose::Corpus => (rng.random_range(2..=9), MANY),
    };
    let holdings = draw_holdings(rng, num_holdings);
    let statements = state(rng, &holdings);
    let mut told = statements.clone();
    if purpose == Purpose::Corpus {
        let count = rng.random_range(0..=num_holdings);
        let again: Vec<Holding> = holdings.sample(rng, count).copied().collect();
        told.extend(state(rng, &again));
    }
    let questions = draw_questions(rng, &holdings, num_questions);
    Passage { statements: statements.join(" "), told, questions }
}

/// A sentence for each holding.
fn state(rng: &mut ChaCha8Rng, holdings: &[Holding]) -> Vec<String> {
    holdings.iter().map(|holding| holding.fill(STATEMENTS[rng.random_range(0..STATEMENTS.len())])).collect()
}

fn draw_holdings(rng: &mut ChaCha8Rng, count: usize) -> Vec<Holding> {
    let people: Vec<_> = PEOPLE.sample(rng, count).copied().collect();
    let colours: Vec<_> = COLOURS.sample(rng, count).copied().collect();
    let objects: Vec<_> = OBJECTS.sample(rng, count).copied().collect();
    (0..count).map(|i| Holding { person: people[i], colour: colours[i], object: objects[i] }).collect()
}

/// Questions about holdings in random order, none asked twice.
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
                wrong: draw_wrong(rng, holdings, holding, part),
            }
        })
        .collect()
}

fn draw_wrong(rng: &mut ChaCha8Rng, holdings: &[Holding], right: usize, part: Part) -> Vec<&'static str> {
    let others: Vec<_> =
        (0..holdings.len()).filter(|i| *i != right).map(|i| holdings[i].part(part)).collect();
    others.sample(rng, 3).copied().collect()
}
