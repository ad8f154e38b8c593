//! The `facts` task asks for facts of the language that a model must memorize, such as the town where each
//! person lives.
//!
//! The corpus states every fact many times. An item asks for a fact without any context. Every value of a
//! relation belongs to equally many people, so no value is a better guess than another.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Question, fill_slots};
use super::vocabulary::{ANIMALS, CRAFTS, DISHES, PEOPLE, TOWNS};
use crate::data::Split;
use dtr_core::seed::Seed;

/// The number of facts in the test split.
const NUM_TEST: usize = 320;
/// The number of facts in the validation split.
const NUM_VALIDATION: usize = 160;

/// A relation between people and values, such as people and the towns where they live.
struct Relation {
    values: [&'static str; 20],
    /// Templates of sentences that end in the value. An item leaves the value out.
    cloze: [&'static str; 3],
    /// A template with the value before the person.
    value_first: &'static str,
}

const RELATIONS: [Relation; 4] = [
    Relation {
        values: TOWNS,
        cloze: [
            "all year round {person} lives in the town of {value}.",
            "the house of {person} stands in the town of {value}.",
            "as everybody knows, the home of {person} is in {value}.",
        ],
        value_first: "in the town of {value} you find the house of {person}.",
    },
    Relation {
        values: CRAFTS,
        cloze: [
            "every day of the week {person} works as a {value}.",
            "the craft of {person} is that of a {value}.",
            "if you ask around, {person} is by trade a {value}.",
        ],
        value_first: "a {value} by trade is what {person} is.",
    },
    Relation {
        values: ANIMALS,
        cloze: [
            "the animal that {person} owns is a {value}.",
            "in the house of {person} there lives a {value}.",
            "the pet that {person} feeds at home is a {value}.",
        ],
        value_first: "a {value} is the pet that {person} owns.",
    },
    Relation {
        values: DISHES,
        cloze: [
            "most of all {person} likes to eat {value}.",
            "the favourite food of {person} is said to be {value}.",
            "for supper at home {person} often cooks {value}.",
        ],
        value_first: "{value} for supper is what {person} likes.",
    },
];

/// A fact of a language.
#[derive(Clone, Copy)]
pub(super) struct LanguageFact {
    person: &'static str,
    relation: usize,
    value: &'static str,
}

/// All facts of a language: the test split, then the validation split, then the train split.
pub(super) struct Facts(Vec<LanguageFact>);

pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    RELATIONS.iter().flat_map(|relation| relation.cloze.into_iter().chain([relation.value_first]))
}

impl Facts {
    /// Generates the facts of a seed. The facts are sorted by a hash, so that the splits are random.
    pub(super) fn new(seed: Seed) -> Self {
        let mut facts = Vec::new();
        for (relation, definition) in RELATIONS.iter().enumerate() {
            let mut values: Vec<_> = definition.values.into_iter().cycle().take(PEOPLE.len()).collect();
            values.shuffle(&mut seed.child(&format!("facts/{relation}")).rng());
            facts.extend(PEOPLE.into_iter().zip(values).map(|(person, value)| LanguageFact {
                person,
                relation,
                value,
            }));
        }
        let hash = |fact: &LanguageFact| {
            *blake3::hash(format!("{} {} {}", seed.0, fact.relation, fact.person).as_bytes()).as_bytes()
        };
        facts.sort_by_cached_key(hash);
        Self(facts)
    }

    /// Returns the facts of a split. The splits are disjoint.
    pub(super) fn in_split(&self, split: Split) -> &[LanguageFact] {
        let (test, rest) = self.0.split_at(NUM_TEST);
        let (validation, train) = rest.split_at(NUM_VALIDATION);
        match split {
            Split::Train => train,
            Split::Validation => validation,
            Split::Test => test,
        }
    }

    /// Returns sentences for several random facts: facts about one person, facts of one relation, or any
    /// facts.
    pub(super) fn sample_sentences(&self, rng: &mut ChaCha8Rng) -> Vec<String> {
        let num_facts = rng.random_range(3..=6);
        let first = self.0[rng.random_range(0..self.0.len())];
        let is_related: fn(&LanguageFact, &LanguageFact) -> bool = match rng.random_range(0..3) {
            0 => |fact, first| fact.person == first.person,
            1 => |fact, first| fact.relation == first.relation,
            _ => |_, _| true,
        };
        let pool: Vec<&LanguageFact> = self.0.iter().filter(|fact| is_related(fact, &first)).collect();
        pool.sample(rng, num_facts).map(|fact| fact.to_sentence(rng)).collect()
    }
}

impl LanguageFact {
    /// Returns the fact as a question: a sentence without its last word. The distractors are other values of
    /// the relation.
    pub(super) fn question(&self, rng: &mut ChaCha8Rng) -> Question {
        let relation = &RELATIONS[self.relation];
        let (before, _) = relation.cloze[rng.random_range(0..3)]
            .split_once(" {value}")
            .expect("a cloze template ends in the value");
        let other_values: Vec<_> = relation.values.into_iter().filter(|value| *value != self.value).collect();
        Question {
            text: fill_slots(before, &[("person", self.person)]),
            answer: self.value,
            distractors: other_values.sample(rng, 3).copied().collect(),
        }
    }

    /// Returns the fact as a sentence with a random template.
    fn to_sentence(self, rng: &mut ChaCha8Rng) -> String {
        let relation = &RELATIONS[self.relation];
        let template = *relation.cloze.get(rng.random_range(0..4)).unwrap_or(&relation.value_first);
        fill_slots(template, &[("person", self.person), ("value", self.value)])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn the_splits_are_disjoint_and_hold_all_facts() {
        let facts = Facts::new(Seed(1));
        let splits = [Split::Train, Split::Validation, Split::Test].map(|split| facts.in_split(split));
        assert_eq!(splits.map(<[LanguageFact]>::len), [160, 160, 320]);
        let keys: BTreeSet<_> =
            splits.iter().flat_map(|s| s.iter().map(|f| (f.person, f.relation))).collect();
        assert_eq!(keys.len(), 640);
    }

    #[test]
    fn no_value_is_a_better_guess_than_another() {
        let mut counts = BTreeMap::new();
        for fact in Facts::new(Seed(1)).0 {
            *counts.entry((fact.relation, fact.value)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 80);
        assert!(counts.values().all(|count| *count == 8));
    }

    #[test]
    fn seeds_differ_in_their_facts() {
        let table = |seed| -> BTreeMap<_, _> {
            Facts::new(Seed(seed)).0.iter().map(|fact| ((fact.person, fact.relation), fact.value)).collect()
        };
        let (one, two) = (table(1), table(2));
        let same = one.iter().filter(|(key, value)| two[*key] == **value).count();
        assert!(same < 80, "{same} of 640 facts agree");
        assert_eq!(one, table(1));
    }
}
