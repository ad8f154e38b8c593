//! Jinja templates and expressions over the rows of a task's files, with Python's semantics.
//!
//! As in lm-evaluation-harness, a template keeps its trailing newline, and a missing column is an error.
//! Templates may use Python's string, list and dictionary methods. The filters `regex_replace` and
//! `regex_findall` correspond to Python's `re.sub` and `re.findall`. Unlike in Python, `regex_findall` ignores
//! groups.

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::merge_maps;
use minijinja::{Environment, Error as TemplateError, ErrorKind, State, UndefinedBehavior, Value};
use regex::Regex;

use super::regex_replacement::RegexReplacement;
use super::rows::Row;
use dtr_core::error::{Error, Result};
use dtr_core::jinja::{self, charge_bytes, explain_out_of_fuel};

/// The variable that holds an answer choice. A template that uses this variable is rendered once for each
/// choice.
const CHOICE: &str = "choice";

/// The variable that holds the value of an expression. A template evaluates the expression and sets this
/// variable.
const RESULT: &str = "expression_result";

type TemplateResult<T> = std::result::Result<T, TemplateError>;

/// A set of named templates and expressions.
pub(super) struct Templates {
    environment: Environment<'static>,
    /// All identifiers in the code of the templates.
    identifiers: BTreeSet<String>,
}

impl Templates {
    pub fn new() -> Self {
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        let mut environment = jinja::create_environment(syntax.expect("the default delimiters are valid"));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("regex_replace", regex_replace);
        environment.add_filter("regex_findall", regex_findall);
        Self { environment, identifiers: BTreeSet::new() }
    }

    /// Parses `text` and adds it under `name`.
    pub fn add(&mut self, name: &'static str, text: &str) -> Result<()> {
        self.identifiers.extend(jinja::names_in_template(text));
        self.environment.add_template_owned(name, jinja::translate_template(text)).map_err(|cause| {
            Error::manifest(format!("the task's `{name}` is not a valid template")).with_source(cause)
        })
    }

    /// Parses an expression and adds it under `name`.
    pub fn add_expression(&mut self, name: &'static str, expression: &str) -> Result<()> {
        self.add(name, &format!("{{% set {RESULT} = ({expression}) %}}{{{{ {RESULT} }}}}"))
    }

    /// Parses an expression whose value is a list and adds it under `name`. [`Templates::evaluate_list`]
    /// returns the texts of the list's elements.
    pub fn add_list_expression(&mut self, name: &'static str, expression: &str) -> Result<()> {
        self.add(name, &format!("{{% set {RESULT} = ({expression})|map('string')|list %}}"))
    }

    /// Parses an expression whose value is true or false and adds it under `name`. [`Templates::is_true`]
    /// returns the value.
    pub fn add_condition(&mut self, name: &'static str, expression: &str) -> Result<()> {
        self.add_expression(name, &format!("true if ({expression}) else false"))
    }

    /// Returns all identifiers in the code of the templates. The identifiers include the columns that the
    /// templates use.
    pub fn identifiers(&self) -> &BTreeSet<String> {
        &self.identifiers
    }

    /// Returns whether a template uses the variable `choice`.
    pub fn uses_choice(&self, name: &str) -> bool {
        self.uses_variable(name, CHOICE)
    }

    /// Returns whether a template uses a variable.
    pub fn uses_variable(&self, name: &str, variable: &str) -> bool {
        self.undeclared_variables(name).contains(variable)
    }

    /// Renders a template. The variables are the columns of `row`, and the answer choice if `choice` is
    /// given.
    pub fn render(&self, name: &str, row: &Row, choice: Option<&str>) -> Result<String> {
        match choice {
            None => self.render_variables(name, row, row.values.clone()),
            Some(choice) => self.render_with(name, row, CHOICE, choice),
        }
    }

    /// Renders a template. The variables are the columns of `row`, and `variable` with the text `value`.
    pub fn render_with(&self, name: &str, row: &Row, variable: &str, value: &str) -> Result<String> {
        let added = Value::from_pairs([(variable, value)]);
        self.render_variables(name, row, merge_maps([added, row.values.clone()]))
    }

