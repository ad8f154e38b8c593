//! Tokenizes the prompts of a generative task, and scores the answers. A model answers such a task by
//! generating text.

use std::sync::Arc;

use dtr_sandbox::Sandbox;
use dtr_text::filter::FilterChain;
use dtr_text::metric::{AnswerScore, AnswerScorer, TextMetric};
use dtr_text::stop_strings::StopStrings;
use rayon::prelude::*;

use super::opendrive::RoadScorer;
use super::program_scorer::{ProgramScorer, SandboxRecord};
use super::script_scorer::ScriptScorer;
use super::{AnswerScoring, GenerationSettings, GenerativeItem, encode_prompt};
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;

/// The tokenized prompts of a task's items, and the settings for generating and scoring the answers.
pub struct GenerationRequests {
    items: Vec<GenerativeItem>,
    prompts: Vec<Vec<u32>>,
    num_truncated_items: u64,
    max_new_tokens: usize,
    eos_token_ids: Vec<u32>,
    stop_strings: StopStrings,
    filters: FilterChain,
    scoring: Scoring,
}

/// How answers are scored.
enum Scoring {
    /// Answers are compared with references.
    Text { metric: TextMetric, scorer: AnswerScorer },
    /// Answers are programs, which are run.
    Programs(ProgramScorer),
    /// A script of the user scores answers.
    Script(ScriptScorer),
    /// Answers are roads, which are compared with hidden roads.
    Roads(RoadScorer),
}

impl GenerationRequests {
    /// Tokenizes the prompts of `items` on all threads, for a model with a context of `max_positions` tokens.
    ///
    /// If a prompt leaves no room for `max-tokens` new tokens, the prompt loses its first tokens, as in
    /// lm-evaluation-harness.
    ///
    /// # Errors
    /// Fails if there are no items, if a filter or the metric has an invalid pattern, if a prompt has no
    /// tokens, or if `max-tokens` leaves no room for a prompt. Also fails if the task does not have exactly one
    /// of a metric, tests of programs, and a script, or if the script cannot be read.
    pub fn new(
        tokenizer: &Tokenizer,
        task: &GenerationSettings<'_>,
        items: Vec<GenerativeItem>,
        max_positions: usize,
    ) -> Result<Self> {
        if items.is_empty() {
            return Err(Error::manifest("cannot score a split without items")
                .hint("give the task a file with rows for this split"));
        }
        let Some(max_prompt_tokens) = max_positions.checked_sub(task.max_tokens).filter(|tokens| *tokens > 0)
        else {
            return Err(Error::failed(format!(
                "`max-tokens` is {}, and the model's context ends at {max_positions}",
                task.max_tokens
            )));
        };
        let encode = |item: &GenerativeItem| encode_item(tokenizer, item);
        let mut prompts: Vec<Vec<u32>> = items.par_iter().map(encode).collect::<Result<_>>()?;
        let mut num_truncated_items = 0;
        for prompt in prompts.iter_mut().filter(|prompt| prompt.len() > max_prompt_tokens) {
            prompt.drain(..prompt.len() - max_prompt_tokens);
            num_truncated_items += 1;
        }
        Ok(Self {
            items,
            prompts,
            num_truncated_items,
            max_new_tokens: task.max_tokens,
            eos_token_ids: Vec::new(),
            stop_strings: StopStrings::new(task.stop.iter().cloned()),
            filters: FilterChain::new(task.filters)?,
            scoring: Scoring::new(task.scoring)?,
        })
    }

    /// Returns the same requests with `eos_token_ids` as the tokens that end a text.
    pub fn with_eos_token_ids(self, eos_token_ids: Vec<u32>) -> Self {
        Self { eos_token_ids, ..self }
    }

