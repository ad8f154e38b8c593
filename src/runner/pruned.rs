//! The candidates that a search has dropped, kept until it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::algorithms::score::Bounds;
use dtr_core::checkpoint::Sealed;
use dtr_core::error::{Error, Result};
use dtr_model::Mask;

/// The candidates that a search has dropped, for the process that takes it up: they have no score to be remembered by.
pub struct Dropped {
    file: Sealed,
    known: BTreeMap<String, Known>,
}

/// What was known of a candidate when it was dropped.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Known {
    bounds: Bounds,
    tokens: u64,
}

impl Dropped {
    /// What `file` holds; nothing if there is none.
    pub fn read(file: Sealed) -> Result<Self> {
        let bytes = file.read()?.unwrap_or_else(|| b"{}".to_vec());
        let known = serde_json::from_slice(&bytes).map_err(|cause| {
            Error::environment(format!("`{}` holds no bounds", file.path().display())).with_source(cause)
        })?;
        Ok(Self { file, known })
    }

    /// What was known of a mask when it was dropped, and the tokens that it took.
    pub fn get(&self, mask: &Mask) -> Option<(Bounds, u64)> {
        self.known.get(&name(mask)).map(|known| (known.bounds, known.tokens))
    }

    /// Adds a mask that is dropped.
    pub fn add(&mut self, mask: &Mask, bounds: Bounds, tokens: u64) -> Result<()> {
        self.known.insert(name(mask), Known { bounds, tokens });
        let text = serde_json::to_string(&self.known).expect("bounds are plain JSON");
        self.file.write(text.as_bytes())
    }
}

fn name(mask: &Mask) -> String {
    mask.layers().iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
