//! Two filters with the name `tojson`: the filter that transformers defines for chat templates, and Jinja's
//! own filter. Both format JSON as Python's `json.dumps` does, and charge fuel as [`limits`](super::limits)
//! describes.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::limits::charge_bytes;
use super::object::{NumberKind, PythonObject};
use super::text::float_repr;

/// The names of the filter's arguments after the value, in the order of positional arguments.
const ARGUMENTS: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];

/// The largest allowed indent per level, in bytes.
const MAX_INDENT: usize = 100;

/// The deepest allowed nesting of lists and mappings.
const MAX_DEPTH: usize = 64;

/// Each value costs as much fuel as a text of this many bytes, in addition to the fuel for its own text.
const BYTES_PER_VALUE: usize = 64;

/// The filter `tojson` of chat templates, as transformers defines it: `json.dumps` with `ensure_ascii=False`
/// as the default. The filter's arguments may be positional or named.
///
/// # Errors
/// Fails when an argument or the value is not valid, or when the fuel is used up.
pub fn tojson(
    state: &mut State<'_, '_>,
    value: &Value,
    positional: Rest<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let argument = |at: usize| -> Result<Value, Error> {
        match positional.get(at) {
            Some(value) => Ok(value.clone()),
            None => Ok(named.get::<Option<Value>>(ARGUMENTS[at])?.unwrap_or(Value::from(()))),
        }
    };
    let indent = parse_indent(&argument(1)?)?;
    let (item_separator, key_separator) = parse_separators(&argument(2)?, indent.is_some())?;
    let (is_ascii, is_sorted) = (argument(0)?.is_true(), argument(3)?.is_true());
    named.assert_all_used()?;
    let writer =
        JsonWriter { indent, item_separator, key_separator, is_ascii, is_sorted, ..JsonWriter::new(state) };
    writer.write(value)
}

/// Jinja's own filter `tojson`: keys are sorted, all text is ASCII, and characters with a meaning in HTML are
/// escaped.
pub(super) fn tojson_for_html(
    state: &mut State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let indent = indent.map_or_else(|| named.get::<Option<Value>>("indent"), |indent| Ok(Some(indent)))?;
    named.assert_all_used()?;
    let indent = parse_indent(&indent.unwrap_or(Value::from(())))?;
    let (item_separator, key_separator) = parse_separators(&Value::from(()), indent.is_some())?;
    let (is_ascii, is_sorted) = (true, true);
    let writer =
        JsonWriter { indent, item_separator, key_separator, is_ascii, is_sorted, ..JsonWriter::new(state) };
    let text = writer.write(value)?;
    charge_bytes(state, text.len().saturating_mul("\\u003c".len()))?;
    let escapes = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")];
    Ok(escapes.into_iter().fold(text, |text, (letter, escape)| text.replace(letter, escape)))
}

/// Returns the indent per level, or `None` if the JSON is written on a single line.
fn parse_indent(value: &Value) -> Result<Option<String>, Error> {
    match (value.as_str(), value.as_i64()) {
        _ if value.is_none() => Ok(None),
        (Some(text), _) if text.len() <= MAX_INDENT => Ok(Some(text.to_owned())),
        (Some(text), _) => Err(invalid_argument(format!(
            "`indent` of `tojson` has {} bytes, above {MAX_INDENT}",
            text.len()
        ))),
        (_, Some(count)) if count > MAX_INDENT as i64 => {
            Err(invalid_argument(format!("`indent` of `tojson` is {count}, above {MAX_INDENT}")))
        }
        (_, Some(count)) => Ok(Some(" ".repeat(count.max(0) as usize))),
        _ => Err(invalid_argument(format!("`indent` of `tojson` is {value}, not a whole number or text"))),
    }
}

/// Returns the separators between items, and between a key and its value.
fn parse_separators(value: &Value, is_indented: bool) -> Result<(String, String), Error> {
    if value.is_none() {
        return Ok(((if is_indented { "," } else { ", " }).to_owned(), ": ".to_owned()));
    }
    let parts: Vec<Value> = value.try_iter()?.collect();
    match parts.iter().map(|part| part.as_str()).collect::<Option<Vec<_>>>().as_deref() {
        Some([item_separator, key_separator]) => {
            Ok(((*item_separator).to_owned(), (*key_separator).to_owned()))
        }
        _ => Err(invalid_argument(format!("`separators` of `tojson` is {value}, not two strings"))),
    }
}

