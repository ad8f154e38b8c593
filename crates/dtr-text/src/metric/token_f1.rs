//! The F1 score of the words that two texts share, as in SQuAD 1.1.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::python_text::split_words;

/// Matches the same words as Python's `\b\w+\b`.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("the pattern is a constant"));

/// Returns the F1 score of the words of `prediction` against the words of `reference` (Rajpurkar et al.,
/// 2016, section 6.1). The score is 0 if the texts share no word.
pub(super) fn token_f1(prediction: &str, reference: &str) -> f64 {
    let (prediction, reference) = (normalize_answer(prediction), normalize_answer(reference));
    let (predicted, expected) = (count_words(&prediction), count_words(&reference));
    let num_shared: usize =
        predicted.iter().map(|(word, count)| expected.get(word).map_or(0, |other| *count.min(other))).sum();
    if num_shared == 0 {
        return 0.0;
    }
    let share_of = |words: &HashMap<&str, usize>| num_shared as f64 / words.values().sum::<usize>() as f64;
    let (precision, recall) = (share_of(&predicted), share_of(&expected));
    (2.0 * precision * recall) / (precision + recall)
}

/// Changes a text to lower case, removes ASCII punctuation, and replaces articles by spaces.
fn normalize_answer(text: &str) -> String {
    let mut text = text.to_lowercase();
    text.retain(|character| !character.is_ascii_punctuation());
    let replace_article = |word: &Captures| match &word[0] {
        "a" | "an" | "the" => " ".to_owned(),
        word => word.to_owned(),
    };
    WORD.replace_all(&text, replace_article).into_owned()
}

fn count_words(text: &str) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for word in split_words(text) {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}
