//! Token sequences of one length from a corpus; sequence `i` is a pure function of the corpus, the
//! tokenizer, the seed and `i`, so that training can resume at any step.

mod draw;
mod files;
mod shares;
mod spool;
mod synthetic;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::manifest::CorpusSource;
use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;
use files::Files;
use shares::Shares;
use synthetic::Endless;

/// The number and the length of the sequences that a training run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Tokens of a sequence.
    pub length: usize,
    /// Number of sequences.
    pub count: u64,
}

impl SequenceShape {
    fn num_tokens(self) -> u64 {
        self.length as u64 * self.count
    }
}

/// The sequences of a corpus.
pub struct Sequences(Stream);

impl Sequences {
    /// Prepares the sequences of `shape`, which longer extents begin with; files are read here, once.
    ///
    /// # Errors
    /// When files cannot be read or hold too little, which is the input's fault, and when the user asks to stop.
    pub fn new(
        corpus: &CorpusSource,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let stream = Stream::open(corpus, tokenizer, shape, seed.child("sequences"), observer);
        stream.map(Self).map_err(Error::mark_bad_input)
    }

    /// The sequences of `step`, `[batch_size][length]`.
    pub fn batch(&self, step: u64, batch_size: usize) -> Result<Vec<Vec<u32>>> {
        let first = step * batch_size as u64;
        (first..first + batch_size as u64).into_par_iter().map(|index| self.0.get(index)).collect()
    }
}

/// Where sequences come from.
enum Stream {
    Synthetic(Box<Endless>),
    Files(Files),
    /// Each sequence is of one portion, so that shares of sequences are shares of tokens.
    Mixture(Shares, Vec<Stream>),
}

impl Stream {
    fn open(
        source: &CorpusSource,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        Ok(match source {
            CorpusSource::Synthetic(corpus) => {
                Self::Synthetic(Box::new(Endless::new(corpus, tokenizer, shape.length, seed)))
            }
            CorpusSource::Files(corpus) => {
                Self::Files(Files::read(corpus, tokenizer, shape, seed, observer)?)
            }
            CorpusSource::Mixture(portions) => {
                let shares = Shares::new(portions.iter().map(|portion| portion.weight));
                let counts = shares.counts(shape.count);
                let open = |(index, count): (usize, u64)| {
                    let seed = seed.child(&format!("portion-{index}"));
                    let shape = SequenceShape { count, ..shape };
                    Self::open(&portions[index].source, tokenizer, shape, seed, observer)
                };
                let streams = counts.into_iter().enumerate().map(open).collect::<Result<_>>()?;
                Self::Mixture(shares, streams)
            }
        })
    }

    fn get(&self, index: u64) -> Result<Vec<u32>> {
        match self {
            Self::Synthetic(endless) => endless.get(index),
            Self::Files(files) => files.get(index),
            Self::Mixture(shares, streams) => {
                let (portion, index) = shares.place(index);
                streams[portion].get(index)
            }
        }
    }
}
