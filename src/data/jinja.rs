//! Jinja as Python has it, for the templates of tasks: a trailing newline stays, a missing column is an error,
//! Python's methods are there, and `re.sub` and `re.findall` are filters.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind, merge_maps};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context};
use regex::Regex;

use super::rows::Row;
use dtr_core::template_limits::{self, apply_limits, charge_bytes, explain_out_of_fuel};

/// The variable that holds the choice whose prompt or continuation is made.
const CHOICE: &str = "choice";

/// Templates and expressions over rows.
pub(super) struct Jinja(Environment<'static>);

impl Jinja {
    /// Without templates.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
        apply_limits(&mut environment);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_unknown_method_callback(method);
        environment.add_filter("regex_replace", regex_replace);
        environment.add_filter("regex_findall", regex_findall);
        Self(environment)
    }

    /// Adds a template under `name`.
    pub fn add(&mut self, name: &'static str, text: &str) -> Result<(), Error> {
        self.0.add_template_owned(name, text.to_owned())
    }

    /// Whether what a template makes depends on the choice.
    pub fn speaks_of_choice(&self, name: &str) -> bool {
        let template = self.0.get_template(name);
        template.is_ok_and(|template| template.undeclared_variables(false).contains(CHOICE))
    }

    /// What a template makes of a row, and of one of its choices.
    pub fn render(&self, name: &str, row: &Row, choice: Option<&str>) -> Result<String, Error> {
        let template = self.0.get_template(name)?;
        let row = Value::from(Serde(row));
        match choice {
            None => template.render(row),
            Some(choice) => template.render(merge_maps([context! { choice }, row])),
        }
        .map_err(explain_out_of_fuel)
    }

    /// The value of an expression over a row.
    pub fn evaluate(&self, expression: &str, row: &Row) -> Result<Value, Error> {
        self.0.compile_expression(expression)?.eval(Value::from(Serde(row))).map_err(explain_out_of_fuel)
    }
}

/// Python's methods, that of lists to find a place in them among them.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let (ValueKind::Seq, "index", [wanted]) = (value.kind(), name, arguments) {
        let place = value.try_iter()?.position(|one| one == *wanted);
        let missing = || Error::new(ErrorKind::InvalidOperation, "what `index` looks for is not in the list");
        return place.map(Value::from).ok_or_else(missing);
    }
    template_limits::call_python_method(state, value, name, arguments)
}

fn pattern(text: &str) -> Result<Regex, Error> {
    Regex::new(text).map_err(|cause| {
        Error::new(ErrorKind::InvalidOperation, format!("`{text}` is not a regular expression"))
            .with_source(cause)
    })
}

/// `text` with every match of `sought` replaced by `with`, taken literally.
fn regex_replace(state: &mut State<'_, '_>, text: &str, sought: &str, with: &str) -> Result<String, Error> {
    let pattern = pattern(sought)?;
    let count = pattern.find_iter(text).count();
    charge_bytes(state, count.saturating_mul(with.len()))?;
    Ok(pattern.replace_all(text, regex::NoExpand(with)).into_owned())
}

/// All matches of `sought` in `text`.
fn regex_findall(state: &mut State<'_, '_>, text: &str, sought: &str) -> Result<Vec<String>, Error> {
    let pattern = pattern(sought)?;
    let found = pattern.find_iter(text).map(|found| {
        charge_bytes(state, size_of::<String>() + found.len())?;
        Ok(found.as_str().to_owned())
    });
    found.collect()
}
