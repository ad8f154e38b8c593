//! The error type of the workspace. An error has a message, a hint, a span in a text file, and an exit code.
//!
//! An experiment consists of cells. A cell is a unit of work whose result or failure is stored as a record.

mod excerpt;
mod panic;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use excerpt::shorten_lines;
pub use panic::{PanicError, catch_panic};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of failure. It determines the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Some cells failed. Their records hold the cause.
    Failed,
    /// The command line or a manifest is invalid, or requests a feature that the model does not support.
    Manifest,
    /// A report needs cells that have not been computed.
    Missing,
    /// A file is missing, damaged or not supported, or the machine lacks a device, disk space or permission.
    Environment,
    /// The user stopped the command. Running the same command again resumes the work.
    Interrupted,
}

impl ErrorKind {
    /// Returns the exit code of a process that ends with this kind of error.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Manifest => 2,
            Self::Missing => 3,
            Self::Environment => 5,
            Self::Interrupted => 130,
        }
    }
}

/// A span of a text file that an error underlines, with a label beside it.
#[derive(Clone, Debug)]
struct LabeledSource {
    source: miette::NamedSource<String>,
    span: Range<usize>,
    label: String,
}

/// An error for the user. It has a hint if the user can act, and underlines a span if the problem is in a
/// text file.
///
/// Messages are lower-case fragments without a full stop.
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    place: Option<Box<LabeledSource>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    is_bad_input: bool,
}

impl Error {
    /// Creates an error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, place: None, source: None, is_bad_input: false }
    }

    /// Creates an error about a manifest or the command line.
    pub fn manifest(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Manifest, message)
    }

    /// Creates an error about a file, or about the machine's devices, disk space or permissions.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// Creates an error about the computation of a cell.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Creates the error for work that the user interrupted.
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted").hint("run the same command again to resume")
    }

    /// Creates the error `cannot VERB PATH: SOURCE`. Adds a hint if the user can act.
    pub fn io(verb: &str, path: &Path, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free disk space and run the same command again")
            }
            io::ErrorKind::PermissionDenied => Some("check its owner and permissions"),
            io::ErrorKind::ReadOnlyFilesystem => Some("choose a folder that can be written"),
            _ => None,
        };
        let error = Self::environment(format!("cannot {verb} `{}`", path.display())).with_source(source);
        Self { hint: hint.map(str::to_owned), ..error }
    }

    /// Adds a hint, which tells the user what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this error.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Underlines `span` in the text `source` of the file `name`, and labels the span with `label`.
    pub fn with_span(
        mut self,
        name: &str,
        source: &str,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        let (source, span) = shorten_lines(source, span);
        self.place = Some(Box::new(LabeledSource {
            source: miette::NamedSource::new(name, source),
            span,
            label: label.into(),
        }));
        self
    }

    /// Marks the error as caused by the experiment's input, such as a corpus file. An error whose kind is
    /// neither `Manifest` nor `Environment` stays unmarked.
    ///
    /// A marked error ends the run. The scheduler then does not record the error's cell as failed.
    pub fn mark_bad_input(self) -> Self {
        let is_bad_input = matches!(self.kind, ErrorKind::Manifest | ErrorKind::Environment);
        Self { is_bad_input, ..self }
    }

    /// Tells whether [`mark_bad_input`](Self::mark_bad_input) marked the error.
    pub fn is_bad_input(&self) -> bool {
        self.is_bad_input
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns a copy of the error for another cell that failed from the same cause. The message of the copy
    /// includes the messages of the sources. The copy underlines no span.
    pub fn duplicate(&self) -> Self {
        let (hint, is_bad_input) = (self.hint.clone(), self.is_bad_input);
        Self { hint, is_bad_input, ..Self::new(self.kind, self.message_with_sources()) }
    }

    /// Tells whether a full or read-only disk caused the error. No result can be stored until the user fixes
    /// the disk.
    pub fn is_storage_failure(&self) -> bool {
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>()
                && matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::ReadOnlyFilesystem
                )
            {
                return true;
            }
            source = error.source();
        }
        false
    }

    /// Returns the message, the messages of the sources, and the hint on one line, for records and logs.
    pub fn to_line(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(" (hint: {hint})"));
        self.message_with_sources() + &hint.unwrap_or_default()
    }

    /// Returns the message and the messages of the sources on one line, separated by colons.
    pub fn message_with_sources(&self) -> String {
        let mut line = self.message.clone();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string().replace('\n', " "));
            source = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.to_line())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl miette::Diagnostic for Error {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as _)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.place.as_ref().map(|place| &place.source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let span = miette::LabeledSpan::new_with_span(Some(place.label.clone()), place.span.clone());
        Some(Box::new(std::iter::once(span)))
    }
}
