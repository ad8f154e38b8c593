//! Python's string methods whose results differ from those of Rust's string methods.

/// Returns whether Python's `str.isspace` is true for `character`. Unlike Rust, Python counts the separators
/// U+001C to U+001F as whitespace.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Returns the result of Python's `text.strip()`.
///
/// ```
/// assert_eq!(dtr_text::python_text::strip("\u{1c} two words\n"), "two words");
/// ```
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns the words that Python's `text.split()` returns.
///
/// ```
/// let words: Vec<_> = dtr_text::python_text::split_words(" a\u{1f}b\n").collect();
/// assert_eq!(words, ["a", "b"]);
/// ```
pub fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}
