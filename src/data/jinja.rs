//! Jinja templates and expressions over the rows of a task's files, with Python's semantics.
//!
//! As in Python, a template keeps its trailing newline, a missing column is an error, and Python's string,
//! list and dictionary methods exist. `re.sub` and `re.findall` are available as filters.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind, merge_maps};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context};
use regex::Regex;

use super::rows::JsonRow;
use dtr_core::template_limits::{self, apply_limits, charge_bytes, explain_out_of_fuel};

/// The variable that holds an answer choice, in templates that are rendered once for each choice.
const CHOICE: &str = "choice";

/// A set of named templates, and an evaluator of expressions.
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// Creates an empty set.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("the delimiters are Jinja's own"));
        apply_limits(&mut environment);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_unknown_method_callback(call_method);
        environment.add_filter("regex_replace", regex_replace);
        environment.add_filter("regex_findall", regex_findall);
        Self(environment)
    }

    /// Parses `text` and adds it under `name`.
    pub fn add(&mut self, name: &'static str, text: &str) -> Result<(), Error> {
        self.0.add_template_owned(name, text.to_owned())
    }

    /// Returns whether a template uses the variable `choice`.
    pub fn uses_choice(&self, name: &str) -> bool {
        let template = self.0.get_template(name);
        template.is_ok_and(|template| template.undeclared_variables(false).contains(CHOICE))
    }

    /// Renders a template with the columns of `row` and, if given, an answer choice as variables.
    pub fn render(&self, name: &str, row: &JsonRow, choice: Option<&str>) -> Result<String, Error> {
        let template = self.0.get_template(name)?;
        let row = Value::from(Serde(row));
        match choice {
            None => template.render(row),
            Some(choice) => template.render(merge_maps([context! { choice }, row])),
        }
        .map_err(explain_out_of_fuel)
    }

    /// Evaluates an expression with the columns of `row` as variables.
    pub fn evaluate(&self, expression: &str, row: &JsonRow) -> Result<Value, Error> {
        self.0.compile_expression(expression)?.eval(Value::from(Serde(row))).map_err(explain_out_of_fuel)
    }
}

/// Calls a Python method, or `list.index`, which the engine's collection of Python methods lacks.
fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if let (ValueKind::Seq, "index", [targets]) = (value.kind(), name, arguments) {
        let index = value.try_iter()?.position(|element| element == *targets);
        let missing = || Error::new(ErrorKind::InvalidOperation, "`index` cannot find the value in the list");
        return index.map(Value::from).ok_or_else(missing);
    }
    template_limits::call_python_method(state, value, name, arguments)
}

fn compile_regex(pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern).map_err(|cause| {
        Error::new(ErrorKind::InvalidOperation, format!("`{pattern}` is not a regular expression"))
            .with_source(cause)
    })
}

/// Replaces every match of `pattern` in `text` by the literal text `replacement`.
fn regex_replace(
    state: &mut State<'_, '_>,
    text: &str,
    pattern: &str,
    replacement: &str,
) -> Result<String, Error> {
    let regex = compile_regex(pattern)?;
    let num_matches = regex.find_iter(text).count();
    charge_bytes(state, num_matches.saturating_mul(replacement.len()))?;
    Ok(regex.replace_all(text, regex::NoExpand(replacement)).into_owned())
}

/// Returns all matches of `pattern` in `text`.
fn regex_findall(state: &mut State<'_, '_>, text: &str, pattern: &str) -> Result<Vec<String>, Error> {
    let regex = compile_regex(pattern)?;
    let matches = regex.find_iter(text).map(|found| {
        charge_bytes(state, size_of::<String>() + found.len())?;
        Ok(found.as_str().to_owned())
    });
    matches.collect()
}
