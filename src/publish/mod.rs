//! Published results: the records of an experiment in one archive. The archive can be read in a clone of the
//! repository, without bases, data files and twins.
//!
//! A cell is one computation of an experiment, and its key identifies its record. The keys depend on digests
//! of files that a clone may lack. So the archive also holds these digests, as the identities of the files.
//! From the manifest and the identities, a plan computes the same keys. The identities are valid for one
//! manifest only. So the archive also holds this manifest, and a manifest with other values is refused.

mod answers;
mod consistency;
mod header;
mod records;

use std::path::{Path, PathBuf};

pub use answers::{AnswerScores, ChosenOptions, ReducedAnswers};
pub use consistency::check_consistency;

use self::header::Header;
use crate::device::MachineLabel;
use crate::manifest::{LoadedManifest, Manifest};
use crate::plan::{Plan, plan_from_identities};
use crate::store::{RecordArchive, Store};
use dtr_core::error::{Error, ErrorKind, Result};

/// The folder of archives in a results folder.
const FOLDER: &str = "records";

/// The end of an archive's file name.
const EXTENSION: &str = ".jsonl.xz";

/// Returns the path of the archive of an experiment in the folder `results`.
pub fn archive_path(results: &Path, experiment: &str) -> PathBuf {
    results.join(FOLDER).join(format!("{experiment}{EXTENSION}"))
}

/// Lists the archives in the folder `results`, sorted by name.
///
/// # Errors
/// Fails if the folder of archives cannot be listed.
pub fn list_archives(results: &Path) -> Result<Vec<PathBuf>> {
    let folder = results.join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = std::fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = paths.map_err(|cause| Error::io("list", &folder, cause))?;
    paths.retain(|path| path.to_string_lossy().ends_with(EXTENSION));
    paths.sort();
    Ok(paths)
}

/// An archive that was written.
#[derive(Clone, Debug)]
pub struct WrittenArchive {
    /// The path of the archive.
    pub path: PathBuf,
    /// Number of records.
    pub num_records: usize,
    /// Number of records of the earlier archive that the plan does not need.
    pub num_dropped: usize,
}

/// Writes the records of the cells of `plan` to an archive in the folder `results`. Replaces an earlier
/// archive of the experiment atomically, and keeps its records of cells that are not done in `store`. So an
/// experiment can be computed in parts, on machines that share no folder. `manifest` is the portable manifest
/// of the plan (see [`load_portable_manifest`](crate::manifest::load_portable_manifest)).
///
/// # Errors
/// Fails if no cell has a record, if a record or the earlier archive is damaged, or if the archive cannot be
/// written.
pub fn write_archive(
    manifest: Manifest,
    plan: &Plan,
    store: &Store,
    results: &Path,
) -> Result<WrittenArchive> {
    let path = archive_path(results, &plan.name);
    let earlier = open_earlier(results, &path)?;
    let archive = records::collect(plan, store, earlier.as_ref())?;
    if archive.num_records() == 0 {
        let message = format!("cannot publish `{}`: no cell has a result", plan.name);
        return Err(Error::new(ErrorKind::Missing, message).hint("run `dtr sweep` first"));
    }
    let num_dropped = match earlier {
        Some(earlier) => earlier.list_cells()?.iter().filter(|cell| !archive.contains(cell)).count(),
        None => 0,
    };
    archive.write(&path, &Header::new(manifest, plan))?;
    Ok(WrittenArchive { path, num_records: archive.num_records(), num_dropped })
}

/// Opens the store of the archive at `path`, if there is one.
fn open_earlier(results: &Path, path: &Path) -> Result<Option<Store>> {
    if !path.exists() {
        return Ok(None);
    }
    let archive = RecordArchive::read(path)
        .map_err(|error| error.hint("remove the file to publish without its records"))?;
    Ok(Some(Store::from_archive(results, archive)))
}

/// Opens the archive of an experiment in the folder `results`. Returns the plan of the experiment and the
/// store of its records. Reads no base and no data file.
///
/// `portable` is the portable manifest of `loaded`.
///
/// # Errors
/// Fails if the archive cannot be read, if an incompatible version of dtr wrote it, or if the manifest
/// differs from the published manifest.
pub fn open_archive(
    results: &Path,
    loaded: &LoadedManifest,
    portable: &Manifest,
    machine: &MachineLabel,
) -> Result<(Plan, Store)> {
    let name = loaded.manifest.name.as_deref().unwrap_or_default();
    let archive = RecordArchive::read(&archive_path(results, name))?;
    let header: Header = archive.header()?;
    header.ensure_readable(archive.path())?;
    header.ensure_same_manifest(archive.path(), portable)?;
    let plan = plan_from_identities(loaded, machine, header.identities)?;
    Ok((plan, Store::from_archive(results, archive)))
}
