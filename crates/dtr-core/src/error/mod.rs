//! The crate's one error type: what is wrong, where, what to do, and the exit code that follows.

mod guard;

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

pub use guard::{Panicked, guarded};

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
    is_of_input: bool,
}

impl Error {
    /// An error of `kind` saying `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, place: None, cause: None, is_of_input: false }
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
        Self::environment(format!("cannot {doing} `{}`", path.display())).with_source(cause)
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    pub fn with_source(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// Underlines `span` of the text `source` of file `name`, with a `label` beside it.
    pub fn at(mut self, name: &str, source: &str, span: Range<usize>, label: impl Into<String>) -> Self {
        let (source, span) = shortened(source, span);
        self.place = Some(Box::new(Place {
            source: miette::NamedSource::new(name, source),
            span,
            label: label.into(),
        }));
        self
    }

    /// Says that what an experiment was given is at fault, where the error is of that kind: no cell failed by it, and
    /// the run ends.
    pub fn of_input(self) -> Self {
        let is_of_input = matches!(self.kind, Kind::Manifest | Kind::Environment);
        Self { is_of_input, ..self }
    }

    /// Whether what an experiment was given is at fault.
    pub fn is_of_input(&self) -> bool {
        self.is_of_input
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error to be told of another cell, without its place.
    pub fn duplicate(&self) -> Self {
        let (hint, is_of_input) = (self.hint.clone(), self.is_of_input);
        Self { hint, is_of_input, ..Self::new(self.kind, self.one_line()) }
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
    pub fn to_line(&self) -> String {
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

/// The longest line that is shown as it is, in bytes, and what is shown of a longer one.
const LONGEST_LINE: usize = 500;

/// How much of a long line is shown before the token.
const BEFORE: usize = 100;

/// `source` with its long lines cut to what stands round `span`, and where that is then.
fn shortened(source: &str, span: Range<usize>) -> (String, Range<usize>) {
    if source.split('\n').all(|line| line.len() <= LONGEST_LINE) {
        return (source.to_owned(), span);
    }
    let (mut text, mut moved, mut start) = (String::new(), 0..0, 0);
    for line in source.split_inclusive('\n') {
        let is_long = line.len() > LONGEST_LINE;
        let is_meant = (start..=start + line.len()).contains(&span.start);
        let at = if is_meant { span.start - start } else { 0 };
        let from = if is_long { line.floor_char_boundary(at.saturating_sub(BEFORE)) } else { 0 };
        let to = if is_long { line.floor_char_boundary(from + LONGEST_LINE) } else { line.len() };
        text.push_str(if from > 0 { "…" } else { "" });
        if is_meant {
            let place = text.len() + at - from;
            moved = place..place + (span.len()).min(to - at);
        }
        text.push_str(&line[from..to]);
        text.push_str(if to < line.len() { "…\n" } else { "" });
        start += line.len();
    }
    (text, moved)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_what_stands_round_the_token_is_shown() {
        let (short, long) = ("a = 1\nb = 2\n", "é".repeat(400));
        assert_eq!(shortened(short, 6..7), (short.to_owned(), 6..7));
        let source = format!("{short}{long} here {long}\n{long}");
        let token = source.find("here").unwrap();
        let (text, span) = shortened(&source, token..token + 4);
        assert_eq!(&text[span], "here");
        assert!(text.starts_with("a = 1\nb = 2\n…é") && text.lines().count() == 4);
        assert!(text.lines().all(|line| line.len() <= LONGEST_LINE + 2 * "…".len()), "{text}");
        let (_, all) = shortened(&source, 0..source.len());
        assert_eq!(all, 0..5 + 1);
        let end = source.len();
        let (text, span) = shortened(&source, end..end);
        assert_eq!(span, text.len()..text.len());
    }
}
