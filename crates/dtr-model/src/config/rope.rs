//! Reads the settings of the rotary embedding from `config.json`.
//!
//! A file of transformers 5 has the table `rope_parameters`. An older file has `rope_theta`, and the table
//! `rope_scaling` if the frequencies are scaled. If a file has both tables, dtr ignores `rope_parameters`. An
//! empty `rope_scaling` counts as absent.

use serde_json::{Map, Value};

use super::MAX_POSITIONS;
use super::fields::{ConfigFields, FieldResult};
use dtr_ops::RopeScaling;

/// The base of the rotary frequencies if a file has none.
const DEFAULT_THETA: f64 = 10_000.0;

/// The types of scaling that change nothing if their factor is 1.
const SCALED_BY_FACTOR: [&str; 2] = ["linear", "proportional"];

/// Returns the base of the rotary frequencies, and their scaling.
pub(super) fn read_rope(fields: &ConfigFields<'_>, max_positions: usize) -> FieldResult<(f64, RopeScaling)> {
    let empty = Map::new();
    let table = RopeTable { table: rope_table(fields)?.unwrap_or(&empty), fields };
    let theta = match table.get("rope_theta").or(fields.get("rope_theta")) {
        None => DEFAULT_THETA,
        Some(value) => positive_number("rope_theta", value, f64::MAX)?,
    };
    let scaling = match table.rope_type()? {
        "default" => RopeScaling::None,
        "llama3" => table.llama3(max_positions)?,
        "longrope" => table.factors()?,
        // This type scales only positions after `max_position_embeddings`, and no row is that long.
        "dynamic" if table.is_whole_head() => table.number("factor").map(|_| RopeScaling::None)?,
        name if SCALED_BY_FACTOR.contains(&name) && table.is_whole_head() && table.is_unscaled(name) => {
            RopeScaling::None
        }
        other => {
            return Err(format!(
                "asks for the rope scaling `{other}`; only `default`, `llama3` and `longrope` are supported"
            ));
        }
    };
    Ok((theta, scaling))
}

/// Returns the table of rotary settings: `rope_scaling` if it is not empty, or else `rope_parameters`.
fn rope_table<'a>(fields: &ConfigFields<'a>) -> FieldResult<Option<&'a Map<String, Value>>> {
    let scaling = fields.get("rope_scaling").filter(|value| !is_falsy(value));
    let (key, value) = match (scaling, fields.get("rope_parameters")) {
        (Some(scaling), _) => ("rope_scaling", scaling),
        (None, None | Some(Value::Null)) => return Ok(None),
        (None, Some(parameters)) => ("rope_parameters", parameters),
    };
    match value.as_object() {
        None => Err(format!("has {value} as `{key}`, which must be a table")),
        Some(table) if table.values().any(Value::is_object) => {
            Err(format!("has rotary settings for each type of layer in `{key}`, which is not supported"))
        }
        Some(table) => Ok(Some(table)),
    }
}

/// Returns whether a value counts as false in Python.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(table) => table.is_empty(),
    }
}

/// The table of rotary settings, and all fields of the file.
struct RopeTable<'a> {
    table: &'a Map<String, Value>,
    fields: &'a ConfigFields<'a>,
}

impl<'a> RopeTable<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }

    /// Returns the type of scaling. Its key in old files is `type`.
    fn rope_type(&self) -> FieldResult<&'a str> {
        match self.get("rope_type").or(self.get("type")) {
            None => Ok("default"),
            Some(value) => {
                value.as_str().ok_or_else(|| format!("has {value} as the type of its rope scaling"))
            }
        }
    }

    fn number(&self, key: &str) -> FieldResult<f64> {
        let value = self.get(key);
        let value = value.ok_or_else(|| format!("lacks the number `{key}` in its rope scaling"))?;
        positive_number(key, value, MAX_POSITIONS as f64)
    }

    /// Returns whether the whole width of a head is rotated: `partial_rotary_factor` is absent or 1. Callers
    /// do not ask for the type `default`, which ignores this factor.
    fn is_whole_head(&self) -> bool {
        let key = "partial_rotary_factor";
        let factor = self.get(key).or(self.fields.get(key).filter(|factor| !factor.is_null()));
        factor.is_none_or(|factor| factor.as_f64() == Some(1.0))
    }

    fn is_unscaled(&self, rope_type: &str) -> bool {
        match self.get("factor") {
            None => rope_type == "proportional",
            Some(factor) => factor.as_f64() == Some(1.0),
        }
    }

    /// Returns the factors of LongRoPE. Each frequency is divided by its factor. Factors are supported only
    /// if they are the same for short and long texts, and if `attention_factor` is 1.
    fn factors(&self) -> FieldResult<RopeScaling> {
        let num_frequencies = self.fields.size("head_dim")? / 2;
        let [short, long] =
            ["short_factor", "long_factor"].map(|key| factor_list(key, self.get(key), num_frequencies));
        let is_unscaled_attention = self.get("attention_factor").and_then(Value::as_f64) == Some(1.0);
        match (short?, long?) {
            (short, long) if short == long && is_unscaled_attention && self.is_whole_head() => {
                let is_scaled = short.iter().any(|factor| *factor != 1.0);
                Ok(if is_scaled { RopeScaling::Factors(short) } else { RopeScaling::None })
            }
            _ => Err(
                "asks for the rope scaling `longrope` with factors that depend on the length of a text, or \
                      with an `attention_factor` other than 1, which is not supported"
                    .to_owned(),
            ),
        }
    }

    fn llama3(&self, max_positions: usize) -> FieldResult<RopeScaling> {
        if !self.is_whole_head() {
            return Err("asks to rotate a part of each head, which is not supported".to_owned());
        }
        let key = "original_max_position_embeddings";
        let original_max_position = match self.fields.get(key).or(self.get(key)) {
            None => max_positions,
            Some(value) => positive_number(key, value, MAX_POSITIONS as f64)? as usize,
        };
        let (low, high) = (self.number("low_freq_factor")?, self.number("high_freq_factor")?);
        if low >= high {
            return Err("has a `low_freq_factor` that is not below `high_freq_factor`".to_owned());
        }
        Ok(RopeScaling::Llama3 {
            factor: self.number("factor")?,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position,
        })
    }
}

/// Parses `value`, a list with a factor for each rotary frequency of a head. `key` names the list in errors.
fn factor_list(key: &str, value: Option<&Value>, num_frequencies: usize) -> FieldResult<Vec<f32>> {
    let is_valid = |factor: &f32| factor.is_finite() && *factor > 0.0;
    let factor = |value: &Value| value.as_f64().map(|number| number as f32).filter(is_valid);
    let list = value.and_then(Value::as_array).filter(|list| list.len() == num_frequencies);
    let factors = list.and_then(|list| list.iter().map(factor).collect());
    factors.ok_or_else(|| format!("lacks {num_frequencies} numbers above 0 as `{key}` in its rope scaling"))
}

/// Returns the number in a field, which must be above 0 and at most `max`.
fn positive_number(key: &str, value: &Value, max: f64) -> FieldResult<f64> {
    match value.as_f64() {
        Some(number) if number > 0.0 && number <= max => Ok(number),
        _ => Err(format!("has {value} as `{key}`, which must be a number above 0 and at most {max:e}")),
    }
}
