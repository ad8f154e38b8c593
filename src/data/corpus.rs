//! Configuration of text corpora: the manifest's `[corpus]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// The text that twins are distilled on and that bases are pretrained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Corpus {
    /// The source of the text.
    pub source: CorpusSource,
}

/// The source of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CorpusSource {
    /// Generated text of the bundled synthetic language.
    Synthetic(SyntheticCorpus),
    /// Documents from files.
    Files(FileCorpus),
    /// A mixture of several sources, each with a share of the tokens.
    Mixture(#[schemars(length(min = 1))] Vec<WeightedSource>),
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
    /// The seed of the documents.
    pub seed: Seed,
}

impl Default for SyntheticCorpus {
    fn default() -> Self {
        Self { language_seed: Seed(1), seed: Seed(2) }
    }
}

/// Documents from files: plain text (`.txt`, `.md`), JSON Lines or a JSON list (`.jsonl`, `.ndjson`,
/// `.json`), or Parquet (`.parquet`). Each file may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`).
///
/// An epoch holds every document once, in a random order that depends on the seed of the training run.
/// Leading and trailing whitespace of a document is removed, and empty documents are skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileCorpus {
    /// The files, as paths relative to the manifest or as `hf://datasets/OWNER/NAME@REVISION/PATH`. A `*` in
    /// a file name matches any number of characters. Matching files are read in alphabetical order.
    #[schemars(length(min = 1), extend("items" = { "type": "string", "format": "path" }))]
    pub paths: Vec<String>,
    /// The text column of JSON and Parquet files.
    #[serde(default = "default_column")]
    pub column: String,
    /// How plain text files are split into documents.
    #[serde(default)]
    pub document: DocumentUnit,
    /// The text that is appended to every document, such as the special token `<|endoftext|>`. The default is
    /// an empty line.
    #[serde(default = "default_separator")]
    pub separator: String,
}

fn default_column() -> String {
    "text".to_owned()
}

fn default_separator() -> String {
    "\n\n".to_owned()
}

/// How plain text files are split into documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DocumentUnit {
    /// Each paragraph is a document. Empty lines separate paragraphs.
    #[default]
    Paragraph,
    /// Each line is a document.
    Line,
    /// Lines that equal this text, such as `"<|endoftext|>"`, separate documents.
    Between(String),
    /// Each file is a document. A file has at most 128 MiB.
    File,
}

/// One source of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WeightedSource {
    /// The source of the text.
    pub source: CorpusSource,
    /// The source's share of the tokens, relative to the weights of the other sources.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub weight: f64,
}
