//! Maps for tests: a small map as text, and the published maps.

use std::fs;
use std::io::Read;
use std::path::Path;

use dtr_opendrive::map::Map;
use dtr_opendrive::read::MapFile;
use dtr_opendrive::synthetic::{SyntheticOptions, synthetic_map};
use lzma_rust2::XzReader;

#[path = "../../../../tests/support/skipped.rs"]
mod skipped;

/// A map with the straight roads 1 and 3 and the arc 2 between them.
pub const THREE_ROADS: &str = include_str!("three_roads.xodr");

/// Reads a map that must be readable.
pub fn read(text: &str) -> MapFile {
    MapFile::from_bytes(text.as_bytes()).unwrap()
}

/// Some small synthetic maps.
pub fn synthetic() -> Vec<(String, Map)> {
    let options = SyntheticOptions { junctions: 3, left_hand: 0.3, ..SyntheticOptions::default() };
    (0..8).map(|seed| (format!("synthetic {seed}"), synthetic_map(seed, &options))).collect()
}

/// The published maps by file name. Reports the test as skipped if `DTR_PUBLIC` does not name a folder with
/// `data/opendrive/maps.tar.xz`.
pub fn published() -> Option<Vec<(String, MapFile)>> {
    let public =
        std::env::var_os("DTR_PUBLIC").map(|public| Path::new(&public).join("data/opendrive/maps.tar.xz"));
    let Some(Ok(archive)) = public.map(fs::read) else {
        skipped::report_skipped("DTR_PUBLIC does not name a folder with `data/opendrive/maps.tar.xz`");
        return None;
    };
    let mut tar = Vec::new();
    XzReader::new(archive.as_slice(), true).read_to_end(&mut tar).unwrap();
    let maps = files(&tar).into_iter().filter(|(name, _)| name.ends_with(".xodr"));
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    Some(maps.map(|(path, bytes)| (name(&path), MapFile::from_bytes(bytes).unwrap())).collect())
}

/// The regular files of a tar archive: names and contents.
fn files(tar: &[u8]) -> Vec<(String, &[u8])> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
    let (mut at, mut files, mut long_name) = (0, Vec::new(), None);
    while at + 512 <= tar.len() && tar[at] != 0 {
        let header = &tar[at..at + 512];
        let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        let content = &tar[at + 512..at + 512 + size];
        match header[156] {
            // GNU tar puts names of more than 100 bytes in front of their file.
            b'L' => long_name = Some(text(content)),
            b'0' => files.push((long_name.take().unwrap_or_else(|| text(&header[..100])), content)),
            _ => {}
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}
