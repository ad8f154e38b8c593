//! Selects the few-shot examples of each prompt, as the samplers of lm-evaluation-harness
//! (`lm_eval/api/samplers.py`) do. As in lm-evaluation-harness, a document is a row of a task's split, from
//! which a prompt is made.

use dtr_core::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::python_random::PythonRandom;

/// How the few-shot examples of a document are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShotSelection {
    /// Each document gets its own random examples, by the draw of lm-evaluation-harness' sampler `default`.
    #[default]
    Harness,
    /// All documents get the first examples, as by lm-evaluation-harness' sampler `first_n`. Up to version
    /// 0.4.12, that sampler does not remove the document itself. Later versions do, and so does this one.
    First,
}

/// Selects the examples of one document after the other.
///
/// One random generator serves all documents of a task, and each draw advances the generator. The examples of
/// a document therefore depend on the document's place in the complete split. A caller that scores only some
/// of the documents must also draw for all documents before them.
///
/// ```
/// use dtr_text::few_shot::{ShotSampler, ShotSelection};
///
/// // GSM8K has 7,473 rows for examples. These are the examples of the first two test documents.
/// let mut sampler = ShotSampler::new(ShotSelection::Harness, 1234, 7473, 4);
/// assert_eq!(sampler.draw()?, [6374, 3610, 957, 61]);
/// assert_eq!(sampler.draw()?, [742, 7462, 6610, 4769]);
/// # Ok::<(), dtr_core::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShotSampler {
    selection: ShotSelection,
    random: PythonRandom,
    num_examples: usize,
    num_shots: usize,
}

impl ShotSampler {
    /// Creates the sampler of a task. `num_examples` is the number of rows that can be examples. Each prompt
    /// gets `num_shots` of these rows. lm-evaluation-harness uses the seed 1234.
    pub fn new(selection: ShotSelection, seed: u64, num_examples: usize, num_shots: usize) -> Self {
        Self { selection, random: PythonRandom::new(seed), num_examples, num_shots }
    }

    /// Selects the examples of the next document, which must not itself be among the rows that can be
    /// examples. Returns the row numbers of the examples in the order of the prompt.
    ///
    /// # Errors
    /// Fails if there are too few rows.
    pub fn draw(&mut self) -> Result<Vec<usize>> {
        match self.selection {
            _ if self.num_shots == 0 => Ok(Vec::new()),
            ShotSelection::Harness => self.draw_rows(self.num_shots),
            ShotSelection::First => self.keep_shots((0..self.num_examples).collect()),
        }
    }

    /// Selects the examples of the next document, if documents and examples come from the same split.
    /// `is_document` tells whether a row equals the document. Such a row is never an example.
    ///
    /// If documents and examples come from the test split, lm-evaluation-harness draws one row more than it
    /// needs, and removes the document. If both come from the validation split, lm-evaluation-harness removes
    /// nothing. For such a task, [`draw`](Self::draw) selects the same examples as lm-evaluation-harness.
    ///
    /// # Errors
    /// Fails if too few rows remain, for example because the split repeats the document and the draw holds
    /// several copies. lm-evaluation-harness fails in this case too.
    pub fn draw_without(&mut self, is_document: impl Fn(usize) -> bool) -> Result<Vec<usize>> {
        let mut rows = match self.selection {
            _ if self.num_shots == 0 => return Ok(Vec::new()),
            ShotSelection::Harness => self.draw_rows(self.num_shots.saturating_add(1))?,
            ShotSelection::First => (0..self.num_examples).collect(),
        };
        rows.retain(|row| !is_document(*row));
        self.keep_shots(rows)
    }

    fn draw_rows(&mut self, count: usize) -> Result<Vec<usize>> {
        let rows = self.random.sample(self.num_examples, count);
        rows.map_err(|_| self.too_few_rows(self.num_examples))
    }

    fn keep_shots(&self, mut rows: Vec<usize>) -> Result<Vec<usize>> {
        if rows.len() < self.num_shots {
            return Err(self.too_few_rows(rows.len()));
        }
        rows.truncate(self.num_shots);
        Ok(rows)
    }

    fn too_few_rows(&self, num_rows: usize) -> Error {
        let num_shots = self.num_shots;
        Error::manifest(format!(
            "cannot select {num_shots} few-shot examples: {num_rows} rows can be examples"
        ))
        .hint("ask for fewer examples, or name a split with more rows")
    }
}
