//! Writes synthetic maps into a folder.
//!
//! Usage: `cargo run --release -p dtr-opendrive --example synthetic_maps -- FOLDER FIRST_SEED COUNT`

use dtr_opendrive::check::check_map;
use dtr_opendrive::read::MapFile;
use dtr_opendrive::synthetic::{SyntheticOptions, synthetic_map};
use dtr_opendrive::write_map::map_xml;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder");
    let mut number = || arguments.next().and_then(|word| word.parse::<u64>().ok()).expect("two numbers");
    let (first, count) = (number(), number());
    for seed in first..first + count {
        let text = map_xml(&synthetic_map(seed, &SyntheticOptions::default()), &format!("synthetic {seed}"));
        let file = MapFile::from_bytes(text.as_bytes()).expect("the map can be read");
        for finding in check_map(&file.map) {
            println!("seed {seed}: {finding}");
        }
        std::fs::write(format!("{folder}/synthetic-{seed}.xodr"), text).expect("the folder can be written");
    }
}
