//! Training data: the token sequences of a corpus, all of one length.
//!
//! Sequence `i` is a pure function of the corpus, the tokenizer, the seed and `i`, so training can resume at
//! any step.

mod files;
mod mixture;
mod sampling;
mod synthetic;
#[cfg(test)]
mod tests;
mod token_file;

use rayon::prelude::*;

use super::CorpusSource;
use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;
use files::FileSequences;
use mixture::MixtureSchedule;
use synthetic::SyntheticSequences;

/// The number of sequences of a training run, and their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Number of tokens of a sequence.
    pub length: usize,
    /// Number of sequences.
    pub count: u64,
}

impl SequenceShape {
    fn num_tokens(self) -> u64 {
        self.length as u64 * self.count
    }
}

/// The token sequences of a corpus.
pub struct TokenSequences(SequenceSource);

impl TokenSequences {
    /// Prepares the sequences of a training run. Reads all files of the corpus once.
    ///
    /// A longer run begins with the sequences of a shorter run.
    ///
    /// # Errors
    /// Fails with an input error if files cannot be read or hold too few tokens. Fails with
    /// [`Error::interrupted`] if the user asks to stop.
    pub fn new(
        corpus: &CorpusSource,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let source = SequenceSource::open(corpus, tokenizer, shape, seed.child("sequences"), observer);
        source.map(Self).map_err(Error::mark_bad_input)
    }

    /// Returns the batch of `step`, `[batch_size][length]`.
    ///
    /// # Errors
    /// Fails if the temporary file of tokens cannot be read.
    pub fn batch(&self, step: u64, batch_size: usize) -> Result<Vec<Vec<u32>>> {
        let first = step * batch_size as u64;
        (first..first + batch_size as u64).into_par_iter().map(|index| self.0.get(index)).collect()
    }
}

/// The source of sequences.
enum SequenceSource {
    Synthetic(Box<SyntheticSequences>),
    Files(FileSequences),
    /// A mixture of sources. All sequences have the same length, and each sequence comes from a single
    /// source. A source's share of the sequences is therefore also its share of the tokens.
    Mixture(MixtureSchedule, Vec<SequenceSource>),
}

impl SequenceSource {
    fn open(
        source: &CorpusSource,
        tokenizer: &Tokenizer,
        shape: SequenceShape,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Self> {
        Ok(match source {
            CorpusSource::Synthetic(corpus) => {
                Self::Synthetic(Box::new(SyntheticSequences::new(corpus, tokenizer, shape.length, seed)))
            }
            CorpusSource::Files(corpus) => {
                Self::Files(FileSequences::new(corpus, tokenizer, shape, seed, observer)?)
            }
            CorpusSource::Mixture(sources) => {
                let schedule = MixtureSchedule::new(sources.iter().map(|source| source.weight));
                let counts = schedule.counts(shape.count);
                let open = |(index, count): (usize, u64)| {
                    // Results depend on this string. It therefore keeps `portion`, a former name of a source.
                    let seed = seed.child(&format!("portion-{index}"));
                    let shape = SequenceShape { count, ..shape };
                    Self::open(&sources[index].source, tokenizer, shape, seed, observer)
                };
                let opened = counts.into_iter().enumerate().map(open).collect::<Result<_>>()?;
                Self::Mixture(schedule, opened)
            }
        })
    }

    fn get(&self, index: u64) -> Result<Vec<u32>> {
        match self {
            Self::Synthetic(sequences) => sequences.get(index),
            Self::Files(sequences) => sequences.get(index),
            Self::Mixture(schedule, sources) => {
                let (source, index) = schedule.locate(index);
                sources[source].get(index)
            }
        }
    }
}