fn invalid_argument(message: String) -> Error {
    Error::new(ErrorKind::BadSerialization, message)
}

struct JsonWriter<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    text: String,
    /// The number of bytes of `text` for which fuel has been charged.
    num_charged: usize,
    depth: usize,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    is_ascii: bool,
    is_sorted: bool,
}

impl<'a, 'b, 'c> JsonWriter<'a, 'b, 'c> {
    fn new(state: &'a State<'b, 'c>) -> Self {
        Self {
            state,
            text: String::new(),
            num_charged: 0,
            depth: 0,
            indent: None,
            item_separator: String::new(),
            key_separator: String::new(),
            is_ascii: false,
            is_sorted: false,
        }
    }

    fn write(mut self, value: &Value) -> Result<String, Error> {
        self.write_value(value)?;
        Ok(self.text)
    }

    fn write_value(&mut self, value: &Value) -> Result<(), Error> {
        let parts = value.len().unwrap_or_default().saturating_mul(BYTES_PER_VALUE);
        charge_bytes(
            self.state,
            (BYTES_PER_VALUE + self.text.len() - self.num_charged).saturating_add(parts),
        )?;
        self.num_charged = self.text.len();
        match value.kind() {
            ValueKind::String => self.write_string(value.as_str().expect("a string has text")),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_group(['[', ']'], &items, |writer, item| writer.write_value(item))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.is_sorted {
                    keys.sort();
                }
                self.write_group(['{', '}'], &keys, |writer, key| writer.write_member(value, key))?;
            }
            _ => self.text += &format_scalar(value)?,
        }
        Ok(())
    }

    fn write_member(&mut self, map: &Value, key: &Value) -> Result<(), Error> {
        match key.as_str() {
            Some(name) => self.write_string(name),
            None => self.text += &format!("\"{}\"", format_scalar(key)?),
        }
        self.text += &self.key_separator;
        self.write_value(&map.get_item(key)?)
    }

    fn write_group(
        &mut self,
        [open, close]: [char; 2],
        items: &[Value],
        mut write: impl FnMut(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(invalid_argument(format!(
                "the value of `tojson` is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        self.text.push(open);
        self.depth += 1;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.text += &self.item_separator;
            }
            self.write_newline();
            write(self, item)?;
        }
        self.depth -= 1;
        if !items.is_empty() {
            self.write_newline();
        }
        self.text.push(close);
        Ok(())
    }

    /// Starts a new line if the JSON is indented.
    fn write_newline(&mut self) {
        if let Some(indent) = &self.indent {
            self.text.push('\n');
            self.text += &indent.repeat(self.depth);
        }
    }

    fn write_string(&mut self, text: &str) {
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.text += "\\\"",
                '\\' => self.text += "\\\\",
                '\n' => self.text += "\\n",
                '\r' => self.text += "\\r",
                '\t' => self.text += "\\t",
                '\u{8}' => self.text += "\\b",
                '\u{c}' => self.text += "\\f",
                '\0'..' ' => self.write_escape(letter),
                '\u{7f}'.. if self.is_ascii => self.write_escape(letter),
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }

    fn write_escape(&mut self, letter: char) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            self.text += &format!("\\u{unit:04x}");
        }
    }
}

/// Formats a value that is neither a string nor a collection.
fn format_scalar(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Ok(value.to_string()),
        ValueKind::Number => Ok(format_float(f64::try_from(value.clone())?)),
        kind => match value.downcast_object_ref::<PythonObject>() {
            Some(object) if object.number == Some(NumberKind::Integer) => Ok(object.text.clone()),
            _ => Err(invalid_argument(format!("a value of kind {kind} cannot be written as JSON"))),
        },
    }
}

/// Formats a float as `json.dumps` does.
fn format_float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => value.to_string().replace("inf", "Infinity"),
        value => float_repr(value),
    }
}
