//! The key of a cell: a digest of everything that decides its result.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

use super::finite::ensure_finite;
use super::stage::Stage;

/// Keeps cell keys apart from every other use of blake3; a change renames every cell.
const DOMAIN: &str = "dtr cell v1";

/// Digits of a key in messages and tables; enough to tell any results folder's cells apart.
const NUM_SHORT_DIGITS: usize = 12;

/// The name of a cell: 64 hex digits, made by [`key_of`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Digest);

impl Key {
    /// The first 12 digits, for people.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(NUM_SHORT_DIGITS);
        digits
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

/// The key of the cell that does `stage`'s work, at `version`, as `spec` says, on `inputs`.
///
/// The spec counts as JSON with members in name order and without those that are `null`: moving a
/// field, or adding an optional one, renames no cell. A number that is not finite has no JSON, so
/// it would share its key with `None`; it is refused instead.
pub fn key_of<S: Serialize>(
    stage: Stage,
    version: u32,
    spec: &S,
    inputs: &BTreeMap<String, Key>,
) -> Result<Key> {
    ensure_finite(spec)?;
    let spec = serde_json::to_value(spec).and_then(|spec| serde_json::to_vec(&Canonical(&spec)));
    let spec = spec.map_err(|cause| {
        Error::failed(format!("the spec of a {stage} cell has no JSON")).with_source(cause)
    })?;
    let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
    // Every part after its length, so that no two lists of parts run into the same bytes.
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(stage.name().as_bytes());
    part(&version.to_le_bytes());
    part(&spec);
    for (name, key) in inputs {
        part(name.as_bytes());
        part(key.0.as_bytes());
    }
    Ok(Key(hasher.finalize().into()))
}

/// JSON that depends on what is said, not on the order in which a struct says it.
struct Canonical<'a>(&'a Value);

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let said = members.iter().filter(|(_, value)| !value.is_null());
                let sorted: BTreeMap<_, _> = said.map(|(name, value)| (name, Canonical(value))).collect();
                serializer.collect_map(sorted)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Canonical)),
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(name: &str, content: &str) -> BTreeMap<String, Key> {
        BTreeMap::from([(name.to_owned(), Key(Digest::hash(content.as_bytes())))])
    }

    fn key(spec: &impl Serialize) -> Key {
        key_of(Stage::Distil, 1, spec, &inputs("base", "weights")).unwrap()
    }

    #[test]
    fn equal_specs_have_equal_keys_whatever_the_order_of_their_fields() {
        assert_eq!(
            key(&json!({ "a": 1, "b": [2, { "c": 3, "d": 4 }] })),
            key(&json!({ "b": [2, { "d": 4, "c": 3 }], "a": 1 }))
        );
    }

    #[test]
    fn a_new_optional_field_renames_no_cell() {
        assert_eq!(key(&json!({ "a": 1, "b": null })), key(&json!({ "a": 1 })));
        assert_ne!(key(&json!([1, null])), key(&json!([1])));
    }

    #[test]
    fn every_part_of_a_cell_changes_its_key() {
        let spec = json!({ "variant": "gla", "rate": 0.5 });
        let mut keys = vec![
            key(&spec),
            key_of(Stage::Score, 1, &spec, &inputs("base", "weights")).unwrap(),
            key_of(Stage::Distil, 2, &spec, &inputs("base", "weights")).unwrap(),
            key(&json!({ "variant": "gdn", "rate": 0.5 })),
            key(&json!({ "variant": "gla", "rate": 0.25 })),
            key(&json!({ "variety": "gla", "rate": 0.5 })),
            key_of(Stage::Distil, 1, &spec, &inputs("teacher", "weights")).unwrap(),
            key_of(Stage::Distil, 1, &spec, &inputs("base", "other weights")).unwrap(),
            key_of(Stage::Distil, 1, &spec, &BTreeMap::new()).unwrap(),
        ];
        let num_keys = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), num_keys);
    }

    #[test]
    fn a_number_that_is_not_finite_has_no_key() {
        let refused = key_of(Stage::Distil, 1, &BTreeMap::from([("rate", f64::NAN)]), &BTreeMap::new());
        assert_eq!(refused.unwrap_err().to_string(), "`rate` is not a finite number");
    }

    /// Fails when keys change by accident, which would recompute everyone's results.
    #[test]
    fn keys_do_not_change_between_versions_of_the_program() {
        let key = key(&json!({ "seed": 7, "name": "x" }));
        // Agrees with the blake3 of PyPI, fed the same parts by hand.
        assert_eq!(key.to_string(), "1bcaac96be2ad822048df098eb9c7e3ae4bf27435c121501a094c3448e90de15");
        assert_eq!(key.short(), key.to_string()[..12]);
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
    }
}
