//! Sequences of the bundled synthetic language. No two sequences share a document. Documents are generated on
//! demand.

use crate::data::SyntheticCorpus;
use crate::data::synthetic::SyntheticLanguage;
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// The minimum number of tokens of a generated document. This number limits how many documents a sequence
/// needs.
const MIN_DOCUMENT_TOKENS: usize = 8;

/// An endless supply of sequences of one length.
pub(super) struct SyntheticSequences {
    language: SyntheticLanguage,
    /// The seed of the documents.
    corpus_seed: Seed,
    tokenizer: Tokenizer,
    length: usize,
    /// The index of the first document of sequence 0.
    first_document: u64,
}

impl SyntheticSequences {
    /// Prepares sequences of `length` tokens. Every document begins with the tokenizer's start token.
    pub fn new(corpus: &SyntheticCorpus, tokenizer: &Tokenizer, length: usize, seed: Seed) -> Self {
        Self {
            language: SyntheticLanguage::new(corpus.language_seed),
            corpus_seed: corpus.seed,
            tokenizer: tokenizer.clone(),
            length,
            first_document: u64::from(seed.0 >> 8),
        }
    }

    /// Generates the sequence at `index`. Its last document is truncated.
    pub fn get(&self, index: u64) -> Result<Vec<u32>> {
        let documents_per_sequence = (self.length / MIN_DOCUMENT_TOKENS + 1) as u64;
        let mut sequence = Vec::with_capacity(self.length);
        for document in self.first_document + index * documents_per_sequence.. {
            let text = self.language.document(self.corpus_seed, document);
            sequence.extend(self.tokenizer.encode(&text, true)?);
            if sequence.len() >= self.length {
                break;
            }
        }
        sequence.truncate(self.length);
        Ok(sequence)
    }
}
