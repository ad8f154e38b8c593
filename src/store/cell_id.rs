//! The identity of a cell: its stage and its key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use dtr_core::error::{Error, Result};

use super::key::CellKey;

/// The name of a stage, such as `distil`. The record and the path of a cell contain the name, and the cell's
/// key depends on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageName(Cow<'static, str>);

impl StageName {
    /// Creates the name of one of this program's stages. Does not check the name.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StageName {
    type Error = Error;

    /// Accepts lower-case letters and hyphens only, because a name that is read from a file becomes a part of
    /// a path.
    fn try_from(name: String) -> Result<Self> {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        match is_plain {
            true => Ok(Self(Cow::Owned(name))),
            false => Err(Error::failed(format!("`{name}` is not the name of a stage"))),
        }
    }
}

impl From<StageName> for String {
    fn from(name: StageName) -> Self {
        name.0.into_owned()
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A cell's stage and key, which together give the path of its record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// The stage.
    pub stage: StageName,
    /// The key.
    pub key: CellKey,
}

impl fmt::Display for CellId {
    /// Writes a text such as `distil cell 1bcaac96be2a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cell {}", self.stage, self.key.short())
    }
}

/// The cells whose results a cell reads, by their role: `base`, `twins` or `search`.
pub type CellInputs = BTreeMap<String, CellId>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_name_from_a_file_cannot_lead_out_of_the_results_folder() {
        for name in ["", "..", "a/b", "/etc", "Score", "a b"] {
            assert!(StageName::try_from(name.to_owned()).is_err(), "{name}");
        }
        assert_eq!(StageName::try_from("score".to_owned()).unwrap(), StageName::new("score"));
    }
}
