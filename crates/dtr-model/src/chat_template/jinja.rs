//! The Jinja environment of chat templates, as transformers sets it up.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use regex::Regex;

use super::tojson::tojson;
use dtr_core::template_limits::{self, apply_limits, charge_bytes};

/// The tags `generation` and `endgeneration`, which transformers adds to Jinja. They do not change the text.
static GENERATION_TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("the pattern is a constant")
});

/// Translates a template for minijinja: the tags `generation` become `with` blocks, which have a scope too,
/// and line endings become line feeds, as in Jinja.
pub(super) fn translate_template(template: &str) -> String {
    let lines = template.replace("\r\n", "\n").replace('\r', "\n");
    GENERATION_TAG.replace_all(&lines, "{%$1 ${2}with $3%}").into_owned()
}

/// The most bytes that one byte of a time format expands to.
const MAX_BYTES_PER_FORMAT_BYTE: usize = 255;

/// Creates an environment with trimmed blocks, Python's methods, `tojson`, and the functions that
/// transformers adds: `raise_exception` and `strftime_now`.
pub(super) fn create_environment(now: DateTime) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    apply_limits(&mut environment);
    environment.set_unknown_method_callback(call_method);
    environment.add_filter("tojson", tojson);
    add_tests(&mut environment);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |state: &mut State<'_, '_>, format: &str| {
        charge_bytes(state, format.len().saturating_mul(MAX_BYTES_PER_FORMAT_BYTE))?;
        strtime::format(format, now).map_err(|cause| {
            Error::new(ErrorKind::InvalidOperation, format!("`strftime_now` cannot format the time: {cause}"))
        })
    });
    environment
}

/// Adds the tests that differ between Python and minijinja: `none` is not iterable, strings and mappings are
/// sequences, and booleans are numbers.
fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        use ValueKind::{Map, Seq, String, Undefined};
        matches!(value.kind(), Seq | String | Map | Undefined)
    });
    environment
        .add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
}

/// Calls a method of Python's strings, lists and dictionaries, including `removeprefix` and `removesuffix`.
fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let (text, part) = (value.as_str(), arguments.first().and_then(|part| part.as_str()));
    match (name, text, part, arguments.len()) {
        ("removeprefix", Some(text), Some(part), 1) => Ok(text.strip_prefix(part).unwrap_or(text).into()),
        ("removesuffix", Some(text), Some(part), 1) => Ok(text.strip_suffix(part).unwrap_or(text).into()),
        _ => template_limits::call_python_method(state, value, name, arguments),
    }
}
