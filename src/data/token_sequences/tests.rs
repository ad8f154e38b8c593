//! Tests of determinism, of fair sampling and of mixture shares.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::data::synthetic_tokenizer;
use crate::data::{DocumentUnit, FileCorpus, SyntheticCorpus, WeightedSource};
use crate::observer::NullObserver;

fn tokenizer() -> Tokenizer {
    Tokenizer::from(synthetic_tokenizer().unwrap())
}

fn open(source: &CorpusSource, length: usize, count: u64) -> Result<TokenSequences> {
    TokenSequences::new(source, &tokenizer(), SequenceShape { length, count }, Seed(3), &NullObserver)
}

fn batch(source: &CorpusSource, length: usize, count: u64) -> Vec<Vec<u32>> {
    open(source, length, count).unwrap().batch(0, count as usize).unwrap()
}

fn words() -> Vec<&'static str> {
    crate::data::synthetic::vocabulary().into_iter().collect()
}

/// Returns a corpus whose document `i` repeats word `i` of the vocabulary `i % 7 + 1` times.
fn corpus(folder: &Path, num_documents: usize) -> CorpusSource {
    let words = words();
    let text: String = (0..num_documents).map(|i| [words[i]].repeat(i % 7 + 1).join(" ") + "\n").collect();
    std::fs::write(folder.join("corpus.txt"), text).unwrap();
    CorpusSource::Files(FileCorpus {
        paths: vec![folder.join("corpus.txt").display().to_string()],
        column: "text".to_owned(),
        document: DocumentUnit::Line,
        separator: "\n\n".to_owned(),
    })
}

/// Returns the number of tokens in one epoch of [`corpus`]. Each document has a start token and its words.
fn epoch_tokens(num_documents: usize) -> usize {
    (0..num_documents).map(|i| i % 7 + 2).sum()
}

fn counts(tokens: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for token in tokens {
        *counts.entry(*token).or_default() += 1;
    }
    counts
}

#[test]
fn every_epoch_holds_every_document_once_in_its_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = epoch_tokens(50);
    let tokens = batch(&corpus(folder.path(), 50), epoch, 3);
    assert_ne!(tokens[0], tokens[1]);
    let tokenizer = tokenizer();
    for tokens in &tokens {
        let counts = counts(tokens);
        for (index, word) in words()[..50].iter().enumerate() {
            let token = *tokenizer.encode(word, false).unwrap().last().unwrap();
            assert_eq!(counts[&token], index % 7 + 1, "{word}");
        }
    }
}

#[test]
fn documents_are_packed_without_losing_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 50);
    let whole: Vec<u32> = batch(&source, epoch_tokens(50), 3).concat();
    let pieces: Vec<u32> = batch(&source, 11, (whole.len() / 11) as u64).concat();
    assert_eq!(pieces, whole[..pieces.len()]);
}

#[test]
fn sequences_depend_neither_on_the_first_step_nor_on_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 200);
    let long = batch(&source, 16, 500);
    for count in [1, 3, 20, 60, 500] {
        assert_eq!(batch(&source, 16, count), long[..count as usize]);
    }
    let resumed = open(&source, 16, 500).unwrap();
    for step in [61, 7, 124, 0] {
        assert_eq!(resumed.batch(step, 4).unwrap(), long[step as usize * 4..][..4]);
    }
}

#[test]
fn seeds_sample_documents_uniformly() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 70);
    let (tokenizer, mut sampled) = (tokenizer(), BTreeMap::new());
    for seed in 0..200 {
        let shape = SequenceShape { length: 8, count: 3 };
        let sequences = TokenSequences::new(&source, &tokenizer, shape, Seed(seed), &NullObserver).unwrap();
        for token in counts(&sequences.batch(0, 3).unwrap().concat()).into_keys() {
            *sampled.entry(token).or_insert(0) += 1;
        }
    }
    // Each of the 200 seeds samples about 5 of 70 documents. A document is therefore sampled about 14 times,
    // with a standard deviation of 4.
    assert!(sampled.len() >= 70, "{} of 70 documents were sampled", sampled.len());
    let most = sampled.values().filter(|&&times| times < 200).max().unwrap();
    assert!(*most < 35, "a document was sampled {most} times");
}

#[test]
fn sources_of_a_mixture_have_their_shares_of_the_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let synthetic = CorpusSource::Synthetic(SyntheticCorpus::default());
    let mixture = CorpusSource::Mixture(vec![
        WeightedSource { source: corpus(folder.path(), 8), weight: 3.0 },
        WeightedSource {
            source: CorpusSource::Mixture(vec![WeightedSource { source: synthetic.clone(), weight: 0.2 }]),
            weight: 1.0,
        },
    ]);
    let mixed = batch(&mixture, 32, 400);
    // A sequence of the files has at most nine distinct tokens: eight words and the start token.
    let is_synthetic = |sequence: &Vec<u32>| counts(sequence).len() > 9;
    assert_eq!(mixed.iter().filter(|sequence| is_synthetic(sequence)).count(), 100);
    assert_eq!(batch(&mixture, 32, 400), mixed);
    assert_eq!(batch(&mixture, 32, 101), mixed[..101]);
}

#[test]
fn reading_stops_when_the_user_interrupts() {
    struct Interrupting;
    impl Observer for Interrupting {
        fn advance(&self, _: u64) {}
        fn message(&self, _: &str) {}
        fn is_interrupted(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, shape) = (corpus(folder.path(), 50), SequenceShape { length: 8, count: 3 });
    let stopped = TokenSequences::new(&source, &tokenizer(), shape, Seed(3), &Interrupting);
    assert_eq!(stopped.err().unwrap().kind(), dtr_core::error::ErrorKind::Interrupted);
}

#[test]
fn a_corpus_that_fills_no_sequence_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&corpus(folder.path(), 2), 64, 10).err().unwrap();
    assert_eq!(error.to_string(), "the corpus has 5 tokens, fewer than one sequence of 64");
    let error = open(&corpus(folder.path(), 0), 64, 10).err().unwrap();
    assert_eq!(error.to_string(), "the files of the corpus hold no document");
}

/// Keys of cached results include the seeds of the language and of the documents, but not the assignment of
/// documents to sequences. The assignment must therefore never change.
#[test]
fn a_synthetic_sequence_has_documents_of_its_own() {
    let corpus = SyntheticCorpus { language_seed: Seed(1), seed: Seed(2) };
    let sequences = batch(&CorpusSource::Synthetic(corpus), 128, 8);
    let language = crate::data::synthetic::SyntheticLanguage::new(Seed(1));
    let first = u64::from(Seed(3).child("sequences").0 >> 8);
    for (index, sequence) in sequences.iter().enumerate() {
        let start = first + index as u64 * 17;
        let documents = (start..start + 17).map(|document| language.document(Seed(2), document));
        let tokens: Vec<u32> = documents.flat_map(|text| tokenizer().encode(&text, true).unwrap()).collect();
        assert_eq!(*sequence, tokens[..128]);
    }
}
