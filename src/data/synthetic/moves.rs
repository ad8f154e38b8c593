//! Moves: things are put and carried from place to place, and the question is where one of them is.
//!
//! A person who puts a thing somewhere lets go of it and may walk on without it; a person who takes a
//! thing holds it, so that it is where that person last went. No place occurs for two reasons, and no
//! person moves two things, so the answer needs two steps at most.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question, fill, num_tokens};
use super::words::{OBJECTS, PEOPLE, PLACES};

const AT_FIRST: [&str; 2] = ["the {object} is in the {place}.", "the {object} lies in the {place}."];
const PUT: [&str; 2] =
    ["{person} puts the {object} in the {place}.", "{person} leaves the {object} in the {place}."];
const TAKE: [&str; 2] = ["{person} takes the {object}.", "{person} lifts the {object}."];
const WALK: [&str; 2] = ["{person} goes to the {place}.", "{person} walks to the {place}."];
const WHERE_OBJECT: &str = "where is the {object}? in the";
const WHERE_PERSON: &str = "where is {person}? in the";

/// The longest statements of an item, in tokens.
const MAX_ITEM_TOKENS: usize = 83;
/// The longest statements of a corpus passage: room is left for questions.
const MAX_CORPUS_TOKENS: usize = 94;

/// The share of a corpus' passages that ask on the way, and of their steps that a question follows.
const ASKING: f64 = 0.5;
const ASKED: f64 = 0.4;

/// A step in a thing's story, by one of the at most two persons who move it.
#[derive(Clone, Copy)]
enum Step {
    /// The person puts the thing in a new place and lets go.
    Put(usize),
    /// The person takes the thing where it is and holds it.
    Take(usize),
    /// The person walks to a new place, with the thing if it is held.
    Walk(usize),
}

use Step::{Put, Take, Walk};

/// The stories a thing can have, equally often. In the first four it was put where it is in the end, in
/// the others it was carried there; in some a person walks elsewhere without it.
const STORIES: [&[Step]; 8] = [
    &[Put(0), Put(1)],
    &[Put(0), Walk(0)],
    &[Put(0), Put(1), Walk(0)],
    &[Take(0), Walk(0), Put(0), Walk(0)],
    &[Take(0), Walk(0)],
    &[Take(0), Walk(0), Walk(0)],
    &[Put(0), Take(1), Walk(1)],
    &[Put(0), Take(1), Walk(0), Walk(1)],
];

/// A step in words, and where the thing is after it.
struct Telling {
    sentence: String,
    place: &'static str,
}

/// One thing's story, told.
struct Story {
    object: &'static str,
    at_first: String,
    /// Where the thing is at first.
    first: &'static str,
    steps: Vec<Telling>,
    /// Where the thing is in the end.
    end: &'static str,
    /// Other places of the story, the first one among them.
    elsewhere: Vec<&'static str>,
    /// The person who walked last, and where to.
    walker: Option<(&'static str, &'static str)>,
}

/// Templates whose words belong to the language.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    [AT_FIRST, PUT, TAKE, WALK].into_iter().flatten().chain([WHERE_OBJECT, WHERE_PERSON])
}

/// Draws a passage in which several things move, with questions on where they are.
pub(super) fn draw(rng: &mut ChaCha8Rng, purpose: Purpose) -> Passage {
    loop {
        let (num_objects, max_tokens) = match purpose {
            Purpose::Item => (rng.random_range(3..=4), MAX_ITEM_TOKENS),
            Purpose::Corpus => (rng.random_range(1..=4), MAX_CORPUS_TOKENS),
        };
        let stories = draw_stories(rng, num_objects);
        let turns = draw_turns(rng, &stories);
        let statements = tell_in_turn(&stories, &turns, |_| None).join(" ");
        if num_tokens(&statements) <= max_tokens {
            let asks = if purpose == Purpose::Corpus && rng.random_bool(ASKING) { ASKED } else { 0.0 };
            let told = tell_in_turn(&stories, &turns, |places| {
                rng.random_bool(asks).then(|| rng.random_range(0..places.len()))
            });
            let questions = draw_questions(rng, &stories, purpose);
            return Passage { statements, told, questions };
        }
    }
}

fn draw_stories(rng: &mut ChaCha8Rng, count: usize) -> Vec<Story> {
    let objects: Vec<_> = OBJECTS.sample(rng, count).copied().collect();
    let people: Vec<_> = PEOPLE.sample(rng, 2 * count).copied().collect();
    let mut places: Vec<_> = PLACES.to_vec();
    places.shuffle(rng);
    objects
        .into_iter()
        .zip(people.chunks_exact(2))
        .map(|(object, people)| {
            let steps = STORIES[rng.random_range(0..STORIES.len())];
            tell(rng, object, people, &mut places, steps)
        })
        .collect()
}

