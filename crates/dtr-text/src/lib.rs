//! Text functions for tasks that a model answers by generating text.
//!
//! The functions give the same results as the reference implementations, which are Python programs:
//! lm-evaluation-harness, LongBench, SQuAD, scikit-learn and the package `rouge`. Three modules therefore
//! imitate Python itself: [`python_random`], [`python_regex`] and [`python_text`].
//!
//! A caller generates and scores an answer in these steps:
//!
//! 1. [`few_shot`] selects the few-shot examples in front of the question.
//! 2. [`stop_strings`] decides where the model's text ends.
//! 3. [`filter`] extracts the answer from the text.
//! 4. [`metric`] compares the answer with the references.
//!
//! ```
//! use dtr_text::filter::{FilterChain, RegexFilter, TextFilter};
//! use dtr_text::metric::{ExactMatch, TextMetric};
//! use dtr_text::stop_strings::StopStrings;
//!
//! let stops = StopStrings::new(["Question:"]);
//! let text = stops.cut(" 3 + 4 = 7.\n#### 7\n\nQuestion: How many");
//! let filter = TextFilter::Regex(RegexFilter::new(r"#### (\-?[0-9\.\,]+)"));
//! let answer = FilterChain::new(&[filter])?.apply(text)?;
//! assert_eq!(answer, "7");
//!
//! let metric = TextMetric::ExactMatch(ExactMatch {
//!     ignored_patterns: vec!["(?s).*#### ".to_owned()],
//!     ..ExactMatch::default()
//! });
//! let score = metric.compile()?.score(&answer, &["3 + 4 is 7.\n#### 7"], &[])?;
//! assert_eq!(score.value, 1.0);
//! # Ok::<(), dtr_core::error::Error>(())
//! ```

#![deny(missing_docs)]

pub mod few_shot;
pub mod filter;
pub mod metric;
pub mod python_random;
pub mod python_regex;
pub mod python_text;
pub mod stop_strings;
