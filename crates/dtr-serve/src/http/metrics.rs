//! `GET /metrics`: what the server does, in the text format of Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::app::App;
use super::served_model::ServedModel;
use crate::engine::EngineNumbers;

/// The type of the reply, as the OpenMetrics format names it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The numbers of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    /// The time from the queue to a text's first token, in seconds.
    pub first_token_seconds: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    path: String,
    status: u16,
}

impl Metrics {
    /// Creates the numbers of a server of `model`.
    pub fn new(model: &Arc<ServedModel>) -> Self {
        let mut registry = Registry::with_prefix("dtr");
        let requests = Family::default();
        // From 1 ms to 131 s.
        let first_token_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 18));
        registry.register("requests", "Replies that began, by path and status", requests.clone());
        let help = "Time from the queue to the first token of a text, in seconds";
        registry.register("first_token_seconds", help, first_token_seconds.clone());
        registry.register_collector(Box::new(EngineCollector(Arc::clone(model))));
        Self { registry, requests, first_token_seconds }
    }
}

/// Reads the numbers of the engine.
struct EngineCollector(Arc<ServedModel>);

impl fmt::Debug for EngineCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EngineCollector")
    }
}

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let EngineNumbers {
            queued_prompts,
            running_prompts,
            prompt_tokens,
            cached_tokens,
            new_tokens,
            prefix_cache_bytes,
        } = self.0.engine.numbers();
        for (name, help, value) in [
            ("queued_prompts", "Prompts in the queue.", queued_prompts),
            ("running_prompts", "Prompts that the model reads or continues.", running_prompts),
            ("prefix_cache_bytes", "Size of the prefix cache in bytes.", prefix_cache_bytes),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in [
            ("prompt_tokens", "Tokens of prompts that were read.", prompt_tokens),
            ("cached_tokens", "Tokens of prompts that came from the prefix cache.", cached_tokens),
            ("new_tokens", "Tokens that the model generated.", new_tokens),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// Counts a request.
pub async fn count_request(State(app): State<App>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    // Other paths are counted together, because a client can invent any number of them.
    let path = matched.map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let labels = RequestLabels { path, status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&labels).inc();
    response
}

/// Replies with all numbers.
pub async fn metrics(State(app): State<App>) -> Response {
    let mut body = String::new();
    text::encode(&mut body, &app.metrics.registry).expect("a string can be written");
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

/// Measures the time to a text's first token.
pub struct FirstTokenTimer {
    start: Option<Instant>,
}

impl FirstTokenTimer {
    /// Starts to measure.
    pub fn start() -> Self {
        Self { start: Some(Instant::now()) }
    }

    /// Records the time if this is the first call.
    pub fn record(&mut self, metrics: &Metrics) {
        if let Some(start) = self.start.take() {
            metrics.first_token_seconds.observe(start.elapsed().as_secs_f64());
        }
    }
}
