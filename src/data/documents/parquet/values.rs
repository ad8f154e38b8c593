//! Converts the values of Arrow arrays to the Python objects that pyarrow and `datasets` return.

use minijinja::value::Tuple;
use minijinja::{Error, ErrorKind, Value};
use polars::prelude::pf16;
use polars_arrow::array::{
    Array, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, ListArray,
    PrimitiveArray, StructArray, Utf8ViewArray,
};
use polars_arrow::datatypes::{ArrowDataType, Field, TimeUnit};
use polars_arrow::types::{NativeType, i256};
use serde_json::value::RawValue;

use super::types::UUID;
use crate::data::python_time;
use dtr_core::jinja::{NumberKind, PythonObject, parse_value};

/// The names that writers give to the entries of a map.
const MAP_ENTRIES: [&str; 2] = ["entries", "key_value"];

/// Returns the value at `row` of `array`, which holds values of `column`. `dtype` is the type in the file's
/// schema.
///
/// A value without a counterpart in Python becomes an error, which a template raises when it uses the value.
pub(super) fn value_at(column: &str, array: &dyn Array, dtype: &ArrowDataType, row: usize) -> Value {
    if matches!(dtype, ArrowDataType::Null) || array.is_null(row) {
        return Value::from(());
    }
    try_value_at(column, array, dtype, row).unwrap_or_else(|| {
        let message =
            format!("`{column}` holds a value of the type {dtype:?}, which templates do not support");
        Value::from(Error::new(ErrorKind::InvalidOperation, message))
    })
}

fn try_value_at(column: &str, array: &dyn Array, dtype: &ArrowDataType, row: usize) -> Option<Value> {
    use ArrowDataType as D;
    Some(match dtype {
        D::Dictionary(_, values, _) => value_at(column, array, values, row),
        D::Extension(extension) => extension_value(column, array, &extension.name, &extension.inner, row)?,
        D::List(item) | D::LargeList(item) | D::Map(item, _) | D::FixedSizeList(item, _) => {
            list(column, array, item, row)?
        }
        D::Struct(fields) => {
            let values = downcast::<StructArray>(array)?.values();
            let pairs = fields.iter().zip(values);
            Value::from_pairs(pairs.map(|(field, values)| {
                (field.name.as_str(), value_at(column, values.as_ref(), &field.dtype, row))
            }))
        }
        D::Boolean => downcast::<BooleanArray>(array)?.value(row).into(),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => downcast::<Utf8ViewArray>(array)?.value(row).into(),
        D::Binary | D::LargeBinary | D::BinaryView => match array.as_any().downcast_ref::<Utf8ViewArray>() {
            Some(texts) => texts.value(row).into(),
            None => Value::from_bytes(downcast::<BinaryViewArray>(array)?.value(row).to_vec()),
        },
        D::FixedSizeBinary(_) => {
            Value::from_bytes(downcast::<FixedSizeBinaryArray>(array)?.value(row).to_vec())
        }
        _ => number(array, dtype, row).or_else(|| time(array, dtype, row))?,
    })
}

fn downcast<T: 'static>(array: &dyn Array) -> Option<&T> {
    array.as_any().downcast_ref()
}

fn primitive<T: NativeType>(array: &dyn Array, row: usize) -> Option<T> {
    Some(downcast::<PrimitiveArray<T>>(array)?.value(row))
}

fn number(array: &dyn Array, dtype: &ArrowDataType, row: usize) -> Option<Value> {
    use ArrowDataType as D;
    Some(match dtype {
        D::Int8 => primitive::<i8>(array, row)?.into(),
        D::Int16 => primitive::<i16>(array, row)?.into(),
        D::Int32 => primitive::<i32>(array, row)?.into(),
        D::Int64 => primitive::<i64>(array, row)?.into(),
        D::UInt8 => primitive::<u8>(array, row)?.into(),
        D::UInt16 => primitive::<u16>(array, row)?.into(),
        D::UInt32 => primitive::<u32>(array, row)?.into(),
        D::UInt64 => primitive::<u64>(array, row)?.into(),
        D::Float16 => primitive::<pf16>(array, row)?.0.to_f64().into(),
        D::Float32 => f64::from(primitive::<f32>(array, row)?).into(),
        D::Float64 => primitive::<f64>(array, row)?.into(),
        D::Decimal(_, scale) | D::Decimal32(_, scale) | D::Decimal64(_, scale) => {
            decimal(&primitive::<i128>(array, row)?.to_string(), *scale)
        }
        D::Decimal256(_, scale) => decimal(&primitive::<i256>(array, row)?.to_string(), *scale),
        _ => return None,
    })
}

