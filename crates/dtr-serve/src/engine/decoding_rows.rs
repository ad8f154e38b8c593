//! The rows that are decoded together. Their number and their length follow the prompts.

use super::TokenLogProbs;
use super::log_probs::token_log_probs;
use super::prompt_run::PromptRun;
use super::{EndReason, EngineEvent, QueuedPrompt};
use dtr_model::generate::{Sampler, nan_logit, rows_of_logits};
use dtr_model::{BatchDecoder, DecoderState, FilledRow, Hybrid};

/// The lengths of rows are multiples of this number of tokens, so that rows seldom grow.
const LENGTH_STEP: usize = 64;

/// The shortest length of rows on a device that records steps. Each growth there records a step again, so
/// lengths also double.
const MIN_RECORDED_LENGTH: usize = 1024;

/// The largest number of recorded steps after which the host reads the tokens. Clients receive the tokens of
/// these steps at once.
const STEPS_PER_READ: usize = 8;

/// The number of steps after which unused rows return to the first position, where a row costs least. Each
/// step moves unused rows to the next position too.
const STEPS_PER_RESET: usize = 64;

/// The rows that are decoded together.
pub struct DecodingRows<'a> {
    model: &'a Hybrid<'a>,
    /// The text of each row of the decoder, or `None` if the row is unused.
    rows: Vec<Option<RowText>>,
    decoder: Option<BatchDecoder<'a>>,
    /// The number of tokens for which each row has space.
    length: usize,
    /// The number of tokens that the model generated.
    num_new_tokens: u64,
    /// The number of steps since unused rows returned to the first position.
    steps_since_reset: usize,
}

/// The text of a row.
struct RowText {
    queued: QueuedPrompt,
    sampler: Sampler,
    num_new_tokens: usize,
}

impl RowText {
    /// Returns the number of tokens of the prompt and the text together.
    fn max_length(&self) -> usize {
        self.queued.request.prompt.len() + self.queued.request.max_new_tokens
    }

    /// Returns the number of tokens that the text can still get.
    fn remaining_tokens(&self) -> usize {
        self.queued.request.max_new_tokens - self.num_new_tokens
    }

    /// Returns whether the most likely token always comes next, and no log-probabilities are needed.
    fn needs_no_logits(&self) -> bool {
        self.queued.request.sampling.is_greedy() && self.queued.request.log_probs.is_none()
    }

    /// Reports an event. If the client has gone, the engine frees the row before its next step.
    fn send(&self, event: EngineEvent) {
        let _ = self.queued.events.send(event);
    }

    /// Chooses the token after `logits` and reports it. Returns the token, or `None` if the text has ended.
    fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let request = &self.queued.request;
        if request.max_new_tokens == 0 {
            self.send(EngineEvent::Ended(EndReason::MaxTokens));
            return None;
        }
        let num_top = request.log_probs;
        match self.sampler.choose_token(logits) {
            Ok(token) => self.push(token, num_top.map(|num_top| token_log_probs(logits, token, num_top))),
            Err(error) => {
                self.send(EngineEvent::Failed(error.to_string()));
                None
            }
        }
    }

    /// Reports the next token. Returns the token, or `None` if the text has ended.
    fn push(&mut self, token: u32, log_probs: Option<TokenLogProbs>) -> Option<u32> {
        self.num_new_tokens += 1;
        self.send(EngineEvent::Token(token, log_probs));
        let reason = if self.queued.request.eos_token_ids.contains(&token) {
            EndReason::EndToken
        } else if self.remaining_tokens() == 0 {
            EndReason::MaxTokens
        } else {
            return Some(token);
        };
        self.send(EngineEvent::Ended(reason));
        None
    }
}

impl<'a> DecodingRows<'a> {
    /// Creates the rows of `model`. There are no rows before the first prompt.
    pub fn new(model: &'a Hybrid<'a>) -> Self {
        Self { model, rows: Vec::new(), decoder: None, length: 0, num_new_tokens: 0, steps_since_reset: 0 }
    }

