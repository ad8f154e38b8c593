//! Replies in chunks, as events that the server sends while the model generates.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::reply::{ReplyHeader, TokenUsage};
use super::running_texts::{RunningTexts, TextEvent};
use super::text_settings::StreamSettings;

/// The time after which a stream without chunks sends a comment, so that nobody closes it as idle.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The text of the last event.
const DONE: &str = "[DONE]";

/// Returns the reply that sends the texts in chunks.
pub fn stream_texts(header: ReplyHeader, texts: RunningTexts, settings: StreamSettings) -> Response {
    let mut chunks = ChunkStream {
        header,
        settings,
        usage: TokenUsage::default(),
        waiting: VecDeque::new(),
        texts: Some(texts),
    };
    chunks.begin();
    let events = stream::unfold(chunks, async |mut chunks| {
        let data = chunks.next().await?;
        Some((Ok::<Event, Infallible>(Event::default().data(data)), chunks))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The chunks of a reply, in order.
struct ChunkStream {
    header: ReplyHeader,
    settings: StreamSettings,
    usage: TokenUsage,
    /// The data of events that were not sent.
    waiting: VecDeque<String>,
    /// `None` after all texts have ended, or after a text failed.
    texts: Option<RunningTexts>,
}

impl ChunkStream {
    /// Returns the data of the next event, or `None` after the last one.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.waiting.pop_front() {
                return Some(data);
            }
            match self.texts.as_mut()?.next().await {
                Some((index, event)) => self.add(index, event),
                None => self.end(),
            }
        }
    }

    fn begin(&mut self) {
        let num_texts = self.texts.as_ref().map_or(0, RunningTexts::len);
        let form = self.header.form;
        (0..num_texts).filter_map(|index| form.first_choice(index)).for_each(|choice| self.push(choice));
    }

    fn add(&mut self, index: usize, event: TextEvent) {
        let form = self.header.form;
        self.header.count(index, &event, &mut self.usage);
        match event {
            TextEvent::PromptRead { .. } => {}
            TextEvent::Piece(text, tokens) => {
                self.push(form.piece(index, &text, self.header.log_probs(&tokens)));
            }
            TextEvent::Ended { finish_reason, .. } => self.push(form.last_choice(index, finish_reason)),
            TextEvent::Failed(message) => {
                self.waiting.push_back(ApiError::internal(message).to_json().to_string());
                self.texts = None;
            }
        }
    }

    fn end(&mut self) {
        if self.settings.include_usage {
            let usage = self.usage.to_json();
            self.push_chunk(Vec::new(), usage);
        }
        self.waiting.push_back(DONE.to_owned());
        self.texts = None;
    }

    fn push(&mut self, choice: Value) {
        self.push_chunk(vec![choice], Value::Null);
    }

    fn push_chunk(&mut self, choices: Vec<Value>, usage: Value) {
        let mut chunk = self.header.object(self.header.form.chunk_object(), choices);
        if self.settings.include_usage {
            chunk["usage"] = json!(usage);
        }
        self.waiting.push_back(chunk.to_string());
    }
}
