//! The token that clients must send if the server has one.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::errors::ApiError;

/// A token that clients send in the header `Authorization`.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// Creates a token. Returns `None` if the text cannot be sent in a header, or is empty.
    pub fn new(text: &str) -> Option<Self> {
        let is_valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns whether the request has this token. The time does not depend on where the texts differ.
    fn is_in(&self, request: &Request) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = header.and_then(|value| value.split_at_checked("Bearer ".len()));
        given.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ") && token.ct_eq(self.0.as_bytes()).into()
        })
    }
}

/// Refuses a request without the token.
pub async fn check_token(
    State(token): State<AccessToken>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match token.is_in(&request) {
        true => Ok(next.run(request).await),
        false => {
            let message = "the request has no valid token in the header `Authorization: Bearer TOKEN`";
            Err(ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message))
        }
    }
}
