//! Filters, which extract the answer from a text that a model generated.

use std::sync::LazyLock;

use dtr_core::error::{Error, Result};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::python_regex::PythonRegex;
use crate::python_text::strip;

/// Matches a block of code, as the task `mbpp_instruct` of lm-evaluation-harness does. The class
/// `[\p{L}\p{N}_]` matches the same characters as Python's `\w`.
static FENCED_BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)```(?:[\p{L}\p{N}_]+)?\n?(.*?)\n?```").expect("the pattern is a constant")
});

/// One step that extracts an answer from a text.
///
/// Regular expressions have the syntax of Python's module `re`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextFilter {
    /// A match of a regular expression, as the filter `regex` of lm-evaluation-harness selects it.
    Regex(RegexFilter),
    /// Removes the matches of regular expressions, one expression after the other.
    Remove(RemoveFilter),
    /// The content of the first block between three backticks each, or empty text if there is none.
    FencedBlock(FencedBlock),
    /// The text before the first newline. The result is empty if the text begins with a newline.
    FirstLine,
    /// Removes newlines at the beginning of the text. LongBench does so before it takes the first line.
    TrimLeadingNewlines,
    /// Removes whitespace at both ends.
    Strip,
    /// Changes all letters to lower case.
    Lowercase,
    /// Replaces each tab by four spaces, as EvalPlus does in the texts of a model.
    TabsToSpaces,
}

/// Which match of a regular expression is the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RegexFilter {
    /// The regular expression, such as `'#### (\-?[0-9\.\,]+)'`.
    pub pattern: String,
    /// The number of the group that holds the answer. 0 is the whole match. Without this key, the answer is
    /// the first group that is not empty, or the whole match if the pattern has no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// Which of several matches is the answer.
    #[serde(default, rename = "match")]
    pub match_choice: MatchChoice,
    /// The answer if there is no match.
    #[serde(default = "default_fallback")]
    pub fallback: String,
}

/// Which of several matches of a regular expression is the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchChoice {
    /// The first match.
    #[default]
    First,
    /// The last match.
    Last,
    /// The match with this number, from 0. If there are fewer matches, the answer is `fallback`.
    Index(usize),
}

/// Regular expressions whose matches are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemoveFilter {
    /// The regular expressions, in the order in which they apply.
    #[schemars(length(min = 1))]
    pub patterns: Vec<String>,
}

/// Code between three backticks each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FencedBlock {
    /// Whether the prompt ends with the opening backticks, so that the text begins inside the block.
    pub prompt_opens_block: bool,
}

fn default_fallback() -> String {
    "[invalid]".to_owned()
}

impl RegexFilter {
    /// Creates a filter that selects the first match of `pattern`. The fallback is `[invalid]`.
    pub fn new(pattern: impl Into<String>) -> Self {
        let match_choice = MatchChoice::First;
        Self { pattern: pattern.into(), group: None, match_choice, fallback: default_fallback() }
    }
}

/// Filters with compiled patterns, which apply one after the other.
#[derive(Clone, Debug, Default)]
pub struct FilterChain(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Select { filter: RegexFilter, regex: Box<PythonRegex> },
    Remove(Vec<PythonRegex>),
    FencedBlock(FencedBlock),
    FirstLine,
    TrimLeadingNewlines,
    Strip,
    Lowercase,
    TabsToSpaces,
}

impl FilterChain {
    /// Compiles the patterns of `filters`.
    ///
    /// # Errors
    /// Fails if a regular expression is invalid or lacks the requested group.
    ///
    /// ```
    /// use dtr_text::filter::{FilterChain, TextFilter};
    ///
    /// let long_bench = FilterChain::new(&[TextFilter::TrimLeadingNewlines, TextFilter::FirstLine])?;
    /// assert_eq!(long_bench.apply("\n\nType: Animal\nQuestion:")?, "Type: Animal");
    /// # Ok::<(), dtr_core::error::Error>(())
    /// ```
    pub fn new(filters: &[TextFilter]) -> Result<Self> {
        filters.iter().map(Step::new).collect::<Result<_>>().map(Self)
    }

    /// Extracts the answer from `text`.
    ///
    /// # Errors
    /// Fails if a regular expression needs too many steps.
    pub fn apply(&self, text: &str) -> Result<String> {
        self.0.iter().try_fold(text.to_owned(), |text, step| step.apply(&text))
    }
}

impl Step {
    fn new(filter: &TextFilter) -> Result<Self> {
        Ok(match filter {
            TextFilter::Regex(filter) => Self::select(filter)?,
            TextFilter::Remove(RemoveFilter { patterns }) => {
                Self::Remove(patterns.iter().map(|pattern| PythonRegex::new(pattern)).collect::<Result<_>>()?)
            }
            TextFilter::FencedBlock(block) => Self::FencedBlock(block.clone()),
            TextFilter::FirstLine => Self::FirstLine,
            TextFilter::TrimLeadingNewlines => Self::TrimLeadingNewlines,
            TextFilter::Strip => Self::Strip,
            TextFilter::Lowercase => Self::Lowercase,
            TextFilter::TabsToSpaces => Self::TabsToSpaces,
        })
    }

    fn select(filter: &RegexFilter) -> Result<Self> {
        let regex = PythonRegex::new(&filter.pattern)?;
        let num_groups = regex.num_groups();
        if let Some(group) = filter.group.filter(|group| *group > num_groups) {
            let text =
                format!("cannot select group {group} of `{}`: it has {num_groups} groups", filter.pattern);
            return Err(Error::manifest(text).hint("name a group of the pattern, or 0 for the whole match"));
        }
        Ok(Self::Select { filter: filter.clone(), regex: Box::new(regex) })
    }

    fn apply(&self, text: &str) -> Result<String> {
        Ok(match self {
            Self::Select { filter, regex } => select_match(filter, regex, text)?,
            Self::Remove(patterns) => {
                patterns.iter().try_fold(text.to_owned(), |text, pattern| pattern.remove_all(&text))?
            }
            Self::FencedBlock(block) => {
                let text = if block.prompt_opens_block { format!("```{text}") } else { text.to_owned() };
                FENCED_BLOCK.captures(&text).map_or_else(String::new, |found| found[1].to_owned())
            }
            Self::FirstLine => text.split('\n').next().unwrap_or_default().to_owned(),
            Self::TrimLeadingNewlines => text.trim_start_matches('\n').to_owned(),
            Self::Strip => strip(text).to_owned(),
            Self::Lowercase => text.to_lowercase(),
            Self::TabsToSpaces => text.replace('\t', "    "),
        })
    }
}

/// Returns the answer that `filter` selects. `regex` is the compiled pattern of `filter`.
fn select_match(filter: &RegexFilter, regex: &PythonRegex, text: &str) -> Result<String> {
    let matches = regex.find_all(text)?;
    let selected = match filter.match_choice {
        MatchChoice::First => matches.first(),
        MatchChoice::Last => matches.last(),
        MatchChoice::Index(index) => matches.get(index),
    };
    let answer = selected.and_then(|groups| match filter.group {
        Some(group) => groups[group],
        None if groups.len() <= 2 => Some(groups.last().copied().flatten().unwrap_or_default()),
        None => groups[1..].iter().copied().flatten().find(|group| !group.is_empty()),
    });
    Ok(answer.map_or_else(|| filter.fallback.clone(), |answer| strip(answer).to_owned()))
}
