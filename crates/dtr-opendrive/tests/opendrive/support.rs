//! Maps for tests: a small map as text, and the published maps.

use std::fs;
use std::path::{Path, PathBuf};

use dtr_opendrive::read::MapFile;

#[path = "../../../../tests/support/skipped.rs"]
mod skipped;

/// A map with the straight roads 1 and 3 and the arc 2 between them.
pub const THREE_ROADS: &str = include_str!("three_roads.xodr");

/// Reads a map that must be readable.
pub fn read(text: &str) -> MapFile {
    MapFile::from_bytes(text.as_bytes()).unwrap()
}

/// The published maps by file name. Reports the test as skipped if `DTR_PUBLIC` does not name a folder with the
/// unpacked `data/opendrive/maps.tar.xz` in `data/opendrive` or in the folder that `DTR_OPENDRIVE_MAPS` names.
pub fn published() -> Option<Vec<(String, MapFile)>> {
    let public = std::env::var_os("DTR_PUBLIC").map(|public| Path::new(&public).join("data/opendrive"));
    let folder = std::env::var_os("DTR_OPENDRIVE_MAPS").map(PathBuf::from).or(public);
    let mut paths = Vec::new();
    if let Some(folder) = folder {
        collect(&folder, &mut paths);
    }
    if paths.is_empty() {
        skipped::report_skipped("DTR_PUBLIC does not name a folder with the maps of `data/opendrive`, unpacked");
        return None;
    }
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let read = |path: &PathBuf| (name(path), MapFile::from_bytes(&fs::read(path).unwrap()).unwrap());
    Some(paths.iter().map(read).collect())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "xodr") {
            paths.push(path);
        }
    }
}