/// Tells the story of `object`, each place taken from `places` so that no other story has it.
fn tell(
    rng: &mut ChaCha8Rng,
    object: &'static str,
    people: &[&'static str],
    places: &mut Vec<&'static str>,
    steps: &[Step],
) -> Story {
    let mut new_place = || places.pop().expect("there are places enough for every story");
    let mut sentence = |templates: [&str; 2], person, place| {
        let template = templates[rng.random_range(0..2)];
        fill(template, &[("person", person), ("object", object), ("place", place)])
    };
    let first = new_place();
    let at_first = sentence(AT_FIRST, "", first);
    let mut story =
        Story { object, at_first, first, steps: Vec::new(), end: first, elsewhere: Vec::new(), walker: None };
    let mut holder = None;
    for step in steps {
        let sentence = match *step {
            Put(who) => {
                holder = None;
                let place = new_place();
                story.elsewhere.push(std::mem::replace(&mut story.end, place));
                sentence(PUT, people[who], place)
            }
            Take(who) => {
                holder = Some(who);
                sentence(TAKE, people[who], "")
            }
            Walk(who) => {
                let place = new_place();
                story.walker = Some((people[who], place));
                let left = if holder == Some(who) { std::mem::replace(&mut story.end, place) } else { place };
                story.elsewhere.push(left);
                sentence(WALK, people[who], place)
            }
        };
        story.steps.push(Telling { sentence, place: story.end });
    }
    story
}

/// Whose step comes when: all stories mixed, each in its own order.
fn draw_turns(rng: &mut ChaCha8Rng, stories: &[Story]) -> Vec<usize> {
    let mut turns: Vec<usize> =
        stories.iter().enumerate().flat_map(|(i, story)| vec![i; story.steps.len()]).collect();
    turns.shuffle(rng);
    turns
}

/// First where everything is, then the steps by `turns`. After every sentence `ask` is told where all
/// things are and may name one, for a question where it is now.
fn tell_in_turn(
    stories: &[Story],
    turns: &[usize],
    mut ask: impl FnMut(&[&'static str]) -> Option<usize>,
) -> Vec<String> {
    let mut told: Vec<String> = stories.iter().map(|story| story.at_first.clone()).collect();
    let mut places: Vec<&'static str> = stories.iter().map(|story| story.first).collect();
    let mut num_steps = vec![0; stories.len()];
    for &turn in turns {
        let step = &stories[turn].steps[num_steps[turn]];
        num_steps[turn] += 1;
        places[turn] = step.place;
        told.push(step.sentence.clone());
        if let Some(asked) = ask(&places) {
            let question = fill(WHERE_OBJECT, &[("object", stories[asked].object)]);
            told.push(format!("{question} {}.", places[asked]));
        }
    }
    told
}

/// Questions in random order. Items ask for things; a corpus also asks for persons, a step on the way.
fn draw_questions(rng: &mut ChaCha8Rng, stories: &[Story], purpose: Purpose) -> Vec<Question> {
    let mut questions: Vec<Question> = (0..stories.len())
        .map(|asked| Question {
            text: fill(WHERE_OBJECT, &[("object", stories[asked].object)]),
            answer: stories[asked].end,
            wrong: draw_wrong(rng, stories, asked),
        })
        .collect();
    if purpose == Purpose::Corpus {
        questions.extend(stories.iter().filter_map(|story| story.walker).map(|(person, place)| Question {
            text: fill(WHERE_PERSON, &[("person", person)]),
            answer: place,
            wrong: Vec::new(),
        }));
    }
    questions.shuffle(rng);
    questions
}

/// One other place of the asked thing's own story, and two that end other stories or come late in them.
fn draw_wrong(rng: &mut ChaCha8Rng, stories: &[Story], asked: usize) -> Vec<&'static str> {
    let own = stories[asked].elsewhere.choose(rng).expect("every story has two places");
    let others: Vec<&'static str> = (0..stories.len())
        .filter(|i| *i != asked)
        // The first place of a thing is never where it is in the end, which a guess could use.
        .flat_map(|i| stories[i].elsewhere[1..].iter().chain([&stories[i].end]))
        .copied()
        .collect();
    others.sample(rng, 2).copied().chain([*own]).collect()
}
