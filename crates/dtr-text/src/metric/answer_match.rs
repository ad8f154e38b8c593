//! Tells whether an answer equals or contains a reference.

use dtr_core::error::Result;

use super::ExactMatch;
use crate::python_regex::PythonRegex;

/// Returns whether two texts are equal under the rules of `config`. `ignored` are the compiled patterns of
/// `config`.
pub(super) fn is_exact_match(
    config: &ExactMatch,
    ignored: &[PythonRegex],
    prediction: &str,
    reference: &str,
) -> Result<bool> {
    Ok(normalize(config, ignored, prediction)? == normalize(config, ignored, reference)?)
}

fn normalize(config: &ExactMatch, ignored: &[PythonRegex], text: &str) -> Result<String> {
    // lm-evaluation-harness keeps texts in NumPy arrays, which drop NUL characters at the end of a text. The
    // harness creates a new array after each removal, so each removal can drop more NUL characters.
    let drop_end = |text: &str| text.trim_end_matches('\0').to_owned();
    let mut text = match ignored {
        [] => drop_end(text),
        _ => ignored
            .iter()
            .try_fold(text.to_owned(), |text, pattern| Ok(drop_end(&pattern.remove_all(&text)?)))?,
    };
    if config.ignore_case {
        // As in NumPy, the result is cut to the number of characters of the text. Only `İ` has a lower-case
        // form of two characters.
        text = text.to_lowercase().chars().take(text.chars().count()).collect();
    }
    if config.ignore_punctuation {
        text.retain(|character| !character.is_ascii_punctuation());
        text = drop_end(&text);
    }
    if config.ignore_numbers {
        text.retain(|character| !character.is_ascii_digit());
        text = drop_end(&text);
    }
    Ok(text)
}

/// Returns whether `text` contains `part`. The result equals that of Python's
/// `re.search(re.escape(part), text, re.IGNORECASE)`.
pub(super) fn contains_ignoring_case(text: &str, part: &str) -> bool {
    let fold = |text: &str| text.chars().map(case_fold).collect::<Vec<_>>();
    let (text, part) = (fold(text), fold(part));
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// Returns the upper-case form of a character's lower-case form. Two characters have the same result exactly
/// if Python's `re.IGNORECASE` treats them as equal. For example, Python treats `i`, `I`, `İ` and `ı` as
/// equal.
fn case_fold(character: char) -> [char; 3] {
    // Only `İ` has a lower-case form of two characters. Python takes the first of these characters.
    let lower = character.to_lowercase().next().unwrap_or(character);
    let mut fold = ['\0'; 3];
    for (place, upper) in fold.iter_mut().zip(lower.to_uppercase()) {
        *place = upper;
    }
    fold
}
