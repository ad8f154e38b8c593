//! Rejects NaN and infinities before they are written as JSON. JSON has no such numbers, and serde_json would
//! write `null`.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};
use serde_json::Value;

use dtr_core::error::{Error, Result};

/// Checks that a value holds no NaN and no infinity.
///
/// # Errors
/// Fails with the name of the first field that holds such a number.
pub(super) fn ensure_finite<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    value.serialize(FiniteCheck).map_err(|error| Error::failed(error.to_string()))
}

/// A serializer that writes nothing and checks every number.
#[derive(Clone, Copy)]
struct FiniteCheck;

/// A value that cannot be written, with the fields and map keys that lead to it, innermost first.
#[derive(Debug)]
struct InvalidValue {
    problem: String,
    fields: Vec<String>,
}

type Checked = std::result::Result<(), InvalidValue>;

fn check(is_finite: bool) -> Checked {
    let error = || InvalidValue { problem: "not a finite number".to_owned(), fields: Vec::new() };
    if is_finite { Ok(()) } else { Err(error()) }
}

fn check_field<T: Serialize + ?Sized>(name: &'static str, value: &T) -> Checked {
    value.serialize(FiniteCheck).map_err(|mut error| {
        error.fields.push(name.to_owned());
        error
    })
}

fn check_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(key: &K, value: &V) -> Checked {
    key.serialize(FiniteCheck)?;
    value.serialize(FiniteCheck).map_err(|mut error| {
        error.fields.extend(key_text(key));
        error
    })
}

/// Returns the text of a map's key in JSON.
fn key_text<K: Serialize + ?Sized>(key: &K) -> Option<String> {
    match serde_json::to_value(key).ok()? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = self.fields.clone();
        path.reverse();
        match path.is_empty() {
            true => write!(f, "a value is {}", self.problem),
            false => write!(f, "`{}` is {}", path.join("."), self.problem),
        }
    }
}

impl std::error::Error for InvalidValue {}

impl ser::Error for InvalidValue {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { problem: format!("not serializable: {message}"), fields: Vec::new() }
    }
}

/// Defines methods that accept every value, for types that hold no floating-point number.
macro_rules! accept {
    ($($method:ident($($kind:ty),*))*) => {
        $(fn $method(self, $(_: $kind),*) -> Checked { Ok(()) })*
    };
}

/// Defines methods that begin a compound value. The same serializer then checks the parts of the value.
macro_rules! enter {
    ($($method:ident($($kind:ty),*) -> $compound:ident)*) => {
        $(
            type $compound = Self;
            fn $method(self, $(_: $kind),*) -> std::result::Result<Self, InvalidValue> { Ok(self) }
        )*
    };
}

impl Serializer for FiniteCheck {
    type Ok = ();
    type Error = InvalidValue;

    accept! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_none() serialize_unit() serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
    }

    enter! {
        serialize_seq(Option<usize>) -> SerializeSeq
        serialize_tuple(usize) -> SerializeTuple
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant
        serialize_map(Option<usize>) -> SerializeMap
        serialize_struct(&'static str, usize) -> SerializeStruct
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant
    }

    fn serialize_f32(self, value: f32) -> Checked {
        check(value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Checked {
        check(value.is_finite())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Checked {
        check_field(name, value)
    }
}

/// Implements the traits of compound values whose parts have no names.
macro_rules! check_parts {
    ($($compound:ident: $($method:ident),*;)*) => {
        $(impl ser::$compound for FiniteCheck {
            type Ok = ();
            type Error = InvalidValue;
            $(fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked { value.serialize(FiniteCheck) })*
            fn end(self) -> Checked { Ok(()) }
        })*
    };
}

/// Implements the traits of compound values whose parts are named fields.
macro_rules! check_fields {
    ($($compound:ident)*) => {
        $(impl ser::$compound for FiniteCheck {
            type Ok = ();
            type Error = InvalidValue;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Checked {
                check_field(name, value)
            }
            fn end(self) -> Checked { Ok(()) }
        })*
    };
}

check_parts! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

check_fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for FiniteCheck {
    type Ok = ();
    type Error = InvalidValue;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Checked {
        key.serialize(FiniteCheck)
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Checked {
        value.serialize(FiniteCheck)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Checked {
        check_entry(key, value)
    }

    fn end(self) -> Checked {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    struct Outer {
        count: u32,
        note: Option<&'static str>,
        inner: Vec<Inner>,
    }

    #[derive(serde::Serialize)]
    enum Inner {
        Rate(f32),
        Pair { low: f64, high: Option<f64> },
    }

    fn outer(inner: Inner) -> Outer {
        Outer { count: 1, note: None, inner: vec![Inner::Rate(0.5), inner] }
    }

    #[test]
    fn finite_values_of_every_shape_pass() {
        ensure_finite(&outer(Inner::Pair { low: f64::MIN, high: None })).unwrap();
        ensure_finite(&std::collections::BTreeMap::from([(1, (true, 'a', [2.0, 3.0]))])).unwrap();
    }

    #[test]
    fn a_number_that_is_not_finite_is_named() {
        let refused = |inner| ensure_finite(&outer(inner)).unwrap_err().to_string();
        assert_eq!(refused(Inner::Rate(f32::NAN)), "`inner.Rate` is not a finite number");
        let infinite = Inner::Pair { low: 0.0, high: Some(f64::INFINITY) };
        assert_eq!(refused(infinite), "`inner.high` is not a finite number");
        let rates = std::collections::BTreeMap::from([("low", vec![0.5]), ("high", vec![0.5, f64::NAN])]);
        assert_eq!(ensure_finite(&rates).unwrap_err().to_string(), "`high` is not a finite number");
        let layers = std::collections::BTreeMap::from([(3, f32::INFINITY)]);
        assert_eq!(ensure_finite(&layers).unwrap_err().to_string(), "`3` is not a finite number");
        assert_eq!(ensure_finite(&[f64::NAN]).unwrap_err().to_string(), "a value is not a finite number");
    }
}
