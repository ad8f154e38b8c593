//! Draws a map as SVG on standard output. Roads that are named after the map are marked, and only they and their
//! surroundings are drawn.
//!
//! Usage: `cargo run --release -p dtr-opendrive --example draw_map -- MAP.xodr [ROAD...] > MAP.svg`

use dtr_opendrive::complete::draw_map;
use dtr_opendrive::read::MapFile;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a map");
    let marked: Vec<String> = arguments.collect();
    let bytes = std::fs::read(&path).expect("the map can be read");
    let file = MapFile::from_bytes(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
    print!("{}", draw_map(&file.map, &marked, !marked.is_empty()));
}
