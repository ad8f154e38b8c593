//! ROUGE-L (Lin, 2004) of summaries with several sentences. The scores equal those of the Python package
//! `rouge` 1.0.1.

use std::collections::HashSet;

use super::common_subsequence::longest_common_subsequence;
use crate::python_text::split_words;

/// ROUGE-L of a text against a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RougeL {
    /// The share of the reference's words that the text has in the same order.
    pub recall: f64,
    /// The share of the text's words that the reference has in the same order.
    pub precision: f64,
    /// The F-measure. It is a little below 1 for equal texts, since its denominator has the summand 1e-8.
    pub f: f64,
}

/// Returns ROUGE-L of `text` against `reference`. Returns `None` if one of the two texts has no characters
/// apart from full stops. The package raises an error for such a text, and harnesses then count the score 0.
///
/// As in the package, a full stop ends a sentence, and each word counts once. The package exceeds Python's
/// recursion limit if two sentences together have more than about 1,000 words. Harnesses count this error as
/// the score 0 too. This function instead returns the score of such sentences.
///
/// ```
/// let score = dtr_text::metric::rouge_l("a b c d", "d c b a").unwrap();
/// assert_eq!((score.recall, score.f), (0.25, 0.24999999500000009));
/// ```
pub fn rouge_l(text: &str, reference: &str) -> Option<RougeL> {
    let (text, reference) = (split_sentences(text), split_sentences(reference));
    if text.is_empty() || reference.is_empty() {
        return None;
    }
    let mut shared = HashSet::new();
    for expected in &reference {
        for sentence in &text {
            shared.extend(longest_common_subsequence(expected, sentence));
        }
    }
    let num_unique =
        |sentences: &[Vec<&str>]| sentences.iter().flatten().collect::<HashSet<_>>().len() as f64;
    let recall = shared.len() as f64 / num_unique(&reference);
    let precision = shared.len() as f64 / num_unique(&text);
    let f = 2.0 * ((precision * recall) / (precision + recall + 1e-8));
    Some(RougeL { recall, precision, f })
}

/// Returns the words of each sentence. A sentence of whitespace has one word, which is empty.
fn split_sentences(text: &str) -> Vec<Vec<&str>> {
    let words_of = |sentence| {
        let words: Vec<&str> = split_words(sentence).collect();
        if words.is_empty() { vec![""] } else { words }
    };
    text.split('.').filter(|sentence| !sentence.is_empty()).map(words_of).collect()
}
