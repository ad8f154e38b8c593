//! What the handlers of requests share: the model, and how a reply with texts is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::errors::ApiError;
use super::metrics::Metrics;
use super::reply::{ReplyHeader, unix_seconds};
use super::reply_form::ReplyForm;
use super::running_texts::RunningTexts;
use super::served_model::ServedModel;
use super::stream::stream_texts;
use super::text_settings::TextSettings;
use crate::engine::GenerationRequest;

/// The number of large bodies that are in memory at once.
const LARGE_BODIES: usize = 16;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The model.
    pub model: Arc<ServedModel>,
    /// The numbers that `/metrics` returns.
    pub metrics: Arc<Metrics>,
    /// The places of large bodies.
    pub large_bodies: Arc<Semaphore>,
    /// The number of replies with texts.
    num_replies: Arc<AtomicU64>,
    /// The time at which the server started, in seconds since 1970.
    pub started: u64,
}

impl App {
    /// Creates the shared object.
    pub fn new(model: Arc<ServedModel>) -> Self {
        Self {
            metrics: Arc::new(Metrics::new(&model)),
            model,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            num_replies: Arc::default(),
            started: unix_seconds(),
        }
    }

    /// Runs `work`, which may take long, on another thread.
    ///
    /// # Errors
    /// Fails when `work` fails or panics.
    pub async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServedModel) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let model = Arc::clone(&self.model);
        let outcome = tokio::task::spawn_blocking(move || work(&model)).await;
        outcome.unwrap_or_else(|_| Err(ApiError::internal("the tokenizer failed")))
    }

    /// Continues the prompts of `requests` and replies with the texts, in one object or in chunks. `echoes`
    /// has the text of each prompt with which its texts begin, if any.
    ///
    /// # Errors
    /// Fails when the queue is full, or when the model fails.
    pub async fn reply_with_texts(
        &self,
        form: ReplyForm,
        settings: &TextSettings,
        requests: Vec<GenerationRequest>,
        echoes: &[Option<String>],
    ) -> Result<Response, ApiError> {
        let each = echoes.iter().flat_map(|echo| std::iter::repeat_n(echo.clone(), settings.num_texts));
        let texts = RunningTexts::start(self, settings, requests, each.collect())?;
        let number = self.num_replies.fetch_add(1, Ordering::Relaxed);
        let header = ReplyHeader::new(&self.model, form, number, settings);
        match settings.stream {
            Some(stream) => Ok(stream_texts(header, texts, stream)),
            None => Ok(Json(header.collect(texts).await?).into_response()),
        }
    }
}
