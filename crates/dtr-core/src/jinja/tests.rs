//! Tests of the conversion of values to text, and of the limits on the text. `tests/reference/` compares
//! further cases with Python's Jinja.

use std::collections::BTreeMap;

use minijinja::{Value, context};
use serde_json::value::RawValue;

use super::*;

fn render(template: &str, variables: Value) -> Result<String, minijinja::Error> {
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap();
    let mut environment = create_environment(syntax);
    environment.add_template_owned("t", translate_template(template))?;
    environment.get_template("t")?.render(variables)
}

fn parse(json: &str) -> Value {
    parse_value(serde_json::from_str::<&RawValue>(json).unwrap()).unwrap()
}

#[test]
fn integers_of_any_size_keep_their_digits() {
    for digits in ["0", "-7", "9223372036854775808", "123456789012345678901234567890", &"9".repeat(60)] {
        let value = parse(digits);
        assert_eq!(
            render("{{ v }} {{ [v] }} {{ v|tojson }} {{ v is number }}", context! { v => value }).unwrap(),
            { format!("{digits} [{digits}] {digits} True") }
        );
    }
    assert_eq!(python_str(&parse("-0")).unwrap(), "0", "the integer -0 is 0 in Python");
}

#[test]
fn special_numbers_of_python_are_read_outside_of_strings_only() {
    let json =
        r#"{"NaN": NaN, "list": [Infinity, -Infinity, -1], "text": "\"NaN\\", "Infinity": "Infinity"}"#;
    let object = parse_python_object(json).unwrap();
    assert_eq!(
        python_str(&Value::from_pairs(object)).unwrap(),
        r#"{'NaN': nan, 'list': [inf, -inf, -1], 'text': '"NaN\\', 'Infinity': 'Infinity'}"#
    );
    for json in [r#"{"a": -NaN}"#, r#"{"a": NaNNaN}"#, r#"{"a": xNaN}"#, "{NaN: 1}", "NaN", r#"{"a": 1e999}"#]
    {
        assert!(parse_python_object(json).is_err(), "{json}");
    }
}

#[test]
fn objects_keep_the_order_of_their_keys_and_the_last_value_of_a_key() {
    let value = parse("{\"b\": 1, \"a\": 2, \"b\": 3}");
    assert_eq!(python_str(&value).unwrap(), "{'b': 3, 'a': 2}");
}

#[test]
fn nesting_is_limited() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let raw = |json: String| RawValue::from_string(json).unwrap();
    assert!(parse_value(&raw(deep(100))).is_ok());
    assert!(parse_value(&raw(deep(200_000))).is_err());
    assert!(render("{{ v }}", context! { v => parse(&deep(100)) }).is_err());
    assert!(python_str(&parse(&deep(60))).is_ok());
}

#[test]
fn python_objects_print_their_text_and_in_lists_their_repr() {
    let attributes = vec![("year", 2020)];
    let date = PythonObject { attributes, ..PythonObject::new("2020-01-02", "datetime.date(2020, 1, 2)") };
    let v = Value::from_object(date);
    let template =
        "{{ v }} {{ [v] }} {{ v ~ '' }} {{ v|string }} {{ [v]|join }} {{ v.year + 1 }} {{ v.isoformat() }}";
    assert_eq!(
        render(template, context! { v }).unwrap(),
        "2020-01-02 [datetime.date(2020, 1, 2)] 2020-01-02 2020-01-02 2020-01-02 2021 2020-01-02"
    );
}

#[test]
fn undefined_values_are_empty_text_or_an_error() {
    let template = "<{{ v }}{{ v ~ 1 }}{{ v|string }}>";
    assert_eq!(render(template, Value::from(BTreeMap::<String, Value>::new())).unwrap(), "<1>");
    assert!(render("{{ v|int }}", context! {}).is_err());
}

#[test]
fn methods_of_bytes_and_texts_exist() {
    let bytes = Value::from_bytes("é".into());
    assert_eq!(
        render("{{ b }} {{ b.decode('utf-8') }}", context! { b => bytes }).unwrap(),
        "b'\\xc3\\xa9' é"
    );
    assert_eq!(render("{{ 'abc'.removeprefix('a').removesuffix('c') }}", context! {}).unwrap(), "b");
    assert_eq!(render("{{ [1, 2.0].index(2) }}", context! {}).unwrap(), "1");
    assert!(render("{{ ', '.join([1]) }}", context! {}).is_err(), "a number was joined as text");
}

#[test]
fn formats_convert_their_arguments_as_python_does() {
    for (template, text) in [
        ("{{ '%d of %.1f and %r'|format(3.7, 2, ['a']) }}", "3 of 2.0 and ['a']"),
        ("{{ '%5s|%-5s|%%'|format(1e16, none) }}", "1e+16|None |%"),
        ("{{ '%(a)s'|format(a=[1e16]) }}", "[1e+16]"),
        ("{{ '{}: {:.2f} {a}'.format('x', 0.5, a=[1e-7]) }}", "x: 0.50 [1e-07]"),
        ("{{ '{:,} {:,}'.format(1234567, 0.5) }}", "1,234,567 0.5"),
    ] {
        assert_eq!(render(template, context! {}).unwrap(), text, "{template}");
    }
    // Python rounds this integer to a float before formatting, and minijinja does not. dtr returns an error,
    // because the texts would differ.
    assert!(render("{{ '{:.1f}'.format(9007199254740993) }}", context! {}).is_err(), "was not refused");
}
