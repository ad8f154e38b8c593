//! Facts: what is true in a world for good, such as where each person lives.
//!
//! The corpus tells every fact many times; an item asks for one without any context. Every value of a
//! relation belongs to equally many people, so that no value is a good guess.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::passage::{Question, fill};
use super::words::{ANIMALS, CRAFTS, DISHES, PEOPLE, TOWNS};
use crate::data::Split;
use dtr_core::seed::Seed;

/// Facts of the test split.
const NUM_TEST: usize = 320;
/// Facts of the validation split.
const NUM_VALIDATION: usize = 160;

/// How a relation between a person and a value is told.
struct Relation {
    values: [&'static str; 20],
    /// Sentences that end in the value, which an item leaves out.
    cloze: [&'static str; 3],
    /// A sentence with the value before the person.
    turned: &'static str,
}

const RELATIONS: [Relation; 4] = [
    Relation {
        values: TOWNS,
        cloze: [
            "all year round {person} lives in the town of {value}.",
            "the house of {person} stands in the town of {value}.",
            "as everybody knows, the home of {person} is in {value}.",
        ],
        turned: "in the town of {value} you find the house of {person}.",
    },
    Relation {
        values: CRAFTS,
        cloze: [
            "every day of the week {person} works as a {value}.",
            "the craft of {person} is that of a {value}.",
            "if you ask around, {person} is by trade a {value}.",
        ],
        turned: "a {value} by trade is what {person} is.",
    },
    Relation {
        values: ANIMALS,
        cloze: [
            "the animal that {person} owns is a {value}.",
            "in the house of {person} there lives a {value}.",
            "the pet that {person} feeds at home is a {value}.",
        ],
        turned: "a {value} is the pet that {person} owns.",
    },
    Relation {
        values: DISHES,
        cloze: [
            "most of all {person} likes to eat {value}.",
            "the favourite food of {person} is said to be {value}.",
            "for supper at home {person} often cooks {value}.",
        ],
        turned: "{value} for supper is what {person} likes.",
    },
];

/// One fact of a world.
#[derive(Clone, Copy)]
pub(super) struct Fact {
    person: &'static str,
    relation: usize,
    value: &'static str,
}

/// All facts of a world, those of the test split first, then validation, then train.
pub(super) struct Facts(Vec<Fact>);

/// Templates whose words belong to the language.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    RELATIONS.iter().flat_map(|relation| relation.cloze.into_iter().chain([relation.turned]))
}

impl Facts {
    /// The facts of the world of `seed`, parted into splits by their digests.
    pub(super) fn new(seed: Seed) -> Self {
        let mut facts = Vec::new();
        for (relation, told) in RELATIONS.iter().enumerate() {
            let mut values: Vec<_> = told.values.into_iter().cycle().take(PEOPLE.len()).collect();
            values.shuffle(&mut seed.child(&format!("facts/{relation}")).rng());
            facts.extend(PEOPLE.into_iter().zip(values).map(|(person, value)| Fact {
                person,
                relation,
                value,
            }));
        }
        let place = |fact: &Fact| {
            *blake3::hash(format!("{} {} {}", seed.0, fact.relation, fact.person).as_bytes()).as_bytes()
        };
        facts.sort_by_cached_key(place);
        Self(facts)
    }

    /// The facts that a split asks for; no fact is in two splits.
    pub(super) fn of_split(&self, split: Split) -> &[Fact] {
        let (test, rest) = self.0.split_at(NUM_TEST);
        let (validation, train) = rest.split_at(NUM_VALIDATION);
        match split {
            Split::Train => train,
            Split::Validation => validation,
            Split::Test => test,
        }
    }

    /// Sentences that tell several facts: all of one person, several of one relation, or any.
    pub(super) fn tell(&self, rng: &mut ChaCha8Rng) -> Vec<String> {
        let num_facts = rng.random_range(3..=6);
        let first = self.0[rng.random_range(0..self.0.len())];
        let goes_along: fn(&Fact, &Fact) -> bool = match rng.random_range(0..3) {
            0 => |fact, first| fact.person == first.person,
            1 => |fact, first| fact.relation == first.relation,
            _ => |_, _| true,
        };
        let pool: Vec<&Fact> = self.0.iter().filter(|fact| goes_along(fact, &first)).collect();
        pool.sample(rng, num_facts).map(|fact| fact.tell(rng)).collect()
    }
}

impl Fact {
    /// The fact as a sentence that lacks its last word, with wrong values of the same relation.
    pub(super) fn question(&self, rng: &mut ChaCha8Rng) -> Question {
        let relation = &RELATIONS[self.relation];
        let (before, _) =
            relation.cloze[rng.random_range(0..3)].split_once(" {value}").expect("a cloze has it");
        let others: Vec<_> = relation.values.into_iter().filter(|value| *value != self.value).collect();
        Question {
            text: fill(before, &[("person", self.person)]),
            answer: self.value,
            wrong: others.sample(rng, 3).copied().collect(),
        }
    }

    /// The fact as a sentence.
    fn tell(&self, rng: &mut ChaCha8Rng) -> String {
        let relation = &RELATIONS[self.relation];
        let template = *relation.cloze.get(rng.random_range(0..4)).unwrap_or(&relation.turned);
        fill(template, &[("person", self.person), ("value", self.value)])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn splits_part_the_facts() {
        let facts = Facts::new(Seed(1));
        let splits = [Split::Train, Split::Validation, Split::Test].map(|split| facts.of_split(split));
        assert_eq!(splits.map(<[Fact]>::len), [160, 160, 320]);
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
    fn worlds_differ_in_their_facts() {
        let table = |seed| -> BTreeMap<_, _> {
            Facts::new(Seed(seed)).0.iter().map(|fact| ((fact.person, fact.relation), fact.value)).collect()
        };
        let (one, two) = (table(1), table(2));
        let same = one.iter().filter(|(key, value)| two[*key] == **value).count();
        assert!(same < 80, "{same} of 640 facts agree");
        assert_eq!(one, table(1));
    }
}
