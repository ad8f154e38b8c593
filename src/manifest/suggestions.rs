//! Suggestions for misspelled names.

/// Returns the name in `known` that is most similar to `name`. Returns `None` if no name in `known` is
/// similar enough to be the intended name.
pub(super) fn closest_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normalize = |name: &str| name.to_lowercase().replace(['_', ' '], "-");
    let distance = |other: &str| strsim::damerau_levenshtein(&normalize(name), &normalize(other));
    let is_similar = |other: &&str| distance(other) <= (name.len().max(other.len()) / 3).max(1);
    known.into_iter().filter(is_similar).min_by_key(|other| distance(other))
}

/// Returns a hint that suggests the closest of the `known` names. If no known name is similar to `name`, the
/// hint lists all known names after `introduction`.
pub(super) fn did_you_mean(name: &str, known: &[&str], introduction: &str) -> String {
    match closest_name(name, known.iter().copied()) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => format!("{introduction} {}", quote_list(known)),
    }
}

/// Formats names in backticks, separated by commas.
pub(super) fn quote_list(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_is_recognized() {
        let keys = ["token-budget", "batch-size", "seed"];
        for (name, expected) in [
            ("tokn-budget", Some("token-budget")),
            ("token_budget", Some("token-budget")),
            ("Batch-Size", Some("batch-size")),
            ("sede", Some("seed")),
            ("epochs", None),
            ("", None),
        ] {
            assert_eq!(closest_name(name, keys), expected, "{name}");
        }
    }
}
