//! Packed sequences of a corpus of files. Documents are concatenated. If a document does not fit into a
//! sequence, the remaining tokens of the document begin the next sequence.

use std::sync::{Arc, Mutex};

use super::SequenceShape;
use super::sampling::{CorpusSample, DocumentSampler, SampledDocument, sort_key};
use crate::data::FileCorpus;
use crate::data::documents::for_each_document;
use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// The sequences of a corpus of files.
pub(super) struct FileSequences {
    length: usize,
    seed: Seed,
    sample: CorpusSample,
    /// The document orders of the two epochs that were used last. A batch may hold sequences of two
    /// successive epochs.
    orders: Mutex<Vec<Arc<EpochOrder>>>,
}

impl FileSequences {
    /// Reads the documents of `corpus`, and keeps as many tokens as `shape` asks for.
    pub fn new(
        corpus: &FileCorpus,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let mut sampler = DocumentSampler::new(tokenizer, shape.num_tokens(), seed)?;
        for_each_document(corpus, &mut |text| {
            observer.check_interrupted()?;
            sampler.push(text + &corpus.separator)
        })?;
        let sample = sampler.finish()?;
        observer.message(&sample.summary());
        if sample.is_complete && sample.num_tokens < shape.length as u64 {
            return Err(Error::manifest(format!(
                "the corpus has {} tokens, fewer than one sequence of {}",
                sample.num_tokens, shape.length
            ))
            .hint("add text to `corpus`, or lower `sequence-length`"));
        }
        Ok(Self { length: shape.length, seed, sample, orders: Mutex::default() })
    }

    /// Returns the sequence at `index`.
    pub fn get(&self, index: u64) -> Result<Vec<u32>> {
        let epoch_tokens = self.sample.num_tokens;
        let mut sequence = vec![0; self.length];
        let (mut position, mut unfilled) = (index * self.length as u64, &mut sequence[..]);
        while !unfilled.is_empty() {
            let (epoch, position_in_epoch) = (position / epoch_tokens, position % epoch_tokens);
            assert!(self.sample.is_complete || epoch == 0, "sequence {index} is out of range");
            let (document, offset) = self.order_of_epoch(epoch).locate(position_in_epoch);
            let document = &self.sample.documents[document];
            let len = unfilled.len().min((document.len - offset) as usize);
            let (filled, rest) = unfilled.split_at_mut(len);
            self.sample.tokens.read(document.start + offset, filled)?;
            (position, unfilled) = (position + len as u64, rest);
        }
        Ok(sequence)
    }

    fn order_of_epoch(&self, epoch: u64) -> Arc<EpochOrder> {
        let mut orders = self.orders.lock().expect("no holder of this lock panics");
        if let Some(order) = orders.iter().find(|order| order.epoch == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(EpochOrder::new(epoch, &self.sample.documents, self.seed));
        orders.truncate(1);
        orders.insert(0, Arc::clone(&order));
        order
    }
}

/// The order of the documents in one epoch.
struct EpochOrder {
    epoch: u64,
    /// Indices of the sampled documents, in the order of the epoch.
    documents: Vec<usize>,
    /// The end of each document, in tokens from the start of the epoch.
    document_ends: Vec<u64>,
}

impl EpochOrder {
    /// Sorts the documents by their keys, on the calling thread.
    ///
    /// A parallel sort could deadlock, because the caller holds a lock. While this thread waits for the sort,
    /// rayon could run another task on this thread. This other task could wait for the same lock.
    fn new(epoch: u64, documents: &[SampledDocument], seed: Seed) -> Self {
        let mut keys: Vec<(u64, usize)> = documents
            .iter()
            .enumerate()
            .map(|(index, document)| (sort_key(seed, epoch, document.index), index))
            .collect();
        keys.sort_unstable();
        let sorted = keys.iter().map(|&(_, index)| index).collect();
        let mut end = 0;
        let mut document_ends = Vec::with_capacity(documents.len());
        for (_, index) in keys {
            end += documents[index].len;
            document_ends.push(end);
        }
        Self { epoch, documents: sorted, document_ends }
    }

    /// Returns the document that holds the token at `position` of the epoch, and the token's offset in the
    /// document.
    fn locate(&self, position: u64) -> (usize, u64) {
        let rank = self.document_ends.partition_point(|&end| end <= position);
        let start = if rank == 0 { 0 } else { self.document_ends[rank - 1] };
        (self.documents[rank], position - start)
    }
}
