//! Lists read out twice: the plainest practice in saying again what was said before.
//!
//! A second reading can be foretold word by word, each from the word before it: find where this word
//! stood, and say what followed. `recall` and `moves` ask for the same, with more words between.

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::fill;
use super::words::{COLOURS, OBJECTS, OWN_NOUNS, PEOPLE, PLACES};

/// Both readings; the second may be by somebody else.
const READINGS: [[&str; 2]; 4] = [
    ["{person} reads the list, {list}.", "{friend} reads the list again, {list}."],
    ["{person} counts {list}.", "then {friend} counts {list}."],
    ["on the paper {person} finds {list}.", "on the paper {friend} finds {list}."],
    ["{person} sings {list}.", "and all sing {list}."],
];

/// Templates whose words belong to the language.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    READINGS.into_iter().flatten()
}

/// Draws a list of things, or of guests, and both readings.
pub(super) fn draw(rng: &mut ChaCha8Rng) -> Vec<String> {
    let pools: [Vec<&str>; 2] =
        [[&OBJECTS[..], &COLOURS, &PLACES, OWN_NOUNS.as_flattened()].concat(), PEOPLE.to_vec()];
    let length = rng.random_range(4..=40);
    let pool = &pools[rng.random_range(0..pools.len())];
    let words: Vec<&str> = pool.sample(rng, length).copied().collect();
    let list = words.join(" ");
    let people = PEOPLE.into_iter().sample(rng, 2);
    let slots = [("person", people[0]), ("friend", people[1]), ("list", list.as_str())];
    READINGS[rng.random_range(0..READINGS.len())].map(|template| fill(template, &slots)).to_vec()
}
