//! The fields of a request's JSON object. Each field is taken once; a field that nobody takes is refused, so
//! that no setting is ignored silently.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::errors::ApiError;

/// The result of reading a field.
pub type FieldResult<T> = Result<T, ApiError>;

/// Fields that do not change the reply.
const IGNORED: [&str; 7] =
    ["metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user", "verbosity"];

/// The maximum number of stop strings.
const MAX_STOP_STRINGS: usize = 32;

/// The fields that were not taken yet.
#[derive(Debug)]
pub struct RequestFields {
    fields: Map<String, Value>,
}

impl RequestFields {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// Fails when the body is not a JSON object.
    pub fn parse(body: &[u8]) -> FieldResult<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::new(fields)),
            Ok(_) => Err(ApiError::invalid_body("the body must be a JSON object")),
            Err(cause) => Err(ApiError::invalid_body(format!("the body is not JSON: {cause}"))),
        }
    }

    /// Creates the fields of an object. A field with the value `null` means the default.
    pub fn new(mut fields: Map<String, Value>) -> Self {
        fields.retain(|_, value| !value.is_null());
        Self { fields }
    }

    /// Takes a field of any type.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// Takes a field that must be there.
    pub fn take_required(&mut self, name: &str) -> FieldResult<Value> {
        self.take(name).ok_or_else(|| ApiError::invalid(name, format!("the field `{name}` is missing")))
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> FieldResult<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be a string"))),
        }
    }

    /// Takes true or false. A missing field is false.
    pub fn flag(&mut self, name: &str) -> FieldResult<bool> {
        self.optional_flag(name).map(Option::unwrap_or_default)
    }

    /// Takes true or false.
    pub fn optional_flag(&mut self, name: &str) -> FieldResult<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be true or false"))),
        }
    }

    /// Takes the fields of an object.
    pub fn object(&mut self, name: &str) -> FieldResult<Option<Self>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self::new(fields))),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` must be an object"))),
        }
    }

    /// Takes a whole number in `range`.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> FieldResult<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (first, last) = range.into_inner();
            ApiError::invalid(name, format!("`{name}` must be a whole number from {first} to {last}"))
        })
    }

    /// Takes a number for which `is_valid` holds. `range` names the valid numbers.
    pub fn number(
        &mut self,
        name: &str,
        range: &str,
        is_valid: impl Fn(f64) -> bool,
    ) -> FieldResult<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|&number| is_valid(number));
        number.map(Some).ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a number {range}")))
    }

    /// Takes a field for which this server has one value only.
    pub fn only(&mut self, name: &str, is_default: impl Fn(&Value) -> bool) -> FieldResult<()> {
        match self.take(name) {
            Some(value) if !is_default(&value) => {
                Err(ApiError::invalid(name, format!("this value of `{name}` is not supported")))
            }
            _ => Ok(()),
        }
    }

    /// Takes stop strings: a text, or a list of texts. OpenAI's interface has at most 4 of them. Tasks of
    /// lm-evaluation-harness have more.
    pub fn stop_strings(&mut self) -> FieldResult<Vec<String>> {
        let strings = match self.take("stop") {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => Some(vec![text]),
            Some(Value::Array(texts)) if (1..=MAX_STOP_STRINGS).contains(&texts.len()) => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        strings.filter(|strings: &Vec<String>| strings.iter().all(|text| !text.is_empty())).ok_or_else(|| {
            let message = format!("`stop` must be a text, or a list of 1 to {MAX_STOP_STRINGS} texts");
            ApiError::invalid("stop", message)
        })
    }

    /// Returns an error if a field was not taken.
    pub fn finish(self) -> FieldResult<()> {
        match self.fields.keys().find(|name| !IGNORED.contains(&name.as_str())) {
            Some(name) => Err(ApiError::invalid(name, format!("the field `{name}` is not supported"))),
            None => Ok(()),
        }
    }
}

/// Returns whether a value is the number 0, as an integer or not.
pub fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

/// Returns whether a value is an object or a list without entries.
pub fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> RequestFields {
        RequestFields::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_body_must_be_a_json_object() {
        let deep = "[".repeat(100_000);
        for body in ["", "[]", "1", "{", "{\"a\":1}x", "\u{fffd}", &deep] {
            assert!(RequestFields::parse(body.as_bytes()).is_err(), "{body:.20}");
        }
        assert!(RequestFields::parse(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for value in [json!(-1), json!(6), json!(1.5), json!("2"), json!(1e30), json!([])] {
            assert!(fields(json!({ "n": value })).integer("n", 0..=5).is_err(), "{value}");
            let is_valid = |number| (0.0..=5.0).contains(&number);
            let number = fields(json!({ "n": value })).number("n", "from 0 to 5", is_valid);
            assert_eq!(number.is_ok(), value == json!(1.5), "{value}");
            assert!(fields(json!({ "n": value })).flag("n").is_err(), "{value}");
        }
        assert_eq!(fields(json!({ "n": 5 })).integer("n", 0..=5).unwrap(), Some(5));
        assert_eq!(fields(json!({ "n": null })).integer("n", 0..=5).unwrap(), None);
    }

    #[test]
    fn stop_strings_are_texts() {
        assert_eq!(fields(json!({})).stop_strings().unwrap(), Vec::<String>::new());
        assert_eq!(fields(json!({ "stop": "." })).stop_strings().unwrap(), ["."]);
        assert_eq!(fields(json!({ "stop": ["a", "b"] })).stop_strings().unwrap(), ["a", "b"]);
        for stop in [json!([]), json!(""), json!([""]), json!(vec!["a"; 33]), json!([1]), json!(1)] {
            assert!(fields(json!({ "stop": stop })).stop_strings().is_err(), "{stop}");
        }
    }

    #[test]
    fn a_field_that_nobody_takes_is_refused() {
        assert!(fields(json!({ "user": "u", "store": true })).finish().is_ok());
        let error = fields(json!({ "top_k": 5 })).finish().unwrap_err();
        assert_eq!(error.to_json()["error"]["param"], "top_k");
        let mut penalty =
            fields(json!({ "presence_penalty": 0.0, "frequency_penalty": 1, "logit_bias": {} }));
        assert!(penalty.only("presence_penalty", is_zero).is_ok());
        assert!(penalty.only("frequency_penalty", is_zero).is_err());
        assert!(penalty.only("logit_bias", is_empty).is_ok());
    }
}
