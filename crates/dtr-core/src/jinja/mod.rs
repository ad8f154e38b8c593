//! Jinja templates that render the same text as in Python.
//!
//! The templates run in minijinja, with the limits of the module `limits`. minijinja has its own rules for
//! the text of floats, bytes and some characters. This module replaces these rules with Python's. Values
//! become text in three places, and each place uses [`python_str`]:
//!
//! - printed values: by the environment's formatter;
//! - filters and methods: by the replacements in `filters` and `methods`;
//! - the operator `~`: by [`translate_template`].

mod filters;
mod format;
mod json;
mod limits;
mod methods;
mod numbers;
mod object;
mod text;
mod tojson;
mod translate;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Output, State, Value};

pub use json::{
    JsonObject, RawObject, parse_object, parse_python_object, parse_value, replace_special_numbers,
};
pub use limits::{charge_bytes, explain_out_of_fuel};
pub use object::{NumberKind, PythonObject};
pub use text::{python_repr, python_str};
pub use tojson::tojson;
pub use translate::{names_in_template, translate_template};

/// Creates a minijinja environment that formats values as Python does. It has Jinja's filters, Python's
/// methods, and limits on the work of each template.
///
/// Templates must be translated by [`translate_template`] before they are added.
pub fn create_environment(syntax: SyntaxConfig) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    limits::set_fuel(&mut environment);
    // A custom escape mode makes minijinja pass the operands of `~` to the formatter. With escaping off,
    // minijinja would join them without the formatter. The formatter below escapes nothing.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("none".into()));
    environment.set_formatter(|out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
        limits::charge_list(state, value)?;
        Ok(out.write_str(&python_str(value)?)?)
    });
    environment.set_unknown_method_callback(methods::call_method);
    filters::add_filters(&mut environment);
    add_tests(&mut environment);
    environment
}

/// Adds the Jinja tests, such as `is number`, that differ between Python and minijinja. In Python, `none` is
/// not iterable, strings and mappings are sequences, booleans are numbers, and integers have any size.
fn add_tests(environment: &mut Environment<'_>) {
    use ValueKind::{Bool, Map, Number, Seq, String, Undefined};
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| matches!(value.kind(), Seq | String | Map | Undefined));
    let number_of = |value: &Value| value.downcast_object_ref::<PythonObject>()?.number;
    environment.add_test("number", move |value: &Value| {
        matches!(value.kind(), Number | Bool) || number_of(value).is_some()
    });
    for name in ["integer", "int"] {
        environment.add_test(name, move |value: &Value| {
            value.is_integer() || number_of(value) == Some(NumberKind::Integer)
        });
    }
}

#[cfg(test)]
mod tests;
