//! Reads the fields of `config.json` by the rules of [`CONFIG_KEYS`](super::keys::CONFIG_KEYS).

use serde_json::{Map, Value};

use super::ModelType;
use super::keys::{AllowedValue, CONFIG_KEYS, Fallback, KeyRule};
use super::{HYBRID_KEY, HYBRID_MODEL_TYPE};

/// The result of reading a field. The error continues a sentence that begins with the name of the file.
pub(super) type FieldResult<T> = std::result::Result<T, String>;

/// The fields of `config.json`, for one architecture.
pub(super) struct ConfigFields<'a> {
    fields: &'a Map<String, Value>,
    pub model_type: ModelType,
}

impl<'a> ConfigFields<'a> {
    /// Returns the fields. Fails if the architecture is not supported, or a field has an unsupported value.
    pub fn new(fields: &'a Map<String, Value>) -> FieldResult<Self> {
        let model_type = read_model_type(fields)?;
        let this = Self { fields, model_type };
        CONFIG_KEYS.iter().try_for_each(|key| match (key.rule(model_type), fields.get(key.name)) {
            (KeyRule::Only { allowed, feature }, Some(value)) => {
                check_allowed(key.name, value, allowed, feature)
            }
            _ => Ok(()),
        })?;
        Ok(this)
    }

    /// Returns the value of a field, which may be `null`. Returns `None` if the field is absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        debug_assert!(
            CONFIG_KEYS.iter().any(|row| row.name == key),
            "`{key}` has no row in the table of keys"
        );
        self.fields.get(key)
    }

    /// Returns the size in a field, or the fallback that the field's rule names.
    pub fn size(&self, key: &str) -> FieldResult<usize> {
        let KeyRule::Size { absent, null } = self.rule(key) else { unreachable!("`{key}` is not a size") };
        let fallback = match self.get(key) {
            None => absent,
            Some(Value::Null) => null,
            Some(value) => return whole_number(key, value),
        };
        match fallback {
            Fallback::Size(size) => Ok(size),
            Fallback::NumHeads => self.size("num_attention_heads"),
            Fallback::HeadWidth => Ok(self.size("hidden_size")? / self.size("num_attention_heads")?.max(1)),
            Fallback::Refused => Err(format!("has `null` as `{key}`, which must be a whole number")),
        }
    }

    /// Returns the floating-point number in a field, or its default. An integer is an error.
    pub fn number(&self, key: &str) -> FieldResult<f64> {
        let KeyRule::Number(absent) = self.rule(key) else { unreachable!("`{key}` is not a number") };
        match self.get(key) {
            None => Ok(absent),
            Some(Value::Number(number)) if number.is_f64() => Ok(number.as_f64().unwrap_or(f64::NAN)),
            Some(value) => Err(format!("has {value} as `{key}`, which must be a number such as {absent:e}")),
        }
    }

    /// Returns the flag in a field, or `false` if the field is absent or `null`.
    pub fn flag(&self, key: &str) -> FieldResult<bool> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(format!("has {value} as `{key}`, which must be true or false")),
        }
    }

    fn rule(&self, key: &str) -> KeyRule {
        let row = CONFIG_KEYS.iter().find(|row| row.name == key);
        row.expect("the table has a row for every key that is read").rule(self.model_type)
    }
}

/// Returns the architecture of the model. The architecture of a hybrid is that of its base.
fn read_model_type(fields: &Map<String, Value>) -> FieldResult<ModelType> {
    let (key, value) = match fields.get("model_type") {
        Some(value) if *value == HYBRID_MODEL_TYPE => {
            let base = fields.get(HYBRID_KEY).and_then(|table| table.get("base"));
            ("dtr.base.model_type", base.and_then(|base| base.get("model_type")))
        }
        value => ("model_type", value),
    };
    match value.and_then(Value::as_str) {
        Some("llama") => Ok(ModelType::Llama),
        Some("qwen2") => Ok(ModelType::Qwen2),
        Some("qwen3") => Ok(ModelType::Qwen3),
        Some(name) => Err(format!("describes a model of type `{name}`, which is not supported")),
        None => Err(format!("does not name its architecture in `{key}`")),
    }
}

/// Returns the whole number that the field `key` holds.
pub(super) fn whole_number(key: &str, value: &Value) -> FieldResult<usize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("has {value} as `{key}`, which must be a whole number"))
}

/// Checks that the field `key` has one of the values `allowed`. Any other value needs `feature`, which dtr
/// does not support.
fn check_allowed(key: &str, value: &Value, allowed: &[AllowedValue], feature: &str) -> FieldResult<()> {
    let is_supported = allowed.iter().any(|allowed| match allowed {
        AllowedValue::Null => value.is_null(),
        AllowedValue::False => *value == false,
        AllowedValue::True => *value == true,
        AllowedValue::Zero => value.as_u64() == Some(0),
        AllowedValue::EmptyTable => value.as_object().is_some_and(Map::is_empty),
        AllowedValue::Text(text) => value == text,
        AllowedValue::UnusedQuantization => is_unused_quantization(value),
    });
    match is_supported {
        true => Ok(()),
        false => Err(format!("asks for {feature}, which is not supported: `{key}` is {value}")),
    }
}

/// Returns whether a value holds settings of bitsandbytes that quantise nothing.
fn is_unused_quantization(value: &Value) -> bool {
    let is_off = |key: &str| matches!(value.get(key), None | Some(Value::Null | Value::Bool(false)));
    value["quant_method"] == "bitsandbytes" && is_off("load_in_8bit") && is_off("load_in_4bit")
}
