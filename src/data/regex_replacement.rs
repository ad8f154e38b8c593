//! Replacements of regular expressions in the syntax of Python's `re.sub`.

use regex::{Captures, Regex};

/// A part of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The text of a group of the match. A group without a match has no text.
    Group(usize),
}

/// A replacement, which holds texts and groups of the match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegexReplacement(Vec<Part>);

impl RegexReplacement {
    /// Parses a replacement of `regex`: `\1` and `\g<1>` are the first group, `\g<NAME>` is a named group, and
    /// `\g<0>` is the whole match. Other escapes are those of Python's `re.sub`.
    ///
    /// # Errors
    /// Fails with the cause if an escape is invalid, or if `regex` lacks a group.
    pub fn parse(text: &str, regex: &Regex) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(start) = rest.find('\\') {
            parts.push(Part::Text(rest[..start].to_owned()));
            let (part, after) = parse_escape(&rest[start + 1..], regex)?;
            parts.push(part);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Returns the texts that replace a match.
    pub fn texts<'a>(&'a self, found: &'a Captures<'_>) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Group(group) => found.get(*group).map_or("", |group| group.as_str()),
        })
    }
}

/// Parses an escape after its backslash. Returns the part, and the text after the escape.
fn parse_escape<'a>(text: &'a str, regex: &Regex) -> Result<(Part, &'a str), String> {
    let Some(first) = text.chars().next() else { return Err("a backslash ends it".to_owned()) };
    if let Some(rest) = text.strip_prefix("g<") {
        let (name, rest) = rest.split_once('>').ok_or("a `>` is missing after `\\g<`")?;
        return Ok((Part::Group(find_group(name, regex)?), rest));
    }
    let digits = |count: usize, is_digit: fn(&char) -> bool| {
        text.chars().take(count).take_while(is_digit).map(char::len_utf8).sum::<usize>()
    };
    let num_octal_digits = digits(3, |digit| ('0'..='7').contains(digit));
    if first == '0' || num_octal_digits == 3 {
        let (code, rest) = text.split_at(num_octal_digits);
        let code = u8::from_str_radix(code, 8).map_err(|_| format!("`\\{code}` exceeds `\\377`"))?;
        return Ok((Part::Text(char::from(code).into()), rest));
    }
    if first.is_ascii_digit() {
        let (number, rest) = text.split_at(digits(2, char::is_ascii_digit));
        return Ok((Part::Group(find_group(number, regex)?), rest));
    }
    let rest = &text[first.len_utf8()..];
    let character = match first {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        letter if letter.is_ascii_alphabetic() => return Err(format!("`\\{letter}` is no escape")),
        // Python keeps the backslash.
        other => return Ok((Part::Text(format!("\\{other}")), rest)),
    };
    Ok((Part::Text(character.into()), rest))
}

/// Returns the number of a group from its number or name.
fn find_group(name: &str, regex: &Regex) -> Result<usize, String> {
    let number = match name.chars().all(|digit| digit.is_ascii_digit()) {
        true => name.parse().ok().filter(|number| *number < regex.captures_len()),
        false => regex.capture_names().position(|group| group == Some(name)),
    };
    number.ok_or_else(|| format!("the pattern has no group `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
        let regex = Regex::new(pattern).unwrap();
        let replacement = RegexReplacement::parse(replacement, &regex)?;
        Ok(regex
            .replace_all(text, |found: &Captures<'_>| replacement.texts(found).collect::<String>())
            .into_owned())
    }

    /// The results are those of `re.sub` in Python 3.11.
    #[test]
    fn a_replacement_names_groups_and_escapes_as_in_python() {
        let cases = [
            (r"(a)(b)?", r"<\1|\2>", "ab a", "<a|b> <a|>"),
            (r"(?P<first>\w)(?P<second>\w)", r"\g<second>\g<first>", "abcd", "badc"),
            (r"(a)", r"\g<1>0\g<0>", "a", "a0a"),
            ("a", r"\n\t\\\.\0\07\101é", "a", "\n\t\\\\.\0\u{7}Aé"),
            ("", "-", "abc", "-a-b-c-"),
            ("a", "$0 $1", "a", "$0 $1"),
        ];
        for (pattern, replacement, text, expected) in cases {
            assert_eq!(replace(pattern, replacement, text).as_deref(), Ok(expected), "{replacement}");
        }
    }

    #[test]
    fn invalid_replacements_are_refused_as_in_python() {
        for (replacement, cause) in [
            (r"\2", "no group `2`"),
            (r"\g<name>", "no group `name`"),
            (r"\g<1", "`>` is missing"),
            (r"\g<>", "no group ``"),
            (r"\q", "no escape"),
            (r"\g", "no escape"),
            ("\\", "backslash ends it"),
            (r"\477", "exceeds"),
        ] {
            let refused = replace("(a)", replacement, "a").unwrap_err();
            assert!(refused.contains(cause), "{replacement}: {refused}");
        }
    }
}
