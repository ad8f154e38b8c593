//! Checks the numbers and lists of a configuration against the ranges in its JSON schema.
//!
//! A range is written once, in an attribute of a Rust type: `#[schemars(range(min = 1, max = 8))]`, or
//! `extend("exclusiveMinimum" = 0)` for a bound that is itself excluded. The schema is generated from these
//! attributes. Editors, the manual and this check read the ranges from the schema.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::count::Count;

/// A value of a configuration that its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The keys and list indices that lead to the value.
    pub path: Vec<String>,
    /// The condition that the value violates, such as `at least 1`. It completes the sentence "it must be …".
    pub requirement: String,
    /// The instruction that corrects the value, such as `write a whole number from 1 to 8`.
    pub hint: String,
}

/// Generates the JSON schema (draft 2020-12) of a type.
pub fn generate_schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// Finds the first value in `config` that its schema does not allow.
pub fn find_out_of_range<T: JsonSchema + Serialize>(config: &T) -> Option<OutOfRange> {
    let value = serde_json::to_value(config).ok()?;
    find_out_of_range_value(&generate_schema::<T>(), &value)
}

/// Finds the first part of `value` that `schema` does not allow.
///
/// A `null` in place of a number is out of range, since `serde_json` writes NaN and infinities as `null`.
pub fn find_out_of_range_value(schema: &Value, value: &Value) -> Option<OutOfRange> {
    SchemaWalk { definitions: &schema["$defs"], path: Vec::new() }.visit(schema, value)
}

/// Describes the values that the schema of a number or a list allows, such as `a whole number from 1 to 8`.
pub fn describe_range(schema: &Value) -> Option<String> {
    if let Some(min_items) = schema["minItems"].as_u64().filter(|_| schema["maxItems"].is_null()) {
        let values = if min_items == 1 { "one value" } else { "several values" };
        return Some(format!("a list with at least {values}"));
    }
    let is_whole = has_type(schema, "integer");
    let even = if is_even(schema) { "even " } else { "" };
    let noun = if is_whole { format!("{even}whole number") } else { "number".to_owned() };
    let article = if noun.starts_with('e') { "an" } else { "a" };
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(min), Value::Number(max)) => {
            Some(format!("{article} {noun} from {} to {}", format_bound(min), format_bound(max)))
        }
        (Value::Number(_), _) => Some(format!("{article} {noun} of {}", describe_bounds(schema)?)),
        _ => Some(format!("{article} {noun} {}", describe_bounds(schema)?)),
    }
}

struct SchemaWalk<'a> {
    definitions: &'a Value,
    path: Vec<String>,
}

impl<'a> SchemaWalk<'a> {
    fn visit(&mut self, schema: &'a Value, value: &Value) -> Option<OutOfRange> {
        if let Some(name) = schema["$ref"].as_str().and_then(|link| link.strip_prefix("#/$defs/"))
            && let Some(found) = self.visit(&self.definitions[name], value)
        {
            return Some(found);
        }
        if let Some(alternatives) = schema["oneOf"].as_array() {
            let alternative = alternatives.iter().find(|alternative| matches_variant(alternative, value))?;
            return self.visit(alternative, value);
        }
        if let Some(requirement) = violated_condition(schema, value) {
            return Some(self.out_of_range(schema, requirement));
        }
        match value {
            Value::Object(entries) => entries.iter().find_map(|(key, value)| {
                let property = &schema["properties"][key.as_str()];
                let property = if property.is_null() { &schema["additionalProperties"] } else { property };
                self.descend(key.clone(), property, value)
            }),
            Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
                self.descend(index.to_string(), &schema["items"], item)
                    .or_else(|| self.find_repeated(schema, &items[..index], item))
            }),
            _ => None,
        }
    }

    fn descend(&mut self, step: String, schema: &'a Value, value: &Value) -> Option<OutOfRange> {
        self.path.push(step);
        let found = self.visit(schema, value);
        self.path.pop();
        found
    }

    fn find_repeated(&self, schema: &Value, earlier: &[Value], item: &Value) -> Option<OutOfRange> {
        if schema["uniqueItems"] != true || !earlier.contains(item) {
            return None;
        }
        Some(OutOfRange {
            path: [&self.path[..], &[earlier.len().to_string()]].concat(),
            requirement: "different from the values before it".to_owned(),
            hint: "remove the repeated value".to_owned(),
        })
    }

    fn out_of_range(&self, schema: &Value, requirement: String) -> OutOfRange {
        let allowed = describe_range(schema).unwrap_or_else(|| requirement.clone());
        OutOfRange { path: self.path.clone(), requirement, hint: format!("write {allowed}") }
    }
}

/// Tells whether `value` has the form of `alternative`, the schema of one variant of an enum.
fn matches_variant(alternative: &Value, value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.keys().all(|key| !alternative["properties"][key].is_null()),
        Value::String(_) => has_type(alternative, "string"),
        Value::Number(_) => has_type(alternative, "integer") || has_type(alternative, "number"),
        _ => true,
    }
}

