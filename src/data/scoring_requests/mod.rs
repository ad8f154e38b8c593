//! Log-likelihood requests of a task's items, like the `loglikelihood` requests of lm-evaluation-harness. The
//! requests hold the token rows that a model must process. For each row, the requests also hold the target
//! tokens, whose log-likelihoods score the choices.

mod encode;
mod prefix_groups;
mod prompt_encoder;

use std::collections::{BTreeMap, BTreeSet};

pub(in crate::data) use encode::encode_training_choice;
use encode::{EncodedChoice, encode_item};
pub use prefix_groups::PrefixGroup;
use prefix_groups::{group_rows, item_of_row, one_row_groups, split_into_passes};

use rayon::prelude::*;

use super::{Item, Metric};
use dtr_core::error::Result;
use dtr_model::Tokenizer;

/// A token whose log-likelihood is requested, given the first `position + 1` tokens of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetToken {
    /// The index of the token before the target, in its row.
    pub position: usize,
    /// The target's token id.
    pub token: u32,
    /// The index of the item that the target belongs to.
    pub item: usize,
    /// The index of the choice that the target belongs to.
    pub choice: usize,
    /// Whether the target is the first token of its choice.
    pub is_first: bool,
}

/// The log-likelihood requests of a task's items, as distinct token rows.
///
/// Choices of an item that differ only in their last token share one row. The row ends before the last token.
pub struct ScoringRequests {
    items: Vec<Item>,
    rows: Vec<Vec<u32>>,
    /// The targets of each row.
    targets: Vec<Vec<TargetToken>>,
    groups: Vec<PrefixGroup>,
    metric: Metric,
    truncated_items: BTreeSet<usize>,
}

impl ScoringRequests {
    /// Tokenizes `items` on all threads.
    ///
    /// If a prompt has `n` tokens, the tokens of a choice are all tokens of `"{prompt} {choice}"` after the
    /// first `n` tokens, as in lm-evaluation-harness. If a prompt is empty, its choices follow the
    /// tokenizer's prefix token. A row of more than `max_row_tokens` tokens is truncated on the left.
    ///
    /// # Errors
    /// Fails if a prompt has no tokens, or if a choice adds no tokens to its prompt. Fails if a choice has
    /// more than `max_row_tokens` tokens.
    pub fn new(
        tokenizer: &Tokenizer,
        items: Vec<Item>,
        metric: Metric,
        max_row_tokens: usize,
    ) -> Result<Self> {
        let encode = |(index, item)| encode_item(tokenizer, index, item, max_row_tokens);
        let encoded: Vec<Result<Vec<EncodedChoice>>> = items.par_iter().enumerate().map(encode).collect();
        let mut truncated_items = BTreeSet::new();
        let mut rows: BTreeMap<Vec<u32>, Vec<TargetToken>> = BTreeMap::new();
        for (index, choices) in encoded.into_iter().enumerate() {
            for EncodedChoice { row, targets, is_truncated } in choices? {
                if is_truncated {
                    truncated_items.insert(index);
                }
                rows.entry(row).or_default().extend(targets);
            }
        }
        let (rows, targets): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let groups = group_rows(&rows, &targets);
        Ok(Self { items, rows, targets, groups, metric, truncated_items })
    }

    /// Converts the requests to one row for each choice. Choices then share neither rows nor prefixes.
    /// Scoring takes the most time with such requests, so benchmarks use them as the baseline.
    pub fn without_sharing(self) -> Self {
        let mut choices: BTreeMap<(usize, usize), (Vec<u32>, Vec<TargetToken>)> = BTreeMap::new();
        for (row, targets) in self.rows.into_iter().zip(self.targets) {
            for target in targets {
                let entry = choices.entry((target.item, target.choice));
                entry.or_insert_with(|| (row.clone(), Vec::new())).1.push(target);
            }
        }
        let (rows, targets): (Vec<_>, Vec<_>) = choices.into_values().unzip();
        let groups = one_row_groups(&rows);
        Self { rows, targets, groups, ..self }
    }

    /// Returns the items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns the number of items with a truncated row.
    pub fn num_truncated_items(&self) -> u64 {
        self.truncated_items.len() as u64
    }