fn time(array: &dyn Array, dtype: &ArrowDataType, row: usize) -> Option<Value> {
    use ArrowDataType as D;
    let object = match dtype {
        D::Date32 => python_time::date(primitive::<i32>(array, row)?.into()),
        D::Date64 => python_time::date(primitive::<i64>(array, row)?.div_euclid(86_400_000)),
        D::Timestamp(unit, zone) => {
            // `i64::MAX` stands for a 96-bit time that does not fit in 64 bits.
            let count = primitive::<i64>(array, row).filter(|count| *count != i64::MAX)?;
            python_time::datetime(count, nanoseconds_of(*unit), zone.as_ref().map(|zone| zone.as_str()))
        }
        // Parquet stores 32-bit times in milliseconds, even if the Arrow schema names another unit.
        D::Time32(_) => python_time::time(primitive::<i32>(array, row)?.into(), 1_000_000),
        D::Time64(unit) => python_time::time(primitive::<i64>(array, row)?, nanoseconds_of(*unit)),
        D::Duration(unit) => python_time::timedelta(primitive::<i64>(array, row)?, nanoseconds_of(*unit)),
        _ => None,
    };
    object.map(Value::from_object)
}

fn nanoseconds_of(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Returns the list or the map in `row`. A map becomes a list of (key, value) tuples.
fn list(column: &str, array: &dyn Array, item: &Field, row: usize) -> Option<Value> {
    let items = match array.as_any().downcast_ref::<FixedSizeListArray>() {
        Some(lists) => lists.value(row),
        None => downcast::<ListArray<i64>>(array)?.value(row),
    };
    if let (true, ArrowDataType::Struct(fields)) = (MAP_ENTRIES.contains(&item.name.as_str()), &item.dtype)
        && let [key, value] = &fields[..]
    {
        let [keys, values] = downcast::<StructArray>(items.as_ref())?.values() else { return None };
        let entry = |row| {
            let pair = [
                value_at(column, keys.as_ref(), &key.dtype, row),
                value_at(column, values.as_ref(), &value.dtype, row),
            ];
            Value::from(Tuple::from(pair))
        };
        return Some((0..items.len()).map(entry).collect());
    }
    Some((0..items.len()).map(|row| value_at(column, items.as_ref(), &item.dtype, row)).collect())
}

/// Returns a value of the extension type `name`. As in `datasets`, JSON text is decoded.
fn extension_value(
    column: &str,
    array: &dyn Array,
    name: &str,
    inner: &ArrowDataType,
    row: usize,
) -> Option<Value> {
    let value = value_at(column, array, inner, row);
    match (name, value.as_str(), value.as_bytes()) {
        (UUID, _, Some(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..)?];
            let text = parts.join("-");
            let repr = format!("UUID('{text}')");
            Some(Value::from_object(PythonObject::new(text, repr)))
        }
        ("arrow.json", Some(text), _) => {
            let json: &RawValue = serde_json::from_str(text).ok()?;
            parse_value(json).ok()
        }
        _ => Some(value),
    }
}

/// Returns a `decimal.Decimal`: the integer `coefficient` with `scale` decimal places.
fn decimal(coefficient: &str, scale: usize) -> Value {
    let (sign, digits) = match coefficient.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", coefficient),
    };
    // The number of digits before the decimal point.
    let whole = digits.len() as i64 - scale as i64;
    let unsigned = match whole {
        _ if scale == 0 => digits.to_owned(),
        1.. => format!("{}.{}", &digits[..whole as usize], &digits[whole as usize..]),
        -5..=0 => format!("0.{}{digits}", "0".repeat(-whole as usize)),
        _ => {
            let fraction = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
            format!("{}{fraction}E{}", &digits[..1], whole - 1)
        }
    };
    let text = format!("{sign}{unsigned}");
    let repr = format!("Decimal('{text}')");
    let is_true = digits.bytes().any(|digit| digit != b'0');
    let number = Some(NumberKind::Decimal);
    Value::from_object(PythonObject { number, is_true, ..PythonObject::new(text, repr) })
}
