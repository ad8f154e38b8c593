//! Brings what an experiment takes from the hub into the cache, and checks it, before any cell runs.

use std::collections::BTreeMap;

use super::progress::Progress;
use crate::hub::{self, PinnedRepo};
use crate::observer::Observer;
use crate::plan::Needs;
use dtr_core::error::{Error, Result};
use dtr_model::BaseModel;

/// The digest by which the hub names each file that was fetched, by URI.
pub type Digests = BTreeMap<String, String>;

/// Fetches all that `needs` names: each file is found whole or downloaded, and its digest compared.
///
/// # Errors
/// What the hub does not give, a damaged file, and a base without weights or a tokenizer.
pub fn fetch(needs: &Needs, progress: &Progress) -> Result<Digests> {
    let mut digests = Digests::new();
    for (named, file) in &needs.files {
        fetch_file(&hub::default_hub().pin(&named.repo())?, file, progress, &mut digests)?;
    }
    for named in &needs.models {
        fetch_model(&hub::default_hub().pin(&named.repo())?, progress, &mut digests)?;
    }
    Ok(digests)
}

fn fetch_model(pinned: &PinnedRepo, progress: &Progress, digests: &mut Digests) -> Result<()> {
    let folder = hub::default_hub().snapshot_folder(pinned);
    let names = match BaseModel::has_all_files(&folder) {
        // Nothing to ask the hub for.
        true => file_names(&folder),
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

fn file_names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn fetch_file(pinned: &PinnedRepo, file: &str, progress: &Progress, digests: &mut Digests) -> Result<()> {
    if progress.stopped() {
        return Err(Error::interrupted());
    }
    let name = format!("{} {file}", pinned.id);
    // The total is known once the download begins.
    let mut task = None;
    let mut told = 0;
    let fetched = hub::default_hub().fetch_file(pinned, file, &mut |there, total| {
        let task = task.get_or_insert_with(|| progress.task(&name, total, "bytes"));
        if there > told {
            task.advance(there - told);
            told = there;
        }
    })?;
    drop(task);
    digests.extend(fetched.digest.map(|digest| (pinned.uri(file), digest)));
    Ok(())
}
