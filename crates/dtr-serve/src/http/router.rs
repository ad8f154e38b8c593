//! The paths of the server.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::access_token::{AccessToken, check_token};
use super::app::App;
use super::errors::ApiError;
use super::request_fields::RequestFields;
use super::text_settings::model_not_found;
use super::{chat, completions, metrics, tokens};

/// The maximum size of a request's body in bytes.
const MAX_BODY_BYTES: usize = 16 << 20;
/// The size in bytes above which a body needs a place among the large ones.
const LARGE_BODY_BYTES: usize = 256 << 10;
/// The time within which a client must send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the router of all paths. All of them except `/health` need `token`, if there is one.
pub fn router(app: App, token: Option<AccessToken>) -> Router {
    let mut router = open_router();
    if let Some(token) = token {
        router = router.layer(from_fn_with_state(token, check_token));
    }
    router
        .route("/health", get(health))
        .layer(from_fn_with_state(app.clone(), metrics::count_request))
        .with_state(app)
}

/// Returns the router of all paths except `/health`.
fn open_router() -> Router<App> {
    let completions = async |State(app): State<App>, body: Body| -> Result<Response, ApiError> {
        let fields = read_fields(&app, body).await?;
        completions::reply(app, fields).await
    };
    let chat = async |State(app): State<App>, body: Body| -> Result<Response, ApiError> {
        let fields = read_fields(&app, body).await?;
        chat::reply(app, fields).await
    };
    let tokenize = async |State(app): State<App>, body: Body| -> Result<Json<Value>, ApiError> {
        let fields = read_fields(&app, body).await?;
        tokens::tokenize(app, fields).await.map(Json)
    };
    let detokenize = async |State(app): State<App>, body: Body| -> Result<Json<Value>, ApiError> {
        let fields = read_fields(&app, body).await?;
        tokens::detokenize(app, fields).await.map(Json)
    };
    let tokenizer_info = async |State(app): State<App>| Json(tokens::tokenizer_info(&app.model));
    Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*id}", get(show_model))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/tokenizer_info", get(tokenizer_info))
        .route("/metrics", get(metrics::metrics))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such path"))
        .method_not_allowed_fallback(async || {
            let message = "the path does not have this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
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
async fn read_fields(app: &App, body: Body) -> Result<RequestFields, ApiError> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read_body(app, body)).await;
    let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long");
    RequestFields::parse(&read.map_err(late)??)
}

async fn read_body(app: &App, body: Body) -> Result<Vec<u8>, ApiError> {
    let mut place = None;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|cause| ApiError::invalid_body(format!("cannot read the body: {cause}")))?;
        if bytes.len() + part.len() > MAX_BODY_BYTES {
            let message = format!("the body has more than {MAX_BODY_BYTES} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
        }
        if bytes.len() + part.len() > LARGE_BODY_BYTES && place.is_none() {
            place = Some(app.large_bodies.acquire().await.expect("the semaphore is never closed"));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
