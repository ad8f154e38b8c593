//! The id of an attempt: the work of one process on a cell.
//!
//! Two processes may compute the same cell if they run on hosts that cannot lock each other out. Each of them
//! writes its artifacts into the folder of its own attempt. The record names the attempt whose artifacts
//! belong to it.

use std::fmt;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_core::system_info::ProcessIdentity;

/// The number of hex digits of an id.
const NUM_DIGITS: usize = 16;

/// The id of an attempt. All attempts of one process have the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId(String);

impl AttemptId {
    /// Returns the id of this process's attempts.
    pub fn of_this_process() -> &'static Self {
        static CURRENT: OnceLock<AttemptId> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let identity = format!("{:?} {}", ProcessIdentity::current(), now.as_nanos());
            Self(Digest::hash(identity.as_bytes()).to_string()[..NUM_DIGITS].to_owned())
        })
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AttemptId {
    type Error = Error;

    /// Accepts lower-case hex digits only, because an id that is read from a file becomes a part of a path.
    fn try_from(id: String) -> Result<Self> {
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        match id.len() == NUM_DIGITS && id.chars().all(is_digit) {
            true => Ok(Self(id)),
            false => Err(Error::failed(format!("`{id}` is not the id of an attempt"))),
        }
    }
}

impl From<AttemptId> for String {
    fn from(id: AttemptId) -> Self {
        id.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_a_file_cannot_lead_out_of_the_folder_of_its_cell() {
        for id in ["", "..", "../../../../x", "0123456789abcde/", "0123456789ABCDEF", "0123456789abcdef0"] {
            assert!(AttemptId::try_from(id.to_owned()).is_err(), "{id}");
        }
        let current = AttemptId::of_this_process();
        assert_eq!(&AttemptId::try_from(current.to_string()).unwrap(), current);
    }
}
