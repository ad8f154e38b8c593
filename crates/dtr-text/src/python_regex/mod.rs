//! Regular expressions with the syntax and the matches of Python's module `re`.
//!
//! A pattern is translated to the syntax of the crate `fancy-regex`. These constructs differ between the two,
//! and the translation gives them Python's meaning:
//!
//! | construct | Python | fancy-regex |
//! | --- | --- | --- |
//! | `$` | also matches before a newline that ends the text | matches only at the end |
//! | `\Z` | the end of the text | the end, or before the last newlines |
//! | `\w`, `\b` | letters, numbers such as `²`, and `_` | also combining marks, but no `²` |
//! | `\s` | also the separators U+001C to U+001F | not these |
//! | `\B` | never matches in an empty text | matches there |
//! | `[[a]`, `[a&&b]`, `[a--b]` | brackets and operators are characters | nested classes and operators |
//! | `{` without a count, `]` and `}` | characters | an error, or characters |
//! | `{,3}` | at most 3 times | depends on the version |
//! | `\07`, `\101` | octal numbers | references to groups |
//! | `(?#…)`, `(?(1)…)`, `(?x)` | comments, conditions, and whitespace that is ignored | other rules |
//! | after an empty match | a longer match may begin there | the search goes on one character later |
//!
//! The translation refuses what has no equal: the flags `a`, `L` and `u`, names of characters (`\N{…}`), and
//! escapes that Python does not know, such as `\z` and `\p{L}`. `fancy-regex` refuses repeated
//! look-around, such as `(?=a)*`.
//!
//! These differences remain:
//!
//! - With the flag `i`, Python also takes `İ` and `ı` for forms of `i`.
//! - Python 3.11 has Unicode 14. Characters of later versions are neither letters nor numbers there.
//! - In a possessive repetition, or in a repetition of a group that can be empty, a group can hold another
//!   text: for `(a*)+` in `a`, group 1 is empty in Python, and `a` here. The whole match is the same.
//! - A pattern can be valid here but not in Python, such as a look-behind without a fixed length.

mod class;
mod translate;

use dtr_core::error::{Error, Result};
use fancy_regex::{Captures, Regex, RegexBuilder};

use translate::translate;

/// The steps after which a search is given up. Some patterns would need exponentially many steps.
const MAX_STEPS: usize = 10_000_000;

/// A compiled regular expression with the syntax of Python's module `re`.
#[derive(Clone, Debug)]
pub struct PythonRegex {
    pattern: String,
    regex: Regex,
    /// Matches as `regex`, but no empty text at the place where the search begins.
    advancing: Regex,
}

impl PythonRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Fails if the pattern is invalid, or if it uses a construct that only Python has.
    pub fn new(pattern: &str) -> Result<Self> {
        let refuse = |cause: &str| {
            Error::manifest(format!("cannot read the regular expression `{pattern}`: {cause}"))
                .hint("write a pattern in the syntax of Python's module `re`")
        };
        let translated = translate(pattern).map_err(|cause| refuse(&cause))?;
        let compile = |pattern: &str| {
            let regex = RegexBuilder::new(pattern).backtrack_limit(MAX_STEPS).build();
            regex.map_err(|cause| refuse(&cause.to_string()))
        };
        Ok(Self {
            pattern: pattern.to_owned(),
            regex: compile(&translated)?,
            // `\G` matches where the search begins.
            advancing: compile(&format!(r"(?:{translated})(?!\G)"))?,
        })
    }

    /// Returns the number of groups, without group 0, the whole match.
    pub fn num_groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Returns all matches, as `re.findall` finds them. A match is the list of its groups, from group 0, the
    /// whole match. A group without a match is `None`.
    ///
    /// # Errors
    /// Fails if a search needs too many steps.
    ///
    /// ```
    /// use dtr_text::python_regex::PythonRegex;
    ///
    /// let matches = PythonRegex::new(r"(\d+)|x")?.find_all("12 x")?;
    /// assert_eq!(matches, [[Some("12"), Some("12")], [Some("x"), None]]);
    /// # Ok::<(), dtr_core::error::Error>(())
    /// ```
    pub fn find_all<'a>(&self, text: &'a str) -> Result<Vec<Vec<Option<&'a str>>>> {
        let mut matches = Vec::new();
        self.for_each_match(text, |found| {
            matches.push(found.iter().map(|group| group.map(|group| group.as_str())).collect());
        })?;
        Ok(matches)
    }

    /// Removes all matches, as `re.sub(pattern, "", text)` does.
    ///
    /// # Errors
    /// Fails if a search needs too many steps.
    ///
    /// ```
    /// use dtr_text::python_regex::PythonRegex;
    ///
    /// assert_eq!(PythonRegex::new(r"\.$")?.remove_all("1.5.\n")?, "1.5\n");
    /// # Ok::<(), dtr_core::error::Error>(())
    /// ```
    pub fn remove_all(&self, text: &str) -> Result<String> {
        let (mut rest, mut end) = (String::with_capacity(text.len()), 0);
        self.for_each_match(text, |found| {
            if let Some(whole) = found.get(0) {
                rest.push_str(&text[end..whole.start()]);
                end = whole.end();
            }
        })?;
        rest.push_str(&text[end..]);
        Ok(rest)
    }

    /// Visits the matches from left to right. Python searches again at the end of each match, and does not
    /// accept an empty match there if the match before was empty too.
    fn for_each_match<'a>(&self, text: &'a str, mut visit: impl FnMut(&Captures<'a>)) -> Result<()> {
        let (mut position, mut regex) = (0, &self.regex);
        while let Some(found) = regex.captures_from_pos(text, position).map_err(|_| self.too_many_steps())? {
            visit(&found);
            let Some(whole) = found.get(0) else { break };
            regex = if whole.start() == whole.end() { &self.advancing } else { &self.regex };
            position = whole.end();
        }
        Ok(())
    }

    fn too_many_steps(&self) -> Error {
        let text = format!("cannot apply the regular expression `{}`: too many steps", self.pattern);
        Error::failed(text).hint("write a pattern without nested repetitions")
    }
}
