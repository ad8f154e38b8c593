//! Errors in the form of OpenAI's interface: a status, and a JSON object with a message.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::SubmitError;

/// The number of seconds after which a client may try again when the queue is full.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The reason why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    /// The field of the request that is wrong.
    param: Option<String>,
    /// A word that programs can compare.
    code: Option<&'static str>,
}

impl ApiError {
    /// Creates an error with a status.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: Some(code) }
    }

    /// Creates the error of a request whose field `param` is wrong.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: StatusCode::BAD_REQUEST, message, param: Some(param.to_owned()), code: None }
    }

    /// Creates the error of a body that is not a JSON object.
    pub fn invalid_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    /// Creates the error of a prompt that does not fit the model's context together with its text.
    pub fn context_length(param: &str, message: impl Into<String>) -> Self {
        Self { code: Some("context_length_exceeded"), ..Self::invalid(param, message) }
    }

    /// Creates the error of a failure that is not the client's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// Names the field that is wrong.
    pub fn with_param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// Returns the object that clients read.
    pub fn to_json(&self) -> Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QueueFull => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", error.to_string())
            }
            SubmitError::TooMany(_) => Self::invalid("n", error.to_string()),
            SubmitError::Stopped => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "engine_stopped", error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json())).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_form_of_openai() {
        let error = ApiError::context_length("prompt", "too long");
        let expected = json!({ "error": { "message": "too long", "type": "invalid_request_error",
            "param": "prompt", "code": "context_length_exceeded" } });
        assert_eq!(error.to_json(), expected);
        let full = ApiError::from(SubmitError::QueueFull).into_response();
        assert_eq!(full.status(), 503);
        assert_eq!(full.headers()[header::RETRY_AFTER], "1");
    }
}
