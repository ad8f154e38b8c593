//! Error messages for failed requests to the hub, with hints for the user.

use std::io::ErrorKind;

use hf_hub::api::sync::ApiError;

use super::{Hub, PinnedRepo, Repo};
use dtr_core::error::Error;

/// The object that a request asks the hub for.
#[derive(Clone, Copy)]
pub(super) enum HubRequest<'a> {
    /// The commit of a revision.
    Commit(&'a Repo),
    /// The names of a commit's files.
    FileList(&'a PinnedRepo),
    /// A file of a commit.
    File(&'a PinnedRepo, &'a str),
}

impl HubRequest<'_> {
    fn repo_id(&self) -> &str {
        match self {
            Self::Commit(repo) => &repo.id,
            Self::FileList(pinned) | Self::File(pinned, _) => &pinned.id,
        }
    }

    /// Returns the words that name the requested object in an error message.
    fn describe_object(&self) -> String {
        match self {
            Self::Commit(repo) => format!("`{}` at revision `{}`", repo.id, repo.revision),
            Self::FileList(pinned) => format!("`{}` at commit `{}`", pinned.id, pinned.commit),
            Self::File(pinned, file) => format!("`{}`", pinned.uri(file)),
        }
    }
}

impl Hub {
    /// Returns the error to show the user after `request` failed with `cause`.
    pub(super) fn request_error(&self, request: HubRequest<'_>, cause: ApiError) -> Error {
        match cause {
            ApiError::RequestError(cause) => self.http_error(request, *cause),
            ApiError::TooManyRetries(cause) => self.request_error(request, *cause),
            ApiError::IoError(cause) if is_disk_error(cause.kind()) => {
                Error::io("write in", self.cache.path(), cause)
            }
            ApiError::IoError(cause) => interrupted_download(request).with_source(cause),
            ApiError::LockAcquisition(path) => {
                Error::environment(format!("another process is downloading {}", request.describe_object()))
                    .hint(format!(
                        "wait until the process releases the lock `{}`, then run again",
                        path.display()
                    ))
            }
            ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_) => {
                Error::environment(format!("`{}` does not answer like a Hugging Face hub", self.endpoint))
                    .hint("check `HF_ENDPOINT`")
                    .with_source(cause)
            }
            ApiError::InvalidResume => interrupted_download(request).with_source(cause),
        }
    }

    fn http_error(&self, request: HubRequest<'_>, cause: ureq::Error) -> Error {
        match cause {
            ureq::Error::StatusCode(code @ (401 | 403)) => self.access_denied(request, code),
            ureq::Error::StatusCode(404) => self.not_found(request),
            ureq::Error::StatusCode(429) => {
                Error::environment(format!("`{}` limits the rate of requests (429)", self.endpoint))
                    .hint("run again later, or set `HF_TOKEN` for a higher rate limit")
            }
            ureq::Error::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
                interrupted_download(request).with_source(cause)
            }
            cause => Error::environment(format!(
                "cannot get {} from `{}`",
                request.describe_object(),
                self.endpoint
            ))
            .hint("check the connection and `HF_ENDPOINT`, then run again: finished downloads are kept")
            .with_source(cause),
        }
    }

    /// Returns the error for status 401 or 403. The hub sends these codes for gated and private repositories,
    /// and for missing repositories if the request has no token.
    fn access_denied(&self, request: HubRequest<'_>, code: u16) -> Error {
        let error = Error::environment(format!(
            "`{}` denies access to {} ({code})",
            self.endpoint,
            request.describe_object()
        ));
        let page = format!("{}/{}", self.endpoint, request.repo_id());
        error.hint(match self.token {
            None => format!(
                "the repository is gated, private or missing: accept its terms at {page}, and set `HF_TOKEN` to a \
                 token with read access"
            ),
            Some(_) => format!(
                "the token has no read access: accept the terms at {page}, or set another `HF_TOKEN`"
            ),
        })
    }

    fn not_found(&self, request: HubRequest<'_>) -> Error {
        let error =
            Error::environment(format!("`{}` does not have {}", self.endpoint, request.describe_object()));
        error.hint(match request {
            HubRequest::File(..) => "check the file's name and the commit",
            _ => "check the repository's name and the revision, and whether `HF_TOKEN` has access",
        })
    }
}

fn interrupted_download(request: HubRequest<'_>) -> Error {
    Error::environment(format!("the download of {} broke off", request.describe_object()))
        .hint("run the same command again to resume the download")
}

/// Returns true if the hub did not respond to the request.
pub(super) fn is_connection_error(cause: &ApiError) -> bool {
    matches!(cause, ApiError::RequestError(cause) if !matches!(**cause, ureq::Error::StatusCode(_)))
}

fn is_disk_error(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotFound
    )
}
