//! The crate's one error type: what is wrong, where, what to do, and the exit code that follows.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is; decides the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Some cells failed; their records say why.
    Failed,
    /// The command line or a manifest is wrong, or names something a model cannot do.
    Manifest,
    /// A report was asked for cells that are not there yet.
    Missing,
    /// The machine lacks something: a file, a device, disk space, permission.
    Environment,
    /// Stopped by the user; the same command resumes.
    Interrupted,
}

impl Kind {
    /// The process exit code: the one place where it is decided.
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

/// A place in a text file that an error underlines.
#[derive(Clone, Debug)]
struct Place {
    source: miette::NamedSource<String>,
    span: Range<usize>,
    label: String,
}

/// A failure, with the place it speaks of and a hint where the user can act.
///
/// Messages are lower-case fragments without a full stop.
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    place: Option<Box<Place>>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` saying `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, place: None, cause: None }
    }

    /// A manifest or usage error.
    pub fn manifest(message: impl Into<String>) -> Self {
        Self::new(Kind::Manifest, message)
    }

    /// An error of the machine the program runs on.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// A failure inside a cell.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// A file operation on `path` that failed; `doing` is a verb phrase such as `read`.
    pub fn io(doing: &str, path: &Path, cause: std::io::Error) -> Self {
        Self::environment(format!("cannot {doing} `{}`", path.display())).because(cause)
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// Underlines `span` of the text `source` of file `name`, with a `label` beside it.
    pub fn at(mut self, name: &str, source: &str, span: Range<usize>, label: impl Into<String>) -> Self {
        self.place = Some(Box::new(Place {
            source: miette::NamedSource::new(name, source.to_owned()),
            span,
            label: label.into(),
        }));
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error to be told of another cell, without its place.
    pub fn again(&self) -> Self {
        Self { hint: self.hint.clone(), ..Self::new(self.kind, self.one_line()) }
    }

    /// Whether there is nowhere to write to: no work can be kept until that is mended.
    pub fn is_of_storage(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(
                io,
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
            ) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// What [`Error::one_line`] says, and the hint, for records and logs.
    pub fn told(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(" (hint: {hint})"));
        self.one_line() + &hint.unwrap_or_default()
    }

    /// The message and its causes on one line.
    pub fn one_line(&self) -> String {
        let mut line = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string().replace('\n', " "));
            cause = error.source();
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
        write!(f, "{:?}: {}", self.kind, self.told())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
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
