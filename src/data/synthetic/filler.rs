//! Filler sentences. No question refers to them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::passage::fill_slots;
use super::vocabulary::{PEOPLE, TOWNS};

const SENTENCES: [&str; 12] = [
    "one morning {person} met {friend} on the way to {town}.",
    "it was a cold evening in {town}.",
    "the rain fell on {town} all night.",
    "{person} and {friend} sat by the fire.",
    "{person} told {friend} a long story.",
    "in the spring {friend} wrote to {person}.",
    "nobody in {town} had slept well.",
    "{person} laughed, and {friend} laughed too.",
    "the old people of {town} still speak of it.",
    "so {person} said to {friend}, listen well.",
    "this is what {person} saw that day.",
    "snow lay on the hills above {town}.",
];

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    SENTENCES.into_iter()
}

/// Generates a random filler sentence.
pub(super) fn draw_sentence(rng: &mut ChaCha8Rng) -> String {
    let person = rng.random_range(0..PEOPLE.len());
    let friend = (person + rng.random_range(1..PEOPLE.len())) % PEOPLE.len();
    let town = TOWNS[rng.random_range(0..TOWNS.len())];
    let template = SENTENCES[rng.random_range(0..SENTENCES.len())];
    fill_slots(template, &[("person", PEOPLE[person]), ("friend", PEOPLE[friend]), ("town", town)])
}