    /// Returns the token rows.
    pub fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Returns the tokens of a row.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.rows[row]
    }

    /// Returns the targets of a row.
    pub fn targets(&self, row: usize) -> &[TargetToken] {
        &self.targets[row]
    }

    /// Returns the number of targets of each item.
    pub fn num_targets_by_item(&self) -> Vec<usize> {
        let mut counts = vec![0; self.items.len()];
        for target in self.targets.iter().flatten() {
            counts[target.item] += 1;
        }
        counts
    }

    /// Returns a log-likelihood of 0 for every choice of every item, `[item][choice]`.
    pub fn zero_log_likelihoods(&self) -> Vec<Vec<f64>> {
        self.items.iter().map(|item| vec![0.0; item.choices.len()]).collect()
    }

    /// Returns the number of tokens that a model must process. A shared prefix counts once.
    pub fn num_tokens(&self) -> usize {
        self.groups.iter().map(PrefixGroup::num_tokens).sum()
    }

    /// Divides the rows into forward passes of about `tokens_per_pass` tokens. A pass has rows of similar
    /// lengths.
    pub fn passes(&self, tokens_per_pass: usize) -> Vec<Vec<&PrefixGroup>> {
        split_into_passes(self.groups.iter(), tokens_per_pass)
    }

    /// Divides the rows of the items with the given indices into forward passes. Calls `tokens_per_pass` with
    /// the total number of tokens of these rows. The call returns the target size of a pass, in tokens.
    ///
    /// A row that several items share belongs to the first of these items.
    pub fn passes_of_items(
        &self,
        items: &BTreeSet<usize>,
        tokens_per_pass: impl Fn(usize) -> usize,
    ) -> Vec<Vec<&PrefixGroup>> {
        let is_selected = |group: &&PrefixGroup| items.contains(&item_of_row(&self.targets[group.rows[0]]));
        let selected = || self.groups.iter().filter(is_selected);
        let num_tokens = selected().map(PrefixGroup::num_tokens).sum();
        split_into_passes(selected(), tokens_per_pass(num_tokens))
    }

    /// Returns the choice with the highest score by the task's metric. If several choices have this score,
    /// returns the first of these choices.
    pub fn best_choice(&self, item: &Item, log_likelihoods: &[f64]) -> u32 {
        let score = |choice: usize| self.choice_score(&item.choices[choice], log_likelihoods[choice]);
        let mut best = 0;
        for choice in 1..log_likelihoods.len() {
            if score(choice) > score(best) {
                best = choice;
            }
        }
        best as u32
    }

    /// Returns an item's margin: the score of its correct choice minus the highest score of its other
    /// choices.
    ///
    /// A negative margin means that the model's answer is wrong.
    pub fn margin(&self, item: usize, log_likelihoods: &[f64]) -> f64 {
        let Item { choices, label, .. } = &self.items[item];
        let score = |choice: usize| self.choice_score(&choices[choice], log_likelihoods[choice]);
        let wrong = (0..choices.len()).filter(|choice| choice != label).map(score);
        score(*label) - wrong.fold(f64::NEG_INFINITY, f64::max)
    }

    fn choice_score(&self, choice: &str, log_likelihood: f64) -> f64 {
        match self.metric {
            Metric::Acc => log_likelihood,
            Metric::AccNorm => log_likelihood / choice.chars().count() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokenizers::models::bpe::BpeBuilder;

    use super::*;
    use crate::data::synthetic_tokenizer;

    /// Returns a byte-level BPE tokenizer with the start token `<s>`, whose id is 0.
    fn byte_level_tokenizer() -> Tokenizer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Tokenizer::read(&root.join("tests/fixtures/tasks/model/tokenizer.json")).unwrap()
    }

    fn item(prompt: &str, choices: &[&str]) -> Item {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Item { id: "one".to_owned(), prompt: prompt.to_owned(), prompts: Vec::new(), choices, label: 0 }
    }

    fn requests(item: Item, max_row_tokens: usize) -> Result<ScoringRequests> {
        ScoringRequests::new(&byte_level_tokenizer(), vec![item], Metric::Acc, max_row_tokens)
    }

    /// Returns the target tokens of a choice.
    fn scored(requests: &ScoringRequests, choice: usize) -> Vec<u32> {
        let targets = (0..requests.rows().len()).flat_map(|row| requests.targets(row));
        targets.filter(|target| target.choice == choice).map(|target| target.token).collect()
    }

    #[test]
    fn a_row_begins_with_one_start_token() {
        let requests = requests(item("Water is", &["wet"]), 512).unwrap();
        let row = &requests.rows()[0];
        assert_eq!((row[0], row.iter().filter(|token| **token == 0).count()), (0, 1));
    }

    #[test]
    fn the_space_before_a_choice_and_trailing_space_of_the_prompt_are_scored_with_the_choice() {
        let tokens = |text: &str| byte_level_tokenizer().encode(text, false).unwrap();
        assert_eq!(scored(&requests(item("Water is", &["wet"]), 512).unwrap(), 0), tokens(" wet"));
        assert_eq!(scored(&requests(item("Water is\n", &["wet"]), 512).unwrap(), 0), tokens("\n wet"));
        assert_eq!(scored(&requests(item("Water is  ", &["wet"]), 512).unwrap(), 0), tokens("   wet"));
    }

    #[test]
    fn a_token_that_merges_across_the_boundary_belongs_to_the_prompt() {
        // The tokenizer merges `b` and the space into one token. The space therefore adds no token.
        let vocab = [("a", 0_u32), ("b", 1), (" ", 2), ("b ", 3)].map(|(text, id)| (text.to_owned(), id));
        let merges = vec![("b".to_owned(), " ".to_owned())];
        let bpe = BpeBuilder::new().vocab_and_merges(vocab, merges).build().unwrap();
        let tokenizer = Tokenizer::from(tokenizers::Tokenizer::new(bpe));
        let requests = ScoringRequests::new(&tokenizer, vec![item("ab", &["a"])], Metric::Acc, 8).unwrap();
        assert_eq!((requests.rows(), scored(&requests, 0)), (&[vec![0, 3]][..], vec![0]));
    }

    #[test]
    fn an_empty_choice_is_scored_by_its_space_if_the_space_is_a_token() {
        let requests = requests(item("Water is", &["wet", ""]), 512).unwrap();
        assert_eq!(scored(&requests, 1), byte_level_tokenizer().encode(" ", false).unwrap());
        let words = Tokenizer::from(synthetic_tokenizer().unwrap());
        let none = ScoringRequests::new(&words, vec![item("where is the lamp?", &[""])], Metric::Acc, 128);
        assert!(
            none.err().unwrap().to_string().contains("choice 0 of item `one` adds no tokens to its prompt")
        );
    }

    #[test]
    fn a_choice_without_a_prompt_follows_the_prefix_token() {
        let cat = byte_level_tokenizer().encode(" a cat", false).unwrap();
        let empty = requests(item("", &["a cat"]), 512).unwrap();
        assert_eq!(empty.rows(), [[&[0][..], &cat[..cat.len() - 1]].concat()]);
        assert_eq!(scored(&empty, 0), cat);
        // A prompt of blanks is not empty. As in lm-evaluation-harness 0.4.12, its blanks belong to the
        // choice.
        let blank = byte_level_tokenizer().encode("  a cat", false).unwrap();
        assert_eq!(scored(&requests(item(" ", &["a cat"]), 512).unwrap(), 0), blank);
    }

    #[test]
    fn a_tokenizer_without_a_start_token_scores_empty_prompts_after_its_end_token() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("tests/fixtures/tasks/model/tokenizer.json")).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        file["post_processor"] = serde_json::Value::Null;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        let requests = |prompt: &str| {
            let tokenizer = Tokenizer::read_directory(folder.path()).unwrap();
            ScoringRequests::new(&tokenizer, vec![item(prompt, &["a cat"])], Metric::Acc, 512)
        };
        let refused = |prompt: &str| requests(prompt).err().unwrap().to_string();
        assert!(refused("").contains("neither `bos_token` nor `eos_token`"), "{}", refused(""));
        assert_eq!(refused("  "), "the prompt of item `one` has no tokens");
        std::fs::write(folder.path().join("tokenizer_config.json"), r#"{ "eos_token": "<s>" }"#).unwrap();
        let cat = byte_level_tokenizer().encode(" a cat", false).unwrap();
        assert_eq!(requests("").unwrap().rows(), [[&[0][..], &cat[..cat.len() - 1]].concat()]);
        assert_eq!(refused("  "), "the prompt of item `one` has no tokens");
    }

    #[test]
    fn the_start_token_of_a_rendered_prompt_is_not_doubled() {
        let rendered = requests(item("<s>Water is", &["wet"]), 512).unwrap();
        assert_eq!(rendered.rows(), requests(item("Water is", &["wet"]), 512).unwrap().rows());
    }

    #[test]
    fn a_row_that_is_too_long_is_truncated_on_the_left_and_counted() {
        let tokens = byte_level_tokenizer().encode("Water is very wet", true).unwrap();
        let max_row_tokens = tokens.len() - 3;
        let truncated = requests(item("Water is very", &["wet"]), max_row_tokens).unwrap();
        assert_eq!(truncated.rows()[0], tokens[2..tokens.len() - 1]);
        assert_eq!(
            (truncated.num_truncated_items(), scored(&truncated, 0)),
            (1, tokens[tokens.len() - truncated.targets(0).len()..].to_vec())
        );
        assert!(
            requests(item("Water is very", &["wet"]), 1).is_err(),
            "a choice of more than `max_row_tokens` tokens was accepted"
        );
    }
}
