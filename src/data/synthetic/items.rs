//! Generates the items of the tasks. Every item has its own random number generator, and no item occurs
//! twice.
//!
//! The hash of a passage's statements assigns the passage to a split or to the corpus. For all sizes and
//! seeds, the splits and the corpus therefore share no passage.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::passage::{Passage, Purpose, Question};
use super::{SyntheticLanguage, moves, recall, topic};
use crate::data::{Item, Split, SyntheticTask, SyntheticTaskKind};
use dtr_core::error::{Error, Result};

/// The default number of items in the train split of every task except `facts`.
const NUM_TRAIN: usize = 1_000;

/// The number of buckets of passage hashes. Each split has one bucket. The corpus has all other buckets.
const NUM_HASH_BUCKETS: u8 = 16;

impl SyntheticLanguage {
    /// Generates the items of one split of `task`.
    ///
    /// # Errors
    /// Fails with a manifest error if a `facts` task asks for more items than its split has facts.
    pub fn task_items(&self, task: &SyntheticTask, split: Split) -> Result<Vec<Item>> {
        self.items(task.kind, split, self.num_items(task, split))
    }

    /// Returns the number of items of one split of `task`.
    pub fn num_items(&self, task: &SyntheticTask, split: Split) -> usize {
        match split {
            Split::Train => task.train_items.unwrap_or_else(|| match task.kind {
                SyntheticTaskKind::Facts => self.facts().in_split(split).len(),
                _ => NUM_TRAIN,
            }),
            Split::Validation => task.validation_items,
            Split::Test => task.test_items,
        }
    }

    /// Generates the first `count` items of a split.
    ///
    /// # Errors
    /// Fails with a manifest error if `kind` is `Facts` and the split has fewer than `count` facts.
    pub fn items(&self, kind: SyntheticTaskKind, split: Split, count: usize) -> Result<Vec<Item>> {
        let Some(draw) = passage_generator(kind) else {
            return self.fact_items(split, count);
        };
        let mut seen = BTreeSet::new();
        let items = (0..count).map(|index| {
            let mut rng = self.item_rng(kind, split, index);
            loop {
                let passage = draw(&mut rng, Purpose::Item);
                if assign_split(&passage) == Some(split) && seen.insert(passage.statements.clone()) {
                    return context_item(kind, split, index, passage, &mut rng);
                }
            }
        });
        Ok(items.collect())
    }

    fn fact_items(&self, split: Split, count: usize) -> Result<Vec<Item>> {
        let facts = self.facts().in_split(split);
        if count > facts.len() {
            let message =
                format!("cannot generate {count} {split} items of `facts`: the split has {}", facts.len());
            let hint = format!("lower `{split}-items` to {} or less", facts.len());
            return Err(Error::manifest(message).hint(hint));
        }
        let items = facts[..count].iter().enumerate().map(|(index, fact)| {
            let mut rng = self.item_rng(SyntheticTaskKind::Facts, split, index);
            let question = fact.question(&mut rng);
            let prompt = question.text.clone();
            item(id(SyntheticTaskKind::Facts, split, index), prompt, &question, &mut rng)
        });
        Ok(items.collect())
    }

    fn item_rng(&self, kind: SyntheticTaskKind, split: Split, index: usize) -> ChaCha8Rng {
        let mut rng = self.seed().child(&format!("items/{}/{split}", name(kind))).rng();
        rng.set_stream(index as u64);
        rng
    }

    /// Generates large splits of all tasks, for tests.
    #[cfg(test)]
    pub(crate) fn items_of_all_tasks(&self) -> Vec<Item> {
        use SyntheticTaskKind::{Facts, Moves, Recall, Topic};
        let splits = [(Split::Train, 1_000), (Split::Validation, 500), (Split::Test, 1_000)];
        let mut items = Vec::new();
        for (split, count) in splits {
            for kind in [Recall, Topic, Moves] {
                items.extend(self.items(kind, split, count).unwrap());
            }
            items.extend(self.items(Facts, split, self.facts().in_split(split).len()).unwrap());
        }
        items
    }
}

/// A generator of random passages.
pub(super) type DrawPassage = fn(&mut ChaCha8Rng, Purpose) -> Passage;

/// Returns the generator of a task's passages, or `None` for `facts`, whose items have no passage.
fn passage_generator(kind: SyntheticTaskKind) -> Option<DrawPassage> {
    match kind {
        SyntheticTaskKind::Recall => Some(recall::draw_passage),
        SyntheticTaskKind::Topic => Some(topic::draw_passage),
        SyntheticTaskKind::Moves => Some(moves::draw_passage),
        SyntheticTaskKind::Facts => None,
    }
}

/// Returns whether a passage belongs to the corpus.
pub(super) fn is_for_corpus(passage: &Passage) -> bool {
    assign_split(passage).is_none()
}

/// Returns the split that a passage belongs to, or `None` if it belongs to the corpus.
fn assign_split(passage: &Passage) -> Option<Split> {
    match blake3::hash(passage.statements.as_bytes()).as_bytes()[0] % NUM_HASH_BUCKETS {
        0 => Some(Split::Train),
        1 => Some(Split::Validation),
        2 => Some(Split::Test),
        _ => None,
    }
}

fn context_item(
    kind: SyntheticTaskKind,
    split: Split,
    index: usize,
    passage: Passage,
    rng: &mut ChaCha8Rng,
) -> Item {
    let question = &passage.questions[0];
    let prompt = format!("{} {}", passage.statements, question.text);
    item(id(kind, split, index), prompt, question, rng)
}

fn item(id: String, prompt: String, question: &Question, rng: &mut ChaCha8Rng) -> Item {
    let mut choices: Vec<&str> = question.distractors.iter().copied().chain([question.answer]).collect();
    choices.shuffle(rng);
    let label = choices.iter().position(|choice| *choice == question.answer);
    let label = label.expect("the answer is among the choices");
    Item { id, prompt, prompts: Vec::new(), choices: choices.into_iter().map(str::to_owned).collect(), label }
}

fn id(kind: SyntheticTaskKind, split: Split, index: usize) -> String {
    format!("{}/{split}/{index:05}", name(kind))
}

fn name(kind: SyntheticTaskKind) -> &'static str {
    match kind {
        SyntheticTaskKind::Recall => "recall",
        SyntheticTaskKind::Facts => "facts",
        SyntheticTaskKind::Topic => "topic",
        SyntheticTaskKind::Moves => "moves",
    }
}
