//! Sends requests that change a repository of the hub, with errors for the user.

use std::fs::File;
use std::path::Path;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, AsSendBody, Body};

use dtr_core::error::{Error, Result};

/// The type of the messages of Git LFS.
const LFS_TYPE: &str = "application/vnd.git-lfs+json";

/// A client with a token that has write access.
pub(super) struct UploadClient<'a> {
    agent: Agent,
    endpoint: &'a str,
    token: &'a str,
}

impl<'a> UploadClient<'a> {
    pub fn new(endpoint: &'a str, token: &'a str) -> Self {
        let user_agent = format!("dtr/{}", env!("CARGO_PKG_VERSION"));
        let config = Agent::config_builder().http_status_as_error(false).user_agent(user_agent);
        Self { agent: config.build().into(), endpoint, token }
    }

    /// Sends JSON to `path` of the hub, and returns the answer. The statuses `allowed` are no errors.
    ///
    /// # Errors
    /// Fails when the hub cannot be reached, or refuses the request.
    pub fn post_json(&self, path: &str, body: &Value, allowed: &[u16]) -> Result<Value> {
        self.post(&self.url(path), "application/json", body.to_string(), allowed)
    }

    /// Sends a message of Git LFS to `path` of the hub, and returns the answer.
    ///
    /// # Errors
    /// Fails when the hub cannot be reached, or refuses the request.
    pub fn post_lfs(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(&self.url(path), LFS_TYPE, body.to_string(), &[])
    }

    /// Sends a message of Git LFS to `url`. The hub has named this address.
    ///
    /// # Errors
    /// Fails when the server cannot be reached, or refuses the request.
    pub fn post_lfs_url(&self, url: &str, body: &Value) -> Result<Value> {
        self.post(url, LFS_TYPE, body.to_string(), &[])
    }

    /// Sends lines of JSON to `path` of the hub, and returns the answer.
    ///
    /// # Errors
    /// Fails when the hub cannot be reached, or refuses the request.
    pub fn post_lines(&self, path: &str, body: String) -> Result<Value> {
        self.post(&self.url(path), "application/x-ndjson", body, &[])
    }

    /// Uploads a file to `url`, with the headers of the table `headers`. The token stays with the hub.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or when the server cannot be reached or refuses the file.
    pub fn put_file(&self, url: &str, headers: &Value, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
        let mut request = self.agent.put(url);
        for (name, value) in headers.as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        self.answer(request.send(&file), &[]).map(|_| ())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    fn post(&self, url: &str, content_type: &str, body: impl AsSendBody, allowed: &[u16]) -> Result<Value> {
        let mut request =
            self.agent.post(url).header("Content-Type", content_type).header("Accept", content_type);
        if url.strip_prefix(self.endpoint).is_some_and(|path| path.starts_with('/')) {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        self.answer(request.send(body), allowed)
    }

    /// Returns the JSON of an answer, or null if it has none.
    fn answer(
        &self,
        response: std::result::Result<Response<Body>, ureq::Error>,
        allowed: &[u16],
    ) -> Result<Value> {
        let mut response = response.map_err(|cause| {
            Error::environment(format!("cannot upload to `{}`", self.endpoint))
                .hint("check the connection and `HF_ENDPOINT`, then run again")
                .with_source(cause)
        })?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        match (status, allowed.contains(&status)) {
            (200..=299, _) | (_, true) => Ok(json),
            (401 | 403, _) => {
                Err(Error::environment(format!("`{}` denies the upload ({status})", self.endpoint))
                    .hint("set `HF_TOKEN` to a token with write access to the repository"))
            }
            _ => {
                let reason = json["error"].as_str().unwrap_or("without a reason");
                Err(Error::environment(format!(
                    "`{}` refuses the upload ({status}): {reason}",
                    self.endpoint
                )))
            }
        }
    }

    /// Returns the error for an answer that lacks an expected value.
    pub fn unexpected_answer(&self) -> Error {
        Error::environment(format!("`{}` does not answer like a Hugging Face hub", self.endpoint))
            .hint("check `HF_ENDPOINT`")
    }
}
