//! Dotted keys such as `distil.token-budget` or `models."a.b".source`.

use super::spanned_value::{Content, SpannedValue};

/// Splits a dotted key into its parts. Returns `None` when `key` is not a dotted key.
pub(super) fn parse_dotted_key(key: &str) -> Option<Vec<String>> {
    if key.contains('\n') {
        return None;
    }
    let line = format!("{key} = 0");
    let mut value = &SpannedValue::parse(&line, 0).ok()?;
    let mut parts = Vec::new();
    while let Content::Table(table) = &value.content {
        let (part, inner) = table.first_key_value().filter(|_| table.len() == 1)?;
        parts.push(part.clone());
        value = inner;
    }
    // If `key` itself holds an assignment, the value is not the `0` at the end of the line.
    (value.span.range == (line.len() - 1..line.len())).then_some(parts)
}

/// Formats `path` as a dotted key. Quotes the parts that TOML requires to be quoted, and writes list indices
/// in brackets.
pub(super) fn format_dotted_key<S: AsRef<str>>(path: &[S]) -> String {
    let mut text = String::new();
    for part in path.iter().map(AsRef::as_ref) {
        let is_index = !text.is_empty() && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_bare = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match (is_index, is_bare && !part.is_empty()) {
            (true, _) => text.push_str(&format!("[{part}]")),
            (_, true) if text.is_empty() => text.push_str(part),
            (_, true) => text.push_str(&format!(".{part}")),
            (_, false) if text.is_empty() => text.push_str(&format!("{part:?}")),
            (_, false) => text.push_str(&format!(".{part:?}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_key_is_split_and_formatted() {
        for key in ["distil", "distil.token-budget", "models.\"a.b\".source", "\"\".x", "models.\"1.5\".x"] {
            assert_eq!(format_dotted_key(&parse_dotted_key(key).expect(key)), key);
        }
        assert_eq!(parse_dotted_key(" a . 'b c' ").expect("spaces around dots are TOML"), ["a", "b c"]);
        assert_eq!(format_dotted_key(&["sweep", "model", "1"]), "sweep.model[1]");
    }

    #[test]
    fn a_text_that_holds_more_than_a_key_is_refused() {
        for key in ["", ".", "a.", "a = 1 #", "a = 1\nb", "[a]\nb", "a b", "a = [1]\n#", "{ a = 1 }"] {
            assert_eq!(parse_dotted_key(key), None, "{key}");
        }
    }
}