    fn render_variables(&self, name: &str, row: &Row, variables: Value) -> Result<String> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(variables));
        rendered.map_err(|error| self.explain(name, row, error))
    }

    /// Evaluates an expression with the columns of `row` as variables. Returns the value and its text.
    pub fn evaluate(&self, name: &str, row: &Row) -> Result<(Value, String)> {
        let template = self.environment.get_template(name);
        let captured = template.and_then(|template| template.render_captured(row.values.clone()));
        let captured = captured.map_err(|error| self.explain(name, row, error))?;
        let value = captured.state().lookup(RESULT).unwrap_or_default();
        Ok((value, captured.into_output()))
    }

    /// Evaluates an expression whose value is a list. Returns the texts of the list's elements.
    pub fn evaluate_list(&self, name: &str, row: &Row) -> Result<Vec<String>> {
        let (texts, _) = self.evaluate(name, row)?;
        let texts = texts.try_iter().into_iter().flatten();
        Ok(texts.filter_map(|text| text.as_str().map(str::to_owned)).collect())
    }

    /// Evaluates a condition with the columns of `row` as variables.
    pub fn is_true(&self, name: &str, row: &Row) -> Result<bool> {
        Ok(self.evaluate(name, row)?.0.is_true())
    }

    fn undeclared_variables(&self, name: &str) -> BTreeSet<String> {
        let template = self.environment.get_template(name);
        template
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default()
    }

    /// Returns the error for a template that failed for `row`. If the template uses a column that the row
    /// lacks, the error names the column.
    fn explain(&self, name: &str, row: &Row, error: TemplateError) -> Error {
        let failed = Error::manifest(format!("cannot compute the row's {name}"));
        if error.kind() == ErrorKind::UndefinedError {
            let is_missing = |variable: &String| variable != CHOICE && !row.columns.contains(variable);
            let functions: BTreeSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
            let missing = self.undeclared_variables(name).into_iter().filter(is_missing);
            if let Some(column) = missing.into_iter().find(|variable| !functions.contains(variable.as_str()))
            {
                let existing: Vec<String> = row.columns.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("the row has no column `{column}`, only {}", existing.join(", "));
                return failed.with_source(Error::manifest(message));
            }
        }
        failed.with_source(explain_out_of_fuel(error))
    }
}

fn compile_regex(pattern: &str) -> TemplateResult<Regex> {
    Regex::new(pattern).map_err(|cause| {
        TemplateError::new(ErrorKind::InvalidOperation, format!("`{pattern}` is not a regular expression"))
            .with_source(cause)
    })
}

/// Replaces every match of `pattern` in `text`. `replacement` has the syntax of Python's `re.sub`.
fn regex_replace(
    state: &mut State<'_, '_>,
    text: &str,
    pattern: &str,
    replacement: &str,
) -> TemplateResult<String> {
    let regex = compile_regex(pattern)?;
    let replacement = RegexReplacement::parse(replacement, &regex).map_err(|cause| {
        TemplateError::new(
            ErrorKind::InvalidOperation,
            format!("`{replacement}` is not a replacement of `{pattern}`: {cause}"),
        )
    })?;
    let (mut replaced, mut end) = (String::new(), 0);
    for found in regex.captures_iter(text) {
        let whole = found.get_match();
        replaced += &text[end..whole.start()];
        end = whole.end();
        for part in replacement.texts(&found) {
            charge_bytes(state, part.len())?;
            replaced += part;
        }
    }
    Ok(replaced + &text[end..])
}

/// Returns all matches of `pattern` in `text`.
fn regex_findall(state: &mut State<'_, '_>, text: &str, pattern: &str) -> TemplateResult<Vec<String>> {
    let regex = compile_regex(pattern)?;
    let matches = regex.find_iter(text).map(|found| {
        charge_bytes(state, size_of::<String>() + found.len())?;
        Ok(found.as_str().to_owned())
    });
    matches.collect()
}
