//! Continues many prompts at once.
//!
//! A fixed number of rows is decoded together. As soon as a text ends, the next prompt of the queue takes its
//! row, while the other rows go on. On a CPU, the text of a prompt does not depend on the other prompts.

use std::ops::ControlFlow;

use super::prefill::{Prefilled, group_by_length, prefill, rows_of_logits};
use super::row_text::{EndOfRow, RowText, StopMatcher};
use super::sampling::{SamplingConfig, nan_logit};
use super::{GeneratedText, check_cache_window, check_tokens};
use crate::batch_decoder::{FilledRow, MAX_UNREAD_STEPS};
use crate::{BatchDecoder, Hybrid, Tokenizer};
use dtr_core::error::{Error, Result};

/// The largest number of recorded steps after which the host reads the tokens. Until then, the device also
/// computes the rows whose texts have ended.
const STEPS_PER_READ: usize = 8;
const _: () = assert!(STEPS_PER_READ <= MAX_UNREAD_STEPS);

/// Rows are refilled as soon as one in this many rows is unused.
const ROWS_PER_UNUSED_ROW: usize = 8;

/// The numbers of rows and tokens of a [`BatchGenerator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationLimits {
    /// The number of prompts that are decoded at once.
    pub rows: usize,
    /// The maximum number of tokens of a prompt and its text together. Each row reserves memory for them.
    pub max_length: usize,
    /// The maximum number of tokens of a prompt. A longer prompt loses its first tokens.
    pub max_prompt_tokens: usize,
    /// The maximum number of new tokens of each prompt.
    pub max_new_tokens: usize,
}

impl GenerationLimits {
    /// Returns limits under which each text may have `max_new_tokens` tokens: a prompt may have
    /// `max_length - max_new_tokens` tokens, as in lm-evaluation-harness.
    pub fn new(rows: usize, max_length: usize, max_new_tokens: usize) -> Self {
        let max_prompt_tokens = max_length.saturating_sub(max_new_tokens);
        Self { rows, max_length, max_prompt_tokens, max_new_tokens }
    }

    fn check(&self, model: &Hybrid<'_>) -> Result<()> {
        let context = model.config().max_positions;
        if self.max_length > context {
            return Err(Error::manifest(format!(
                "prompts and texts may have {} tokens together, and the model's context ends at {context}",
                self.max_length
            ))
            .hint("lower the maximum length"));
        }
        if self.rows == 0 || self.max_prompt_tokens == 0 {
            return Err(Error::manifest(format!(
                "cannot generate {} new tokens in {} rows of at most {} tokens: no prompt fits",
                self.max_new_tokens, self.rows, self.max_length
            ))
            .hint("ask for fewer new tokens, or for more rows"));
        }
        check_cache_window(model, self.max_length)
    }
}

/// A generator that continues many prompts at once.
///
/// ```no_run
/// # fn main() -> dtr_core::error::Result<()> {
/// use std::ops::ControlFlow;
///
/// use burn::tensor::Device;
/// use dtr_model::LoadedModel;
/// use dtr_model::generate::{BatchGenerator, GenerationLimits};
///
/// let model = LoadedModel::read("exported-hybrid".as_ref(), &Device::flex())?;
/// let hybrid = model.hybrid();
/// let limits = GenerationLimits::new(16, 2048, 256);
/// let generator = BatchGenerator::new(&hybrid, &model.tokenizer, limits, &[])?;
/// let prompts = ["where is the lamp?", "the mirror is in the"];
/// let prompts = prompts.map(|prompt| model.tokenizer.encode(prompt, true));
/// let prompts = prompts.into_iter().collect::<dtr_core::error::Result<Vec<_>>>()?;
/// // A text ends at a full stop.
/// let new_matcher = |_: usize| |piece: &str| piece.contains('.');
/// generator.generate(prompts, new_matcher, |prompt, generated| {
///     println!("{prompt}: {}", generated.text);
///     Ok(ControlFlow::Continue(()))
/// })?;
/// # Ok(())
/// # }
/// ```
pub struct BatchGenerator<'a> {
    model: &'a Hybrid<'a>,
    tokenizer: &'a Tokenizer,
    limits: GenerationLimits,
    eos_token_ids: Vec<u32>,
    sampling: SamplingConfig,
}

