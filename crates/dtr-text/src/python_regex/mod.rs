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
//! | `{,3}` | at most 3 times | depends on the version of `fancy-regex` |
//! | `\07`, `\101` | octal numbers | references to groups |
//! | `(?#…)`, `(?(1)…)`, `(?x)` | comments, conditions, and ignored whitespace | the syntax differs |
//! | after an empty match | a longer match may begin there | the search continues one character later |
//!
//! The translation refuses the flags `a`, `L` and `u`, and names of characters (`\N{…}`). It also refuses
//! escapes that Python does not know, such as `\z` and `\p{L}`. `fancy-regex` refuses repeated look-around,
//! such as `(?=a)*`.
//!
//! These differences remain:
//!
//! - With the flag `i`, Python also treats `İ` and `ı` as forms of `i`.
//! - Python 3.11 uses Unicode 14. In Python, characters of later versions of Unicode are neither letters nor
//!   numbers.
//! - In two cases, a group can hold another text than in Python, although the whole match is the same. In the
//!   first case, the group is in a possessive repetition. In the second case, the group is repeated and can
//!   be empty. For example, if `(a*)+` matches the text `a`, group 1 is empty in Python, and `a` here.
//! - A pattern can be valid here but not in Python, such as a look-behind without a fixed length.

mod class;
mod translate;

use dtr_core::error::{Error, Result};
use fancy_regex::{Captures, Regex, RegexBuilder};

use translate::translate;

/// The maximum number of steps of a search. Without a maximum, some patterns would need exponentially many
/// steps.
const MAX_STEPS: usize = 10_000_000;

/// A compiled regular expression with the syntax of Python's module `re`.
#[derive(Clone, Debug)]
pub struct PythonRegex {
    pattern: String,
    regex: Regex,
    /// Matches like `regex`, but allows no empty match at the position where the search begins.
    advancing: Regex,
}

impl PythonRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Fails if the pattern is invalid, or if the pattern uses a construct that cannot be translated.
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
            // `\G` matches only at the position where the search begins.
            advancing: compile(&format!(r"(?:{translated})(?!\G)"))?,
        })
    }

    /// Returns the number of groups, not counting group 0, which is the whole match.
    pub fn num_groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Returns the matches that Python's `re.findall` finds. A match is a list of the texts of its groups.
    /// The list begins with group 0, which is the whole match. A group without a match is `None`.
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

    /// Visits the matches from left to right. As in Python, the next search begins at the end of a match. If
    /// the match was empty, the next search accepts no empty match at its beginning.
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
