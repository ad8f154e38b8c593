//! Translates the source of a Python Jinja template for minijinja.

use std::collections::BTreeSet;

/// The replacement for the operator `~`. It inserts an empty string, marked as safe, between the two
/// operands.
const SAFE_CONCATENATION: &str = "~ (''|safe) ~";

/// Translates a template. Line endings become line feeds, as in Jinja. `a ~ b` becomes `a ~ SAFE ~ b`. `SAFE`
/// is an empty string that is marked as safe.
///
/// minijinja calls the environment's formatter for an operand of `~` only if the other operand is safe. With
/// the safe string, minijinja calls the formatter for both `a` and `b`.
pub fn translate_template(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut translated = String::with_capacity(source.len());
    for (is_code, part) in tokens(&source) {
        translated.push_str(if is_code && part == "~" { SAFE_CONCATENATION } else { part });
    }
    translated
}

/// Returns the names of all variables, attributes, filters and keywords in the code of a template.
pub fn names_in_template(source: &str) -> BTreeSet<String> {
    let names = tokens(source).filter(|(is_code, part)| *is_code && part.starts_with(is_name_start));
    names.map(|(_, part)| part.to_owned()).collect()
}

fn is_name_start(letter: char) -> bool {
    letter == '_' || letter.is_alphabetic()
}

/// Divides a template into parts. Each part has a flag: `true` for a token of code, and `false` for text, a
/// comment, a delimiter or a raw block.
fn tokens(source: &str) -> Tokens<'_> {
    Tokens { rest: source, mode: Mode::Text }
}

/// Tells whether the rest of a template begins with text or with code.
#[derive(Clone, Copy)]
enum Mode {
    Text,
    /// Code that ends at the delimiter `end`. `depth` is the number of brackets that are open.
    Code {
        end: &'static str,
        depth: usize,
    },
}

struct Tokens<'a> {
    rest: &'a str,
    mode: Mode,
}

impl<'a> Tokens<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (part, rest) = self.rest.split_at(length);
        self.rest = rest;
        part
    }

    /// Takes the text up to the next code, and the delimiter that opens the code. If a comment or a raw block
    /// comes before the next code, takes only the text up to the end of the comment or block.
    fn take_text(&mut self) -> &'a str {
        let Some(start) = self
            .rest
            .match_indices('{')
            .map(|(at, _)| at)
            .find(|at| self.rest[at + 1..].starts_with(['{', '%', '#']))
        else {
            return self.take(self.rest.len());
        };
        let length = match &self.rest.as_bytes()[start + 1] {
            b'#' => self.rest[start + 2..].find("#}").map_or(self.rest.len(), |end| start + end + 4),
            b'%' if is_tag(&self.rest[start..], "raw") => end_of_raw_block(self.rest, start),
            opening => {
                let end = if *opening == b'{' { "}}" } else { "%}" };
                self.mode = Mode::Code { end, depth: 0 };
                start + 2
            }
        };
        self.take(length)
    }

    fn take_code(&mut self, end: &'static str, depth: usize) -> (bool, &'a str) {
        if depth == 0 && self.rest.starts_with(end) {
            self.mode = Mode::Text;
            return (false, self.take(end.len()));
        }
        let first = self.rest.chars().next().expect("the rest is not empty");
        let depth = match first {
            '(' | '[' | '{' => depth + 1,
            ')' | ']' | '}' => depth.saturating_sub(1),
            _ => depth,
        };
        self.mode = Mode::Code { end, depth };
        let length = match first {
            '"' | '\'' => string_length(self.rest, first),
            first if is_name_start(first) => {
                let is_part = |letter: char| letter == '_' || letter.is_alphanumeric();
                self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len())
            }
            first => first.len_utf8(),
        };
        (true, self.take(length))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (bool, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        match self.mode {
            _ if self.rest.is_empty() => None,
            Mode::Text => Some((false, self.take_text())),
            Mode::Code { end, depth } => Some(self.take_code(end, depth)),
        }
    }
}

/// Returns the length in bytes of the string literal at the start of `code`, including the quotes.
fn string_length(code: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in code.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Returns whether `source` starts with the tag `{% NAME %}`.
fn is_tag(source: &str, name: &str) -> bool {
    let inside = source.strip_prefix("{%").map(|rest| rest.trim_start_matches(['-', '+']).trim_start());
    let after = inside.and_then(|inside| inside.strip_prefix(name)).map(str::trim_start);
    after.is_some_and(|after| after.trim_start_matches(['-', '+']).starts_with("%}"))
}

/// Returns the position after the closing tag of the raw block that begins at `start`.
fn end_of_raw_block(source: &str, start: usize) -> usize {
    let tags = source[start..].match_indices("{%").map(|(at, _)| start + at);
    let closing = tags.into_iter().find(|at| is_tag(&source[*at..], "endraw"));
    let end = closing.and_then(|at| source[at..].find("%}").map(|end| at + end + 2));
    end.unwrap_or(source.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operator_is_translated() {
        for (source, translated) in [
            ("a ~ b {{ a ~ b }}", "a ~ b {{ a ~ (''|safe) ~ b }}"),
            ("{{ '~' ~ \"\\\"~\" }} ~", "{{ '~' ~ (''|safe) ~ \"\\\"~\" }} ~"),
            ("{# a ~ b #}{% set x = a~b %}~", "{# a ~ b #}{% set x = a~ (''|safe) ~b %}~"),
            ("{%- raw -%}{{ a ~ b }}{% endraw %}{{ 1 }}", "{%- raw -%}{{ a ~ b }}{% endraw %}{{ 1 }}"),
            ("{{ {'a': {}} }}~{{ {} ~ '}}' }}", "{{ {'a': {}} }}~{{ {} ~ (''|safe) ~ '}}' }}"),
            ("{% if a %}\r\nb\rc{% endif", "{% if a %}\nb\nc{% endif"),
            ("{{ 'open ~", "{{ 'open ~"),
        ] {
            assert_eq!(translate_template(source), translated);
        }
    }

    #[test]
    fn names_are_those_of_code() {
        let names =
            names_in_template("Question: {{ q.text|upper }} {# no #}{% for x in c if 'text' %}{{ f(a_1) }}");
        let expected = ["a_1", "c", "f", "for", "if", "in", "q", "text", "upper", "x"];
        assert!(names.iter().eq(expected), "{names:?}");
    }
}
