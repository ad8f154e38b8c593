//! The record of a cell that ended, and the format of its file.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

use super::attempt::AttemptId;
use super::cell_id::CellId;
use super::cell_spec::CellSpec;
use super::checksum;
use super::folders::CellFolder;
use super::key::CellKey;
use super::provenance::Provenance;

/// The format of the records that this program writes, and the newest format that it reads.
pub const RECORD_FORMAT: u32 = 2;

/// The record of a cell that ended.
///
/// On disk, `T` is an [`Outcome`]. After a lookup (see [`super::Lookup`]), a done cell has a `Record<T>` with
/// the stage's output, and a failed cell has a `Record<String>` with the error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<T> {
    /// The format of this record. [`RECORD_FORMAT`] is the newest format.
    pub format: u32,
    /// The specification of the cell. The store refuses a record that is in the folder of another cell.
    #[serde(flatten)]
    pub spec: CellSpec,
    /// The attempt that computed the output. Its folder holds the artifacts. `None` in a record of an earlier
    /// version of this program, whose artifacts are beside the record, and in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Files that belong to the output, by file name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Cells that the output refers to. The output is incomplete without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<CellId>,
    /// Device seconds of work: elapsed seconds times the number of devices, summed over all processes that
    /// worked on the cell. Cells that were computed together share the time equally. For a process that
    /// crashed, the supervisor counts the time up to the crash. If the supervisor was killed too, only the
    /// time up to the last checkpoint or score counts.
    pub seconds: f64,
    /// Energy that the devices used during these seconds, in joules. This energy includes the energy that
    /// other programs used. `None` if a device does not report its energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// The time at which the cell ended, in UTC as RFC 3339.
    pub finished: String,
    /// The program and machine that did the work. No result depends on them.
    pub provenance: Provenance,
    /// The output or the error. This field is the last one, because it can be long.
    pub outcome: T,
}

impl<T> Record<T> {
    /// Returns the key of the cell.
    pub fn key(&self) -> CellKey {
        self.spec.id.key
    }

    /// Returns the record with its outcome converted by `convert`.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Record<U> {
        Record {
            format: self.format,
            spec: self.spec,
            attempt: self.attempt,
            artifacts: self.artifacts,
            references: self.references,
            seconds: self.seconds,
            joules: self.joules,
            finished: self.finished,
            provenance: self.provenance,
            outcome: convert(self.outcome),
        }
    }
}

impl<T> Record<Outcome<T>> {
    /// Returns `Ok` with the output of a done cell, or `Err` with the error of a failed cell.
    #[expect(clippy::result_large_err, reason = "both kinds of record are of that size")]
    pub(super) fn into_result(self) -> std::result::Result<Record<T>, Record<String>> {
        let (outcome, rest) = self.separate();
        match outcome {
            Outcome::Done(output) => Ok(rest.map(|()| output)),
            Outcome::Failed { error } => Err(rest.map(|()| error)),
        }
    }

    fn separate(self) -> (Outcome<T>, Record<()>) {
        let mut outcome = None;
        let rest = self.map(|own| outcome = Some(own));
        (outcome.expect("`map` did not call its closure"), rest)
    }
}

/// The output or the error of a cell that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<T> {
    /// The cell succeeded with this output.
    Done(T),
    /// The cell failed.
    Failed {
        /// The error and its causes, on one line.
        error: String,
    },
}

/// A file that belongs to the output of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The digest of the file's content.
    pub digest: Digest,
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// The content of the file of a record.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a value lives only until it is matched")]
pub(super) enum RecordOnDisk<T> {
    /// The file does not exist.
    Missing,
    /// The file holds a complete record of the cell.
    Valid(Record<Outcome<T>>),
    /// The file is damaged or belongs to another cell, for this reason.
    Corrupt(String),
}

/// Returns the text of the file of a record.
pub(super) fn encode<T: Serialize>(record: &Record<T>) -> Result<String> {
    let body = serde_json::to_string(record);
    let body = body.map_err(|cause| {
        Error::failed(format!("cannot write the output of {} as JSON", record.spec.id)).with_source(cause)
    })?;
    Ok(checksum::add_checksum(&body))
}