    /// Returns the number of used rows.
    pub fn num_used(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    /// Returns the number of tokens that the model generated.
    pub fn num_new_tokens(&self) -> u64 {
        self.num_new_tokens
    }

    /// Chooses the first token after a prompt that was read. If the text goes on, the prompt takes a row.
    pub fn start(&mut self, run: PromptRun) {
        let PromptRun { queued, state, logits, .. } = run;
        let state = state.expect("a prompt that was read has a state");
        let sampler = Sampler::new(queued.request.sampling, queued.request.sample);
        let mut text = RowText { queued, sampler, num_new_tokens: 0 };
        let next = text.choose(&logits);
        self.num_new_tokens += text.num_new_tokens as u64;
        let Some(next) = next else { return };
        let num_tokens = text.queued.request.prompt.len();
        let row = self.reserve_row(&state, text.max_length());
        self.rows[row] = Some(text);
        let decoder = self.decoder.as_mut().expect("a reserved row has a decoder");
        decoder.fill_row(&state, &FilledRow { row, from_row: 0, num_tokens, next });
    }

    /// Returns an unused row with space for `length` tokens. `like` is a state of the model.
    fn reserve_row(&mut self, like: &DecoderState, length: usize) -> usize {
        let unused = self.rows.iter().position(Option::is_none);
        if let Some(row) = unused.filter(|_| length <= self.length) {
            return row;
        }
        if self.decoder.is_none() {
            self.decoder = Some(BatchDecoder::with_unused_rows(self.model, like, 1, LENGTH_STEP));
            self.rows.resize_with(1, || None);
        }
        let num_rows = (self.num_used() + 1).next_power_of_two();
        let num_rows = if self.is_recorded() { num_rows.max(self.rows.len()) } else { num_rows };
        self.resize(num_rows, length);
        self.rows.iter().position(Option::is_none).expect("there is a row more than used rows")
    }

    /// Returns whether the device records steps. Rows then do not shrink, because the next step would have to
    /// be recorded again.
    fn is_recorded(&self) -> bool {
        self.decoder.as_ref().is_some_and(BatchDecoder::is_recorded)
    }

    /// Gives the decoder `rows` rows with space for `length` tokens, and for the texts of the used rows. The
    /// used rows come first.
    fn resize(&mut self, rows: usize, length: usize) {
        let lengths = self.rows.iter().flatten().map(RowText::max_length);
        let length = lengths.chain([length]).max().expect("there is a length");
        let context = self.model.config().max_positions;
        self.length = match self.is_recorded() {
            true => length.next_power_of_two().max(MIN_RECORDED_LENGTH).max(self.length).min(context),
            false => length.next_multiple_of(LENGTH_STEP),
        };
        let kept: Vec<usize> = (0..self.rows.len()).filter(|&row| self.rows[row].is_some()).collect();
        self.decoder.as_mut().expect("rows have a decoder").resize(&kept, rows, self.length);
        self.rows.retain(Option::is_some);
        self.rows.resize_with(rows, || None);
    }

    /// Frees the rows whose clients have gone, and unused rows if most rows are unused.
    pub fn free_rows(&mut self) {
        let Some(decoder) = &mut self.decoder else { return };
        for (row, text) in self.rows.iter_mut().enumerate() {
            if text.as_ref().is_some_and(|text| text.queued.events.is_closed()) {
                *text = None;
                decoder.release_row(row);
            }
        }
        let num_used = self.num_used();
        if self.is_recorded() {
            return;
        }
        if num_used == 0 {
            (self.decoder, self.length) = (None, 0);
            self.rows.clear();
        } else if 2 * num_used < self.rows.len() {
            self.resize(num_used.next_power_of_two(), 0);
        }
    }

    /// Decodes at least one token of each used row. Decodes several if `can_decode_several` and if the device
    /// records steps and chooses the tokens of all rows.
    pub fn step(&mut self, can_decode_several: bool) {
        self.reset_unused_rows();
        let Some(decoder) = self.decoder.as_mut() else { return };
        let used = || self.rows.iter().flatten();
        let Some(remaining) = used().map(RowText::remaining_tokens).min() else { return };
        if decoder.is_recorded() && used().all(RowText::needs_no_logits) {
            let num_steps = if can_decode_several { remaining.min(STEPS_PER_READ) } else { 1 };
            let steps = decoder.steps(num_steps);
            self.steps_since_reset += num_steps;
            for tokens in steps {
                self.push_tokens(|row, text| match tokens[row] {
                    u32::MAX => {
                        text.send(EngineEvent::Failed(nan_logit().to_string()));
                        None
                    }
                    token => text.push(token, None),
                });
            }
        } else {
            let logits = rows_of_logits(decoder.logits());
            self.steps_since_reset += 1;
            let tokens = self.push_tokens(|row, text| text.choose(&logits[row]));
            self.decoder.as_mut().expect("rows have a decoder").set_next_tokens(&tokens);
        }
    }

    /// Adds the token that `next` returns to each text, and frees the rows of the texts that have ended.
    /// Returns the token of each row.
    fn push_tokens(&mut self, next: impl Fn(usize, &mut RowText) -> Option<u32>) -> Vec<u32> {
        let mut tokens = vec![0; self.rows.len()];
        for (row, text) in self.rows.iter_mut().enumerate() {
            let Some(next) = text.as_mut().map(|text| next(row, text)) else { continue };
            self.num_new_tokens += 1;
            match next {
                Some(token) => tokens[row] = token,
                None => *text = None,
            }
        }
        tokens
    }

    /// Returns unused rows to the first position from time to time.
    fn reset_unused_rows(&mut self) {
        let Some(decoder) = self.decoder.as_mut().filter(|_| self.steps_since_reset >= STEPS_PER_RESET)
        else {
            return;
        };
        self.steps_since_reset = 0;
        let unused = (0..self.rows.len()).filter(|&row| self.rows[row].is_none());
        unused.for_each(|row| decoder.release_row(row));
    }
}
