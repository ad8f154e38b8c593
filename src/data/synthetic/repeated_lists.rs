//! Documents that state a list of words twice. They train a model to copy (induction heads).
//!
//! To predict a word of the second list, a model can find the preceding word in the first list, and copy the
//! word that follows there. The tasks `recall` and `moves` need the same ability over longer distances.

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::fill_slots;
use super::vocabulary::{COLOURS, OBJECTS, PEOPLE, PLACES, UNIQUE_NOUNS};

/// Pairs of templates: one for the list, and one for its repetition.
const SENTENCE_PAIRS: [[&str; 2]; 4] = [
    ["{person} reads the list, {list}.", "{friend} reads the list again, {list}."],
    ["{person} counts {list}.", "then {friend} counts {list}."],
    ["on the paper {person} finds {list}.", "on the paper {friend} finds {list}."],
    ["{person} sings {list}.", "and all sing {list}."],
];

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    SENTENCE_PAIRS.into_iter().flatten()
}

/// Generates a random list of nouns or of people, and its repetition.
pub(super) fn draw_sentences(rng: &mut ChaCha8Rng) -> Vec<String> {
    let pools: [Vec<&str>; 2] =
        [[&OBJECTS[..], &COLOURS, &PLACES, UNIQUE_NOUNS.as_flattened()].concat(), PEOPLE.to_vec()];
    let length = rng.random_range(4..=40);
    let pool = &pools[rng.random_range(0..pools.len())];
    let words: Vec<&str> = pool.sample(rng, length).copied().collect();
    let list = words.join(" ");
    let people = PEOPLE.into_iter().sample(rng, 2);
    let slots = [("person", people[0]), ("friend", people[1]), ("list", list.as_str())];
    SENTENCE_PAIRS[rng.random_range(0..SENTENCE_PAIRS.len())]
        .map(|template| fill_slots(template, &slots))
        .to_vec()
}
