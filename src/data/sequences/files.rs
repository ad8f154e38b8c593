//! Sequences of the documents of files, packed end to end: what one sequence has no room for begins the next.

use std::sync::{Arc, Mutex};

use super::SequenceShape;
use super::draw::{Document, Draw, Drawn, lot};
use crate::data::files::each_document;
use crate::manifest::FileCorpus;
use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// The sequences of a corpus of files.
pub(super) struct Files {
    length: usize,
    seed: Seed,
    drawn: Drawn,
    /// The orders of the epochs asked for last; two, as a batch may lie across their border.
    orders: Mutex<Vec<Arc<Order>>>,
}

impl Files {
    /// Reads the documents of `corpus`, and keeps the tokens that `shape` asks for.
    pub fn read(
        corpus: &FileCorpus,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let mut draw = Draw::new(tokenizer, shape.num_tokens(), seed)?;
        each_document(corpus, &mut |text| {
            observer.check_interrupted()?;
            draw.take(text + &corpus.separator)
        })?;
        let drawn = draw.finish()?;
        observer.message(&drawn.summary());
        if drawn.is_whole && drawn.num_tokens < shape.length as u64 {
            return Err(Error::manifest(format!(
                "the corpus has {} tokens, fewer than one sequence of {}",
                drawn.num_tokens, shape.length
            ))
            .hint("give `corpus` more text, or shorten `sequence-length`"));
        }
        Ok(Self { length: shape.length, seed, drawn, orders: Mutex::default() })
    }

    /// The sequence at `index`.
    pub fn get(&self, index: u64) -> Result<Vec<u32>> {
        let mut sequence = vec![0; self.length];
        let (mut position, mut rest) = (index * self.length as u64, &mut sequence[..]);
        while !rest.is_empty() {
            let (epoch, place) = (position / self.drawn.num_tokens, position % self.drawn.num_tokens);
            assert!(self.drawn.is_whole || epoch == 0, "sequence {index} is out of range");
            let (document, skipped) = self.order(epoch).find(place);
            let document = &self.drawn.documents[document];
            let len = rest.len().min((document.len - skipped) as usize);
            let (now, later) = rest.split_at_mut(len);
            self.drawn.tokens.read(document.start + skipped, now)?;
            (position, rest) = (position + len as u64, later);
        }
        Ok(sequence)
    }

    fn order(&self, epoch: u64) -> Arc<Order> {
        let mut orders = self.orders.lock().expect("nothing panics while it holds the orders");
        if let Some(order) = orders.iter().find(|order| order.epoch == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(Order::of(epoch, &self.drawn.documents, self.seed));
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
    /// On one thread: its caller holds a lock, and a thread that waited for others here could take up work that
    /// asks for the same lock.
    fn of(epoch: u64, documents: &[Document], seed: Seed) -> Self {
        let mut lots: Vec<(u64, usize)> = documents
            .iter()
            .enumerate()
            .map(|(index, document)| (lot(seed, epoch, document.number), index))
            .collect();
        lots.sort_unstable();
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
