//! Downloads the models and files that an experiment reads from the hub, and verifies the downloads. A sweep
//! downloads all files before it runs a cell.

use std::collections::BTreeMap;

use crate::hub::{self, PinnedRepo};
use crate::observer::Observer;
use crate::plan::Downloads;
use crate::runner::ProgressDisplay;
use dtr_core::error::{Error, Result};
use dtr_model::BaseModel;

/// The digests that the hub publishes for the fetched files, by the URI of each file.
pub type HubDigests = BTreeMap<String, String>;

/// Downloads the models and files that are not in the cache. Verifies each downloaded file by the digest that
/// the hub publishes.
///
/// # Errors
/// Fails if the hub cannot be reached, if a file is damaged, or if a base lacks weights or a tokenizer.
pub fn fetch_downloads(downloads: &Downloads, progress: &ProgressDisplay) -> Result<HubDigests> {
    let mut digests = HubDigests::new();
    for (named, file) in &downloads.files {
        fetch_file(&hub::default_hub().pin(&named.repo())?, file, progress, &mut digests)?;
    }
    for named in &downloads.models {
        fetch_model(&hub::default_hub().pin(&named.repo())?, progress, &mut digests)?;
    }
    Ok(digests)
}

fn fetch_model(pinned: &PinnedRepo, progress: &ProgressDisplay, digests: &mut HubDigests) -> Result<()> {
    let folder = hub::default_hub().snapshot_folder(pinned);
    let names = match BaseModel::has_all_files(&folder) {
        // List the files of a complete folder without a request to the hub.
        true => list_file_names(&folder),
        false => hub::default_hub().list_files(pinned)?,
    };
    let has = |name: &str| names.iter().any(|known| known == name);
    for name in
        BaseModel::REQUIRED_FILES.into_iter().chain(BaseModel::OPTIONAL_FILES).filter(|name| has(name))
    {
        fetch_file(pinned, name, progress, digests)?;
    }
    let lacking = |name: &str| {
        Error::environment(format!("`{pinned}` has no `{name}`")).hint(
            "a base has `config.json`, `tokenizer.json`, and `model.safetensors` or shards with an index",
        )
    };
    if let Some(name) = BaseModel::REQUIRED_FILES.into_iter().find(|name| !has(name)) {
        return Err(lacking(name));
    }
    match (has(BaseModel::INDEX_FILE), has(BaseModel::WEIGHTS_FILE)) {
        (_, true) => fetch_file(pinned, BaseModel::WEIGHTS_FILE, progress, digests),
        (true, false) => {
            fetch_file(pinned, BaseModel::INDEX_FILE, progress, digests)?;
            let shards = BaseModel::read_shard_names(&folder)?;
            shards.iter().try_for_each(|shard| fetch_file(pinned, shard, progress, digests))
        }
        (false, false) => Err(match names.iter().find(|name| BaseModel::is_pickle(name)) {
            Some(name) => BaseModel::pickle_error(pinned.uri(name)),
            None => lacking(BaseModel::WEIGHTS_FILE),
        }),
    }
}

fn list_file_names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn fetch_file(
    pinned: &PinnedRepo,
    file: &str,
    progress: &ProgressDisplay,
    digests: &mut HubDigests,
) -> Result<()> {
    if progress.is_interrupted() {
        return Err(Error::interrupted());
    }
    let name = format!("{} {file}", pinned.id);
    // Start the task when the download begins, because the total size is unknown before the download.
    let mut task = None;
    let mut num_reported = 0;
    let fetched = hub::default_hub().fetch_file(pinned, file, &mut |received, total| {
        let task = task.get_or_insert_with(|| progress.start_task(&name, total, "bytes"));
        if received > num_reported {
            task.advance(received - num_reported);
            num_reported = received;
        }
    })?;
    drop(task);
    digests.extend(fetched.digest.map(|digest| (pinned.uri(file), digest)));
    Ok(())
}