    /// Returns the same requests with the sandbox in which programs and scripts run.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        let scoring = match self.scoring {
            Scoring::Text { .. } | Scoring::Roads(_) => self.scoring,
            Scoring::Programs(programs) => Scoring::Programs(programs.with_sandbox(sandbox)),
            Scoring::Script(script) => Scoring::Script(script.with_sandbox(sandbox)),
        };
        Self { scoring, ..self }
    }

    /// Returns whether the answers are programs, or a script scores them. Both need a sandbox.
    pub fn needs_sandbox(&self) -> bool {
        matches!(self.scoring, Scoring::Programs(_) | Scoring::Script(_))
    }

    /// Returns a description of the sandbox, or `None` if there is no sandbox.
    pub fn sandbox_record(&self) -> Option<SandboxRecord> {
        let sandbox = match &self.scoring {
            Scoring::Text { .. } | Scoring::Roads(_) => None,
            Scoring::Programs(programs) => programs.sandbox(),
            Scoring::Script(script) => script.sandbox(),
        };
        sandbox.map(SandboxRecord::new)
    }

    /// Returns the score of a completion of roads without a model, or `None` if the items are not hidden roads.
    ///
    /// # Errors
    /// Fails if an item has no hidden road.
    pub fn baseline_score(&self) -> Result<Option<f64>> {
        match &self.scoring {
            Scoring::Roads(roads) => roads.baseline_score(&self.items).map(Some),
            Scoring::Text { .. } | Scoring::Programs(_) | Scoring::Script(_) => Ok(None),
        }
    }

    /// Returns the tokens that end a text.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.eos_token_ids
    }

    /// Returns the items.
    pub fn items(&self) -> &[GenerativeItem] {
        &self.items
    }

    /// Returns the tokens of each item's prompt.
    pub fn prompts(&self) -> &[Vec<u32>] {
        &self.prompts
    }

    /// Returns the number of items whose prompt was truncated.
    pub fn num_truncated_items(&self) -> u64 {
        self.num_truncated_items
    }

    /// Returns the maximum number of tokens of an answer's text.
    pub fn max_new_tokens(&self) -> usize {
        self.max_new_tokens
    }

    /// Returns the strings that end a text.
    pub fn stop_strings(&self) -> &StopStrings {
        &self.stop_strings
    }

    /// Returns whether the task's score is the mean of the answers' scores.
    pub fn is_mean(&self) -> bool {
        match &self.scoring {
            Scoring::Text { metric, .. } => metric.is_mean(),
            Scoring::Programs(_) | Scoring::Script(_) | Scoring::Roads(_) => true,
        }
    }

    /// Returns the task's score from the scores of all answers.
    pub fn aggregate(&self, scores: &[AnswerScore]) -> f64 {
        match &self.scoring {
            Scoring::Text { metric, .. } => metric.aggregate(scores).expect("a split has items"),
            _ => scores.iter().map(|score| score.value).sum::<f64>() / scores.len() as f64,
        }
    }

    /// Extracts an answer from each of `texts`, which the model generated, and scores the answers. The number
    /// before a text is the index of the text's item. Returns each answer with its score, in the order of
    /// `texts`.
    ///
    /// # Errors
    /// Fails if a regular expression needs too many steps, if programs cannot be run, or if a script gives no
    /// score.
    pub fn score_texts(&self, texts: &[(usize, String)]) -> Result<Vec<(String, AnswerScore)>> {
        let extract = |(item, text): &(usize, String)| {
            let answer = self.filters.apply(self.stop_strings.cut(text));
            answer.map_err(|error| self.wrap_error(*item, error))
        };
        let answers: Vec<String> = texts.par_iter().map(extract).collect::<Result<_>>()?;
        let items = texts.iter().map(|(item, _)| *item);
        let scores = match &self.scoring {
            Scoring::Text { scorer, .. } => {
                let score = |(item, answer): (usize, &String)| {
                    let GenerativeItem { references, classes, .. } = &self.items[item];
                    scorer.score(answer, references, classes).map_err(|error| self.wrap_error(item, error))
                };
                items.zip(&answers).map(score).collect::<Result<Vec<_>>>()?
            }
            Scoring::Programs(programs) => {
                let items: Vec<&GenerativeItem> = items.map(|item| &self.items[item]).collect();
                programs.score(&items, &answers)?
            }
            Scoring::Script(script) => {
                let items: Vec<&GenerativeItem> = items.map(|item| &self.items[item]).collect();
                let texts = texts.iter().map(|(_, text)| self.stop_strings.cut(text));
                let answers: Vec<_> = texts.zip(answers.iter().map(String::as_str)).collect();
                script.score(&items, &answers)?
            }
            Scoring::Roads(roads) => {
                let items: Vec<&GenerativeItem> = items.map(|item| &self.items[item]).collect();
                roads.score(&items, &answers)?
            }
        };
        Ok(answers.into_iter().zip(scores).collect())
    }

    fn wrap_error(&self, item: usize, error: Error) -> Error {
        let id = &self.items[item].id;
        Error::failed(format!("cannot score the answer to item `{id}`")).with_source(error)
    }
}

impl Scoring {
    fn new(scoring: AnswerScoring<'_>) -> Result<Self> {
        let task = match scoring {
            AnswerScoring::Roads(tolerance) => return Ok(Self::Roads(RoadScorer::new(*tolerance))),
            AnswerScoring::Keys(task) => task,
        };
        match (&task.metric, &task.code, &task.script) {
            (Some(metric), None, None) => {
                Ok(Self::Text { metric: metric.clone(), scorer: metric.compile()? })
            }
            (None, Some(test), None) => Ok(Self::Programs(ProgramScorer::new(test.clone()))),
            (None, None, Some(script)) => Ok(Self::Script(ScriptScorer::new(script)?)),
            _ => Err(Error::manifest(
                "a task that is answered by generating text needs `metric`, `code` or `script`",
            )
            .hint("set one of the three keys")),
        }
    }
}

fn encode_item(tokenizer: &Tokenizer, item: &GenerativeItem) -> Result<Vec<u32>> {
    let tokens = encode_prompt(tokenizer, &item.prompt, item.chat.is_some())?;
    match tokens.is_empty() {
        true => Err(Error::failed(format!("the prompt of item `{}` has no tokens", item.id))),
        false => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::{Split, Task, TaskItems, TaskRequests};

    #[test]
    fn a_start_token_precedes_a_plain_prompt_and_not_a_prompt_that_a_chat_template_rendered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("chat_template.jinja"), "{{ messages[0].content }}").unwrap();
        std::fs::write(folder.path().join("rows.jsonl"), r#"{"q": "Water is"}"#).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // This tokenizer's start token has the id 0.
        let tokenizer = Tokenizer::read(&root.join("tests/fixtures/tasks/model/tokenizer.json")).unwrap();
        let first_token = |chat: &str| {
            let rows = folder.path().join("rows.jsonl").display().to_string();
            let task = format!(
                "source.generative = {{ test = {rows:?}, splits = \"as-published\", prompt = \"{{{{q}}}}\", \
                 target = \"wet\", metric = \"contains\", max-tokens = 4{chat} }}"
            );
            let task: Task = toml::from_str(&task).unwrap();
            let items = TaskItems::load(&task, Split::Test).unwrap();
            let items = items.render_chats(Some(folder.path())).unwrap();
            let TaskRequests::Generation(requests) = TaskRequests::new(&tokenizer, &task, items, 64).unwrap()
            else {
                panic!("the task is generative")
            };
            requests.prompts()[0][0]
        };
        assert_eq!(first_token(""), 0);
        assert_ne!(first_token(", chat = {}"), 0);
    }
}
