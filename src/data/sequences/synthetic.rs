//! Sequences of the closed language, each made of documents of its own, which never run out.

use crate::data::synthetic::SyntheticLanguage;
use crate::manifest::SyntheticCorpus;
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// The fewest tokens that a generated document may have; bounds the documents of a sequence.
const SHORTEST_DOCUMENT: usize = 8;

/// Sequences of one length, for ever.
pub(super) struct Endless {
    language: SyntheticLanguage,
    /// The seed of the text.
    text: Seed,
    tokenizer: Tokenizer,
    length: usize,
    /// The first document.
    first: u64,
}

impl Endless {
    /// Every document begins with what the tokenizer puts before a text.
    pub fn new(corpus: &SyntheticCorpus, tokenizer: &Tokenizer, length: usize, seed: Seed) -> Self {
        Self {
            language: SyntheticLanguage::new(corpus.language_seed),
            text: corpus.seed,
            tokenizer: tokenizer.clone(),
            length,
            first: u64::from(seed.0 >> 8),
        }
    }

    /// Fills one sequence with documents, the last one cut short.
    pub fn get(&self, index: u64) -> Result<Vec<u32>> {
        let stride = (self.length / SHORTEST_DOCUMENT + 1) as u64;
        let mut sequence = Vec::with_capacity(self.length);
        for document in self.first + index * stride.. {
            sequence.extend(self.tokenizer.encode(&self.language.document(self.text, document), true)?);
            if sequence.len() >= self.length {
                break;
            }
        }
        sequence.truncate(self.length);
        Ok(sequence)
    }
}
