//! Random sampling of a corpus's documents until they fill a token budget, in one pass.
//!
//! Every document has a random sort key for each epoch. An epoch reads the documents in the order of their
//! keys. The pass keeps the documents that come first in the first epoch, until they fill the budget. If all
//! documents together do not fill the budget, the pass keeps all of them. Because the keys are random, the
//! sample is uniform. In the order of the keys, a larger sample begins with the documents of a smaller
//! sample.
//!
//! The tokens of kept documents are written to a temporary file. Memory holds only a few numbers for each
//! kept document.

use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::token_file::{TokenFile, TokenFileWriter};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// The size of a batch of documents that all threads tokenize together, in bytes. A thread tokenizes a whole
/// document, and a book has about half a megabyte. Even a batch of books therefore occupies many threads.
const BATCH_BYTES: usize = 1 << 24;

/// A sampled document. Documents are ordered by their sort keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SampledDocument {
    sort_key: u64,
    /// The document's index in the corpus.
    pub index: u64,
    /// The position of the document's first token in the token file.
    pub start: u64,
    /// The number of tokens of the document.
    pub len: u64,
}

/// Returns the random sort key of a document in an epoch.
pub(super) fn sort_key(seed: Seed, epoch: u64, index: u64) -> u64 {
    // Results depend on this string. It therefore keeps `lot`, a former name of the sort key.
    let mut hasher = blake3::Hasher::new_derive_key("dtr document lot v1");
    hasher.update(&seed.0.to_le_bytes()).update(&epoch.to_le_bytes()).update(&index.to_le_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

/// A pass over a corpus. It receives every document, and keeps the documents with the smallest sort keys.
pub(super) struct DocumentSampler<'a> {
    tokenizer: &'a Tokenizer,
    seed: Seed,
    token_budget: u64,
    token_file: TokenFileWriter,
    kept: BinaryHeap<SampledDocument>,
    num_kept_tokens: u64,
    num_documents: u64,
    /// Documents that are not tokenized yet, each with its index in the corpus.
    pending: Vec<(u64, String)>,
    num_pending_bytes: usize,
}

impl<'a> DocumentSampler<'a> {
    pub fn new(tokenizer: &'a Tokenizer, token_budget: u64, seed: Seed) -> Result<Self> {
        Ok(Self {
            tokenizer,
            seed,
            token_budget,
            token_file: TokenFileWriter::new()?,
            kept: BinaryHeap::new(),
            num_kept_tokens: 0,
            num_documents: 0,
            pending: Vec::new(),
            num_pending_bytes: 0,
        })
    }

    /// Receives the next document of the corpus.
    pub fn push(&mut self, text: String) -> Result<()> {
        let index = self.num_documents;
        self.num_documents += 1;
        if self.is_excluded(sort_key(self.seed, 0, index)) {
            return Ok(());
        }
        self.num_pending_bytes += text.len();
        self.pending.push((index, text));
        if self.num_pending_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Returns whether documents with smaller keys than `sort_key` already fill the budget.
    fn is_excluded(&self, sort_key: u64) -> bool {
        self.num_kept_tokens >= self.token_budget
            && self.kept.peek().is_none_or(|last| sort_key > last.sort_key)
    }

    /// Tokenizes the pending documents on all threads, and keeps the documents that the budget needs. The
    /// sample does not depend on how many documents are pending.
    fn flush(&mut self) -> Result<()> {
        self.num_pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        let tokens: Vec<Vec<u32>> =
            pending.par_iter().map(|(_, text)| self.tokenizer.encode(text, true)).collect::<Result<_>>()?;
        pending.iter().zip(tokens).try_for_each(|((index, _), tokens)| self.keep(*index, &tokens))
    }

    /// Keeps a document unless it is excluded. Then drops the documents with the largest sort keys, as long
    /// as the other documents fill the budget.
    fn keep(&mut self, index: u64, tokens: &[u32]) -> Result<()> {
        let sort_key = sort_key(self.seed, 0, index);
        if self.is_excluded(sort_key) {
            return Ok(());
        }
        let (start, len) = (self.token_file.write(tokens)?, tokens.len() as u64);
        self.kept.push(SampledDocument { sort_key, index, start, len });
        self.num_kept_tokens += len;
        while let Some(last) = self.kept.peek()
            && self.num_kept_tokens - last.len >= self.token_budget
        {
            self.num_kept_tokens -= last.len;
            self.kept.pop();
        }
        Ok(())
    }

    /// Ends the pass and returns the sample.
    ///
    /// # Errors
    /// Fails if the corpus has no document.
    pub fn finish(mut self) -> Result<CorpusSample> {
        self.flush()?;
        if self.num_documents == 0 {
            return Err(Error::manifest("the files of the corpus hold no document")
                .hint("add files whose documents are not blank"));
        }
        let is_complete = self.kept.len() as u64 == self.num_documents;
        let mut documents = self.kept.into_vec();
        documents.sort_unstable_by_key(|document| document.index);
        Ok(CorpusSample {
            token_budget: self.token_budget,
            num_corpus_documents: self.num_documents,
            tokens: self.token_file.finish()?,
            documents,
            num_tokens: self.num_kept_tokens,
            is_complete,
        })
    }
}

/// The sampled documents of a corpus.
pub(super) struct CorpusSample {
    token_budget: u64,
    num_corpus_documents: u64,
    pub tokens: TokenFile,
    /// The sampled documents, in the order of the corpus.
    pub documents: Vec<SampledDocument>,
    /// Number of tokens of the sampled documents.
    pub num_tokens: u64,
    /// Whether the sample is the whole corpus. If not, the budget is smaller than one epoch.
    pub is_complete: bool,
}

impl CorpusSample {
    /// Returns a description of the sample for the user.
    pub fn summary(&self) -> String {
        let (num_documents, num_tokens) = (self.num_corpus_documents, self.num_tokens);
        if self.is_complete {
            let epochs = self.token_budget as f64 / num_tokens.max(1) as f64;
            return format!(
                "the corpus has {num_documents} documents and {num_tokens} tokens, read {epochs:.2} times"
            );
        }
        let num_sampled = self.documents.len();
        format!("sampled {num_sampled} of the corpus's {num_documents} documents, {num_tokens} tokens")
    }
}
