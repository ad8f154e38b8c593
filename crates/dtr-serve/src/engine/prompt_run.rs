//! A prompt while the model reads it, in passes that end at the borders of the prefix cache.

use std::ops::Range;

use super::log_probs::token_log_probs;
use super::prefix_cache::PrefixCache;
use super::{EngineEvent, QueuedPrompt, TokenLogProbs};
use dtr_model::generate::PromptPass;
use dtr_model::{DecoderState, Hybrid};

/// The number of positions whose logits are on the host at once.
const LOGITS_PER_READ: usize = 64;

/// A prompt that the model reads.
pub struct PromptRun {
    /// The prompt and its channel.
    pub queued: QueuedPrompt,
    /// The state after the tokens that were read. `None` before the first pass.
    pub state: Option<DecoderState>,
    num_read: usize,
    /// The logits after the newest token that was read.
    pub logits: Vec<f32>,
    cached_tokens: usize,
}

impl PromptRun {
    /// Creates the run of a prompt before its first pass.
    pub fn new(queued: QueuedPrompt) -> Self {
        Self { queued, state: None, num_read: 0, logits: Vec::new(), cached_tokens: 0 }
    }

    /// Returns whether the client has gone.
    pub fn is_abandoned(&self) -> bool {
        self.queued.events.is_closed()
    }

    /// Returns whether the whole prompt was read.
    pub fn is_read(&self) -> bool {
        self.num_read == self.queued.request.prompt.len()
    }

    /// Returns whether no token was read.
    pub fn is_new(&self) -> bool {
        self.num_read == 0
    }

    /// Returns the number of tokens in the prompt.
    pub fn len(&self) -> usize {
        self.queued.request.prompt.len()
    }

    /// Returns the number of tokens that came from the prefix cache.
    pub fn cached_tokens(&self) -> usize {
        self.cached_tokens
    }

    /// Continues from the longest stored prefix. A prompt with log-probabilities needs all passes.
    pub fn restore(&mut self, cache: &mut PrefixCache) {
        if self.queued.request.has_prompt_log_probs {
            return;
        }
        let states = cache.lookup(&self.queued.request.prompt);
        let parts: Vec<&DecoderState> = states.iter().map(|state| &**state).collect();
        let num_stored = parts.iter().map(|part| part.num_past_tokens()).sum();
        if num_stored > self.num_read {
            self.state = Some(DecoderState::concat(&parts, self.len()));
            (self.num_read, self.cached_tokens) = (num_stored, num_stored);
        }
    }

    /// Returns the tokens of the next pass, which ends at the next border or at the end of the prompt.
    pub fn next_tokens(&self, border: usize) -> &[u32] {
        let end = (self.num_read / border + 1) * border;
        &self.queued.request.prompt[self.num_read..end.min(self.len())]
    }

    /// Runs the next pass of this prompt alone.
    pub fn run_pass(&mut self, model: &Hybrid<'_>, border: usize, cache: &mut PrefixCache) {
        let tokens = self.next_tokens(border).to_vec();
        let capacity = self.len();
        let mut state = self
            .state
            .take()
            .unwrap_or_else(|| DecoderState::new(model.num_layers()).with_capacity(capacity));
        let pass = PromptPass::next(model, &tokens, &mut state);
        self.finish_pass(model, (&pass, 0), tokens.len(), state, cache);
    }

    /// Takes the outputs of a pass from its row: the state, the logits, and the prompt's log-probabilities.
    pub fn finish_pass(
        &mut self,
        model: &Hybrid<'_>,
        (pass, row): (&PromptPass, usize),
        num_tokens: usize,
        state: DecoderState,
        cache: &mut PrefixCache,
    ) {
        let start = self.num_read;
        self.num_read += num_tokens;
        let request = &self.queued.request;
        cache.insert_at_border(&request.prompt[..self.num_read], || {
            state.copy_tokens(0, start..start + num_tokens)
        });
        if let Some(num_top) = request.log_probs.filter(|_| request.has_prompt_log_probs) {
            let positions = start..self.num_read.min(self.len() - 1);
            let log_probs = self.prompt_log_probs(model, (pass, row), positions, num_top);
            // If the client has gone, the engine drops the prompt before its next pass.
            let _ = self.queued.events.send(EngineEvent::PromptLogProbs(log_probs));
        }
        if self.is_read() {
            let last = num_tokens - 1..num_tokens;
            self.logits = pass.logits(model, row, last).pop().expect("a token has logits");
            let event = EngineEvent::PromptRead { cached_tokens: self.cached_tokens };
            let _ = self.queued.events.send(event);
        }
        self.state = Some(state);
    }

    /// Returns the log-probabilities of the tokens after `positions`, which belong to one pass.
    fn prompt_log_probs(
        &self,
        model: &Hybrid<'_>,
        (pass, row): (&PromptPass, usize),
        positions: Range<usize>,
        num_top: usize,
    ) -> Vec<TokenLogProbs> {
        let prompt = &self.queued.request.prompt;
        let mut found = Vec::with_capacity(positions.len());
        for first in positions.clone().step_by(LOGITS_PER_READ) {
            let end = (first + LOGITS_PER_READ).min(positions.end);
            let in_pass = first - positions.start..end - positions.start;
            let logits = pass.logits(model, row, in_pass);
            let tokens = &prompt[first + 1..=end];
            found.extend(
                tokens.iter().zip(&logits).map(|(&token, logits)| token_log_probs(logits, token, num_top)),
            );
        }
        found
    }
}
