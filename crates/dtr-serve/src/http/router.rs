//! The paths of the server.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::app::App;
use super::errors::ApiError;
use super::request_fields::RequestFields;
use super::text_settings::model_not_found;
use super::{completions, tokens};

/// The maximum size of a request's body in bytes.
const MAX_BODY_BYTES: usize = 16 << 20;
/// The time within which a client must send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the router of all paths.
pub fn router(app: App) -> Router {
    let completions = async |State(app): State<App>, body: Body| -> Result<Response, ApiError> {
        completions::reply(app, read_fields(body).await?).await
    };
    let tokenize = async |State(app): State<App>, body: Body| -> Result<Json<Value>, ApiError> {
        tokens::tokenize(app, read_fields(body).await?).await.map(Json)
    };
    let detokenize = async |State(app): State<App>, body: Body| -> Result<Json<Value>, ApiError> {
        tokens::detokenize(app, read_fields(body).await?).await.map(Json)
    };
    let tokenizer_info = async |State(app): State<App>| Json(tokens::tokenizer_info(&app.model));
    Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*id}", get(show_model))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/tokenizer_info", get(tokenizer_info))
        .route("/health", get(health))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such path"))
        .method_not_allowed_fallback(async || {
            let message = "the path does not have this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
        .with_state(app)
}

async fn list_models(State(app): State<App>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [model_json(&app)] }))
}

async fn show_model(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    if id == app.model.id { Ok(Json(model_json(&app))) } else { Err(model_not_found(&id)) }
}

fn model_json(app: &App) -> Value {
    json!({
        "id": app.model.id,
        "object": "model",
        "created": app.started,
        "owned_by": "dtr",
        "max_model_len": app.model.context,
    })
}

/// Replies whether the engine runs.
async fn health(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    match app.model.engine.is_running() {
        true => Ok(Json(json!({ "status": "ok" }))),
        false => Err(crate::engine::SubmitError::Stopped.into()),
    }
}

/// Reads the fields in the body of a request.
async fn read_fields(body: Body) -> Result<RequestFields, ApiError> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read_body(body)).await;
    let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long");
    RequestFields::parse(&read.map_err(late)??)
}

async fn read_body(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|cause| ApiError::invalid_body(format!("cannot read the body: {cause}")))?;
        if bytes.len() + part.len() > MAX_BODY_BYTES {
            let message = format!("the body has more than {MAX_BODY_BYTES} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
