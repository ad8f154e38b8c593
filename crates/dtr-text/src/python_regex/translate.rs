//! Translates a pattern from the syntax of Python's module `re` to the syntax of the crate `fancy-regex`.

use std::iter::Peekable;
use std::str::Chars;

use super::class::translate_class;

/// The characters that Python's `\w` matches, as a class without its brackets.
pub(super) const WORD: &str = r"\p{L}\p{N}_";
/// The characters that Python's `\s` matches, as a class without its brackets.
pub(super) const SPACE: &str = r"\s\x1c-\x1f";

/// The flags that change the translation. A group inherits the flags of the group around it.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// `$` matches at the end of every line.
    multi_line: bool,
    /// Whitespace and comments are ignored.
    verbose: bool,
}

pub(super) type Pattern<'a> = Peekable<Chars<'a>>;

/// Translates `pattern`. The error names the construct that cannot be translated.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        pattern: pattern.chars().peekable(),
        out: String::new(),
        flags: vec![Flags::default()],
        leading_flags_len: 0,
    };
    while let Some(next) = translator.pattern.next() {
        translator.translate_next(next)?;
    }
    Ok(translator.out)
}

struct Translator<'a> {
    pattern: Pattern<'a>,
    out: String,
    /// The flags of the open groups. The last flags are those of the innermost group.
    flags: Vec<Flags>,
    /// The length in bytes of the flags at the beginning of `out`.
    leading_flags_len: usize,
}

