//! Tells whether an answer equals or contains a reference.

use dtr_core::error::Result;

use super::ExactMatch;
use crate::python_regex::PythonRegex;

/// Returns whether two texts are equal, without what `config` ignores. `ignored` are the compiled patterns of
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
    // lm-evaluation-harness keeps the texts in NumPy arrays, which lose NUL characters at the end. It makes
    // an array after each expression.
    let drop_end = |text: &str| text.trim_end_matches('\0').to_owned();
    let mut text = match ignored {
        [] => drop_end(text),
        _ => ignored
            .iter()
            .try_fold(text.to_owned(), |text, pattern| Ok(drop_end(&pattern.remove_all(&text)?)))?,
    };
    if config.ignore_case {
        // NumPy keeps the length of a text. Only `İ` has a lower-case form of two characters.
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

/// Returns whether `text` contains `part`, as Python's `re.search(re.escape(part), text, re.IGNORECASE)`.
pub(super) fn contains_ignoring_case(text: &str, part: &str) -> bool {
    let fold = |text: &str| text.chars().map(case_fold).collect::<Vec<_>>();
    let (text, part) = (fold(text), fold(part));
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// Returns a value that is the same for all characters which Python's `re.IGNORECASE` takes for equal: those
/// whose lower-case forms have the same upper-case form. Python's `i`, `I`, `İ` and `ı` are equal.
fn case_fold(character: char) -> [char; 3] {
    // `İ` alone has a lower-case form of two characters. Python takes the first of them.
    let lower = character.to_lowercase().next().unwrap_or(character);
    let mut fold = ['\0'; 3];
    for (place, upper) in fold.iter_mut().zip(lower.to_uppercase()) {
        *place = upper;
    }
    fold
}
