//! The filter `tojson` as transformers has it: Python's `json.dumps`, with letters of all scripts as they are.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use dtr_core::template_limits::charge_bytes;

/// The names of the arguments after the value, in their order.
const ARGUMENTS: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];

/// The widest indent of a level.
const WIDEST: usize = 100;

/// The most levels.
const MOST_LEVELS: usize = 64;

/// What a value costs by itself, in bytes.
const STEP: usize = 64;

/// `value` as JSON; the arguments are those of `json.dumps`, by place or by name.
pub(super) fn tojson(
    state: &mut State<'_, '_>,
    value: &Value,
    places: Rest<Value>,
    names: Kwargs,
) -> Result<String, Error> {
    let argument = |at: usize| -> Result<Value, Error> {
        match places.get(at) {
            Some(value) => Ok(value.clone()),
            None => Ok(names.get::<Option<Value>>(ARGUMENTS[at])?.unwrap_or(Value::from(()))),
        }
    };
    let indent = indent(&argument(1)?)?;
    let (between, after_key) = separators(&argument(2)?, indent.is_some())?;
    let (is_ascii, is_sorted) = (argument(0)?.is_true(), argument(3)?.is_true());
    names.assert_all_used()?;
    let mut writer = Writer {
        state,
        text: String::new(),
        paid: 0,
        depth: 0,
        indent,
        between,
        after_key,
        is_ascii,
        is_sorted,
    };
    writer.value(value)?;
    Ok(writer.text)
}

/// What a level is indented with; none where all is on one line.
fn indent(value: &Value) -> Result<Option<String>, Error> {
    match (value.as_str(), value.as_i64()) {
        _ if value.is_none() => Ok(None),
        (Some(text), _) if text.len() <= WIDEST => Ok(Some(text.to_owned())),
        (Some(text), _) => Err(refuse(format!("`indent` of `tojson` has {} bytes", text.len()))),
        (_, Some(count)) if count > WIDEST as i64 => Err(refuse(format!("`indent` of `tojson` is {count}"))),
        (_, Some(count)) => Ok(Some(" ".repeat(count.max(0) as usize))),
        _ => Err(refuse(format!("`indent` of `tojson` is {value}"))),
    }
}

/// What stands between items, and between a key and its value.
fn separators(value: &Value, is_indented: bool) -> Result<(String, String), Error> {
    if value.is_none() {
        return Ok(((if is_indented { "," } else { ", " }).to_owned(), ": ".to_owned()));
    }
    let parts: Vec<Value> = value.try_iter()?.collect();
    match parts.iter().map(|part| part.as_str()).collect::<Option<Vec<_>>>().as_deref() {
        Some([between, after_key]) => Ok(((*between).to_owned(), (*after_key).to_owned())),
        _ => Err(refuse(format!("`separators` of `tojson` is {value}, not two texts"))),
    }
}

fn refuse(what: String) -> Error {
    Error::new(ErrorKind::BadSerialization, what)
}

struct Writer<'a, 'b> {
    state: &'a State<'b, 'b>,
    text: String,
    /// Bytes of the text that are paid for.
    paid: usize,
    depth: usize,
    indent: Option<String>,
    between: String,
    after_key: String,
    is_ascii: bool,
    is_sorted: bool,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        let parts = value.len().unwrap_or_default().saturating_mul(STEP);
        charge_bytes(self.state, (STEP + self.text.len() - self.paid).saturating_add(parts))?;
        self.paid = self.text.len();
        match value.kind() {
            ValueKind::String => self.string(value.as_str().expect("a string has text")),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.group(['[', ']'], &items, |writer, item| writer.value(item))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.is_sorted {
                    keys.sort();
                }
                self.group(['{', '}'], &keys, |writer, key| writer.member(value, key))?;
            }
            _ => self.text += &scalar(value)?,
        }
        Ok(())
    }

    fn member(&mut self, map: &Value, key: &Value) -> Result<(), Error> {
        match key.as_str() {
            Some(name) => self.string(name),
            None => self.text += &format!("\"{}\"", scalar(key)?),
        }
        self.text += &self.after_key;
        self.value(&map.get_item(key)?)
    }

    fn group(
        &mut self,
        [open, close]: [char; 2],
        items: &[Value],
        mut write: impl FnMut(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == MOST_LEVELS {
            return Err(refuse(format!("what `tojson` takes is nested more than {MOST_LEVELS} times")));
        }
        self.text.push(open);
        self.depth += 1;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.text += &self.between;
            }
            self.line();
            write(self, item)?;
        }
        self.depth -= 1;
        if !items.is_empty() {
            self.line();
        }
        self.text.push(close);
        Ok(())
    }

    /// A new line, where there are lines.
    fn line(&mut self) {
        if let Some(indent) = &self.indent {
            self.text.push('\n');
            self.text += &indent.repeat(self.depth);
        }
    }

    fn string(&mut self, text: &str) {
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
                '\0'..' ' => self.escape(letter),
                '\u{7f}'.. if self.is_ascii => self.escape(letter),
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, letter: char) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            self.text += &format!("\\u{unit:04x}");
        }
    }
}

/// A value without parts.
fn scalar(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Ok(value.to_string()),
        ValueKind::Number => Ok(float(f64::try_from(value.clone())?)),
        kind => Err(refuse(format!("a value that is {kind} has no JSON"))),
    }
}

/// A float as Python writes it: the fewest digits that give it back, with an exponent where it is far from 1.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().replace("inf", "Infinity");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    match exponent {
        -4..16 => format!("{value:?}"),
        _ => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}
