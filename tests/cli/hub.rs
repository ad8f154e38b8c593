//! Tests of bases and data sets of the Hugging Face hub. A local server takes the place of the hub, and can
//! interrupt and alter its answers.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::dtr_command::DtrCommand;
use crate::hub_project::{HubProject, ROWS_URI, documents, repositories};
use crate::hub_server::{COMMIT, InjectedFault};
use crate::project::repository_root;
use crate::temp_folder::TempFolder;

#[test]
fn a_record_names_the_commit_and_the_files_of_the_hub() {
    let project = HubProject::new();
    assert_eq!(project.sweep().json()["done"], 1);
    let record = project.record();
    assert_eq!(record["spec"]["model"]["commit"], COMMIT);
    let rows = format!("hf://datasets/lab/rows@{COMMIT}/data/rows.jsonl");
    assert_eq!(record["spec"]["task"]["rows"], rows, "{record:#}");
    let weights = format!("hf://lab/mini@{COMMIT}/model.safetensors");
    assert_eq!(record["provenance"]["hub_files"][&weights].as_str().unwrap().len(), 64);
    assert_eq!(fs::read(project.cached_weights()).unwrap(), repositories()["lab/mini"]["model.safetensors"]);
}

#[test]
fn a_base_of_the_hub_has_the_score_of_the_same_base_on_disk() {
    let (hub, local) = (HubProject::new(), HubProject::new());
    hub.sweep().success();
    let rows = local.folder.write("rows.jsonl", &repositories()["datasets/lab/rows"]["data/rows.jsonl"]);
    local.write_manifest("main", &rows.display().to_string());
    let source = format!("models.mini.source={{ path = {:?} }}", repository_root().join("models/mini"));
    local.sweep().set(&source).success();
    let record = hub.record();
    assert!(record["outcome"]["done"]["score"].is_f64(), "{record:#}");
    assert_eq!(local.record()["outcome"], record["outcome"]);
}

#[test]
fn a_repeated_sweep_asks_nothing_of_the_hub() {
    let project = HubProject::new();
    project.sweep().success();
    let num_requests = project.server.num_requests();
    project.sweep().env("HF_HUB_OFFLINE", "1").success();
    assert_eq!(project.server.num_requests(), num_requests);
}

#[test]
fn a_corpus_of_the_hub_gives_the_twins_of_the_same_corpus_on_disk() {
    let project = HubProject::new();
    let sweep = |folder: &str| {
        let files = format!("paths = [\"{folder}/data/*.parquet\"], column = \"body\", separator = \"\"");
        let sweep = project.sweep().sets(&[
            "sweep.variant=[\"gla\"]",
            "variants.gla.block={ gla = {} }",
            "distil={ token-budget = \"1k\", sequence-length = 64, batch-size = 4 }",
            "search.stop={ min-score = 1.0 }",
        ]);
        sweep.set(&format!("corpus.source={{ files = {{ {files} }} }}")).success();
    };
    sweep("hf://datasets/lab/text@main");
    let is_distillation = |spec: &String| spec.contains("part-0.parquet");
    let specs = project.result_files("spec.json").into_iter().map(|path| fs::read_to_string(path).unwrap());
    let spec = specs.into_iter().find(is_distillation).unwrap();
    for number in 0..2 {
        let uri = format!("hf://datasets/lab/text@{COMMIT}/data/part-{number}.parquet");
        assert!(spec.contains(&uri), "{spec}");
    }
    for (name, bytes) in documents() {
        project.folder.write(&name, bytes);
    }
    sweep(&project.folder.root().display().to_string());
    let twins = project.result_files("twins.safetensors");
    assert_eq!(twins.len(), 2);
    assert!(fs::read(&twins[0]).unwrap() == fs::read(&twins[1]).unwrap());
}

#[test]
fn a_download_resumes_where_the_connection_broke() {
    let project = HubProject::new();
    project.server.set_fault(InjectedFault::Disconnect { times: 2, after_bytes: 1_000_000 });
    project.sweep().success();
    assert_eq!(project.server.take_range_starts(), [0, 1_000_000, 2_000_000]);
    assert_eq!(fs::read(project.cached_weights()).unwrap(), repositories()["lab/mini"]["model.safetensors"]);
}

#[test]
fn a_partial_download_is_not_used_and_the_next_sweep_resumes_it() {
    let project = HubProject::new();
    project.server.set_fault(InjectedFault::Disconnect { times: usize::MAX, after_bytes: 1000 });
    let message = project.failing_sweep();
    assert!(message.contains("model.safetensors` broke off"), "{message}");
    assert!(message.contains("resume the download"), "{message}");
    assert!(!project.cached_weights().exists());
    project.server.take_range_starts();
    project.server.set_fault(InjectedFault::None);
    project.sweep().success();
    let starts = project.server.take_range_starts();
    assert!(starts.len() == 1 && starts[0] >= 1000, "{starts:?}");
}

#[test]
fn an_altered_or_shortened_download_is_refused_and_not_kept() {
    for fault in [InjectedFault::AlteredByte, InjectedFault::Truncated] {
        let project = HubProject::new();
        project.server.set_fault(fault);
        let message = project.failing_sweep();
        assert!(message.contains("model.safetensors` is damaged"), "{fault:?}: {message}");
        assert!(!project.cached_weights().exists());
        project.server.set_fault(InjectedFault::None);
        project.sweep().success();
    }
}

