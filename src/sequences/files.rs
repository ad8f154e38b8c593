//! Sequences of the documents of files, packed end to end: what one sequence has no room for begins the next.
//!
//! In each epoch every document has a number drawn for it, its lot, and the documents come by their lots. One pass
//! over the files keeps, on disk as tokens, the documents of the lowest lots that fill the extent, and all of
//! them where the extent has room for more than an epoch. So a longer extent begins with the shorter one,
//! memory holds a few numbers for each kept document, and a large corpus is sampled evenly.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::Extent;
use super::spool::{Spool, Spooled};
use crate::data::files::each_document;
use crate::error::{Error, Result};
use crate::manifest::FileCorpus;
use crate::model::Tokenizer;
use crate::observer::Observer;
use crate::seed::Seed;

/// Bytes of text that are made tokens at once, on all threads.
const BATCH_BYTES: usize = 1 << 20;

/// A document that is kept; they order by lot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Document {
    lot: u64,
    /// Its place in the corpus.
    number: u64,
    /// Its first token in the spool.
    start: u64,
    len: u64,
}

/// What is drawn for document `number` in `epoch`.
fn lot(seed: Seed, epoch: u64, number: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("dtr document lot v1");
    hasher.update(&seed.0.to_le_bytes()).update(&epoch.to_le_bytes()).update(&number.to_le_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

/// The sequences of a corpus of files.
pub(super) struct Files {
    length: usize,
    seed: Seed,
    tokens: Spooled,
    documents: Vec<Document>,
    num_tokens: u64,
    /// Whether these are all the documents of the corpus; else the first epoch is never over.
    is_whole: bool,
    /// The orders of the epochs asked for last; two, as a batch may lie across their border.
    orders: Mutex<Vec<Arc<Order>>>,
}

impl Files {
    /// Reads the documents of `corpus`, and keeps the tokens that `extent` asks for.
    pub fn read(
        corpus: &FileCorpus,
        tokenizer: &Tokenizer,
        extent: Extent,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let mut draw = Draw::new(tokenizer, extent.num_tokens(), seed)?;
        each_document(corpus, &mut |text| {
            if draw.take(text + &corpus.separator)? {
                observer.check()?;
            }
            Ok(())
        })?;
        draw.flush()?;
        observer.say(&draw.summary());
        let files = draw.finish(extent.length)?;
        if files.is_whole && files.num_tokens < extent.length as u64 {
            return Err(Error::manifest(format!(
                "the corpus has {} tokens, fewer than one sequence of {}",
                files.num_tokens, extent.length
            ))
            .hint("give `corpus` more text, or shorten `sequence-length`"));
        }
        Ok(files)
    }

    /// The sequence at `index`.
    pub fn get(&self, index: u64) -> Result<Vec<u32>> {
        let mut sequence = vec![0; self.length];
        let (mut position, mut rest) = (index * self.length as u64, &mut sequence[..]);
        while !rest.is_empty() {
            let (epoch, place) = (position / self.num_tokens, position % self.num_tokens);
            assert!(self.is_whole || epoch == 0, "sequence {index} is beyond the extent");
            let (document, skipped) = self.order(epoch).find(place);
            let document = &self.documents[document];
            let len = rest.len().min((document.len - skipped) as usize);
            let (now, later) = rest.split_at_mut(len);
            self.tokens.read(document.start + skipped, now)?;
            (position, rest) = (position + len as u64, later);
        }
        Ok(sequence)
    }

    fn order(&self, epoch: u64) -> Arc<Order> {
        let mut orders = self.orders.lock().expect("nothing panics while it holds the orders");
        if let Some(order) = orders.iter().find(|order| order.epoch == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(Order::of(epoch, &self.documents, self.seed));
        orders.truncate(1);
        orders.insert(0, Arc::clone(&order));
        order
    }
}

/// The order of an epoch.
struct Order {
    epoch: u64,
    /// Indices of documents.
    documents: Vec<usize>,
    /// Where in the epoch each of them ends, in tokens.
    ends: Vec<u64>,
}

impl Order {
    fn of(epoch: u64, documents: &[Document], seed: Seed) -> Self {
        let mut lots: Vec<(u64, usize)> = documents
            .par_iter()
            .enumerate()
            .map(|(index, document)| (lot(seed, epoch, document.number), index))
            .collect();
        lots.par_sort_unstable();
        let documents_in_order = lots.iter().map(|&(_, index)| index).collect();
        let mut end = 0;
        let mut ends = Vec::with_capacity(documents.len());
        for (_, index) in lots {
            end += documents[index].len;
            ends.push(end);
        }
        Self { epoch, documents: documents_in_order, ends }
    }

    /// The document in which the token at `place` lies, and how many of its tokens come before.
    fn find(&self, place: u64) -> (usize, u64) {
        let index = self.ends.partition_point(|&end| end <= place);
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (self.documents[index], place - start)
    }
}

/// The pass over a corpus that keeps the documents of the lowest lots.
struct Draw<'a> {
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
    fn new(tokenizer: &'a Tokenizer, wanted: u64, seed: Seed) -> Result<Self> {
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

    /// Takes the next document; whether those that waited were made tokens.
    fn take(&mut self, text: String) -> Result<bool> {
        let number = self.num_documents;
        self.num_documents += 1;
        if self.is_out(lot(self.seed, 0, number)) {
            return Ok(false);
        }
        self.waiting_bytes += text.len();
        self.waiting.push((number, text));
        let is_full = self.waiting_bytes >= BATCH_BYTES;
        if is_full {
            self.flush()?;
        }
        Ok(is_full)
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

    /// What became of the corpus, for the user.
    fn summary(&self) -> String {
        let (documents, tokens) = (self.num_documents, self.num_kept_tokens);
        if self.is_whole() {
            let epochs = self.wanted as f64 / tokens.max(1) as f64;
            return format!(
                "the corpus has {documents} documents of {tokens} tokens, read {epochs:.2} times"
            );
        }
        let kept = self.kept.len();
        format!("{kept} of the corpus's {documents} documents, drawn at random, have {tokens} tokens")
    }

    fn is_whole(&self) -> bool {
        self.kept.len() as u64 == self.num_documents
    }

    fn finish(self, length: usize) -> Result<Files> {
        if self.num_documents == 0 {
            return Err(Error::manifest("the files of the corpus hold no document")
                .hint("the text of every document is blank"));
        }
        let is_whole = self.is_whole();
        let mut documents = self.kept.into_vec();
        documents.sort_unstable_by_key(|document| document.number);
        Ok(Files {
            length,
            seed: self.seed,
            tokens: self.spool.finish()?,
            documents,
            num_tokens: self.num_kept_tokens,
            is_whole,
            orders: Mutex::default(),
        })
    }
}
