//! Filters that convert values to text by Python's rules. They replace minijinja's own filters, and charge
//! fuel as [`limits`](super::limits) describes.

use minijinja::value::{Kwargs, Rest, StringInput, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters};

use super::limits::{charge_bytes, charge_list};
use super::{format, numbers, tojson};

/// Adds the filters of this module and of `format`, `numbers` and `tojson` to `environment`.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("string", |state: &mut State<'_, '_>, value: &Value| text_of(state, value));
    environment.add_filter("upper", |state: &mut State<'_, '_>, value: &Value| {
        text_of(state, value).map(|text| text.to_uppercase())
    });
    environment.add_filter("lower", |state: &mut State<'_, '_>, value: &Value| {
        text_of(state, value).map(|text| text.to_lowercase())
    });
    environment.add_filter("title", |state: &mut State<'_, '_>, value: &Value| {
        text_of(state, value).map(|text| title(&text))
    });
    environment.add_filter("capitalize", |state: &mut State<'_, '_>, value: &Value| {
        let text = Value::from(text_of(state, value)?);
        StringInput::new(state, &text).map(filters::capitalize)
    });
    environment.add_filter("trim", trim);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter(
        "format",
        |state: &mut State<'_, '_>, text: &Value, arguments: Rest<ValueOrKwargs>| {
            let text = text_of(state, text)?;
            format::format_printf(state, &text, &arguments.into_values())
        },
    );
    environment.add_filter("tojson", tojson::tojson_for_html);
    environment.add_filter("int", numbers::int);
    environment.add_filter("float", numbers::float);
    environment.add_filter("round", numbers::round);
    // `pprint` is removed, because minijinja's line breaks differ from Python's.
    environment.remove_filter("pprint");
}

/// Returns Python's `str(value)`, and charges fuel for the text.
fn text_of(state: &mut State<'_, '_>, value: &Value) -> Result<String, Error> {
    state.format(value.clone())
}

/// Returns `text` in Jinja's title case: the first letter of each word is upper case, and the other letters
/// are lower case.
fn title(text: &str) -> String {
    let is_separator = |letter: char| letter.is_whitespace() || "-({[<".contains(letter);
    let mut titled = String::with_capacity(text.len());
    for word in text.split_inclusive(is_separator) {
        let mut letters = word.chars();
        titled.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        titled += &letters.as_str().to_lowercase();
    }
    titled
}

fn trim(state: &mut State<'_, '_>, value: &Value, letters: Option<&str>) -> Result<String, Error> {
    let text = text_of(state, value)?;
    Ok(match letters {
        Some(letters) => text.trim_matches(|letter| letters.contains(letter)).to_owned(),
        None => text.trim().to_owned(),
    })
}

fn replace(
    state: &mut State<'_, '_>,
    value: &Value,
    arguments: Rest<ValueOrKwargs>,
) -> Result<String, Error> {
    let arguments = arguments.into_values();
    let (old, new, count, named) = from_args::<(&Value, &Value, Option<i64>, Kwargs)>(&arguments)?;
    let count = match count {
        Some(count) => Some(count),
        None => named.get("count")?,
    };
    named.assert_all_used()?;
    let max_matches = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let (text, old, new) = (text_of(state, value)?, text_of(state, old)?, text_of(state, new)?);
    let num_matches = text.matches(old.as_str()).take(max_matches).count();
    charge_bytes(state, num_matches.saturating_mul(new.len()))?;
    Ok(text.replacen(&old, &new, max_matches))
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<&Value>,
    attribute: Option<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let joiner = match joiner {
        Some(joiner) => Some(joiner.clone()),
        None => named.get("d")?,
    };
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => named.get("attribute")?,
    };
    named.assert_all_used()?;
    if value.is_undefined() && matches!(state.undefined_behavior(), UndefinedBehavior::Strict) {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let joiner = joiner.map_or(Ok(String::new()), |joiner| text_of(state, &joiner))?;
    let items = match attribute {
        Some(attribute) => {
            let arguments = Kwargs::from_iter([("attribute", attribute)]);
            state.apply_filter("map", &[value.clone(), arguments.into()])?
        }
        None => value.clone(),
    };
    charge_list(state, &items)?;
    let mut joined = String::new();
    for (at, item) in items.try_iter()?.enumerate() {
        if at > 0 {
            charge_bytes(state, joiner.len())?;
            joined += &joiner;
        }
        joined += &text_of(state, &item)?;
    }
    Ok(joined)
}

/// Escapes text for HTML, as Python's markupsafe does. A value that is marked as safe stays as it is.
fn escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = text_of(state, value)?;
    charge_bytes(state, text.len().saturating_mul(5))?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\'' => escaped += "&#39;",
            '"' => escaped += "&#34;",
            letter => escaped.push(letter),
        }
    }
    Ok(Value::from_safe_string(escaped))
}
