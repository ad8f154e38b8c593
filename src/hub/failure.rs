//! What a failed request means, and what to do about it.

use std::io::ErrorKind;

use hf_hub::api::sync::ApiError;

use super::{Hub, Pinned, Repo};
use dtr_core::error::Error;

/// What was asked of the hub.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Which commit a revision is.
    Revision(&'a Repo),
    /// Which files a commit has.
    Files(&'a Pinned),
    /// A file.
    File(&'a Pinned, &'a str),
}

impl Asked<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Revision(repo) => &repo.id,
            Self::Files(pinned) | Self::File(pinned, _) => &pinned.id,
        }
    }

    /// What was asked for, as a message names it.
    fn what(&self) -> String {
        match self {
            Self::Revision(repo) => format!("`{}` at revision `{}`", repo.id, repo.revision),
            Self::Files(pinned) => format!("`{}` at commit `{}`", pinned.id, pinned.commit),
            Self::File(pinned, file) => format!("`{}`", pinned.uri(file)),
        }
    }
}

impl Hub {
    /// What the failure of a request means.
    pub(super) fn failure(&self, asked: Asked<'_>, cause: ApiError) -> Error {
        match cause {
            ApiError::RequestError(cause) => self.request_failure(asked, *cause),
            ApiError::TooManyRetries(cause) => self.failure(asked, *cause),
            ApiError::IoError(cause) if is_of_the_disk(cause.kind()) => {
                Error::io("write in", self.cache.path(), cause)
            }
            ApiError::IoError(cause) => broken_off(asked).with_source(cause),
            ApiError::LockAcquisition(path) => {
                Error::environment(format!("another process is downloading {}", asked.what()))
                    .hint(format!("wait for it; `{}` is its lock", path.display()))
            }
            ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_) => {
                Error::environment(format!("`{}` does not answer as a hub does", self.endpoint))
                    .hint("check `HF_ENDPOINT`")
                    .with_source(cause)
            }
            ApiError::InvalidResume => broken_off(asked).with_source(cause),
        }
    }

    fn request_failure(&self, asked: Asked<'_>, cause: ureq::Error) -> Error {
        match cause {
            ureq::Error::StatusCode(code @ (401 | 403)) => self.refused(asked, code),
            ureq::Error::StatusCode(404) => self.unknown(asked),
            ureq::Error::StatusCode(429) => {
                Error::environment(format!("`{}` asks for patience (429)", self.endpoint))
                    .hint("run again later; with `HF_TOKEN` set the hub grants more requests")
            }
            ureq::Error::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
                broken_off(asked).with_source(cause)
            }
            cause => Error::environment(format!("cannot get {} from `{}`", asked.what(), self.endpoint))
                .hint("check the connection and `HF_ENDPOINT`, and run again: what is there is kept")
                .with_source(cause),
        }
    }

    /// The hub says so of repositories that are gated or private, and of missing ones if it does not know
    /// who asks.
    fn refused(&self, asked: Asked<'_>, code: u16) -> Error {
        let error = Error::environment(format!("`{}` refuses {} ({code})", self.endpoint, asked.what()));
        let page = format!("{}/{}", self.endpoint, asked.id());
        error.hint(match self.token {
            None => format!(
                "it is gated, private, or not there: accept its terms at {page}, and set `HF_TOKEN` to a token that may read it"
            ),
            Some(_) => format!("the token may not read it: accept its terms at {page}, or set another `HF_TOKEN`"),
        })
    }

    fn unknown(&self, asked: Asked<'_>) -> Error {
        let error = Error::environment(format!("`{}` does not have {}", self.endpoint, asked.what()));
        error.hint(match asked {
            Asked::File(..) => "check the file's name and the commit",
            _ => "check the repository's name and the revision, and whether `HF_TOKEN` may see it",
        })
    }
}

fn broken_off(asked: Asked<'_>) -> Error {
    Error::environment(format!("the download of {} broke off", asked.what()))
        .hint("run the same command again: it goes on where it stopped")
}

/// Whether the hub was not reached at all.
pub(super) fn is_of_the_connection(cause: &ApiError) -> bool {
    matches!(cause, ApiError::RequestError(cause) if !matches!(**cause, ureq::Error::StatusCode(_)))
}

fn is_of_the_disk(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotFound
    )
}