/// Returns the condition of `schema` that `value` violates. Does not check values inside a table or a list.
fn violated_condition(schema: &Value, value: &Value) -> Option<String> {
    match value {
        Value::Array(items) if schema["minItems"].as_u64().is_some_and(|min| (items.len() as u64) < min) => {
            describe_range(schema)
        }
        Value::Number(number) if has_type(schema, "integer") => {
            violated_integer_bound(schema, number.as_u64()?)
        }
        Value::Number(number) => {
            let number = number.as_f64()?;
            let is_outside = |key: &str, is_outside: fn(&f64, &f64) -> bool| {
                schema[key].as_f64().is_some_and(|bound| is_outside(&number, &bound))
            };
            let is_out_of_range = is_outside("minimum", f64::lt)
                || is_outside("exclusiveMinimum", f64::le)
                || is_outside("maximum", f64::gt)
                || is_outside("exclusiveMaximum", f64::ge);
            if is_out_of_range { describe_bounds(schema) } else { None }
        }
        Value::Null if has_type(schema, "number") && !has_type(schema, "null") => describe_bounds(schema),
        _ => None,
    }
}

fn violated_integer_bound(schema: &Value, number: u64) -> Option<String> {
    let bound = |key: &str| schema[key].as_u64();
    if let Some(min) = bound("minimum").filter(|&min| number < min) {
        return Some(format!("at least {}", Count(min)));
    }
    if let Some(max) = bound("maximum").filter(|&max| number > max) {
        return Some(format!("at most {}", Count(max)));
    }
    (is_even(schema) && !number.is_multiple_of(2)).then(|| "even".to_owned())
}

fn describe_bounds(schema: &Value) -> Option<String> {
    let bound = |key: &str, words: &str| match &schema[key] {
        Value::Number(number) => Some(format!("{words} {}", format_bound(number))),
        _ => None,
    };
    let low = bound("minimum", "at least").or_else(|| bound("exclusiveMinimum", "above"));
    let high = bound("maximum", "at most").or_else(|| bound("exclusiveMaximum", "below"));
    match (low, high) {
        (Some(low), Some(high)) => Some(format!("{low} and {high}")),
        (low, high) => low.or(high),
    }
}

fn format_bound(number: &serde_json::Number) -> String {
    match number.as_u64() {
        Some(number) if number >= 1_000_000_000 => Count(number).to_string(),
        Some(number) => number.to_string(),
        None => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
    }
}

fn is_even(schema: &Value) -> bool {
    schema["multipleOf"] == 2
}

/// Tells whether `schema` allows values of the JSON type `name`.
fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Rate {
        Fixed(#[schemars(range(max = 10), extend("exclusiveMinimum" = 0))] f64),
        Never {},
    }

    #[derive(Serialize, JsonSchema)]
    struct Recipe {
        #[schemars(range(min = 1, max = 8))]
        batch: usize,
        #[schemars(range(min = 2, max = 8), extend("multipleOf" = 2))]
        width: Option<usize>,
        #[schemars(length(min = 1), inner(range(min = 1, max = 4)), extend("uniqueItems" = true))]
        sizes: Vec<u32>,
        rate: Rate,
        budget: Count,
    }

    fn recipe() -> Recipe {
        Recipe { batch: 1, width: None, sizes: vec![1, 4], rate: Rate::Never {}, budget: Count(1) }
    }

    fn found(change: impl FnOnce(&mut Recipe)) -> Option<(String, String, String)> {
        let mut recipe = recipe();
        change(&mut recipe);
        let found = find_out_of_range(&recipe)?;
        Some((found.path.join("."), found.requirement, found.hint))
    }

    #[test]
    fn values_at_the_bounds_are_accepted() {
        assert_eq!(found(|_| {}), None);
        assert_eq!(found(|recipe| recipe.batch = 8), None);
        assert_eq!(found(|recipe| recipe.width = Some(8)), None);
        assert_eq!(found(|recipe| recipe.rate = Rate::Fixed(10.0)), None);
    }

    /// A change that makes a recipe invalid, and the path, the requirement and the hint that the check must
    /// report.
    type RangeCase = (fn(&mut Recipe), &'static str, &'static str, &'static str);

    #[test]
    fn a_value_out_of_range_is_found_with_its_path_and_the_allowed_range() {
        let cases: [RangeCase; 10] = [
            (|recipe| recipe.batch = 0, "batch", "at least 1", "write a whole number from 1 to 8"),
            (|recipe| recipe.batch = 9, "batch", "at most 8", "write a whole number from 1 to 8"),
            (|recipe| recipe.width = Some(3), "width", "even", "write an even whole number from 2 to 8"),
            (
                |recipe| recipe.sizes = Vec::new(),
                "sizes",
                "a list with at least one value",
                "write a list with at least one value",
            ),
            (|recipe| recipe.sizes[1] = 5, "sizes.1", "at most 4", "write a whole number from 1 to 4"),
            (
                |recipe| recipe.sizes[1] = 1,
                "sizes.1",
                "different from the values before it",
                "remove the repeated value",
            ),
            (
                |recipe| recipe.rate = Rate::Fixed(0.0),
                "rate.fixed",
                "above 0 and at most 10",
                "write a number above 0 and at most 10",
            ),
            (
                |recipe| recipe.rate = Rate::Fixed(f64::NAN),
                "rate.fixed",
                "above 0 and at most 10",
                "write a number above 0 and at most 10",
            ),
            (
                |recipe| recipe.budget = Count(0),
                "budget",
                "at least 1",
                "write a whole number from 1 to 1000000B",
            ),
            (
                |recipe| recipe.budget = Count(u64::MAX),
                "budget",
                "at most 1000000B",
                "write a whole number from 1 to 1000000B",
            ),
        ];
        for (change, path, requirement, hint) in cases {
            let expected = (path.to_owned(), requirement.to_owned(), hint.to_owned());
            assert_eq!(found(change), Some(expected));
        }
    }
}
