//! The thread that owns the model and its device, and the queue of prompts in front of it.

mod decoding_rows;
mod log_probs;
mod prefix_cache;
mod prompt_run;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use self::worker::Worker;
use dtr_core::error::{Error, Result};
use dtr_model::LoadedModel;
use dtr_model::generate::SamplingConfig;

/// The number of tokens between two borders of the prefix cache, unless the model's context is short.
const BORDER_TOKENS: usize = 256;

/// The limits of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// The number of prompts that run at once.
    pub rows: usize,
    /// The number of prompts that can wait for a row.
    pub queue: usize,
    /// The size of the prefix cache in bytes. The cache is off if this number is 0.
    pub prefix_cache_bytes: u64,
}

/// A prompt, and how to continue it.
#[derive(Clone, Debug)]
pub struct GenerationRequest {
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// The maximum number of new tokens.
    pub max_new_tokens: usize,
    /// The settings with which tokens are chosen.
    pub sampling: SamplingConfig,
    /// The index among the texts of one seed. Each index has its own random numbers.
    pub sample: usize,
    /// The tokens that end the text.
    pub eos_token_ids: Vec<u32>,
    /// The number of most likely tokens whose log-probabilities are returned beside those of each new token.
    /// `None` for no log-probabilities.
    pub log_probs: Option<usize>,
    /// Whether the tokens of the prompt have log-probabilities too.
    pub has_prompt_log_probs: bool,
}

/// The log-probabilities at the position of a token, in nats, before temperature and `top_p`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogProbs {
    /// The token.
    pub token: u32,
    /// The token's log-probability.
    pub log_prob: f64,
    /// The most likely tokens and their log-probabilities. The most likely token comes first.
    pub top: Vec<(u32, f64)>,
}

/// The reason why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The model generated an end token.
    EndToken,
    /// The text has the maximum number of tokens.
    MaxTokens,
}

/// What the engine reports of one prompt, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    /// The log-probabilities of further tokens of the prompt, from its second token on.
    PromptLogProbs(Vec<TokenLogProbs>),
    /// The whole prompt was read. This number of its tokens came from the prefix cache.
    PromptRead {
        /// The number of tokens whose state was in the prefix cache.
        cached_tokens: usize,
    },
    /// A new token, and its log-probabilities if the request asks for them.
    Token(u32, Option<TokenLogProbs>),
    /// The text has ended.
    Ended(EndReason),
    /// The prompt failed, for example because the model computed NaN.
    Failed(String),
}

/// The receiver of a prompt's events. Dropping it ends the work on the prompt.
pub type EventReceiver = mpsc::UnboundedReceiver<EngineEvent>;

/// The reason why an engine does not accept prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue has too little space now.
    #[error("the queue is full")]
    QueueFull,
    /// The queue never has space for this number of prompts.
    #[error("a request may have at most {0} texts")]
    TooMany(usize),
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

/// A prompt in the queue.
pub(crate) struct QueuedPrompt {
    request: GenerationRequest,
    /// The channel is bounded by the number of tokens, so a slow reader never makes the engine wait.
    events: mpsc::UnboundedSender<EngineEvent>,
}

/// A thread that continues prompts. When the engine is dropped, the thread finishes all accepted prompts.
pub struct Engine {
    /// `None` after the engine was stopped.
    queue: Option<mpsc::Sender<QueuedPrompt>>,
    thread: Option<JoinHandle<()>>,
    snapshot: Snapshot,
    numbers: Arc<SharedNumbers>,
}

/// What an engine does and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineNumbers {
    /// The number of prompts in the queue.
    pub queued_prompts: u64,
    /// The number of prompts that the model reads or continues.
    pub running_prompts: u64,
    /// The number of tokens of prompts that were read.
    pub prompt_tokens: u64,
    /// The number of these tokens that came from the prefix cache.
    pub cached_tokens: u64,
    /// The number of tokens that the model generated.
    pub new_tokens: u64,
    /// The size of the prefix cache in bytes.
    pub prefix_cache_bytes: u64,
}

/// The numbers that the engine's thread writes and other threads read.
#[derive(Debug, Default)]
struct SharedNumbers {
    running_prompts: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    new_tokens: AtomicU64,
    prefix_cache_bytes: AtomicU64,
}

/// The size of one entry of the prefix cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of tokens between two borders.
    pub border_tokens: usize,
    /// The number of bytes of the states at one border, and of the keys and values since the last border.
    pub num_bytes: u64,
}

impl Engine {
    /// Starts the thread. It runs the model once, on as many tokens as there are between two borders.
    ///
    /// # Errors
    /// Fails when the limits have no rows or no queue, or when the thread cannot be started.
    pub fn start(model: LoadedModel, limits: EngineLimits) -> Result<Self> {
        if limits.rows == 0 || limits.queue == 0 {
            return Err(Error::manifest("cannot serve without rows or without a queue"));
        }
        let border = BORDER_TOKENS.min(model.decoder.config.max_positions / 4).max(1);
        let (queue, receiver) = mpsc::channel(limits.queue);
        let (on_started, started) = std::sync::mpsc::channel();
        let numbers = Arc::new(SharedNumbers::default());
        let shared = Arc::clone(&numbers);
        let work = move || {
            let hybrid = model.hybrid();
            dtr_ops::run_on_device_thread(&hybrid.device(), || {
                let mut worker = Worker::new(&hybrid, limits, border, receiver, shared);
                // If the engine was dropped before this line, nobody waits for the size.
                let _ = on_started.send(worker.measure_snapshot());
                worker.run();
            });
        };
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(work)
            .map_err(|cause| Error::environment("cannot start the engine's thread").with_source(cause))?;
        let num_bytes = started.recv().map_err(|_| Error::failed("the model failed on its first tokens"))?;
        let snapshot = Snapshot { border_tokens: border, num_bytes };
        Ok(Self { queue: Some(queue), thread: Some(thread), snapshot, numbers })
    }

    /// Returns the size of one entry of the prefix cache.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    /// Returns what the engine does and has done.
    pub fn numbers(&self) -> EngineNumbers {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let queued = self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        EngineNumbers {
            queued_prompts: queued as u64,
            running_prompts: read(&self.numbers.running_prompts),
            prompt_tokens: read(&self.numbers.prompt_tokens),
            cached_tokens: read(&self.numbers.cached_tokens),
            new_tokens: read(&self.numbers.new_tokens),
            prefix_cache_bytes: read(&self.numbers.prefix_cache_bytes),
        }
    }

    /// Returns whether the engine's thread runs.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Puts prompts in the queue: all of them or none. The caller has checked that each prompt has tokens,
    /// that the model knows them, and that prompt and text fit the context.
    ///
    /// # Errors
    /// Fails when the queue has too little space, or when the thread has ended.
    pub fn submit(
        &self,
        requests: Vec<GenerationRequest>,
    ) -> std::result::Result<Vec<EventReceiver>, SubmitError> {
        let queue = self.queue.as_ref().ok_or(SubmitError::Stopped)?;
        if requests.len() > queue.max_capacity() {
            return Err(SubmitError::TooMany(queue.max_capacity()));
        }
        let places = queue.try_reserve_many(requests.len()).map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => SubmitError::QueueFull,
            mpsc::error::TrySendError::Closed(()) => SubmitError::Stopped,
        })?;
        let send = |(place, request): (mpsc::Permit<'_, QueuedPrompt>, GenerationRequest)| {
            let (events, receiver) = mpsc::unbounded_channel();
            place.send(QueuedPrompt { request, events });
            receiver
        };
        Ok(places.zip(requests).map(send).collect())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}
