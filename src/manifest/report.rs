//! `[report]`: presentation only; nothing here enters a cell's key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How results are presented; changes no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Report {
    /// Title of the tables and figures; where it is absent the experiment's question, or else its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Level of the confidence intervals, between 0 and 1.
    pub confidence: f64,
}

impl Default for Report {
    fn default() -> Self {
        Self { title: None, confidence: 0.95 }
    }
}
