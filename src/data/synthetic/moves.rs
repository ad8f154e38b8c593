//! The `moves` task: in a passage, people move several objects from place to place. A question asks where one
//! of the objects is.
//!
//! A person who puts down an object lets go of it and may walk on without it. A person who takes an object
//! holds it and carries it along. No two moves use the same place, and no person moves two objects. An answer
//! therefore needs at most two steps of reasoning.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill_slots, num_tokens};
use super::vocabulary::{OBJECTS, PEOPLE, PLACES};

const INITIAL_PLACE: [&str; 2] = ["the {object} is in the {place}.", "the {object} lies in the {place}."];
const PUT: [&str; 2] =
    ["{person} puts the {object} in the {place}.", "{person} leaves the {object} in the {place}."];
const TAKE: [&str; 2] = ["{person} takes the {object}.", "{person} lifts the {object}."];
const WALK: [&str; 2] = ["{person} goes to the {place}.", "{person} walks to the {place}."];
const WHERE_OBJECT: &str = "where is the {object}? in the";
const WHERE_PERSON: &str = "where is {person}? in the";

/// The maximum length of an item's statements, in tokens.
const MAX_ITEM_TOKENS: usize = 83;
/// The maximum length of a corpus passage's statements, in tokens. A document has at most 120 tokens, so this
/// limit leaves room for questions.
const MAX_CORPUS_TOKENS: usize = 94;

/// The probability that a corpus passage asks questions between its steps.
const INTERLEAVING_PROBABILITY: f64 = 0.5;
/// The probability that a question follows a step, in a passage with questions between its steps.
const STEP_QUESTION_PROBABILITY: f64 = 0.4;

/// A step in an object's history. The field is the index of the person who acts, 0 or 1.
#[derive(Clone, Copy)]
enum Step {
    /// The person puts the object in a new place and lets go.
    Put(usize),
    /// The person takes the object and holds it.
    Take(usize),
    /// The person walks to a new place, and carries the object if the person holds it.
    Walk(usize),
}

use Step::{Put, Take, Walk};

/// The possible histories of an object, all equally likely. In the first four, a person puts the object in
/// its final place. In the last four, a person carries the object to its final place. In some histories, a
/// person also walks elsewhere without the object.
const STEP_SEQUENCES: [&[Step]; 8] = [
    &[Put(0), Put(1)],
    &[Put(0), Walk(0)],
    &[Put(0), Put(1), Walk(0)],
    &[Take(0), Walk(0), Put(0), Walk(0)],
    &[Take(0), Walk(0)],
    &[Take(0), Walk(0), Walk(0)],
    &[Put(0), Take(1), Walk(1)],
    &[Put(0), Take(1), Walk(0), Walk(1)],
];

/// The sentence of a step, and the object's place after the step.
struct NarratedStep {
    sentence: String,
    place: &'static str,
}

/// An object's places and the steps between them.
struct ObjectHistory {
    object: &'static str,
    /// The sentence that names the first place.
    first_sentence: String,
    first_place: &'static str,
    steps: Vec<NarratedStep>,
    final_place: &'static str,
    /// All places of the history except the final place. The object's first place comes first.
    other_places: Vec<&'static str>,
    /// The person who walked last, and the destination.
    last_walk: Option<(&'static str, &'static str)>,
}

impl ObjectHistory {
    fn new(object: &'static str, first_sentence: String, first_place: &'static str) -> Self {
        Self {
            object,
            first_sentence,
            first_place,
            steps: Vec::new(),
            final_place: first_place,
            other_places: Vec::new(),
            last_walk: None,
        }
    }
}

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    [INITIAL_PLACE, PUT, TAKE, WALK].into_iter().flatten().chain([WHERE_OBJECT, WHERE_PERSON])
}

/// Generates a random passage in which several objects move, with questions about their places.
pub(super) fn draw_passage(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    loop {
        let (num_objects, max_tokens) = match purpose {
            Purpose::Item => (rng.random_range(3..=4), MAX_ITEM_TOKENS),
            Purpose::Corpus => (rng.random_range(1..=4), MAX_CORPUS_TOKENS),
        };
        let histories = draw_histories(rng, num_objects);
        let order = draw_order(rng, &histories);
        let statements = narrate(&histories, &order, |_| None).join(" ");
        if num_tokens(&statements) <= max_tokens {
            let question_probability =
                if purpose == Purpose::Corpus && rng.random_bool(INTERLEAVING_PROBABILITY) {
                    STEP_QUESTION_PROBABILITY
                } else {
                    0.0
                };
            let corpus_sentences = narrate(&histories, &order, |places| {
                rng.random_bool(question_probability).then(|| rng.random_range(0..places.len()))
            });
            let questions = draw_questions(rng, &histories, purpose);
            return Passage { statements, corpus_sentences, questions };
        }
    }
}

