//! Random seeds. The seed of a part of an experiment is derived from the part's name. Therefore the random
//! numbers of one part do not depend on the other parts.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A random seed of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seed(#[schemars(range(max = 4_294_967_295_u32))] pub u32);

impl Seed {
    /// Derives the seed of a part of the experiment from the part's name, such as `distil/gla/layer-3`.
    ///
    /// The name is hashed, so a new part does not change the seeds of existing parts. Names must never
    /// change, even if they contain an outdated term: another name would change the results.
    pub fn child(self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dtr seed child v1");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(name.as_bytes());
        let bytes = hasher.finalize();
        Self(u32::from_le_bytes(bytes.as_bytes()[..4].try_into().expect("a digest has 32 bytes")))
    }

    /// Returns a generator whose numbers are the same on every platform.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_seeds_differ_by_name_and_by_parent() {
        let root = Seed(7);
        assert_ne!(root.child("a"), root.child("b"));
        assert_ne!(root.child("a"), Seed(8).child("a"));
        assert_eq!(root.child("a"), Seed(7).child("a"));
    }
}
