//! The word that was probably meant.

/// The one of `known` that `word` is most likely a slip of, if any is near enough.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['_', ' '], "-");
    let distance = |other: &str| strsim::damerau_levenshtein(&plain(word), &plain(other));
    let near = |other: &&str| distance(other) <= (word.len().max(other.len()) / 3).max(1);
    known.into_iter().filter(near).min_by_key(|other| distance(other))
}

/// A hint that names the closest of `known`, or all of them, introduced by `what` they are.
pub(super) fn did_you_mean(word: &str, known: &[&str], what: &str) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what} {}", listed(known)),
    }
}

/// The words in backticks, with commas.
pub(super) fn listed(words: &[&str]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["token-budget", "batch-size", "seed"];
        for (word, meant) in [
            ("tokn-budget", Some("token-budget")),
            ("token_budget", Some("token-budget")),
            ("Batch-Size", Some("batch-size")),
            ("sede", Some("seed")),
            ("epochs", None),
            ("", None),
        ] {
            assert_eq!(closest(word, keys), meant, "{word}");
        }
    }
}
