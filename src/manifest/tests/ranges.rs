//! Tests that the schema states the range of every number, and that loading refuses values outside the range.

use serde_json::Value as Json;

use super::*;
use crate::manifest::experiment_schema;

/// A step from a value of a manifest to one of its parts.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    /// A key that chooses the alternative of an enum.
    Alternative(String),
    /// An element of a list.
    Item,
}

/// A number that a manifest can hold.
struct Number {
    path: Vec<Step>,
    schema: &'static Json,
}

impl Number {
    fn is_whole(&self) -> bool {
        let types = self.schema["type"].as_array().map(Vec::as_slice).unwrap_or_default();
        types.iter().chain([&self.schema["type"]]).any(|one| one == "integer")
    }

    /// Returns the dotted key in the form of error messages.
    fn key(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(key) | Step::Alternative(key) => format!(".{key}"),
            Step::Item => "[0]".to_owned(),
        });
        steps.collect::<String>()[1..].to_owned()
    }
}

/// Collects the numbers below `schema`, which describes the value at `path`.
fn collect(path: &[Step], schema: &'static Json, depth: usize, found: &mut Vec<Number>) {
    if depth > 12 || path.iter().filter(|step| **step == Step::Alternative("mixture".to_owned())).count() > 1
    {
        return;
    }
    let with = |step: Step| [path, &[step]].concat();
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.strip_prefix("#/$defs/")) {
        return collect(path, &experiment_schema()["$defs"][name], depth + 1, found);
    }
    let is_enum = path.last().is_some() && schema["oneOf"].is_array();
    for alternative in schema["oneOf"].as_array().into_iter().flatten() {
        for (key, schema) in alternative["properties"].as_object().into_iter().flatten() {
            collect(&with(Step::Alternative(key.clone())), schema, depth + 1, found);
        }
        if is_enum && alternative["type"] == "integer" {
            found.push(Number { path: path.to_vec(), schema: alternative });
        }
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        collect(&with(Step::Key(key.clone())), schema, depth + 1, found);
    }
    if schema["additionalProperties"].is_object()
        && path != [Step::Key("sweep".into()), Step::Key("axes".into())]
    {
        collect(&with(Step::Key("x".to_owned())), &schema["additionalProperties"], depth + 1, found);
    }
    if schema["items"].is_object() {
        collect(&with(Step::Item), &schema["items"], depth + 1, found);
    }
    let types = schema["type"].as_array().map(Vec::as_slice).unwrap_or_default();
    if types.iter().chain([&schema["type"]]).any(|one| one == "integer" || one == "number") {
        found.push(Number { path: path.to_vec(), schema });
    }
}

fn numbers() -> Vec<Number> {
    let mut found = Vec::new();
    collect(&[], experiment_schema(), 0, &mut found);
    found
}

/// Returns TOML with the required keys of an alternative's table.
fn required(alternative: &str, is_task: bool) -> &'static str {
    match alternative {
        "pretrain" => {
            "hidden-size = 8\nintermediate-size = 8\nnum-layers = 1\nnum-heads = 2\nnum-kv-heads = 2\nhead-dim = 2"
        }
        "file" => "test = \"a.jsonl\"\nprompt = \"\"\nlabel = \"0\"\nchoices = { fixed = [\"a\"] }",
        "generative" => "test = \"a.jsonl\"\nprompt = \"\"\ntarget = \"\"\nmetric = \"contains\"",
        "opendrive" => {
            "validation = { synthetic = { maps = 1, seed = 2 } }\ntest = { synthetic = { maps = 1, seed = 3 } }"
        }
        "regex" => "pattern = \"a\"",
        "synthetic" if is_task => "kind = \"recall\"",
        _ => "",
    }
}