impl Translator<'_> {
    fn translate_next(&mut self, next: char) -> Result<(), String> {
        let flags = self.flags.last().copied().unwrap_or_default();
        match next {
            '\\' => self.translate_escape()?,
            '[' => self.out += &translate_class(&mut self.pattern)?,
            '(' => {
                self.flags.push(flags);
                self.translate_group()?;
            }
            ')' => {
                if self.flags.len() == 1 {
                    return Err("unbalanced parenthesis".to_owned());
                }
                self.flags.pop();
                self.out.push(')');
            }
            '{' => self.translate_count(),
            '$' if !flags.multi_line => self.out += r"(?=\n?\z)",
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' if flags.verbose => {}
            '#' if flags.verbose => self.pattern.by_ref().take_while(|next| *next != '\n').for_each(drop),
            ']' | '}' | '#' => self.push_literal(next),
            _ => self.out.push(next),
        }
        Ok(())
    }

    fn push_literal(&mut self, character: char) {
        self.out += &format!(r"\x{{{:x}}}", u32::from(character));
    }

    fn translate_escape(&mut self) -> Result<(), String> {
        let next = self.pattern.next().ok_or("a backslash ends the pattern")?;
        match next {
            'A' => self.out += r"\A",
            'Z' => self.out += r"\z",
            'd' | 'D' => self.out.extend(['\\', next]),
            'w' => self.out += &format!("[{WORD}]"),
            'W' => self.out += &format!("[^{WORD}]"),
            's' => self.out += &format!("[{SPACE}]"),
            'S' => self.out += &format!("[^{SPACE}]"),
            'b' => self.out += &format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))"),
            'B' => {
                self.out += &format!(r"(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}])(?!\A\z))");
            }
            '1'..='9' => self.translate_backreference(next)?,
            _ => {
                let character = read_character_escape(next, &mut self.pattern)?;
                self.push_literal(character);
            }
        }
        Ok(())
    }

    /// Translates a backreference (`\1`, `\2` and so on, up to `\99`) or an octal number of three digits.
    fn translate_backreference(&mut self, first: char) -> Result<(), String> {
        let mut digits = String::from(first);
        digits.extend(self.pattern.next_if(char::is_ascii_digit));
        let is_octal = digits.len() == 2 && digits.bytes().all(|digit| digit < b'8');
        if is_octal && let Some(last) = self.pattern.next_if(|next| ('0'..='7').contains(next)) {
            digits.push(last);
            let character = u32::from_str_radix(&digits, 8).ok().filter(|code| *code < 0o400);
            let character = character.and_then(char::from_u32);
            self.push_literal(character.ok_or_else(|| format!(r"`\{digits}` is no character"))?);
            return Ok(());
        }
        // The group separates the backreference from a digit that may follow the backreference.
        self.out += &format!(r"(?:\{digits})");
        Ok(())
    }

    /// Translates a count such as `{2,3}`. A brace without a count is a literal character.
    fn translate_count(&mut self) {
        let mut ahead = self.pattern.clone();
        let mut count = String::new();
        while let Some(next) = ahead.next_if(|next| next.is_ascii_digit() || *next == ',') {
            count.push(next);
        }
        let (least, most) = count.split_once(',').unwrap_or((&count, &count));
        if ahead.next() != Some('}') || count.is_empty() || most.contains(',') {
            self.push_literal('{');
            return;
        }
        let least = if least.is_empty() { "0" } else { least };
        self.out += &if count.contains(',') { format!("{{{least},{most}}}") } else { format!("{{{least}}}") };
        self.pattern = ahead;
    }

    /// Translates the beginning of a group. `self.pattern` begins after the opening parenthesis of the group.
    fn translate_group(&mut self) -> Result<(), String> {
        if self.pattern.next_if_eq(&'?').is_none() {
            self.out.push('(');
            return Ok(());
        }
        let next = self.pattern.next().ok_or("a group has no end")?;
        match next {
            ':' | '=' | '!' | '>' => self.out.extend(['(', '?', next]),
            '<' => match self.pattern.next() {
                Some(sign @ ('=' | '!')) => self.out.extend(['(', '?', '<', sign]),
                _ => return Err("write `(?P<name>…)` for a group with a name".to_owned()),
            },
            'P' => self.translate_name()?,
            '(' => self.translate_condition()?,
            '#' => {
                self.pattern.find(|next| *next == ')').ok_or("a comment has no end")?;
                self.flags.pop();
            }
            _ => self.translate_flags(next)?,
        }
        Ok(())
    }

    /// Translates `(?P<name>` or `(?P=name)`.
    fn translate_name(&mut self) -> Result<(), String> {
        let sign = self.pattern.next_if(|next| matches!(next, '<' | '='));
        let sign = sign.ok_or("`(?P` needs `<name>` or `=name`")?;
        self.out.extend(['(', '?', 'P', sign]);
        Ok(())
    }

    /// Translates `(?(1)` or `(?(name)`.
    fn translate_condition(&mut self) -> Result<(), String> {
        let name: String = self.pattern.by_ref().take_while(|next| *next != ')').collect();
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        if name.is_empty() || !name.chars().all(|next| next.is_alphanumeric() || next == '_') {
            return Err("a condition names no group".to_owned());
        }
        self.out += &if is_number { format!("(?({name})") } else { format!("(?(<{name}>)") };
        Ok(())
    }

    /// Translates `(?flags)`, `(?flags:` or `(?flags-flags:`.
    fn translate_flags(&mut self, first: char) -> Result<(), String> {
        let (mut letters, mut is_set, mut next) = (String::new(), true, first);
        let mut flags = self.flags.last().copied().unwrap_or_default();
        while !matches!(next, ')' | ':') {
            let is_repeated = letters.contains(next);
            match next {
                '-' if is_set => is_set = false,
                // Python allows a flag to be set twice, but not to be both set and cleared.
                'i' | 'm' | 's' | 'x' if is_repeated && is_set => {}
                'i' | 's' if !is_repeated => {}
                'm' if !is_repeated => flags.multi_line = is_set,
                'x' if !is_repeated => flags.verbose = is_set,
                _ => return Err(format!("the group `(?{letters}{next}` is not supported")),
            }
            letters.extend((!is_repeated).then_some(next));
            next = self.pattern.next().ok_or("a group has no end")?;
        }
        // The output needs no flag `x`, because the translation removes whitespace and comments.
        let letters = letters.replace('x', "");
        let letters = letters.trim_end_matches('-');
        if next == ':' {
            self.out += &format!("(?{letters}:");
            self.flags.pop();
            self.flags.push(flags);
            return Ok(());
        }
        if !is_set || self.out.len() > self.leading_flags_len {
            return Err("flags without a colon must begin the pattern".to_owned());
        }
        self.flags = vec![flags];
        self.out += &if letters.is_empty() { String::new() } else { format!("(?{letters})") };
        self.leading_flags_len = self.out.len();
        Ok(())
    }
}

/// Returns the character of an escape, such as `\n`, `\x41`, `\07` or `\.`. `next` is the character after the
/// backslash.
pub(super) fn read_character_escape(next: char, pattern: &mut Pattern) -> Result<char, String> {
    match next {
        'a' => Ok('\x07'),
        'f' => Ok('\x0c'),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'v' => Ok('\x0b'),
        'x' => read_hex(next, 2, pattern),
        'u' => read_hex(next, 4, pattern),
        'U' => read_hex(next, 8, pattern),
        '0' => {
            let mut is_octal = |_| pattern.next_if(|next| ('0'..='7').contains(next));
            let digits: String = (0..2).map_while(&mut is_octal).collect();
            let code = u32::from_str_radix(&format!("0{digits}"), 8).ok();
            code.and_then(char::from_u32).ok_or_else(|| format!(r"`\0{digits}` is no character"))
        }
        _ if next.is_ascii_alphanumeric() => Err(format!(r"the escape `\{next}` is not supported")),
        _ => Ok(next),
    }
}

fn read_hex(letter: char, num_digits: usize, pattern: &mut Pattern) -> Result<char, String> {
    let digits: String = (0..num_digits).map_while(|_| pattern.next_if(char::is_ascii_hexdigit)).collect();
    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == num_digits);
    code.and_then(char::from_u32).ok_or_else(|| format!(r"`\{letter}{digits}` is no character"))
}
