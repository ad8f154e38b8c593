//! Which documents of a corpus fill the extent: those of the lowest lots.
//!
//! In each epoch every document has a number drawn for it, its lot, and the documents come by their lots. One pass
//! over the files keeps, on disk as tokens, the documents of the lowest lots that fill the extent, and all of
//! them where the extent has room for more than an epoch. So a longer extent begins with the shorter one,
//! memory holds a few numbers for each kept document, and a large corpus is sampled evenly.

use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::spool::{Spool, Spooled};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// Bytes of text that are made tokens at once, on all threads.
const BATCH_BYTES: usize = 1 << 20;

/// A document that is kept; they order by lot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Document {
    lot: u64,
    /// Its place in the corpus.
    pub number: u64,
    /// Its first token in the spool.
    pub start: u64,
    /// Its tokens.
    pub len: u64,
}

/// What is drawn for document `number` in `epoch`.
pub(super) fn lot(seed: Seed, epoch: u64, number: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("dtr document lot v1");
    hasher.update(&seed.0.to_le_bytes()).update(&epoch.to_le_bytes()).update(&number.to_le_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

/// The pass over a corpus that keeps the documents of the lowest lots.
pub(super) struct Draw<'a> {
    tokenizer: &'a Tokenizer,
    seed: Seed,
    /// Tokens that are needed.
    wanted: u64,
    spool: Spool,
    kept: BinaryHeap<Document>,
    num_kept_tokens: u64,
    num_documents: u64,
    /// Documents that are not tokens yet, by number.
    waiting: Vec<(u64, String)>,
    waiting_bytes: usize,
}

impl<'a> Draw<'a> {
    pub fn new(tokenizer: &'a Tokenizer, wanted: u64, seed: Seed) -> Result<Self> {
        Ok(Self {
            tokenizer,
            seed,
            wanted,
            spool: Spool::new()?,
            kept: BinaryHeap::new(),
            num_kept_tokens: 0,
            num_documents: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// Takes the next document.
    pub fn take(&mut self, text: String) -> Result<()> {
        let number = self.num_documents;
        self.num_documents += 1;
        if self.is_out(lot(self.seed, 0, number)) {
            return Ok(());
        }
        self.waiting_bytes += text.len();
        self.waiting.push((number, text));
        if self.waiting_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Whether the documents before `lot` are enough.
    fn is_out(&self, lot: u64) -> bool {
        self.num_kept_tokens >= self.wanted && self.kept.peek().is_none_or(|last| lot > last.lot)
    }

    /// Makes tokens of the documents that wait, on all threads; what is kept does not depend on when.
    fn flush(&mut self) -> Result<()> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let tokens: Vec<Vec<u32>> =
            waiting.par_iter().map(|(_, text)| self.tokenizer.encode(text, true)).collect::<Result<_>>()?;
        waiting.iter().zip(tokens).try_for_each(|((number, _), tokens)| self.keep(*number, &tokens))
    }

    /// Keeps a document, and drops those that are no longer needed.
    fn keep(&mut self, number: u64, tokens: &[u32]) -> Result<()> {
        let lot = lot(self.seed, 0, number);
        if self.is_out(lot) {
            return Ok(());
        }
        let (start, len) = (self.spool.write(tokens)?, tokens.len() as u64);
        self.kept.push(Document { lot, number, start, len });
        self.num_kept_tokens += len;
        while let Some(last) = self.kept.peek()
            && self.num_kept_tokens - last.len >= self.wanted
        {
            self.num_kept_tokens -= last.len;
            self.kept.pop();
        }
        Ok(())
    }

    /// What was kept, once the last document was taken.
    pub fn finish(mut self) -> Result<Drawn> {
        self.flush()?;
        if self.num_documents == 0 {
            return Err(Error::manifest("the files of the corpus hold no document")
                .hint("the text of every document is blank"));
        }
        let is_whole = self.kept.len() as u64 == self.num_documents;
        let mut documents = self.kept.into_vec();
        documents.sort_unstable_by_key(|document| document.number);
        Ok(Drawn {
            wanted: self.wanted,
            num_documents: self.num_documents,
            tokens: self.spool.finish()?,
            documents,
            num_tokens: self.num_kept_tokens,
            is_whole,
        })
    }
}

/// What a pass kept.
pub(super) struct Drawn {
    wanted: u64,
    num_documents: u64,
    pub tokens: Spooled,
    /// The kept documents, in the order of the corpus.
    pub documents: Vec<Document>,
    pub num_tokens: u64,
    /// Whether these are all the documents of the corpus; else the first epoch is never over.
    pub is_whole: bool,
}

impl Drawn {
    /// What became of the corpus, for the user.
    pub fn summary(&self) -> String {
        let (documents, tokens) = (self.num_documents, self.num_tokens);
        if self.is_whole {
            let epochs = self.wanted as f64 / tokens.max(1) as f64;
            return format!(
                "the corpus has {documents} documents of {tokens} tokens, read {epochs:.2} times"
            );
        }
        let kept = self.documents.len();
        format!("{kept} of the corpus's {documents} documents, drawn at random, have {tokens} tokens")
    }
}
