//! `[corpus]`: the text that twins learn from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// The text that twins are distilled on, and a base is pretrained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Corpus {
    /// Where the text comes from.
    pub source: CorpusSource,
}

/// Where the text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CorpusSource {
    /// Text of the bundled synthetic language.
    Synthetic(SyntheticCorpus),
    /// Documents of files.
    Files(FileCorpus),
    /// Several sources, each with its share of the tokens.
    Mixture(Vec<Portion>),
}

impl Default for CorpusSource {
    fn default() -> Self {
        Self::Synthetic(SyntheticCorpus::default())
    }
}

/// Text of the bundled synthetic language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SyntheticCorpus {
    /// The seed of the language's facts.
    pub language_seed: Seed,
    /// The seed of the text itself.
    pub seed: Seed,
}

impl Default for SyntheticCorpus {
    fn default() -> Self {
        Self { language_seed: Seed(1), seed: Seed(2) }
    }
}

/// Documents of files: plain text (`.txt`, `.md`), JSON Lines (`.jsonl`), a JSON list (`.json`) or Parquet
/// (`.parquet`), each as it is or packed (`.gz`, `.xz`, `.zst`).
///
/// An epoch holds every document once, in a random order that descends from the recipe's seed. Blanks at the ends
/// of a document are dropped, and documents without text are skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileCorpus {
    /// The files (relative to the manifest, or `hf://datasets/OWNER/NAME@REVISION/PATH`). A `*` in a file's name
    /// stands for any characters, and the files that it finds are taken in the order of their names.
    #[schemars(extend("items" = { "type": "string", "format": "path" }))]
    pub paths: Vec<String>,
    /// The column of JSON or Parquet that holds the text.
    #[serde(default = "default_column")]
    pub column: String,
    /// What a document of plain text is.
    #[serde(default)]
    pub document: TextUnit,
    /// The text after every document: a blank line, or a token of the model's own such as `<|endoftext|>`.
    #[serde(default = "default_separator")]
    pub separator: String,
}

fn default_column() -> String {
    "text".to_owned()
}

fn default_separator() -> String {
    "\n\n".to_owned()
}

/// What a document of plain text is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextUnit {
    /// What stands between blank lines.
    #[default]
    Paragraph,
    /// A line.
    Line,
    /// What stands between lines that say this and nothing else, such as `"<|endoftext|>"`.
    Between(String),
    /// The whole file, of at most 128 MiB.
    File,
}

/// A source of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Portion {
    /// Where its text comes from.
    pub source: CorpusSource,
    /// Its share of the tokens, relative to the weights of the others.
    pub weight: f64,
}
