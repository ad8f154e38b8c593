//! A real text with a real tokenizer, where `DTR_PUBLIC` says where they are: sequences are the same on two openings
//! and when entered late, and what is packed is the text.

use std::collections::BTreeSet;
use std::time::Instant;

use dtr::data::documents::for_each_document;
use dtr::data::token_sequences::{SequenceShape, TokenSequences};
use dtr::data::{CorpusSource, DocumentUnit, FileCorpus};
use dtr::observer::Observer;
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

use crate::support::public_folder;
use crate::tokenizers::gpt_2;

struct Aloud;

impl Observer for Aloud {
    fn advance(&self, _: u64) {}
    fn message(&self, line: &str) {
        println!("{line}");
    }
    fn is_interrupted(&self) -> bool {
        false
    }
}

#[test]
fn openstax_is_packed_the_same_way_every_time() {
    let (Some(folder), Some(tokenizer)) = (public_folder("corpus"), gpt_2()) else { return };
    let files = FileCorpus {
        paths: vec![folder.join("*.txt.xz").display().to_string()],
        column: "text".to_owned(),
        document: DocumentUnit::Between("<|endoftext|>".to_owned()),
        separator: "<|endoftext|>".to_owned(),
    };
    let mut texts = BTreeSet::new();
    for_each_document(&files, &mut |text| {
        texts.insert(text);
        Ok(())
    })
    .unwrap();

    let ours = Tokenizer::from(tokenizer.clone());
    let source = CorpusSource::Files(files);
    let open = |count| {
        let start = Instant::now();
        let shape = SequenceShape { length: 2048, count };
        let sequences = TokenSequences::new(&source, &ours, shape, Seed(1), &Aloud).unwrap();
        println!("{count} sequences of 2048 tokens took {:.1} s", start.elapsed().as_secs_f64());
        sequences
    };
    let (short, long) = (open(16), open(64));
    let tokens = long.batch(0, 64).unwrap();
    assert_eq!(short.batch(0, 16).unwrap(), tokens[..16]);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| open(64).batch(15, 4)).unwrap(), tokens[60..]);

    let packed = tokenizer.decode(&tokens.concat(), false).unwrap();
    let mut documents: Vec<&str> = packed.split("<|endoftext|>").collect();
    let last = documents.pop().unwrap();
    assert!(documents.len() > 10, "{} documents", documents.len());
    let strange: Vec<_> = documents.iter().filter(|document| !texts.contains(**document)).collect();
    assert!(strange.is_empty(), "not whole documents: {strange:?}");
    assert!(texts.iter().any(|text| text.starts_with(last)), "the last is cut, not changed");
}
