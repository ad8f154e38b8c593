//! Converts the engine's events of each text to pieces of text, in one task for each text.
//!
//! A character that is incomplete is held back, and so is text that may be the beginning of a stop string.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::app::App;
use super::errors::ApiError;
use super::metrics::{FirstTokenTimer, Metrics};
use super::served_model::ServedModel;
use super::text_settings::TextSettings;
use crate::engine::{EndReason, EngineEvent, EventReceiver, GenerationRequest, TokenLogProbs};
use dtr_core::error::Result;
use dtr_model::Detokenizer;
use dtr_model::generate::StopStringDetector;

/// The number of events that wait for a slow reader.
const WAITING_EVENTS: usize = 32;

/// A token of a text, and its log-probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct TextToken {
    /// The token.
    pub token: u32,
    /// The number of characters before the token.
    pub offset: usize,
    /// The log-probabilities. The first token of a prompt has none.
    pub log_probs: Option<TokenLogProbs>,
}

/// What a client learns of a text, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum TextEvent {
    /// The prompt was read.
    PromptRead {
        /// The number of tokens of the prompt.
        prompt_tokens: usize,
        /// The number of these tokens that came from the prefix cache.
        cached_tokens: usize,
    },
    /// A piece of the text, and its tokens if the client asks for log-probabilities.
    Piece(String, Vec<TextToken>),
    /// The text has ended.
    Ended {
        /// `stop` or `length`.
        finish_reason: &'static str,
        /// The number of tokens that the model generated.
        new_tokens: usize,
    },
    /// The text failed.
    Failed(String),
}

/// The texts of a request. Dropping this object ends the work on them.
pub struct RunningTexts {
    events: mpsc::Receiver<(usize, TextEvent)>,
    /// Dropping the set ends its tasks.
    _tasks: JoinSet<()>,
    num_texts: usize,
    /// The number of texts that have ended or failed.
    num_finished: usize,
}

impl RunningTexts {
    /// Sends `requests` to the engine. With `echo`, each text begins with the text of its prompt, which
    /// `echoes` has for each request.
    ///
    /// # Errors
    /// Fails when the queue is too short.
    pub fn start(
        app: &App,
        settings: &TextSettings,
        requests: Vec<GenerationRequest>,
        echoes: Vec<Option<String>>,
    ) -> std::result::Result<Self, ApiError> {
        let num_texts = requests.len();
        let receivers = app.model.engine.submit(requests.clone())?;
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let mut tasks = JoinSet::new();
        let parts = receivers.into_iter().zip(requests).zip(echoes).enumerate();
        for (index, ((receiver, request), echo)) in parts {
            let (model, sender) = (Arc::clone(&app.model), sender.clone());
            let metrics = Arc::clone(&app.metrics);
            let stop_strings = settings.stop_strings.clone();
            tasks.spawn(async move {
                let mut target = TextSender { index, sender, metrics, timer: FirstTokenTimer::start() };
                let outcome = convert(&model, &request, receiver, echo, &stop_strings, &mut target).await;
                if let Err(error) = outcome {
                    target.send(TextEvent::Failed(error.to_string())).await;
                }
            });
        }
        Ok(Self { events, _tasks: tasks, num_texts, num_finished: 0 })
    }

    /// Returns the number of texts.
    pub fn len(&self) -> usize {
        self.num_texts
    }

    /// Waits for the next event of any text, and returns it with the text's index. Returns `None` when all
    /// texts have ended. A task that panics is a failure.
    pub async fn next(&mut self) -> Option<(usize, TextEvent)> {
        let next = self.events.recv().await;
        match &next {
            Some((_, TextEvent::Ended { .. } | TextEvent::Failed(_))) => self.num_finished += 1,
            None if self.num_finished < self.num_texts => {
                self.num_finished = self.num_texts;
                return Some((0, TextEvent::Failed("the conversion of a text failed".to_owned())));
            }
            _ => {}
        }
        next
    }
}

/// The channel of one text.
struct TextSender {
    index: usize,
    sender: mpsc::Sender<(usize, TextEvent)>,
    metrics: Arc<Metrics>,
    timer: FirstTokenTimer,
}

impl TextSender {
    /// Sends an event. If the client has gone, the task ends at its next wait.
    async fn send(&self, event: TextEvent) {
        let _ = self.sender.send((self.index, event)).await;
    }
}

