//! Finds numbers that JSON cannot hold, before they are written as `null` without a word.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};
use serde_json::Value;

use dtr_core::error::{Error, Result};

/// Refuses a value that holds a NaN or an infinity anywhere, and names the field.
pub(super) fn ensure_finite<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    value.serialize(Scan).map_err(|fault| Error::failed(fault.to_string()))
}

/// Walks a value as a serializer does and writes nothing.
#[derive(Clone, Copy)]
struct Scan;

/// What the scan stumbled over, and the fields and map keys that lead there, innermost first.
#[derive(Debug)]
struct Fault {
    what: String,
    fields: Vec<String>,
}

type Verdict = std::result::Result<(), Fault>;

fn verdict(is_finite: bool) -> Verdict {
    let fault = || Fault { what: "not a finite number".to_owned(), fields: Vec::new() };
    if is_finite { Ok(()) } else { Err(fault()) }
}

fn scan_field<T: Serialize + ?Sized>(name: &'static str, value: &T) -> Verdict {
    value.serialize(Scan).map_err(|mut fault| {
        fault.fields.push(name.to_owned());
        fault
    })
}

fn scan_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(key: &K, value: &V) -> Verdict {
    key.serialize(Scan)?;
    value.serialize(Scan).map_err(|mut fault| {
        fault.fields.extend(key_text(key));
        fault
    })
}

/// A map's key as JSON would show it.
fn key_text<K: Serialize + ?Sized>(key: &K) -> Option<String> {
    match serde_json::to_value(key).ok()? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = self.fields.clone();
        path.reverse();
        match path.is_empty() {
            true => write!(f, "a value is {}", self.what),
            false => write!(f, "`{}` is {}", path.join("."), self.what),
        }
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { what: format!("not to be serialized: {message}"), fields: Vec::new() }
    }
}

/// Methods for what holds no number of floating point.
macro_rules! accept {
    ($($method:ident($($kind:ty),*))*) => {
        $(fn $method(self, $(_: $kind),*) -> Verdict { Ok(()) })*
    };
}

/// Methods that begin a compound value, whose parts the same scan walks.
macro_rules! enter {
    ($($method:ident($($kind:ty),*) -> $compound:ident)*) => {
        $(
            type $compound = Self;
            fn $method(self, $(_: $kind),*) -> std::result::Result<Self, Fault> { Ok(self) }
        )*
    };
}

impl Serializer for Scan {
    type Ok = ();
    type Error = Fault;

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

    fn serialize_f32(self, value: f32) -> Verdict {
        verdict(value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Verdict {
        verdict(value.is_finite())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Verdict {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Verdict {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Verdict {
        scan_field(name, value)
    }
}

/// Compounds whose parts have no names of their own.
macro_rules! scan_parts {
    ($($compound:ident: $($method:ident),*;)*) => {
        $(impl ser::$compound for Scan {
            type Ok = ();
            type Error = Fault;
            $(fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Verdict { value.serialize(Scan) })*
            fn end(self) -> Verdict { Ok(()) }
        })*
    };
}

/// Compounds whose parts are fields.
macro_rules! scan_fields {
    ($($compound:ident)*) => {
        $(impl ser::$compound for Scan {
            type Ok = ();
            type Error = Fault;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Verdict {
                scan_field(name, value)
            }
            fn end(self) -> Verdict { Ok(()) }
        })*
    };
}

scan_parts! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

scan_fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Scan {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Verdict {
        key.serialize(Scan)
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Verdict {
        value.serialize(Scan)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Verdict {
        scan_entry(key, value)
    }

    fn end(self) -> Verdict {
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
