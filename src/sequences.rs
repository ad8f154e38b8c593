//! Token sequences of one length from a corpus; sequence `i` is a pure function of the corpus, the
//! tokenizer, the seed and `i`, so that training can resume at any step.

use std::path::Path;

use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::data::Documents;
use crate::error::{Error, Result};
use crate::manifest::Corpus;
use crate::model::Tokenizer;
use crate::seed::Seed;

/// The fewest tokens that a generated document may have; bounds the documents of a sequence.
const SHORTEST_DOCUMENT: usize = 8;

/// Sequences of one length, for ever.
pub struct Sequences {
    length: usize,
    seed: Seed,
    packing: Packing,
}

#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Packing {
    /// Each sequence takes documents of its own from an endless stream.
    Endless { documents: Documents, tokenizer: Tokenizer },
    /// All documents end to end, cut into windows that are shuffled anew each epoch.
    Windows { tokens: Vec<u32> },
}

impl Sequences {
    /// Sequences of `length` tokens of `corpus`; every document begins with what the tokenizer puts
    /// before a text.
    pub fn new(corpus: &Corpus, tokenizer: &Tokenizer, length: usize, seed: Seed) -> Result<Self> {
        let documents = Documents::open(&corpus.source, Path::new(""))?;
        let packing = match documents.count() {
            None => Packing::Endless { documents, tokenizer: tokenizer.clone() },
            Some(count) => Packing::Windows { tokens: all_tokens(&documents, count, tokenizer, length)? },
        };
        Ok(Self { length, seed: seed.child("sequences"), packing })
    }

    /// The sequences of `step`, `[batch_size][length]`.
    pub fn batch(&self, step: u64, batch_size: usize) -> Result<Vec<Vec<u32>>> {
        let first = step * batch_size as u64;
        (first..first + batch_size as u64).into_par_iter().map(|index| self.get(index)).collect()
    }

    fn get(&self, index: u64) -> Result<Vec<u32>> {
        match &self.packing {
            Packing::Endless { documents, tokenizer } => self.fill(documents, tokenizer, index),
            Packing::Windows { tokens } => Ok(self.window(tokens, index)),
        }
    }

    /// Fills one sequence with documents, the last one cut short.
    fn fill(&self, documents: &Documents, tokenizer: &Tokenizer, index: u64) -> Result<Vec<u32>> {
        let stride = (self.length / SHORTEST_DOCUMENT + 1) as u64;
        let first = u64::from(self.seed.0 >> 8) + index * stride;
        let mut sequence = Vec::with_capacity(self.length);
        for document in first.. {
            sequence.extend(tokenizer.encode(&documents.get(document), true)?);
            if sequence.len() >= self.length {
                break;
            }
        }
        sequence.truncate(self.length);
        Ok(sequence)
    }

    fn window(&self, tokens: &[u32], index: u64) -> Vec<u32> {
        let count = (tokens.len() / self.length) as u64;
        let (epoch, place) = (index / count, (index % count) as usize);
        let mut order: Vec<usize> = (0..count as usize).collect();
        order.shuffle(&mut self.seed.child(&format!("epoch-{epoch}")).rng());
        let start = order[place] * self.length;
        tokens[start..start + self.length].to_vec()
    }
}

fn all_tokens(documents: &Documents, count: u64, tokenizer: &Tokenizer, length: usize) -> Result<Vec<u32>> {
    let mut tokens = Vec::new();
    for document in 0..count {
        tokens.extend(tokenizer.encode(&documents.get(document), true)?);
    }
    if tokens.len() < length {
        return Err(Error::manifest(format!(
            "the corpus has {} tokens, fewer than one sequence of {length}",
            tokens.len()
        )));
    }
    Ok(tokens)
}
