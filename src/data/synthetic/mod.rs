//! The closed language: a small world told in lower-case words, with four kinds of questions.
//!
//! The tasks strain different parts of a model. `recall` binds words of a passage to one another,
//! `moves` follows things from place to place, `topic` weighs a whole passage, and `facts` asks for what
//! training has left in the weights. Corpus and items ask in the same words, so that next-word
//! prediction teaches the tasks, and they share no passage. All text is a pure function of seeds.

mod corpus;
mod facts;
mod items;
mod lists;
mod moves;
mod narrative;
mod passage;
mod recall;
mod topic;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use dtr_core::seed::Seed;
use facts::Facts;

/// Version of the text; whoever changes a word, a template or a draw raises it.
pub const GENERATOR_VERSION: u32 = 1;

/// A world: what is true in it, and everything told of it, follows from its seed.
pub struct SyntheticLanguage {
    seed: Seed,
    facts: Facts,
}

impl SyntheticLanguage {
    /// The world of a seed.
    pub fn new(seed: Seed) -> Self {
        Self { seed, facts: Facts::new(seed.child("facts")) }
    }

    /// The world's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The document at `index` of the corpus that `corpus` seeds, of at most 120 tokens.
    pub fn document(&self, corpus: Seed, index: u64) -> String {
        let mut rng = self.seed.child(&format!("corpus/{}", corpus.0)).rng();
        rng.set_stream(index);
        corpus::draw(self, &mut rng)
    }

    /// A digest, in hexadecimal, of all that decides the corpus that `corpus` seeds.
    pub fn corpus_digest(&self, corpus: Seed) -> String {
        let name = format!("world v{GENERATOR_VERSION}, world {}, corpus {}", self.seed.0, corpus.0);
        blake3::hash(name.as_bytes()).to_hex().to_string()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Every word of the language, by alphabet, without punctuation; the same for all worlds.
pub fn vocabulary() -> BTreeSet<&'static str> {
    let templates = recall::templates()
        .chain(moves::templates())
        .chain(topic::templates())
        .chain(facts::templates())
        .chain(lists::templates())
        .chain(narrative::templates());
    templates.flat_map(passage::words_of).chain(words::all().into_iter().flatten().copied()).collect()
}
