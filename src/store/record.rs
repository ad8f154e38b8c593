//! What became of a cell: the one file that says so, and how it is read back.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

use super::envelope;
use super::key::Key;
use super::provenance::Provenance;
use super::stage::Stage;

/// The format of records that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// A cell that has ended, with everything that its key was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<T> {
    /// The format of this record; see [`FORMAT`].
    pub format: u32,
    /// The kind of work.
    pub stage: Stage,
    /// The cell's key; a record under another key's folder is refused.
    pub key: Key,
    /// The version of the stage's work, [`Stage::version`].
    pub version: u32,
    /// What was to be done, in full.
    pub spec: Value,
    /// The cells and files that it was done on, by name.
    pub inputs: BTreeMap<String, Key>,
    /// Files beside this record that belong to the result, by file name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Seconds of work: of training over all the processes that took part, of the rest in the one that ended it.
    pub seconds: f64,
    /// Joules that the device took meanwhile, with whatever else ran on it; none where it does not tell, or where another
    /// process did a part of a work that counts its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// When the cell ended: UTC, RFC 3339.
    pub finished: String,
    /// Which program and machine did it. Only the table of costs and the page may use this.
    pub provenance: Provenance,
    /// The result. Last, so that the head of the file shows everything else.
    pub outcome: Outcome<T>,
}

impl<T> Record<T> {
    /// The error and its causes, if the cell failed.
    pub fn error(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Failed { error } => Some(error),
            Outcome::Done(_) => None,
        }
    }

    /// The result, where there is one.
    pub fn result(&self) -> Option<&T> {
        match &self.outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Failed { .. } => None,
        }
    }
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<T> {
    /// With a result.
    Done(T),
    /// With an error; the other cells go on.
    Failed {
        /// The error and its causes, on one line.
        error: String,
    },
}

/// A file that belongs to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The digest of its content.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// What a record file turned out to be.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for a moment")]
pub(super) enum Reading<T> {
    Missing,
    Whole(Record<T>),
    /// Damaged, or another cell's; with the reason.
    Corrupt(String),
}

/// The bytes of a record's file.
pub(super) fn seal<T: Serialize>(record: &Record<T>) -> Result<String> {
    let body = serde_json::to_string(record);
    let body = body.map_err(|cause| {
        Error::failed(format!("the result of {} has no JSON", record.key)).with_source(cause)
    })?;
    Ok(envelope::seal(&body))
}

/// Reads the record at `path`, which is to be that of the cell `key` of `stage`.
///
/// A record in a newer format is an error: it may be whole, so it is neither used nor replaced.
pub(super) fn read<T: DeserializeOwned>(path: &Path, stage: Stage, key: &Key) -> Result<Reading<T>> {
    match fs::read(path) {
        Ok(bytes) => parse(&bytes, path, stage, key),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Reading::Missing),
        Err(cause) => Err(Error::io("read", path, cause)),
    }
}

/// Makes a record of `bytes`, found or to be put at `path`.
pub(super) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
    stage: Stage,
    key: &Key,
) -> Result<Reading<T>> {
    let body = match envelope::open(bytes) {
        Ok(body) => body,
        Err(why) => return Ok(Reading::Corrupt(why)),
    };
    if let Ok(Dated { format }) = serde_json::from_str(body)
        && format > FORMAT
    {
        return Err(newer(path, format));
    }
    Ok(match serde_json::from_str::<Record<T>>(body) {
        Err(cause) => Reading::Corrupt(format!("it does not read as a {stage} record: {cause}")),
        Ok(record) if record.stage != stage || record.key != *key => {
            Reading::Corrupt(format!("it is the record of {} cell {}", record.stage, record.key))
        }
        Ok(record) => Reading::Whole(record),
    })
}

/// What every format's body has.
#[derive(Deserialize)]
struct Dated {
    format: u32,
}

fn newer(path: &Path, format: u32) -> Error {
    let message =
        format!("`{}` has record format {format}, and this dtr reads up to {FORMAT}", path.display());
    Error::environment(message).hint("use the newer dtr that wrote it, or another results folder")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn reading(record: &Record<f64>, stage: Stage, key: &Key) -> Result<Reading<f64>> {
        parse(seal(record).unwrap().as_bytes(), Path::new("record.json"), stage, key)
    }

    #[test]
    fn a_record_comes_back_as_it_was_to_the_last_bit_of_its_numbers() {
        for outcome in [0.1 + 0.2, 2.0_f64.sqrt() * 1e-300, 0.552] {
            let record = fixtures::record(Outcome::Done(outcome));
            let whole = Reading::Whole(record.clone());
            assert_eq!(reading(&record, record.stage, &record.key).unwrap(), whole);
        }
        let failed = fixtures::record(Outcome::Failed { error: "no".to_owned() });
        assert_eq!(reading(&failed, failed.stage, &failed.key).unwrap(), Reading::Whole(failed));
    }

    #[test]
    fn a_record_of_another_cell_or_stage_is_corrupt() {
        let record = fixtures::record(Outcome::Done(0.5));
        let other = fixtures::key("other");
        assert!(matches!(reading(&record, record.stage, &other).unwrap(), Reading::Corrupt(_)));
        assert!(matches!(reading(&record, Stage::Search, &record.key).unwrap(), Reading::Corrupt(_)));
    }

    #[test]
    fn a_newer_format_is_an_error_even_when_its_body_is_unknown() {
        let key = fixtures::key("cell");
        let sealed = envelope::seal("{\"format\":2,\"all\":\"else\",\"is\":\"new\"}");
        let refused = parse::<f64>(sealed.as_bytes(), Path::new("here/record.json"), Stage::Score, &key);
        let message = format!("{:?}", refused.unwrap_err());
        assert!(
            message.contains("`here/record.json` has record format 2") && message.contains("hint"),
            "{message}"
        );
    }

    #[test]
    fn a_result_of_another_shape_is_corrupt() {
        let record = fixtures::record(Outcome::Done("text"));
        let sealed = seal(&record).unwrap();
        let reading = parse::<f64>(sealed.as_bytes(), Path::new("r"), record.stage, &record.key).unwrap();
        assert!(matches!(reading, Reading::Corrupt(why) if why.contains("score record")));
    }
}
