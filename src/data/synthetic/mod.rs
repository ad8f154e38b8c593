//! The bundled synthetic language: a generator of a text corpus and of four multiple-choice tasks, with a
//! vocabulary of about 600 lower-case words. Experiments with this language need no downloads.
//!
//! The tasks test different abilities of a model. In `recall`, the model must bind words of a passage to one
//! another. In `moves`, the model must track objects from place to place. In `topic`, the model must classify
//! a whole passage. In `facts`, the model must know facts from its training. The corpus asks its questions in
//! the same words as the items, so a model learns the tasks by next-token prediction. No passage of an item
//! occurs in the corpus. All text is a pure function of the seeds.

mod corpus;
mod facts;
mod filler;
mod items;
mod moves;
mod passage;
mod recall;
mod repeated_lists;
mod topic;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use dtr_core::seed::Seed;
use facts::Facts;

/// The version of the generated text. It is incremented after a change of any word, template or random draw.
pub const GENERATOR_VERSION: u32 = 1;

/// A synthetic language. It generates documents and items. Its seed determines the facts of the language.
pub struct SyntheticLanguage {
    seed: Seed,
    facts: Facts,
}

impl SyntheticLanguage {
    /// Creates the language of a seed.
    pub fn new(seed: Seed) -> Self {
        Self { seed, facts: Facts::new(seed.child("facts")) }
    }

    /// Returns the language's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Generates the document at `index` in the corpus with the seed `corpus_seed`. A document has at most
    /// 120 tokens.
    pub fn document(&self, corpus_seed: Seed, index: u64) -> String {
        let mut rng = self.seed.child(&format!("corpus/{}", corpus_seed.0)).rng();
        rng.set_stream(index);
        corpus::generate_document(self, &mut rng)
    }

    /// Returns the hexadecimal digest of everything that determines the text of the corpus with the seed
    /// `corpus_seed`.
    pub fn corpus_digest(&self, corpus_seed: Seed) -> String {
        // Keys of cached results depend on this string. It therefore keeps `world`, a former name of the
        // language.
        let name = format!("world v{GENERATOR_VERSION}, world {}, corpus {}", self.seed.0, corpus_seed.0);
        blake3::hash(name.as_bytes()).to_hex().to_string()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Returns all words of the language in alphabetical order, without punctuation. All seeds have the same
/// words.
pub fn vocabulary() -> BTreeSet<&'static str> {
    let templates = recall::templates()
        .chain(moves::templates())
        .chain(topic::templates())
        .chain(facts::templates())
        .chain(repeated_lists::templates())
        .chain(filler::templates());
    let listed_words = vocabulary::word_lists().into_iter().flatten().copied();
    templates.flat_map(passage::words_of_template).chain(listed_words).collect()
}
