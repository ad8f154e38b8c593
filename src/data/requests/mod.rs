//! A task's items as token rows: what must be run, and which log-likelihoods are wanted where.

mod groups;

use std::collections::{BTreeMap, BTreeSet};

pub use groups::Group;
use groups::{alone, cut, group, owner};

use crate::data::Item;
use crate::manifest::Metric;
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;

/// A wanted log-likelihood: of `token` after the first `position + 1` tokens of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index in the row of the last token before `token`.
    pub position: usize,
    /// The token whose likelihood is wanted.
    pub token: u32,
    /// The item it belongs to.
    pub item: usize,
    /// The choice it belongs to.
    pub choice: usize,
    /// Whether it is the choice's first token.
    pub is_first: bool,
}

/// The token rows of a task's items, each row once.
///
/// The choices of an item that differ only in their last token share one row: its prompt.
pub struct Requests {
    items: Vec<Item>,
    rows: Vec<Vec<u32>>,
    targets: Vec<Vec<Target>>,
    groups: Vec<Group>,
    metric: Metric,
    truncated: BTreeSet<usize>,
}

impl Requests {
    /// Tokenizes `items`: the prompt alone, and the prompt with each choice after a blank; the
    /// choice's tokens are what the second has beyond the first. A row of more than `room` tokens loses its
    /// beginning.
    ///
    /// # Errors
    /// When a choice has no tokens of its own, or more than there is room for.
    pub fn new(tokenizer: &Tokenizer, items: Vec<Item>, metric: Metric, room: usize) -> Result<Self> {
        let mut truncated = BTreeSet::new();
        let mut rows: BTreeMap<Vec<u32>, Vec<Target>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            // Blanks at the end belong to what follows, as the harness has it.
            let shared = match item.prompts.is_empty() {
                true => Some(tokenizer.encode(item.prompt.trim_end(), true)?),
                false => None,
            };
            for (choice, text) in item.choices.iter().enumerate() {
                let before = item.prompt_of(choice);
                let own = match &shared {
                    Some(_) => Vec::new(),
                    None => tokenizer.encode(before.trim_end(), true)?,
                };
                let prompt = shared.as_ref().unwrap_or(&own);
                let whole = tokenizer.encode(&format!("{before} {text}"), true)?;
                if whole.len() <= prompt.len() || prompt.is_empty() {
                    return Err(Error::failed(format!(
                        "choice {choice} of item `{}` has no tokens of its own",
                        item.id
                    )));
                }
                let last = whole.len() - 1;
                let cut = last.saturating_sub(room);
                if cut >= prompt.len() {
                    return Err(Error::failed(format!(
                        "choice {choice} of item `{}` has {} tokens, and there is room for {room} in all",
                        item.id,
                        whole.len() - prompt.len()
                    )));
                }
                if cut > 0 {
                    truncated.insert(index);
                }
                let targets = rows.entry(whole[cut..last].to_vec()).or_default();
                targets.extend((prompt.len()..=last).map(|at| Target {
                    position: at - 1 - cut,
                    token: whole[at],
                    item: index,
                    choice,
                    is_first: at == prompt.len(),
                }));
            }
        }
        let (rows, targets): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let groups = group(&rows, &targets);
        Ok(Self { items, rows, targets, groups, metric, truncated })
    }

    /// The same requests with a row for every choice, none of which shares anything: what is wanted costs most so.
    pub fn apart(self) -> Self {
        let mut choices: BTreeMap<(usize, usize), (Vec<u32>, Vec<Target>)> = BTreeMap::new();
        for (row, targets) in self.rows.into_iter().zip(self.targets) {
            for target in targets {
                let own = choices.entry((target.item, target.choice));
                own.or_insert_with(|| (row.clone(), Vec::new())).1.push(target);
            }
        }
        let (rows, targets): (Vec<_>, Vec<_>) = choices.into_values().unzip();
        let groups = alone(&rows);
        Self { rows, targets, groups, ..self }
    }

    /// The items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many items lost their beginning.
    pub fn num_truncated(&self) -> u64 {
        self.truncated.len() as u64
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// The choice that the task's metric makes of an item's log-likelihoods: the first of the best.
    pub fn choose(&self, item: &Item, log_likelihoods: &[f64]) -> u32 {
        let merit = |choice: usize| self.merit(&item.choices[choice], log_likelihoods[choice]);
        let mut best = 0;
        for choice in 1..log_likelihoods.len() {
            if merit(choice) > merit(best) {
                best = choice;
            }
        }
        best as u32
    }

    /// How many log-likelihoods of tokens each item wants.
    pub fn num_targets(&self) -> Vec<usize> {
        let mut counts = vec![0; self.items.len()];
        for target in self.targets.iter().flatten() {
            counts[target.item] += 1;
        }
        counts
    }

    /// A log-likelihood of 0 for every choice of every item.
    pub fn blank(&self) -> Vec<Vec<f64>> {
        self.items.iter().map(|item| vec![0.0; item.choices.len()]).collect()
    }

    /// A row's tokens.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.rows[row]
    }

    /// What is wanted of a row.
    pub fn targets(&self, row: usize) -> &[Target] {
        &self.targets[row]
    }

    /// Tokens that must go through the model, what rows share once.
    pub fn num_tokens(&self) -> usize {
        self.groups.iter().map(Group::num_tokens).sum()
    }

    /// The rows in passes of at most `tokens` tokens each, rows of like lengths together.
    pub fn passes(&self, tokens: usize) -> Vec<Vec<&Group>> {
        cut(self.groups.iter(), tokens)
    }

    /// Such passes of the rows of `items` alone, of as many tokens as `tokens` says for all of theirs; a row that several
    /// items share is its first one's.
    pub fn passes_of(&self, items: &BTreeSet<usize>, tokens: impl Fn(usize) -> usize) -> Vec<Vec<&Group>> {
        let of_items = |group: &&Group| items.contains(&owner(&self.targets[group.rows[0]]));
        let groups = || self.groups.iter().filter(of_items);
        cut(groups(), tokens(groups().map(Group::num_tokens).sum()))
    }

    /// How clearly an item was answered rightly: what its right choice has over the best of the others, by the
    /// task's metric; below 0 where it was not.
    pub fn margin(&self, item: usize, log_likelihoods: &[f64]) -> f64 {
        let Item { choices, label, .. } = &self.items[item];
        let merit = |choice: usize| self.merit(&choices[choice], log_likelihoods[choice]);
        let others = (0..choices.len()).filter(|choice| choice != label).map(merit);
        merit(*label) - others.fold(f64::NEG_INFINITY, f64::max)
    }

    fn merit(&self, choice: &str, log_likelihood: f64) -> f64 {
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

    /// A byte-level BPE that puts `<s>`, token 0, before every text.
    fn bytes() -> Tokenizer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Tokenizer::read(&root.join("tests/fixtures/tasks/model/tokenizer.json")).unwrap()
    }

    fn item(prompt: &str, choices: &[&str]) -> Item {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Item { id: "one".to_owned(), prompt: prompt.to_owned(), prompts: Vec::new(), choices, label: 0 }
    }

    fn of(item: Item, room: usize) -> Result<Requests> {
        Requests::new(&bytes(), vec![item], Metric::Acc, room)
    }

    /// The tokens of a choice, as they are scored.
    fn scored(requests: &Requests, choice: usize) -> Vec<u32> {
        let targets = (0..requests.rows().len()).flat_map(|row| requests.targets(row));
        targets.filter(|target| target.choice == choice).map(|target| target.token).collect()
    }

    #[test]
    fn a_text_begins_once_with_what_the_tokenizer_puts_before_it() {
        let requests = of(item("Water is", &["wet"]), 512).unwrap();
        let row = &requests.rows()[0];
        assert_eq!((row[0], row.iter().filter(|token| **token == 0).count()), (0, 1));
    }

    #[test]
    fn the_blank_before_a_choice_is_scored_with_it_and_so_are_blanks_at_the_end_of_the_prompt() {
        let tokens = |text: &str| bytes().encode(text, false).unwrap();
        assert_eq!(scored(&of(item("Water is", &["wet"]), 512).unwrap(), 0), tokens(" wet"));
        assert_eq!(scored(&of(item("Water is\n", &["wet"]), 512).unwrap(), 0), tokens("\n wet"));
        assert_eq!(scored(&of(item("Water is  ", &["wet"]), 512).unwrap(), 0), tokens("   wet"));
    }

    #[test]
    fn a_token_that_merges_over_the_boundary_belongs_to_the_prompt() {
        // `b` and the blank are one token, so that the prompt has as many tokens with the blank as without.
        let vocab = [("a", 0_u32), ("b", 1), (" ", 2), ("b ", 3)].map(|(text, id)| (text.to_owned(), id));
        let merges = vec![("b".to_owned(), " ".to_owned())];
        let bpe = BpeBuilder::new().vocab_and_merges(vocab, merges).build().unwrap();
        let tokenizer = Tokenizer::from(tokenizers::Tokenizer::new(bpe));
        let requests = Requests::new(&tokenizer, vec![item("ab", &["a"])], Metric::Acc, 8).unwrap();
        assert_eq!((requests.rows(), scored(&requests, 0)), (&[vec![0, 3]][..], vec![0]));
    }

    #[test]
    fn an_empty_choice_is_its_blank_where_that_is_a_token() {
        let requests = of(item("Water is", &["wet", ""]), 512).unwrap();
        assert_eq!(scored(&requests, 1), bytes().encode(" ", false).unwrap());
        let synthetic = Tokenizer::from(synthetic_tokenizer().unwrap());
        let none = Requests::new(&synthetic, vec![item("where is the lamp?", &[""])], Metric::Acc, 128);
        assert!(none.err().unwrap().to_string().contains("choice 0 of item `one` has no tokens of its own"));
    }

    #[test]
    fn a_row_that_is_too_long_loses_its_beginning_and_is_counted() {
        let whole = bytes().encode("Water is very wet", true).unwrap();
        let room = whole.len() - 3;
        let requests = of(item("Water is very", &["wet"]), room).unwrap();
        assert_eq!(requests.rows()[0], whole[2..whole.len() - 1]);
        assert_eq!(
            (requests.num_truncated(), scored(&requests, 0)),
            (1, whole[whole.len() - requests.targets(0).len()..].to_vec())
        );
        assert!(of(item("Water is very", &["wet"]), 1).is_err(), "no room for the choice itself");
    }
}
