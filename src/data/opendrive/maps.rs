//! Reads and generates the maps of a task.

use std::io::Read;
use std::path::Path;

use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, digest_file};
use dtr_core::seed::Seed;
use dtr_opendrive::map::Map;
use dtr_opendrive::read::MapFile;
use dtr_opendrive::synthetic::synthetic_map;
use dtr_opendrive::xml::Limits;
use rayon::prelude::*;

use super::config::{OpendriveTask, SplitMaps, SyntheticMaps};
use crate::data::Split;
use crate::data::documents::compressed::MaybeCompressedFile;
use crate::data::documents::expand_paths;
use crate::hub::local_or_cached_path;

/// A map with the name that its items have.
pub(super) struct NamedMap {
    pub name: String,
    pub map: Map,
}

impl OpendriveTask {
    /// Returns the files of the maps of `split`.
    ///
    /// # Errors
    /// Fails if the task has no maps of the split, if a pattern matches no file, or if a file is listed twice.
    pub fn files(&self, split: Split) -> Result<Vec<String>> {
        expand_paths(self.split_maps(split)?.files)
    }

    /// Returns the maps of `split`.
    ///
    /// # Errors
    /// Fails if the task has none.
    pub(super) fn split_maps(&self, split: Split) -> Result<SplitMaps<'_>> {
        let Some(maps) = self.maps(split) else {
            return Err(Error::manifest("the task has no train items")
                .hint("name the maps of the train split in the task's table `train`"));
        };
        if maps.files.is_empty() && maps.synthetic.is_none() {
            return Err(Error::manifest(format!("the task has no maps of the {split} split"))
                .hint("name files of maps in `files`, or generate maps with `synthetic`"));
        }
        Ok(maps)
    }
}

/// Reads and generates the maps of a split.
///
/// # Errors
/// Fails if a file cannot be read or is not an OpenDRIVE map, or if two files have the same name.
pub(super) fn read_maps(task: &OpendriveTask, split: Split) -> Result<Vec<NamedMap>> {
    let files = task.files(split)?;
    let mut maps: Vec<NamedMap> = files.par_iter().map(|path| read_map(path)).collect::<Result<_>>()?;
    let mut names: Vec<&String> = maps.iter().map(|map| &map.name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::manifest(format!(
            "two maps of the {split} split have the file name `{}`",
            pair[0]
        ))
        .hint("rename one of the files: identifiers of items contain the names"));
    }
    if let Some(synthetic) = task.split_maps(split)?.synthetic {
        maps.extend(generate_maps(synthetic));
    }
    Ok(maps)
}

/// Reads a map. Its name is the name of the file.
pub(super) fn read_map(path: &str) -> Result<NamedMap> {
    let file = MaybeCompressedFile::new(Path::new(path), local_or_cached_path(path)?);
    let limits = Limits::default();
    let mut bytes = Vec::new();
    // One byte more than the limit suffices for the reader to refuse the map.
    let mut content = file.open()?.take(limits.bytes as u64 + 1);
    content.read_to_end(&mut bytes).map_err(|cause| file.read_error(cause))?;
    let map =
        MapFile::from_bytes_within(&bytes, &limits).map_err(|cause| map_error(Path::new(path), &cause))?;
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(NamedMap { name, map: map.map })
}

/// Returns the error of a map that cannot be read.
pub fn map_error(path: &Path, cause: &dtr_opendrive::Error) -> Error {
    let error = Error::manifest(format!("cannot read {}: {cause}", path.display())).mark_bad_input();
    match cause.hint_text() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn generate_maps(synthetic: &SyntheticMaps) -> Vec<NamedMap> {
    let Seed(seed) = synthetic.seed;
    let generate = |index: usize| {
        let Seed(child) = synthetic.seed.child(&format!("map-{index}"));
        let map = synthetic_map(u64::from(child), &synthetic.options());
        NamedMap { name: format!("synthetic-{seed}-{index:05}"), map }
    };
    (0..synthetic.maps).into_par_iter().map(generate).collect()
}

/// Checks that no map is in two splits. Maps are equal if the bytes of their files are equal, or if they are
/// generated from the same seed.
///
/// # Errors
/// Fails if a map is in two splits, or if a file cannot be read.
pub(super) fn ensure_disjoint(task: &OpendriveTask) -> Result<()> {
    let splits = [Split::Train, Split::Validation, Split::Test];
    let mut known: Vec<(Digest, String, Split)> = Vec::new();
    let mut seeds: Vec<(Seed, Split)> = Vec::new();
    for split in splits.into_iter().filter(|split| task.maps(*split).is_some()) {
        for path in task.files(split)? {
            let digest = digest_file(&local_or_cached_path(&path)?)?;
            if let Some((_, other, first)) = known.iter().find(|one| one.0 == digest && one.2 != split) {
                return Err(Error::manifest(format!(
                    "the map `{path}` of the {split} split is also in the {first} split, as `{other}`"
                ))
                .hint("remove it from one of the two splits"));
            }
            known.push((digest, path, split));
        }
        let Some(synthetic) = task.split_maps(split)?.synthetic else { continue };
        if let Some((_, first)) = seeds.iter().find(|one| one.0 == synthetic.seed) {
            return Err(Error::manifest(format!(
                "the synthetic maps of the {split} split and of the {first} split have the same seed"
            ))
            .hint("give each split a seed of its own"));
        }
        seeds.push((synthetic.seed, split));
    }
    Ok(())
}
