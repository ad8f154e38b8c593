//! `dtr show` prints a record with its provenance and log.

use std::fs;

use dtr_core::files::Digest;
use serde_json::json;

use crate::dtr_command::DtrCommand;
use crate::project::{ONE_SEARCH, Project};

#[test]
fn a_record_holds_its_provenance() {
    let project = Project::finished(ONE_SEARCH);
    let record = project.records("search").remove(0);
    let key = record.file_stem().unwrap().to_string_lossy().into_owned();
    let show = DtrCommand::new("show").arg(&key[..12]).arg("--results").arg(project.results());
    let shown = show.success().json();
    let provenance = &shown["provenance"];
    assert_eq!(provenance["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(provenance["repeatable"], true);
    assert_eq!(provenance["overrides"], json!(ONE_SEARCH));
    assert!(provenance["device"].as_str().unwrap().starts_with("cpu ("));
    let command = provenance["command"].as_array().unwrap();
    assert!(command.iter().any(|word| word == "sweep"), "{command:?}");
    let files = provenance["input_files"].as_object().unwrap();
    for (file, stage) in [("base/model.safetensors", "pretrain"), ("twins/twins.safetensors", "distil")] {
        let name = file.split_once('/').unwrap().1;
        let bytes = fs::read(&project.cell_files(stage, name)[0]).unwrap();
        assert_eq!(files[file], Digest::hash(&bytes).to_string(), "{file}");
    }
    let log = shown["log"].as_array().unwrap();
    assert_eq!((&log[0]["kind"], &log[log.len() - 1]["kind"]), (&"started".into(), &"done".into()));
}
