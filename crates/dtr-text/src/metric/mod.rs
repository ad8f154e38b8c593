//! Metrics. A metric scores an answer against the references of its item. It also computes the score of a
//! task from the scores of all answers.

mod answer_match;
mod class_metrics;
mod common_subsequence;
mod rouge_l;
mod token_f1;

use std::collections::BTreeMap;

use dtr_core::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::python_regex::PythonRegex;
use answer_match::{contains_ignoring_case, is_exact_match};
use class_metrics::{classification_score, macro_f1};
use token_f1::token_f1;

pub use rouge_l::{RougeL, rouge_l};

/// How the answers that a model wrote are scored. Scores are from 0 to 1.
///
/// If an item has several references, the reference with the highest score counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextMetric {
    /// 1 if the answer equals a reference, as the metric `exact_match` of lm-evaluation-harness.
    ExactMatch(ExactMatch),
    /// 1 if the answer contains a reference, in upper or lower case, as lm-evaluation-harness scores SWDE.
    Contains,
    /// The F1 score of the words that the answer shares with a reference, as in SQuAD 1.1. Case, punctuation
    /// and articles do not count.
    TokenF1,
    /// The mean over classes of each class's F1 score, as scikit-learn's `f1_score(…, average="macro")`. An
    /// answer is the name of a class.
    MacroF1(MacroF1),
    /// The F-measure of ROUGE-L, as by the Python package `rouge` 1.0.1.
    RougeL,
    /// 1 divided by the number of classes whose names the answer contains, if one is the correct class.
    /// LongBench scores TREC in this way.
    Classification,
}

/// What the comparison of an answer with a reference ignores. The rules apply to both texts, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ExactMatch {
    /// Regular expressions in the syntax of Python's module `re`, whose matches are removed one expression
    /// after the other.
    pub ignored_patterns: Vec<String>,
    /// Whether upper and lower case are equal.
    pub ignore_case: bool,
    /// Whether ASCII punctuation is removed.
    pub ignore_punctuation: bool,
    /// Whether ASCII digits are removed.
    pub ignore_numbers: bool,
}

/// The classes of a macro-averaged F1 score.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MacroF1 {
    /// The classes over which the mean is taken. Without this key, the classes are all references and all
    /// answers. Each different invalid answer then counts as a class with the score 0.
    pub classes: Vec<String>,
}

/// The score of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScore {
    /// The score, from 0 to 1. For `macro-f1`, it is 1 if the answer is the correct class.
    pub value: f64,
    /// The correct class and the predicted class, from which `macro-f1` is computed. `None` for other
    /// metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<AnswerClasses>,
    /// Parts of the score by name, for metrics that have parts. Empty for other metrics.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
}

/// The correct class of an item and the class that the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerClasses {
    /// The correct class.
    pub correct: String,
    /// The class that the model wrote.
    pub predicted: String,
}

impl TextMetric {
    /// Compiles the patterns of the metric.
    ///
    /// # Errors
    /// Fails if a regular expression is invalid.
    pub fn compile(&self) -> Result<AnswerScorer> {
        let patterns = match self {
            Self::ExactMatch(config) => config.ignored_patterns.as_slice(),
            _ => &[],
        };
        let ignored = patterns.iter().map(|pattern| PythonRegex::new(pattern)).collect::<Result<_>>()?;
        Ok(AnswerScorer { metric: self.clone(), ignored })
    }

    /// Returns whether a task's score is the mean of the answers' scores.
    pub fn is_mean(&self) -> bool {
        !matches!(self, Self::MacroF1(_))
    }

    /// Returns the score of a task from the scores of all its answers, or `None` if there are no answers.
    pub fn aggregate(&self, scores: &[AnswerScore]) -> Option<f64> {
        if scores.is_empty() {
            return None;
        }
        match self {
            Self::MacroF1(config) => Some(macro_f1(&config.classes, scores)),
            _ => Some(scores.iter().map(|score| score.value).sum::<f64>() / scores.len() as f64),
        }
    }
}

/// A metric with compiled patterns.
#[derive(Clone, Debug)]
pub struct AnswerScorer {
    metric: TextMetric,
    ignored: Vec<PythonRegex>,
}

impl AnswerScorer {
    /// Scores the answer `prediction` against the references. `classes` are the names of all classes. Only
    /// the metric `classification` uses these names.
    ///
    /// # Errors
    /// Fails if there are no references, or if a regular expression needs too many steps.
    ///
    /// ```
    /// use dtr_text::metric::TextMetric;
    ///
    /// let scorer = TextMetric::Classification.compile()?;
    /// let classes = ["Food", "Date", "Animal"].map(String::from);
    /// let score = scorer.score("Animal or Food", &["Animal"], &classes)?;
    /// assert_eq!(score.value, 0.5);
    /// # Ok::<(), dtr_core::error::Error>(())
    /// ```
    pub fn score(
        &self,
        prediction: &str,
        references: &[impl AsRef<str>],
        classes: &[String],
    ) -> Result<AnswerScore> {
        let Some(first) = references.first() else {
            return Err(Error::manifest("cannot score an answer: its item has no reference")
                .hint("give each item at least one reference"));
        };
        if let TextMetric::MacroF1(_) = self.metric {
            return Ok(score_class(prediction, references, first.as_ref()));
        }
        let mut value = 0.0_f64;
        for reference in references {
            value = value.max(self.score_reference(prediction, reference.as_ref(), classes)?);
        }
        Ok(AnswerScore { value, classes: None, parts: BTreeMap::new() })
    }

    fn score_reference(&self, prediction: &str, reference: &str, classes: &[String]) -> Result<f64> {
        let score_bool = |is_match| if is_match { 1.0 } else { 0.0 };
        Ok(match &self.metric {
            TextMetric::ExactMatch(config) => {
                score_bool(is_exact_match(config, &self.ignored, prediction, reference)?)
            }
            TextMetric::Contains => score_bool(contains_ignoring_case(prediction, reference)),
            TextMetric::TokenF1 => token_f1(prediction, reference),
            TextMetric::MacroF1(_) => score_bool(prediction == reference),
            TextMetric::RougeL => rouge_l(prediction, reference).map_or(0.0, |score| score.f),
            TextMetric::Classification => classification_score(prediction, reference, classes),
        })
    }
}

/// Scores an answer that is the name of a class. If the item has several correct classes, and the answer is
/// none of these classes, the first correct class counts as the only correct class.
fn score_class(prediction: &str, references: &[impl AsRef<str>], first: &str) -> AnswerScore {
    let is_correct = references.iter().any(|reference| reference.as_ref() == prediction);
    let correct = if is_correct { prediction } else { first }.to_owned();
    let classes = AnswerClasses { correct, predicted: prediction.to_owned() };
    AnswerScore { value: if is_correct { 1.0 } else { 0.0 }, classes: Some(classes), parts: BTreeMap::new() }
}
