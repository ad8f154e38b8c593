//! Jinja as transformers sets it up for chat templates.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use regex::Regex;

use super::tojson::tojson;
use dtr_core::template_limits::{self, apply_limits, charge_bytes};

/// The tags round what a model says, which transformers adds to Jinja; they leave the text as it is.
static GENERATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("the pattern is a constant")
});

/// A template as this crate's Jinja takes it: the tags of transformers become those of a block with names of
/// its own, which they are, and lines end as Jinja has them.
pub(super) fn prepared(template: &str) -> String {
    let lines = template.replace("\r\n", "\n").replace('\r', "\n");
    GENERATION.replace_all(&lines, "{%$1 ${2}with $3%}").into_owned()
}

/// The most bytes that a byte of a format of the time becomes.
const LONGEST_TIME: usize = 255;

/// Jinja with trimmed blocks, Python's methods and JSON, and the two functions that transformers adds.
pub(super) fn environment(now: DateTime) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    apply_limits(&mut environment);
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", tojson);
    add_tests(&mut environment);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |state: &mut State<'_, '_>, format: &str| {
        charge_bytes(state, format.len().saturating_mul(LONGEST_TIME))?;
        strtime::format(format, now).map_err(|cause| {
            Error::new(ErrorKind::InvalidOperation, format!("`strftime_now` cannot say the time: {cause}"))
        })
    });
    environment
}

/// The tests in which Python's kinds are not this crate's: nothing cannot be gone through, texts and mappings
/// have places like lists, and truth is a number.
fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        use ValueKind::{Map, Seq, String, Undefined};
        matches!(value.kind(), Seq | String | Map | Undefined)
    });
    environment
        .add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
}

/// Python's methods, with those that cut texts at both ends.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (text, part) = (value.as_str(), arguments.first().and_then(|part| part.as_str()));
    match (name, text, part, arguments.len()) {
        ("removeprefix", Some(text), Some(part), 1) => Ok(text.strip_prefix(part).unwrap_or(text).into()),
        ("removesuffix", Some(text), Some(part), 1) => Ok(text.strip_suffix(part).unwrap_or(text).into()),
        _ => template_limits::call_python_method(state, value, name, arguments),
    }
}
