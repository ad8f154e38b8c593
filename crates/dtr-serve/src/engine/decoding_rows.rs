//! The rows that are decoded together. On a CPU, their number and their length follow the prompts.

use super::log_probs::token_log_probs;
use super::prompt_run::PromptRun;
use super::{EndReason, EngineEvent, QueuedPrompt};
use dtr_core::error::Result;
use dtr_model::generate::{Sampler, rows_of_logits};
use dtr_model::{BatchDecoder, DecoderState, FilledRow, Hybrid};

/// The lengths of rows are multiples of this number of tokens, so that rows seldom grow.
const LENGTH_STEP: usize = 64;

/// The rows that are decoded together.
pub struct DecodingRows<'a> {
    model: &'a Hybrid<'a>,
    /// The number of rows on a device that records steps.
    max_rows: usize,
    /// The text of each row of the decoder, or `None` if the row is unused.
    rows: Vec<Option<RowText>>,
    decoder: Option<BatchDecoder<'a>>,
    /// The number of tokens for which each row has space.
    length: usize,
    /// The number of tokens that the model generated.
    num_new_tokens: u64,
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

    /// Chooses the token after `logits` and reports it. Returns the token, or `None` if the text has ended.
    fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let QueuedPrompt { request, events } = &self.queued;
        // If the client has gone, the engine frees the row before its next step.
        let send = |event| drop(events.send(event));
        if request.max_new_tokens == 0 {
            send(EngineEvent::Ended(EndReason::MaxTokens));
            return None;
        }
        let token: Result<u32> = self.sampler.choose_token(logits);
        let token = token.map_err(|error| send(EngineEvent::Failed(error.to_string()))).ok()?;
        self.num_new_tokens += 1;
        let log_probs = request.log_probs.map(|num_top| token_log_probs(logits, token, num_top));
        send(EngineEvent::Token(token, log_probs));
        let reason = if request.eos_token_ids.contains(&token) {
            EndReason::EndToken
        } else if self.num_new_tokens == request.max_new_tokens {
            EndReason::MaxTokens
        } else {
            return Some(token);
        };
        send(EngineEvent::Ended(reason));
        None
    }
}

impl<'a> DecodingRows<'a> {
    /// Creates at most `max_rows` rows, all of them unused.
    pub fn new(model: &'a Hybrid<'a>, max_rows: usize) -> Self {
        Self { model, max_rows, rows: Vec::new(), decoder: None, length: 0, num_new_tokens: 0 }
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
        let context = self.model.config().max_positions;
        let is_recorded = self.decoder.as_ref().is_some_and(BatchDecoder::is_recorded);
        let unused = self.rows.iter().position(Option::is_none);
        match unused {
            Some(row) if is_recorded || length <= self.length => return row,
            _ => {}
        }
        if self.decoder.is_none() {
            let decoder = BatchDecoder::with_unused_rows(self.model, like, 1, LENGTH_STEP);
            if decoder.is_recorded() {
                // The number and the length of rows cannot change later.
                let decoder = BatchDecoder::with_unused_rows(self.model, like, self.max_rows, context);
                self.decoder = Some(decoder);
                self.rows.resize_with(self.max_rows, || None);
                self.length = context;
                return 0;
            }
            self.decoder = Some(decoder);
            self.rows.resize_with(1, || None);
        }
        let lengths = self.rows.iter().flatten().map(RowText::max_length);
        let length = lengths.chain([length]).max().expect("there is a length");
        self.resize((self.num_used() + 1).next_power_of_two(), length.next_multiple_of(LENGTH_STEP));
        self.rows.iter().position(Option::is_none).expect("there is a row more than used rows")
    }

    /// Gives the decoder `rows` rows of `length` tokens. The used rows come first.
    fn resize(&mut self, rows: usize, length: usize) {
        let kept: Vec<usize> = (0..self.rows.len()).filter(|&row| self.rows[row].is_some()).collect();
        self.decoder.as_mut().expect("rows have a decoder").resize(&kept, rows, length);
        self.rows.retain(Option::is_some);
        self.rows.resize_with(rows, || None);
        self.length = length;
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
        let is_recorded = decoder.is_recorded();
        let num_used = self.num_used();
        if !is_recorded && num_used == 0 {
            (self.decoder, self.length) = (None, 0);
            self.rows.clear();
        } else if !is_recorded && 2 * num_used < self.rows.len() {
            let lengths = self.rows.iter().flatten().map(RowText::max_length);
            let length = lengths.max().expect("a row is used").next_multiple_of(LENGTH_STEP);
            self.resize(num_used.next_power_of_two(), length);
        }
    }

    /// Decodes one token of each used row.
    pub fn step(&mut self) {
        let Some(decoder) = self.decoder.as_mut().filter(|_| self.rows.iter().any(Option::is_some)) else {
            return;
        };
        // Each step moves unused rows to the next position too. A row costs least at the first position.
        if !decoder.is_recorded() {
            let unused = (0..self.rows.len()).filter(|&row| self.rows[row].is_none());
            unused.for_each(|row| decoder.release_row(row));
        }
        let logits = rows_of_logits(decoder.logits());
        let mut tokens = vec![0; self.rows.len()];
        let mut ended = Vec::new();
        for (row, text) in self.rows.iter_mut().enumerate() {
            let Some(next) = text.as_mut().map(|text| text.choose(&logits[row])) else { continue };
            self.num_new_tokens += 1;
            match next {
                Some(token) => tokens[row] = token,
                None => {
                    *text = None;
                    ended.push(row);
                }
            }
        }
        decoder.set_next_tokens(&tokens);
        ended.into_iter().for_each(|row| decoder.release_row(row));
    }
}
