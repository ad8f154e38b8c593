//! Seeds that name what they are for, so that no stage's draws depend on another's.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A seed of 32 bits; every random draw of an experiment descends from one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seed(pub u32);

impl Seed {
    /// The seed of a named part of this seed's work, for example `distil/gla/layer-3`.
    ///
    /// Names are hashed, so adding a part never shifts the draws of another.
    pub fn child(self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dtr seed child v1");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(name.as_bytes());
        let bytes = hasher.finalize();
        Self(u32::from_le_bytes(bytes.as_bytes()[..4].try_into().expect("a digest has 32 bytes")))
    }

    /// A generator whose stream is the same on every platform.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_differ_by_name_and_by_parent() {
        let root = Seed(7);
        assert_ne!(root.child("a"), root.child("b"));
        assert_ne!(root.child("a"), Seed(8).child("a"));
        assert_eq!(root.child("a"), Seed(7).child("a"));
    }
}
