//! Checks that dtr packs a public corpus into the same token sequences every time. The sequences together
//! hold whole documents, except that the last document may be cut.
//!
//! `DTR_PUBLIC` names the folder with the files of the corpus and of a public tokenizer.

use std::collections::BTreeSet;
use std::time::Instant;

use dtr::data::documents::for_each_document;
use dtr::data::token_sequences::{SequenceShape, TokenSequences};
use dtr::data::{CorpusSource, DocumentUnit, FileCorpus};
use dtr::observer::Observer;
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

use crate::support::public_folder;
use crate::tokenizers::gpt_2_tokenizer;

/// An observer that prints each message.
struct PrintMessages;

impl Observer for PrintMessages {
    fn advance(&self, _: u64) {}
    fn message(&self, line: &str) {
        println!("{line}");
    }
    fn is_interrupted(&self) -> bool {
        false
    }
}

#[test]
fn openstax_is_packed_into_the_same_sequences_every_time() {
    let (Some(folder), Some(tokenizer)) = (public_folder("corpus"), gpt_2_tokenizer()) else { return };
    let files = FileCorpus {
        paths: vec![folder.join("*.txt.xz").display().to_string()],
        column: "text".to_owned(),
        document: DocumentUnit::Between("<|endoftext|>".to_owned()),
        separator: "<|endoftext|>".to_owned(),
    };
    let mut documents = BTreeSet::new();
    for_each_document(&files, &mut |text| {
        documents.insert(text);
        Ok(())
    })
    .unwrap();

    let fast_tokenizer = Tokenizer::from(tokenizer.clone());
    let source = CorpusSource::Files(files);
    let open = |count| {
        let start = Instant::now();
        let shape = SequenceShape { length: 2048, count };
        let sequences =
            TokenSequences::new(&source, &fast_tokenizer, shape, Seed(1), &PrintMessages).unwrap();
        println!("{count} sequences of 2048 tokens took {:.1} s", start.elapsed().as_secs_f64());
        sequences
    };
    let (short, long) = (open(16), open(64));
    let tokens = long.batch(0, 64).unwrap();
    assert_eq!(short.batch(0, 16).unwrap(), tokens[..16]);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| open(64).batch(15, 4)).unwrap(), tokens[60..]);

    let text = tokenizer.decode(&tokens.concat(), false).unwrap();
    let mut packed: Vec<&str> = text.split("<|endoftext|>").collect();
    let last = packed.pop().unwrap();
    assert!(packed.len() > 10, "{} documents", packed.len());
    let altered: Vec<_> = packed.iter().filter(|document| !documents.contains(**document)).collect();
    assert!(altered.is_empty(), "these texts are not documents of the corpus: {altered:?}");
    assert!(
        documents.iter().any(|document| document.starts_with(last)),
        "no document starts with the last text"
    );
}
