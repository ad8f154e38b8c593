//! The Jinja environment of chat templates, as transformers sets it up.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use regex::Regex;

use dtr_core::jinja::{self, charge_bytes};

/// Matches the tags `generation` and `endgeneration`, which transformers adds to Jinja. They do not change
/// the rendered text.
static GENERATION_TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("the pattern is a constant")
});

/// Translates a template for minijinja. A `generation` block becomes a `with` block. In both kinds of block,
/// variables are local to the block.
pub(super) fn translate_template(template: &str) -> String {
    jinja::translate_template(&GENERATION_TAG.replace_all(template, "{%$1 ${2}with $3%}"))
}

/// The most bytes of text that one byte of a `strftime` format can produce.
const MAX_BYTES_PER_FORMAT_BYTE: usize = 255;

/// Creates the environment of chat templates. As in transformers, the environment trims blocks, has the
/// functions `raise_exception` and `strftime_now`, and has transformers' filter `tojson`. `strftime_now`
/// formats `now`.
pub(super) fn create_environment(now: DateTime) -> Environment<'static> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    let mut environment = jinja::create_environment(syntax.expect("the default delimiters are valid"));
    environment.add_filter("tojson", jinja::tojson);
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