/// Reads the record of `cell`, whose files `folder` names.
///
/// # Errors
/// Fails if the file cannot be read, or is of a newer format. For a damaged record, the function returns
/// [`RecordOnDisk::Corrupt`].
pub(super) fn read<T: DeserializeOwned>(folder: &CellFolder, cell: &CellId) -> Result<RecordOnDisk<T>> {
    match read_bytes(folder)? {
        Some((path, bytes)) => parse(&bytes, &path, cell),
        None => Ok(RecordOnDisk::Missing),
    }
}

/// Reads the file of a record. Returns its path and its content, or `None` if there is no record.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn read_bytes(folder: &CellFolder) -> Result<Option<(PathBuf, Vec<u8>)>> {
    for path in [folder.record_path(), folder.old_record_path()] {
        match fs::read(&path) {
            Ok(bytes) => return Ok(Some((path, bytes))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::io("read", &path, cause)),
        }
    }
    Ok(None)
}

/// Parses the bytes of the record at `path`.
///
/// # Errors
/// Fails if the record is of a newer format.
pub(super) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
    cell: &CellId,
) -> Result<RecordOnDisk<T>> {
    let body = match checksum::verify_checksum(bytes) {
        Ok(body) => body,
        Err(reason) => return Ok(RecordOnDisk::Corrupt(reason)),
    };
    if let Ok(Versioned { format }) = serde_json::from_str(body)
        && format > RECORD_FORMAT
    {
        return Err(newer_format(path, format));
    }
    Ok(match serde_json::from_str::<Record<Outcome<T>>>(body) {
        Err(cause) => RecordOnDisk::Corrupt(format!("it is not a {} record: {cause}", cell.stage)),
        Ok(record) if record.spec.id != *cell => {
            RecordOnDisk::Corrupt(format!("it is the record of {}", record.spec.id))
        }
        Ok(record) => RecordOnDisk::Valid(record),
    })
}

/// The part of a record that all formats share.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

fn newer_format(path: &Path, format: u32) -> Error {
    let message =
        format!("`{}` has record format {format}, but this dtr reads up to {RECORD_FORMAT}", path.display());
    Error::environment(message).hint("use the newer dtr that wrote it, or another results folder")
}

#[cfg(test)]
mod tests {
    use super::super::cell_id::StageName;
    use super::super::test_store;
    use super::*;

    fn parsed(record: &Record<Outcome<f64>>, cell: &CellId) -> RecordOnDisk<f64> {
        parse(encode(record).unwrap().as_bytes(), Path::new("record.json"), cell).unwrap()
    }

    #[test]
    fn a_record_reads_back_to_the_last_bit_of_its_numbers() {
        for outcome in [0.1 + 0.2, 2.0_f64.sqrt() * 1e-300, 0.552] {
            let record = test_store::record(Outcome::Done(outcome));
            assert_eq!(parsed(&record, &record.spec.id), RecordOnDisk::Valid(record.clone()));
        }
        let failed = test_store::record(Outcome::Failed { error: "no".to_owned() });
        assert_eq!(parsed(&failed, &failed.spec.id), RecordOnDisk::Valid(failed.clone()));
    }

    #[test]
    fn a_record_of_another_cell_or_stage_is_corrupt() {
        let record = test_store::record(Outcome::Done(0.5));
        assert!(matches!(parsed(&record, &test_store::cell("other")), RecordOnDisk::Corrupt(_)));
        let of_search = CellId { stage: StageName::new("search"), ..record.spec.id.clone() };
        assert!(matches!(parsed(&record, &of_search), RecordOnDisk::Corrupt(_)));
    }

    #[test]
    fn a_newer_format_is_an_error_even_if_its_body_is_unknown() {
        let bytes = checksum::add_checksum("{\"format\":3,\"all\":\"else\",\"is\":\"new\"}");
        let refused =
            parse::<f64>(bytes.as_bytes(), Path::new("here/record.json"), &test_store::cell("cell"));
        let message = format!("{:?}", refused.unwrap_err());
        assert!(
            message.contains("`here/record.json` has record format 3") && message.contains("hint"),
            "{message}"
        );
    }

    #[test]
    fn an_output_of_another_type_is_corrupt() {
        let record = test_store::record(Outcome::Done("text"));
        let bytes = encode(&record).unwrap();
        let parsed = parse::<f64>(bytes.as_bytes(), Path::new("r"), &record.spec.id).unwrap();
        assert!(matches!(parsed, RecordOnDisk::Corrupt(reason) if reason.contains("score record")));
    }
}
