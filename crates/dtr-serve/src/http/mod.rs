//! The HTTP interface of a model, in the form of OpenAI's interface for completions. Streams and chats are
//! refused.

mod app;
mod completions;
mod errors;
mod log_probs_json;
mod reply;
mod request_fields;
mod router;
mod running_texts;
mod served_model;
#[cfg(test)]
mod tests;
mod text_settings;
mod tokens;

use std::sync::Arc;

use tokio::net::TcpListener;

use self::app::App;
use dtr_core::error::{Error, Result};

pub use served_model::ServedModel;

/// Serves a model to the clients of `listener`.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(listener: TcpListener, model: Arc<ServedModel>) -> Result<()> {
    let router = router::router(App::new(model));
    let served = axum::serve(listener, router).await;
    served.map_err(|cause| Error::environment("cannot serve").with_source(cause))
}
