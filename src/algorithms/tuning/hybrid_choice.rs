//! The choice of a hybrid of a search, which is then trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A hybrid of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HybridChoice {
    /// `M_opt`: the last accepted hybrid, with the most replaced layers.
    Opt,
    /// `M_best`: the hybrid with the highest validation score.
    Best,
    /// The hybrid that the search found for this number of replaced layers.
    Replaced(#[schemars(range(min = 1, max = 1024))] u32),
}

impl HybridChoice {
    /// Returns the choice as text, for example `replaced=4`.
    pub fn label(self) -> String {
        match self {
            Self::Opt => "hybrid=opt".to_owned(),
            Self::Best => "hybrid=best".to_owned(),
            Self::Replaced(count) => format!("replaced={count}"),
        }
    }
}
