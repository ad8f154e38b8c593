//! The key of a cell: a digest of everything that decides its result.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

use super::cell_id::{CellInputs, StageName};
use super::finite::ensure_finite;

/// The blake3 context of cell keys. A change of this text changes every key.
const DOMAIN: &str = "dtr cell v1";

/// Number of digits of a key in messages. 12 digits suffice to distinguish the cells of a results folder.
const NUM_SHORT_DIGITS: usize = 12;

/// The key of a cell, made by [`compute_key`] and written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellKey(Digest);

impl CellKey {
    /// Returns the first 12 digits, for messages.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(NUM_SHORT_DIGITS);
        digits
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CellKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

/// Returns the key of a cell, given its stage, the version of the stage's algorithm, its settings `spec` and
/// its inputs.
///
/// The key is a digest of these parts. Before hashing, the function writes `spec` as JSON, with members
/// sorted by name and without members that are `null`. A key therefore stays the same if fields are
/// reordered, or if `spec` gets a new optional field that is `None`.
///
/// # Errors
/// Fails if `spec` cannot be written as JSON, or if `spec` holds a number that is not finite. serde_json
/// would write such a number as `null`.
pub fn compute_key<S: Serialize>(
    stage: &StageName,
    version: u32,
    spec: &S,
    inputs: &CellInputs,
) -> Result<CellKey> {
    ensure_finite(spec)?;
    let spec = serde_json::to_value(spec).and_then(|spec| serde_json::to_vec(&CanonicalJson(&spec)));
    let spec = spec.map_err(|cause| {
        Error::failed(format!("cannot write the spec of a {stage} cell as JSON")).with_source(cause)
    })?;
    let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
    // The length before each part ensures that different lists of parts have different bytes.
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(stage.as_str().as_bytes());
    part(&version.to_le_bytes());
    part(&spec);
    for (role, input) in inputs {
        part(role.as_bytes());
        part(input.stage.as_str().as_bytes());
        part(input.key.0.as_bytes());
    }
    Ok(CellKey(hasher.finalize().into()))
}

/// A JSON value that is serialized with its members sorted by name, and without members that are `null`.
struct CanonicalJson<'a>(&'a Value);

impl Serialize for CanonicalJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let present = members.iter().filter(|(_, value)| !value.is_null());
                let sorted: BTreeMap<_, _> =
                    present.map(|(name, value)| (name, CanonicalJson(value))).collect();
                serializer.collect_map(sorted)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(CanonicalJson)),
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cell_id::CellId;
    use super::*;

    const DISTIL: StageName = StageName::new("distil");

    fn inputs(role: &str, stage: &'static str, content: &str) -> CellInputs {
        let key = CellKey(Digest::hash(content.as_bytes()));
        CellInputs::from([(role.to_owned(), CellId { stage: StageName::new(stage), key })])
    }

    fn key(spec: &impl Serialize) -> CellKey {
        compute_key(&DISTIL, 1, spec, &inputs("base", "pretrain", "weights")).unwrap()
    }

    #[test]
    fn equal_specs_have_equal_keys_whatever_the_order_of_their_fields() {
        assert_eq!(
            key(&json!({ "a": 1, "b": [2, { "c": 3, "d": 4 }] })),
            key(&json!({ "b": [2, { "d": 4, "c": 3 }], "a": 1 }))
        );
    }

    #[test]
    fn a_new_optional_field_changes_no_key() {
        assert_eq!(key(&json!({ "a": 1, "b": null })), key(&json!({ "a": 1 })));
        assert_ne!(key(&json!([1, null])), key(&json!([1])));
    }

    #[test]
    fn every_part_of_a_cell_changes_its_key() {
        let spec = json!({ "variant": "gla", "rate": 0.5 });
        let mut keys = vec![
            key(&spec),
            compute_key(&StageName::new("score"), 1, &spec, &inputs("base", "pretrain", "weights")).unwrap(),
            compute_key(&DISTIL, 2, &spec, &inputs("base", "pretrain", "weights")).unwrap(),
            key(&json!({ "variant": "gdn", "rate": 0.5 })),
            key(&json!({ "variant": "gla", "rate": 0.25 })),
            key(&json!({ "variety": "gla", "rate": 0.5 })),
            compute_key(&DISTIL, 1, &spec, &inputs("teacher", "pretrain", "weights")).unwrap(),
            compute_key(&DISTIL, 1, &spec, &inputs("base", "distil", "weights")).unwrap(),
            compute_key(&DISTIL, 1, &spec, &inputs("base", "pretrain", "other weights")).unwrap(),
            compute_key(&DISTIL, 1, &spec, &CellInputs::new()).unwrap(),
        ];
        let num_keys = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), num_keys);
    }

    #[test]
    fn a_number_that_is_not_finite_has_no_key() {
        let refused = compute_key(&DISTIL, 1, &BTreeMap::from([("rate", f64::NAN)]), &CellInputs::new());
        assert_eq!(refused.unwrap_err().to_string(), "`rate` is not a finite number");
    }

    /// If keys changed by accident, every user's results would be computed again.
    #[test]
    fn keys_do_not_change_between_versions_of_the_program() {
        let key = key(&json!({ "seed": 7, "name": "x" }));
        // The Python package `blake3` computes the same digest from the same parts.
        assert_eq!(key.to_string(), "f59f5aac70acb8084107d345d745a00cad2daddfc9e58b792095d038b89abe66");
        assert_eq!(key.short(), key.to_string()[..12]);
        assert_eq!(key.to_string().parse::<CellKey>().unwrap(), key);
    }
}