/// Sets the entry at `path` below `value` to `number`. Adds the required keys of the tables on the path.
fn set(value: &mut toml::Value, path: &[Step], number: &toml::Value, is_task: bool) {
    let Some((step, rest)) = path.split_first() else {
        *value = number.clone();
        return;
    };
    let empty = || toml::Value::Table(toml::Table::new());
    match step {
        Step::Item => {
            let mut item = match rest {
                [] => empty(),
                _ => toml::Value::Table(toml::toml! {
                    weight = 1
                    source = { synthetic = {} }
                }),
            };
            set(&mut item, rest, number, is_task);
            let second = (rest.is_empty() && number.is_float()).then_some(toml::Value::Float(0.5));
            *value = toml::Value::Array([item].into_iter().chain(second).collect());
        }
        Step::Key(key) | Step::Alternative(key) => {
            let is_alternative = matches!(step, Step::Alternative(_));
            if !value.is_table() || is_alternative {
                *value = empty();
            }
            let table = value.as_table_mut().expect("a table");
            let entry = table.entry(key.clone()).or_insert_with(|| match key.as_str() {
                "shots" if is_task => toml::toml! { count = 1 }.into(),
                "synthetic" if is_task => {
                    toml::from_str::<toml::Table>("maps = 1\nseed = 1").expect("TOML").into()
                }
                _ => empty(),
            });
            if is_alternative && !rest.is_empty() {
                *entry = toml::from_str::<toml::Table>(required(key, is_task)).expect("TOML").into();
            }
            set(entry, rest, number, is_task);
        }
    }
}

/// Loads a manifest with `value` at the path of `number`. Returns the error, if there is one.
fn error_with(number: &Number, value: toml::Value) -> Option<String> {
    let mut manifest = toml::Value::Table(toml::Table::new());
    if number.path[0] == Step::Key("variants".to_owned()) {
        let block = ["variants", "x", "block"].map(|key| Step::Key(key.to_owned()));
        set(&mut manifest, &block, &toml::Value::Table(toml::toml! { gla = {} }), false);
    }
    let is_task = number.path[0] == Step::Key("tasks".to_owned());
    set(&mut manifest, &number.path, &value, is_task);
    let text = toml::to_string(&manifest).expect("TOML");
    let folder = Folder::of(&[("base.toml", BASE), ("low.toml", &text)]);
    let main = format!("extends = [\"base.toml\", \"low.toml\"]\nname = \"try\"\n{SWEEP}");
    std::fs::write(folder.path("main.toml"), main).expect("a file");
    folder.load("main.toml", &[]).err().map(|error| error.to_string())
}

#[test]
fn every_number_of_the_schema_has_a_range() {
    let found = numbers();
    assert!(found.len() > 50, "{}", found.len());
    for number in found {
        let has = |names: [&str; 2]| names.iter().any(|name| number.schema[name].is_number());
        assert!(has(["minimum", "exclusiveMinimum"]), "`{}` has no lower bound", number.key());
        assert!(has(["maximum", "exclusiveMaximum"]), "`{}` has no upper bound", number.key());
    }
}

#[test]
fn numbers_outside_of_the_range_are_refused_and_numbers_inside_are_not() {
    for number in numbers() {
        let bound = |name: &str| number.schema[name].as_f64();
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        let step = if number.is_whole() { 1.0 } else { 1e-6 };
        if let Some(min) = bound("minimum") {
            inside.push(min);
            outside.push(min - step);
        }
        if let Some(max) = bound("maximum") {
            inside.push(max);
            outside.push(max + step);
        }
        if let Some(min) = bound("exclusiveMinimum") {
            inside.push(min + step);
            outside.push(min);
        }
        if let Some(max) = bound("exclusiveMaximum") {
            inside.push(max - step);
            outside.push(max);
        }
        if !number.is_whole() {
            outside.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        }
        let key = number.key();
        let write = |value: f64| match number.is_whole() {
            true => toml::Value::Integer(value as i64),
            false => toml::Value::Float(value),
        };
        for value in outside {
            let error =
                error_with(&number, write(value)).unwrap_or_else(|| panic!("{key} = {value} is accepted"));
            let is_refused = error.starts_with(&format!("`{key}` must be "))
                || error.starts_with(&format!("`{key}` takes a whole number"));
            assert!(is_refused, "{key} = {value}: {error}");
        }
        for value in inside {
            let error = error_with(&number, write(value)).unwrap_or_default();
            assert!(
                !error.starts_with(&format!("`{key}` ")) || error.contains("training step"),
                "{key} = {value}: {error}"
            );
            assert!(
                !error.contains("unknown key") && !error.contains(" has no `"),
                "{key} = {value}: {error}"
            );
        }
    }
}