fn draw_histories(rng: &mut ChaCha8Rng, count: usize) -> Vec<ObjectHistory> {
    let objects: Vec<_> = OBJECTS.sample(rng, count).copied().collect();
    let people: Vec<_> = PEOPLE.sample(rng, 2 * count).copied().collect();
    let mut places: Vec<_> = PLACES.to_vec();
    places.shuffle(rng);
    objects
        .into_iter()
        .zip(people.chunks_exact(2))
        .map(|(object, people)| {
            let steps = STEP_SEQUENCES[rng.random_range(0..STEP_SEQUENCES.len())];
            history_of_object(rng, object, people, &mut places, steps)
        })
        .collect()
}

/// Builds the history of `object`. Its places are removed from `places`, so no two histories share a place.
fn history_of_object(
    rng: &mut ChaCha8Rng,
    object: &'static str,
    people: &[&'static str],
    places: &mut Vec<&'static str>,
    steps: &[Step],
) -> ObjectHistory {
    let mut new_place = || places.pop().expect("there are enough places for all histories");
    let mut sentence = |templates: [&str; 2], person, place| {
        let template = templates[rng.random_range(0..2)];
        fill_slots(template, &[("person", person), ("object", object), ("place", place)])
    };
    let first_place = new_place();
    let first_sentence = sentence(INITIAL_PLACE, "", first_place);
    let mut history = ObjectHistory::new(object, first_sentence, first_place);
    let mut holder = None;
    for step in steps {
        let sentence = match *step {
            Put(who) => {
                holder = None;
                let place = new_place();
                history.other_places.push(std::mem::replace(&mut history.final_place, place));
                sentence(PUT, people[who], place)
            }
            Take(who) => {
                holder = Some(who);
                sentence(TAKE, people[who], "")
            }
            Walk(who) => {
                let place = new_place();
                history.last_walk = Some((people[who], place));
                let other_place = match holder == Some(who) {
                    true => std::mem::replace(&mut history.final_place, place),
                    false => place,
                };
                history.other_places.push(other_place);
                sentence(WALK, people[who], place)
            }
        };
        history.steps.push(NarratedStep { sentence, place: history.final_place });
    }
    history
}

/// Draws a random order of the steps of all histories, and returns the index of each step's history. The
/// steps of one history keep their order.
fn draw_order(rng: &mut ChaCha8Rng, histories: &[ObjectHistory]) -> Vec<usize> {
    let mut order: Vec<usize> =
        histories.iter().enumerate().flat_map(|(i, history)| vec![i; history.steps.len()]).collect();
    order.shuffle(rng);
    order
}

/// Returns the sentences that name the first places, then the sentences of the steps in the given order.
///
/// After each step, `choose_question` receives the current places of all objects. If `choose_question`
/// returns the index of an object, a question about this object's place and the answer follow.
fn narrate(
    histories: &[ObjectHistory],
    order: &[usize],
    mut choose_question: impl FnMut(&[&'static str]) -> Option<usize>,
) -> Vec<String> {
    let mut sentences: Vec<String> = histories.iter().map(|history| history.first_sentence.clone()).collect();
    let mut places: Vec<&'static str> = histories.iter().map(|history| history.first_place).collect();
    let mut num_steps = vec![0; histories.len()];
    for &index in order {
        let step = &histories[index].steps[num_steps[index]];
        num_steps[index] += 1;
        places[index] = step.place;
        sentences.push(step.sentence.clone());
        if let Some(asked) = choose_question(&places) {
            let question = fill_slots(WHERE_OBJECT, &[("object", histories[asked].object)]);
            sentences.push(format!("{question} {}.", places[asked]));
        }
    }
    sentences
}

/// Generates questions in random order. Items ask for the places of objects. The corpus also asks for the
/// places of people, because a person's place is an intermediate step of reasoning.
fn draw_questions(rng: &mut ChaCha8Rng, histories: &[ObjectHistory], purpose: Purpose) -> Vec<Question> {
    let mut questions: Vec<Question> = (0..histories.len())
        .map(|asked| Question {
            text: fill_slots(WHERE_OBJECT, &[("object", histories[asked].object)]),
            answer: histories[asked].final_place,
            distractors: draw_distractors(rng, histories, asked),
        })
        .collect();
    if purpose == Purpose::Corpus {
        let walks = histories.iter().filter_map(|history| history.last_walk);
        questions.extend(walks.map(|(person, place)| Question {
            text: fill_slots(WHERE_PERSON, &[("person", person)]),
            answer: place,
            distractors: Vec::new(),
        }));
    }
    questions.shuffle(rng);
    questions
}

/// Draws three distractors: one of the object's other places, and two places of other objects. A first place
/// of another object is never drawn.
fn draw_distractors(rng: &mut ChaCha8Rng, histories: &[ObjectHistory], asked: usize) -> Vec<&'static str> {
    let own_place = histories[asked].other_places.choose(rng).expect("every history has two places");
    let places: Vec<&'static str> = (0..histories.len())
        .filter(|i| *i != asked)
        // No object is in its first place at the end, so a first place would be easy to rule out.
        .flat_map(|i| histories[i].other_places[1..].iter().chain([&histories[i].final_place]))
        .copied()
        .collect();
    places.sample(rng, 2).copied().chain([*own_place]).collect()
}
