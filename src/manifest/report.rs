//! `[report]`: the presentation of results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How results are presented. No key of this table changes a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ReportConfig {
    /// The title of tables and figures. The default is the experiment's question, or its name if it has no
    /// question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The level of the confidence intervals, for example 0.95.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { title: None, confidence: 0.95 }
    }
}