/// Converts the events of one text until it ends.
async fn convert(
    model: &ServedModel,
    request: &GenerationRequest,
    mut receiver: EventReceiver,
    echo: Option<String>,
    stop_strings: &[String],
    target: &mut TextSender,
) -> Result<()> {
    let mut text = TextBuilder::new(model, request, stop_strings)?;
    let mut prompt_log_probs = Vec::new();
    while let Some(event) = receiver.recv().await {
        match event {
            EngineEvent::PromptLogProbs(log_probs) => prompt_log_probs.extend(log_probs),
            EngineEvent::PromptRead { cached_tokens } => {
                let prompt_tokens = request.prompt.len();
                target.send(TextEvent::PromptRead { prompt_tokens, cached_tokens }).await;
                if let Some(echo) = &echo {
                    let tokens = text.add_prompt(echo, std::mem::take(&mut prompt_log_probs))?;
                    target.send(TextEvent::Piece(echo.clone(), tokens)).await;
                }
            }
            EngineEvent::Token(token, log_probs) => {
                target.timer.record(&target.metrics);
                let (piece, is_stopped) = text.push(token, log_probs)?;
                if !piece.is_empty() {
                    let tokens = std::mem::take(&mut text.tokens);
                    target.send(TextEvent::Piece(piece, tokens)).await;
                }
                if is_stopped {
                    // The receiver is dropped here, so the engine frees the row.
                    return text.end("stop", String::new(), target).await;
                }
            }
            EngineEvent::Ended(reason) => {
                let (rest, is_stopped) = text.rest()?;
                let is_full = matches!(reason, EndReason::MaxTokens) && !is_stopped;
                return text.end(if is_full { "length" } else { "stop" }, rest, target).await;
            }
            EngineEvent::Failed(message) => {
                target.send(TextEvent::Failed(message)).await;
                return Ok(());
            }
        }
    }
    target.send(TextEvent::Failed("the engine has stopped".to_owned())).await;
    Ok(())
}

/// A text while its tokens arrive.
struct TextBuilder<'a> {
    model: &'a ServedModel,
    request: &'a GenerationRequest,
    detokenizer: Detokenizer<'a>,
    stop_strings: StopStringDetector,
    /// The number of characters of the text, including those that are held back.
    num_chars: usize,
    num_new_tokens: usize,
    /// The tokens that were not sent. Empty if the client does not ask for log-probabilities.
    tokens: Vec<TextToken>,
}

impl<'a> TextBuilder<'a> {
    fn new(model: &'a ServedModel, request: &'a GenerationRequest, stop_strings: &[String]) -> Result<Self> {
        Ok(Self {
            model,
            request,
            detokenizer: Detokenizer::new(&model.tokenizer, &request.prompt)?,
            stop_strings: StopStringDetector::new(stop_strings),
            num_chars: 0,
            num_new_tokens: 0,
            tokens: Vec::new(),
        })
    }

    /// Adds the prompt, whose text is `echo`. Returns its tokens if the client asks for log-probabilities.
    fn add_prompt(&mut self, echo: &str, log_probs: Vec<TokenLogProbs>) -> Result<Vec<TextToken>> {
        self.num_chars = echo.chars().count();
        if self.request.log_probs.is_none() {
            return Ok(Vec::new());
        }
        let offsets = prompt_offsets(self.model, &self.request.prompt)?;
        let log_probs = std::iter::once(None).chain(log_probs.into_iter().map(Some));
        let parts = self.request.prompt.iter().zip(offsets).zip(log_probs);
        Ok(parts.map(|((&token, offset), log_probs)| TextToken { token, offset, log_probs }).collect())
    }

    /// Adds a token. Returns the text that is certain now, and whether a stop string follows it.
    fn push(&mut self, token: u32, log_probs: Option<TokenLogProbs>) -> Result<(String, bool)> {
        self.num_new_tokens += 1;
        if log_probs.is_some() {
            self.tokens.push(TextToken { token, offset: self.num_chars, log_probs });
        }
        if self.request.eos_token_ids.contains(&token) {
            return Ok((String::new(), false));
        }
        let piece = self.detokenizer.push(token)?;
        self.num_chars += piece.chars().count();
        Ok(self.stop_strings.push(&piece))
    }

    /// Returns the text that was held back until the end, and whether a stop string follows it.
    fn rest(&mut self) -> Result<(String, bool)> {
        let incomplete = self.detokenizer.finish()?;
        let (mut rest, is_stopped) = self.stop_strings.push(&incomplete);
        if !is_stopped {
            rest += &self.stop_strings.finish();
        }
        Ok((rest, is_stopped))
    }

    /// Sends the rest of the text and the reason of its end.
    async fn end(self, finish_reason: &'static str, rest: String, target: &TextSender) -> Result<()> {
        if !rest.is_empty() || !self.tokens.is_empty() {
            target.send(TextEvent::Piece(rest, self.tokens)).await;
        }
        target.send(TextEvent::Ended { finish_reason, new_tokens: self.num_new_tokens }).await;
        Ok(())
    }
}

/// Returns the number of characters before each token of a prompt. The text of a token is what it adds to
/// the token before it, because a decoder can remove a space at the beginning of a text.
fn prompt_offsets(model: &ServedModel, prompt: &[u32]) -> Result<Vec<usize>> {
    let count = |tokens: &[u32]| Ok(model.tokenizer.decode(tokens)?.chars().count());
    let mut offset = 0;
    let mut offsets = Vec::with_capacity(prompt.len());
    for at in 0..prompt.len() {
        offsets.push(offset);
        let before = at.saturating_sub(1);
        offset += count(&prompt[before..=at])?.saturating_sub(count(&prompt[before..at])?);
    }
    Ok(offsets)
}
