//! Types of Parquet columns: the type that pyarrow gives a column, and the type that polars uses to read it.

use polars_arrow::datatypes::{ArrowDataType, ExtensionType, Field, TimeUnit};
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::read::{PhysicalType, PrimitiveLogicalType};

/// The name of Arrow's extension type of UUIDs.
pub(super) const UUID: &str = "arrow.uuid";

/// The maximum size of a 128-bit decimal number, in bytes.
const MAX_DECIMAL128_BYTES: usize = 16;

/// Returns the type that pyarrow gives a column. `dtype` is the type that polars inferred. `leaves` yields the
/// stored type of each primitive leaf of `dtype`, in depth-first order. The function consumes these leaves.
pub(super) fn pyarrow_type<'a>(
    dtype: &ArrowDataType,
    leaves: &mut impl Iterator<Item = &'a PrimitiveType>,
) -> ArrowDataType {
    use ArrowDataType as D;
    let mut inner =
        |field: &Field| Box::new(field.clone().with_dtype(pyarrow_type(&field.dtype, &mut *leaves)));
    match dtype {
        D::List(item) => D::List(inner(item)),
        D::LargeList(item) => D::LargeList(inner(item)),
        D::Map(item, is_sorted) => D::Map(inner(item), *is_sorted),
        D::FixedSizeList(item, length) => D::FixedSizeList(inner(item), *length),
        D::Struct(fields) => D::Struct(fields.iter().map(|field| *inner(field)).collect()),
        leaf => leaves.next().and_then(|stored| complete_leaf(leaf, stored)).unwrap_or_else(|| leaf.clone()),
    }
}

fn complete_leaf(dtype: &ArrowDataType, stored: &PrimitiveType) -> Option<ArrowDataType> {
    use ArrowDataType as D;
    match (dtype, stored.physical_type, stored.logical_type) {
        // A 96-bit time has no time zone, even if the Arrow schema names a time zone.
        (_, PhysicalType::Int96, _) => Some(D::Timestamp(TimeUnit::Nanosecond, None)),
        (D::BinaryView, _, Some(PrimitiveLogicalType::Json)) => Some(D::Utf8View),
        (D::FixedSizeBinary(2), _, Some(PrimitiveLogicalType::Float16)) => Some(D::Float16),
        (D::FixedSizeBinary(16), _, Some(PrimitiveLogicalType::Uuid)) => {
            let inner = dtype.clone();
            Some(D::Extension(Box::new(ExtensionType { name: UUID.into(), inner, metadata: None })))
        }
        (D::Decimal(precision, scale), PhysicalType::FixedLenByteArray(length), _)
            if length > MAX_DECIMAL128_BYTES =>
        {
            Some(D::Decimal256(*precision, *scale))
        }
        _ => None,
    }
}

/// Returns the type that polars uses to read a column of the type `dtype`. Polars reads a dictionary as its
/// values, and a map as a list.
pub(super) fn polars_type(dtype: &ArrowDataType) -> ArrowDataType {
    use ArrowDataType as D;
    let inner = |field: &Field| Box::new(field.clone().with_dtype(polars_type(&field.dtype)));
    match dtype {
        D::Dictionary(_, values, _) => polars_type(values),
        D::Extension(extension) => polars_type(&extension.inner),
        D::List(item) | D::LargeList(item) | D::Map(item, _) => D::LargeList(inner(item)),
        D::FixedSizeList(item, length) => D::FixedSizeList(inner(item), *length),
        D::Struct(fields) => D::Struct(fields.iter().map(|field| *inner(field)).collect()),
        D::Utf8 | D::LargeUtf8 => D::Utf8View,
        D::Binary | D::LargeBinary => D::BinaryView,
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) => D::Decimal(*precision, *scale),
        plain => plain.clone(),
    }
}

/// Returns whether JSON can represent all values of a type.
pub(super) fn has_json_form(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as D;
    match dtype {
        D::Dictionary(_, values, _) => has_json_form(values),
        D::List(item) | D::LargeList(item) | D::Map(item, _) | D::FixedSizeList(item, _) => {
            has_json_form(&item.dtype)
        }
        D::Struct(fields) => fields.iter().all(|field| has_json_form(&field.dtype)),
        D::Null | D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64 => true,
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => true,
        D::Float16 | D::Float32 | D::Float64 | D::Utf8 | D::LargeUtf8 | D::Utf8View => true,
        _ => false,
    }
}
