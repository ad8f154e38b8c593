//! The same sequences wherever they are entered, every document as often as any other, shares as asked.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::data::synthetic_tokenizer;
use crate::manifest::{FileCorpus, Portion, SyntheticCorpus, TextUnit};
use crate::observer::NullObserver;

fn tokenizer() -> Tokenizer {
    Tokenizer::from(synthetic_tokenizer().unwrap())
}

fn open(source: &CorpusSource, length: usize, count: u64) -> Result<Sequences> {
    Sequences::new(source, &tokenizer(), SequenceShape { length, count }, Seed(3), &NullObserver)
}

fn all(source: &CorpusSource, length: usize, count: u64) -> Vec<Vec<u32>> {
    open(source, length, count).unwrap().batch(0, count as usize).unwrap()
}

/// The words of the closed language, without those that stand in every text.
fn words() -> Vec<&'static str> {
    crate::data::synthetic::vocabulary().into_iter().collect()
}

/// A corpus whose document `i` is the `i`-th word, `i % 7 + 1` times.
fn corpus(folder: &Path, num_documents: usize) -> CorpusSource {
    let words = words();
    let text: String = (0..num_documents).map(|i| [words[i]].repeat(i % 7 + 1).join(" ") + "\n").collect();
    std::fs::write(folder.join("corpus.txt"), text).unwrap();
    CorpusSource::Files(FileCorpus {
        paths: vec![folder.join("corpus.txt").display().to_string()],
        column: "text".to_owned(),
        document: TextUnit::Line,
        separator: "\n\n".to_owned(),
    })
}

/// Tokens of one epoch of [`corpus`]: each document has one before it.
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
    let tokens = all(&corpus(folder.path(), 50), epoch, 3);
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
fn documents_are_packed_end_to_end_and_none_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 50);
    let whole: Vec<u32> = all(&source, epoch_tokens(50), 3).concat();
    let pieces: Vec<u32> = all(&source, 11, (whole.len() / 11) as u64).concat();
    assert_eq!(pieces, whole[..pieces.len()]);
}

#[test]
fn sequences_do_not_depend_on_where_they_are_entered_nor_on_how_many_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 200);
    let long = all(&source, 16, 500);
    for count in [1, 3, 20, 60, 500] {
        assert_eq!(all(&source, 16, count), long[..count as usize]);
    }
    let resumed = open(&source, 16, 500).unwrap();
    for step in [61, 7, 124, 0] {
        assert_eq!(resumed.batch(step, 4).unwrap(), long[step as usize * 4..][..4]);
    }
}

#[test]
fn another_seed_draws_other_documents_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus(folder.path(), 70);
    let (tokenizer, mut drawn) = (tokenizer(), BTreeMap::new());
    for seed in 0..200 {
        let shape = SequenceShape { length: 8, count: 3 };
        let sequences = Sequences::new(&source, &tokenizer, shape, Seed(seed), &NullObserver).unwrap();
        for token in counts(&sequences.batch(0, 3).unwrap().concat()).into_keys() {
            *drawn.entry(token).or_insert(0) += 1;
        }
    }
    // 200 times about 5 of 70 documents; each is met about 14 times, with a deviation of 4.
    assert!(drawn.len() >= 70, "{} of 70 documents were drawn", drawn.len());
    let most = drawn.values().filter(|&&times| times < 200).max().unwrap();
    assert!(*most < 35, "{most} times the same");
}

#[test]
fn portions_of_a_mixture_have_their_shares_of_the_tokens_and_end_as_if_alone() {
    let folder = tempfile::tempdir().unwrap();
    let synthetic = CorpusSource::Synthetic(SyntheticCorpus::default());
    let mixture = CorpusSource::Mixture(vec![
        Portion { source: corpus(folder.path(), 8), weight: 3.0 },
        Portion {
            source: CorpusSource::Mixture(vec![Portion { source: synthetic.clone(), weight: 0.2 }]),
            weight: 1.0,
        },
    ]);
    let mixed = all(&mixture, 32, 400);
    // A sequence of the files has the tokens of eight words, and those around them.
    let is_synthetic = |sequence: &Vec<u32>| counts(sequence).len() > 9;
    assert_eq!(mixed.iter().filter(|sequence| is_synthetic(sequence)).count(), 100);
    assert_eq!(all(&mixture, 32, 400), mixed);
    assert_eq!(all(&mixture, 32, 101), mixed[..101]);
}

#[test]
fn reading_stops_where_the_user_asks() {
    struct Impatient;
    impl Observer for Impatient {
        fn advance(&self, _: u64) {}
        fn message(&self, _: &str) {}
        fn is_interrupted(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, shape) = (corpus(folder.path(), 50), SequenceShape { length: 8, count: 3 });
    let stopped = Sequences::new(&source, &tokenizer(), shape, Seed(3), &Impatient);
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

/// Results are kept under keys that say no more than the language's seeds, so this must never change.
#[test]
fn a_sequence_of_the_closed_language_has_documents_of_its_own() {
    let corpus = SyntheticCorpus { language_seed: Seed(1), seed: Seed(2) };
    let sequences = all(&CorpusSource::Synthetic(corpus), 128, 8);
    let language = crate::data::synthetic::SyntheticLanguage::new(Seed(1));
    let first = u64::from(Seed(3).child("sequences").0 >> 8);
    for (index, sequence) in sequences.iter().enumerate() {
        let start = first + index as u64 * 17;
        let documents = (start..start + 17).map(|document| language.document(Seed(2), document));
        let tokens: Vec<u32> = documents.flat_map(|text| tokenizer().encode(&text, true).unwrap()).collect();
        assert_eq!(*sequence, tokens[..128]);
    }
}