#[test]
fn an_altered_file_in_the_cache_is_refused() {
    let project = HubProject::new();
    project.sweep().success();
    let mut bytes = fs::read(project.cached_weights()).unwrap();
    bytes[100_000] ^= 1;
    fs::write(fs::canonicalize(project.cached_weights()).unwrap(), bytes).unwrap();
    fs::remove_dir_all(project.results()).unwrap();
    let message = project.failing_sweep();
    assert!(message.contains("is damaged") && message.contains("hint: remove `"), "{message}");
}

#[test]
fn pickles_and_shards_outside_the_repository_are_refused() {
    for (name, bytes, text) in [
        ("pytorch_model.bin", "\u{80}", "pytorch_model.bin` is a pickle, which is never read"),
        (
            "model.safetensors.index.json",
            "{\"weight_map\": {\"a\": \"../../../../x.safetensors\"}}",
            "names a shard outside its directory",
        ),
        ("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"a.bin\"}}", "a.bin` is a pickle"),
    ] {
        let mut repositories = repositories();
        let model = repositories.get_mut("lab/mini").unwrap();
        model.remove("model.safetensors");
        model.insert(name.to_owned(), bytes.as_bytes().to_vec());
        let project = HubProject::with_repositories(repositories);
        let message = project.failing_sweep();
        assert!(message.contains(text), "{message}");
        assert!(!project.results().exists(), "a cell was started");
    }
}

#[test]
fn a_gated_repository_needs_a_token() {
    let project = HubProject::new();
    project.server.require_token("lab/mini", "hf_right");
    let message = project.failing_sweep();
    assert!(message.contains("(401)") && message.contains("set `HF_TOKEN`"), "{message}");
    assert!(message.contains(&format!("{}/lab/mini", project.server.endpoint)), "{message}");
    let message = project.sweep().env("HF_TOKEN", "hf_wrong").exit(5).message();
    assert!(message.contains("the token has no read access"), "{message}");
    project.sweep().env("HF_TOKEN", "hf_right").success();
}

#[test]
fn a_missing_repository_revision_or_file_is_named() {
    let project = HubProject::new();
    for (revision, rows, text) in [
        ("nowhere", ROWS_URI, "does not have `lab/mini` at revision `nowhere`"),
        (&"f".repeat(40), ROWS_URI, "at commit `ffffffff"),
        ("main", "hf://datasets/lab/none@main/rows.jsonl", "does not have `lab/none` at revision `main`"),
        ("main", "hf://datasets/lab/rows@main/other.jsonl", "/other.jsonl` hint: check the file's name"),
    ] {
        project.write_manifest(revision, rows);
        let message = project.failing_sweep();
        assert!(message.contains(text), "{text}: {message}");
    }
}

#[test]
fn without_a_connection_pinned_revisions_are_planned_and_cached_files_are_used() {
    let project = HubProject::new();
    let rows = format!("hf://datasets/lab/rows@{COMMIT}/data/rows.jsonl");
    let disconnected = |command: &str, offline: &str| {
        project.command(command).env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_OFFLINE", offline)
    };
    // A plan accepts the name of a branch, but a sweep must first find the branch's commit.
    for (offline, text) in [("1", "has no commit for `main`"), ("0", "cannot get `lab/rows`")] {
        disconnected("plan", offline).success();
        let message = disconnected("sweep", offline).finish().message();
        assert!(message.contains(text), "{message}");
    }
    project.write_manifest(COMMIT, &rows);
    disconnected("plan", "0").success();
    let message = disconnected("sweep", "1").finish().message();
    assert!(message.contains("is not in the cache"), "{message}");
    let message = disconnected("sweep", "0").finish().message();
    assert!(message.contains("cannot get") && message.contains("`HF_ENDPOINT`"), "{message}");
    project.sweep().success();
    fs::remove_dir_all(project.results()).unwrap();
    disconnected("sweep", "1").success();
}

#[test]
fn a_full_disk_ends_a_download_with_a_hint() {
    let project = HubProject::new();
    let digest = Sha256::digest(&repositories()["lab/mini"]["model.safetensors"]);
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let blobs = project.cached_repository().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    symlink("/dev/full", blobs.join(name + ".part")).unwrap();
    let message = project.failing_sweep();
    assert!(message.contains("free disk space"), "{message}");
    assert!(!project.cached_weights().exists());
}

#[test]
fn the_experiments_of_the_paper_are_planned_offline() {
    let folder = TempFolder::new();
    for (name, num_distillations, num_searches, num_evaluations) in [
        // This experiment has bases of 28, 28 and 32 layers, three variants and twelve tasks.
        ("table1", 9, 108, 36 * (2 * (28 * 29 / 2 + 4) + 32 * 33 / 2 + 4)),
        ("pubmedqa-llama-3.1-8b", 3, 3, 3 * (32 * 33 / 2 + 4)),
        ("trajectories", 4, 8, 8 * (28 * 29 / 2 + 4)),
    ] {
        let manifest = repository_root().join(format!("experiments/{name}.toml"));
        let plan = DtrCommand::new("plan").arg(manifest).arg("--results").arg(folder.path("results"));
        let plan = plan.env("HF_HOME", folder.root()).env("HF_HUB_OFFLINE", "1").without_env("HF_HUB_CACHE");
        let to_do = &plan.json()["to-do"];
        assert_eq!(to_do["cells"], json!({ "distil": num_distillations, "search": num_searches }), "{name}");
        assert_eq!(to_do["max_evaluations"], num_evaluations, "{name}");
        assert_eq!(to_do["tokens"]["distil"], num_distillations * 100_000_000_u64);
        assert!(to_do["download_bytes"].as_u64().unwrap() > 8 << 30, "{to_do}");
        assert!(to_do["unknown"].as_array().unwrap().is_empty());
    }
}
