//! Compares few-shot draws with those of lm-evaluation-harness.

use std::fs;
use std::path::Path;

use dtr_text::few_shot::{ShotSampler, ShotSelection};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::read_fixture;
use crate::skipped::report_skipped;

/// The seed of lm-evaluation-harness.
const SEED: u64 = 1234;

#[derive(Deserialize)]
struct SameSplit {
    documents: Vec<usize>,
    count: usize,
    /// `None` if lm-evaluation-harness raises an error.
    draws: Vec<Option<Vec<usize>>>,
}

#[derive(Deserialize)]
struct Gsm8k {
    count: usize,
    first: Vec<Vec<usize>>,
    last: Vec<usize>,
    first_digest: String,
    all_digests: String,
}

#[derive(Deserialize)]
struct Problem {
    question: String,
    answer: String,
}

#[test]
fn a_document_of_the_examples_split_is_never_its_own_example() {
    let rows: Vec<SameSplit> = read_fixture("shots");
    let num_errors = rows.iter().flat_map(|row| &row.draws).filter(|draw| draw.is_none()).count();
    assert!(num_errors > 0, "some draws hold several copies of the document");
    for row in rows {
        let mut sampler = ShotSampler::new(ShotSelection::Harness, SEED, row.documents.len(), row.count);
        for (document, expected) in row.documents.iter().zip(row.draws) {
            let drawn = sampler.draw_without(|place| row.documents[place] == *document);
            assert_eq!(drawn.ok(), expected, "{:?}", row.documents);
        }
    }
}

#[test]
fn examples_of_gsm8k_are_drawn_to_the_index() {
    let rows: Vec<Gsm8k> = read_fixture("gsm8k");
    assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<_>>(), [4, 5]);
    for row in rows {
        let mut sampler = ShotSampler::new(ShotSelection::Harness, SEED, 7473, row.count);
        let draws: Vec<_> = (0..1319).map(|_| sampler.draw().unwrap()).collect();
        assert_eq!(draws[..10], row.first);
        assert_eq!(draws[1318], row.last);
    }
}

#[test]
fn all_prompts_of_gsm8k_have_the_digests_of_the_reference() {
    let Some(public) = std::env::var_os("DTR_PUBLIC") else {
        report_skipped("DTR_PUBLIC does not name a folder with `data/gsm8k`");
        return;
    };
    let folder = Path::new(&public).join("data/gsm8k");
    let read = |name: &str| -> Vec<Problem> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (train, test) = (read("train.jsonl"), read("test.jsonl"));
    for row in read_fixture::<Vec<Gsm8k>>("gsm8k") {
        let mut sampler = ShotSampler::new(ShotSelection::Harness, SEED, train.len(), row.count);
        let digest_of_prompt = |problem: &Problem| {
            let mut prompt = String::new();
            for shot in sampler.draw().unwrap() {
                let Problem { question, answer } = &train[shot];
                prompt += &format!("Question: {question}\nAnswer: {answer}\n\n");
            }
            digest(&format!("{prompt}Question: {}\nAnswer:", problem.question))
        };
        let digests: Vec<String> = test.iter().map(digest_of_prompt).collect();
        assert_eq!(digests[0], row.first_digest);
        assert_eq!(digest(&digests.join("\n")), row.all_digests);
    }
}

#[test]
fn the_first_rows_are_examples_of_every_document() {
    let mut sampler = ShotSampler::new(ShotSelection::First, SEED, 4, 3);
    assert_eq!(sampler.draw().unwrap(), [0, 1, 2]);
    assert_eq!(sampler.draw().unwrap(), [0, 1, 2]);
    assert_eq!(sampler.draw_without(|row| row == 1).unwrap(), [0, 2, 3]);
    assert!(sampler.draw_without(|row| row < 2).is_err());
    for selection in [ShotSelection::First, ShotSelection::Harness] {
        assert!(ShotSampler::new(selection, SEED, 0, 0).draw().unwrap().is_empty());
        let error = ShotSampler::new(selection, SEED, 3, 4).draw().unwrap_err();
        assert_eq!(error.to_string(), "cannot select 4 few-shot examples: 3 rows can be examples");
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