impl<'a> BatchGenerator<'a> {
    /// Creates a generator that always chooses the most likely token. `eos_token_ids` are the tokens that end
    /// a text.
    ///
    /// # Errors
    /// Fails when the limits exceed the model's context or its cache, or when no prompt fits them.
    pub fn new(
        model: &'a Hybrid<'a>,
        tokenizer: &'a Tokenizer,
        limits: GenerationLimits,
        eos_token_ids: &[u32],
    ) -> Result<Self> {
        limits.check(model)?;
        let eos_token_ids = eos_token_ids.to_vec();
        Ok(Self { model, tokenizer, limits, eos_token_ids, sampling: SamplingConfig::GREEDY })
    }

    /// Returns a generator that samples tokens.
    #[must_use]
    pub fn with_sampling(self, sampling: SamplingConfig) -> Self {
        Self { sampling, ..self }
    }

    /// Continues each prompt of `prompts`, a list of token ids.
    ///
    /// `new_matcher` returns the stop matcher of a prompt. The matcher receives each piece of the new text,
    /// in order, and returns whether the text ends in this piece. The result includes this last piece. A
    /// piece consists of complete characters, and can be shorter or longer than a token.
    ///
    /// `on_finished` receives the index of each prompt with its text, in the order in which the texts end.
    /// [`ControlFlow::Break`] ends the generation.
    ///
    /// # Errors
    /// Fails when a prompt is empty or has a token outside the vocabulary, when the model computes NaN, or
    /// when `on_finished` fails.
    pub fn generate<'s, M: FnMut(&str) -> bool + 's>(
        &'s self,
        prompts: impl IntoIterator<Item = Vec<u32>>,
        mut new_matcher: impl FnMut(usize) -> M,
        mut on_finished: impl FnMut(usize, GeneratedText) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut run = GenerationRun {
            generator: self,
            rows: std::iter::repeat_with(|| None).take(self.limits.rows).collect(),
            decoder: None,
            new_matcher: &mut |prompt| Box::new(new_matcher(prompt)),
            on_finished: &mut on_finished,
        };
        let mut queue = prompts.into_iter().enumerate();
        let mut is_queue_empty = false;
        loop {
            if !is_queue_empty && run.needs_prompts() {
                let prompts: Vec<_> = queue.by_ref().take(run.num_unused_rows()).collect();
                is_queue_empty = prompts.len() < run.num_unused_rows();
                if run.start(prompts)?.is_break() {
                    return Ok(());
                }
            } else if run.num_unused_rows() == run.rows.len() {
                return Ok(());
            } else {
                if is_queue_empty {
                    run.drop_unused_rows();
                }
                if run.decode()?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}

/// The state of [`BatchGenerator::generate`].
struct GenerationRun<'g, 'f> {
    generator: &'g BatchGenerator<'g>,
    /// The text of each row of the decoder, or `None` if the row is unused.
    rows: Vec<Option<RowText<'g>>>,
    /// `None` before the first prompt.
    decoder: Option<BatchDecoder<'g>>,
    new_matcher: &'f mut dyn FnMut(usize) -> StopMatcher<'g>,
    on_finished: &'f mut dyn FnMut(usize, GeneratedText) -> Result<ControlFlow<()>>,
}

impl<'g> GenerationRun<'g, '_> {
    fn num_unused_rows(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }

    /// Returns whether enough rows are unused to start further prompts. A pass over several prompts takes
    /// less time than a pass over each prompt.
    fn needs_prompts(&self) -> bool {
        self.num_unused_rows() >= self.rows.len().div_ceil(ROWS_PER_UNUSED_ROW)
    }

    /// Runs the model on prompts, and chooses the first token of each text. The prompts take unused rows.
    fn start(&mut self, prompts: Vec<(usize, Vec<u32>)>) -> Result<ControlFlow<()>> {
        let limits = &self.generator.limits;
        let mut admitted = Vec::with_capacity(prompts.len());
        for (index, ids) in prompts {
            let ids = ids[ids.len().saturating_sub(limits.max_prompt_tokens)..].to_vec();
            check_tokens(self.generator.model, &ids)?;
            let row = self.new_row(index, &ids)?;
            if row.remaining_tokens() == 0 {
                if (self.on_finished)(index, row.into_generated())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                continue;
            }
            admitted.push(Some((ids, row)));
        }
        let lengths: Vec<usize> = admitted.iter().flatten().map(|(ids, _)| ids.len()).collect();
        for group in group_by_length(self.generator.model, &lengths) {
            let group = group.into_iter().filter_map(|prompt| admitted[prompt].take()).collect();
            if self.start_group(group)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn new_row(&mut self, index: usize, ids: &[u32]) -> Result<RowText<'g>> {
        let BatchGenerator { model, tokenizer, limits, eos_token_ids, sampling } = self.generator;
        let end = EndOfRow {
            eos_token_ids,
            max_new_tokens: limits.max_new_tokens.min(limits.max_length.saturating_sub(ids.len())),
            max_positions: model.config().max_positions,
        };
        RowText::new(tokenizer, (index, ids), *sampling, end, (self.new_matcher)(index))
    }

    /// Starts prompts that fit one forward pass.
    fn start_group(&mut self, group: Vec<(Vec<u32>, RowText<'g>)>) -> Result<ControlFlow<()>> {
        let prompts: Vec<&[u32]> = group.iter().map(|(ids, _)| ids.as_slice()).collect();
        let Prefilled { state, logits } = prefill(self.generator.model, &prompts);
        let BatchGenerator { model, limits, .. } = self.generator;
        for (from_row, (ids, mut text)) in group.into_iter().enumerate() {
            let next = text.sampler.choose_token(&logits[from_row])?;
            if text.push(next)? {
                if (self.on_finished)(text.prompt, text.into_generated())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                continue;
            }
            let row = self.rows.iter().position(Option::is_none).expect("each prompt has an unused row");
            self.rows[row] = Some(text);
            self.decoder
                .get_or_insert_with(|| {
                    BatchDecoder::with_unused_rows(model, &state, limits.rows, limits.max_length)
                })
                .fill_row(&state, &FilledRow { row, from_row, num_tokens: ids.len(), next });
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Drops the unused rows if at least half of the rows are unused, except on a device that records steps.
    fn drop_unused_rows(&mut self) {
        let used: Vec<usize> = (0..self.rows.len()).filter(|&row| self.rows[row].is_some()).collect();
        match &mut self.decoder {
            Some(decoder) if !decoder.is_recorded() && 2 * used.len() <= self.rows.len() => {
                decoder.keep_rows(&used);
                self.rows.retain(Option::is_some);
            }
            _ => {}
        }
    }

    /// Decodes at least one token of each used row.
    fn decode(&mut self) -> Result<ControlFlow<()>> {
        let decoder = self.decoder.as_mut().expect("a used row has a decoder");
        let steps = match decoder.is_recorded() && self.generator.sampling.is_greedy() {
            true => {
                let remaining = self.rows.iter().flatten().map(RowText::remaining_tokens).min();
                decoder.steps(remaining.unwrap_or(1).clamp(1, STEPS_PER_READ))
            }
            false => vec![choose_next_tokens(decoder, &mut self.rows)?],
        };
        for row in 0..self.rows.len() {
            for tokens in &steps {
                let Some(text) = &mut self.rows[row] else { break };
                if tokens[row] == u32::MAX {
                    return Err(nan_logit());
                }
                if text.push(tokens[row])? && self.finish_row(row)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Passes the finished text of a row to the caller, and marks the row as unused.
    fn finish_row(&mut self, row: usize) -> Result<ControlFlow<()>> {
        if let Some(decoder) = &mut self.decoder {
            decoder.release_row(row);
        }
        let text = self.rows[row].take().expect("a finished row has a text");
        (self.on_finished)(text.prompt, text.into_generated())
    }
}

/// Chooses the next token of each used row on the host, and passes the tokens to the decoder.
fn choose_next_tokens(decoder: &mut BatchDecoder<'_>, rows: &mut [Option<RowText<'_>>]) -> Result<Vec<u32>> {
    let logits = rows_of_logits(decoder.logits());
    let choose = |(text, logits): (&mut Option<RowText<'_>>, &Vec<f32>)| match text {
        Some(text) => text.sampler.choose_token(logits),
        None => Ok(0),
    };
    let tokens = rows.iter_mut().zip(&logits).map(choose).collect::<Result<Vec<u32>>>()?;
    decoder.set_next_tokens(&tokens);
    Ok(tokens)
}
