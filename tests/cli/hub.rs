//! Bases and rows from a hub: a server on this machine speaks its protocol and serves real files, and the
//! program sweeps over them, also where the connection breaks, a file was changed or may not be read.

use std::fs;
use std::process::Command;

use crate::hub_project::{HubProject, ROOT, find, repos, said, text};
use crate::hub_server::{COMMIT, Fault};

#[test]
fn a_sweep_takes_base_and_rows_of_the_hub_and_says_which() {
    let bench = HubProject::new();
    assert_eq!(bench.sweep_well()["done"], 1);
    let record = bench.record();
    assert_eq!(record["spec"]["model"]["commit"], COMMIT);
    assert_eq!(
        record["spec"]["task"]["rows"],
        format!("hf://datasets/lab/rows@{COMMIT}/data/rows.jsonl"),
        "{record:#}"
    );
    let weights = format!("hf://lab/mini@{COMMIT}/model.safetensors");
    assert_eq!(record["provenance"]["hub_files"][&weights].as_str().unwrap().len(), 64);
    assert_eq!(fs::read(bench.weights()).unwrap(), repos()["lab/mini"]["model.safetensors"]);

    // The same score as from a directory.
    let local = HubProject::new();
    let rows = local.path("rows.jsonl");
    fs::write(&rows, &repos()["datasets/lab/rows"]["data/rows.jsonl"]).unwrap();
    local.manifest("main", &rows.display().to_string());
    let set = format!("models.mini.source={{ path = \"{ROOT}/models/mini\" }}");
    let output = local.command("sweep").args(["--set", &set]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(record["outcome"]["done"]["score"].is_f64(), "{record:#}");
    assert_eq!(local.record()["outcome"], record["outcome"]);

    // Once more, without the hub.
    let before = bench.server.num_requests();
    let output = bench.command("sweep").arg("--json").env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(bench.server.num_requests(), before);
}

#[test]
fn twins_learn_from_a_dataset_of_the_hub() {
    let bench = HubProject::new();
    let sweep = |source: &str| {
        let mut command = bench.command("sweep");
        for set in [
            "sweep.variant=[\"gla\"]",
            "variants.gla.block={ gla = {} }",
            "distil={ token-budget = \"1k\", sequence-length = 64, batch-size = 4 }",
            "search.stop={ min-score = 1.0 }",
            source,
        ] {
            command.args(["--set", set]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    let there = "hf://datasets/lab/text@main";
    let source = format!(
        "corpus.source={{ files = {{ paths = [\"{there}/data/*.parquet\"], column = \"body\", separator = \"\" }} }}"
    );
    sweep(&source);
    let mut specs = Vec::new();
    find(&bench.path("results/cells-v1/distil"), "spec.json", &mut specs);
    let spec = fs::read_to_string(&specs[0]).unwrap();
    for number in 0..2 {
        let uri = format!("hf://datasets/lab/text@{COMMIT}/data/part-{number}.parquet");
        assert!(spec.contains(&uri), "{spec}");
    }
    // The same documents on this machine teach the same.
    for (name, bytes) in text() {
        let path = bench.path(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    sweep(&source.replace(there, &bench.folder.path().display().to_string()));
    let mut twins = Vec::new();
    find(&bench.path("results/cells-v1/distil"), "twins.safetensors", &mut twins);
    assert_eq!(twins.len(), 2);
    assert!(fs::read(&twins[0]).unwrap() == fs::read(&twins[1]).unwrap());
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_stopped() {
    let bench = HubProject::new();
    bench.server.misbehave(Fault::Cut { times: 2, after: 1_000_000 });
    bench.sweep_well();
    assert_eq!(bench.server.starts(), [0, 1_000_000, 2_000_000]);
    assert_eq!(fs::read(bench.weights()).unwrap(), repos()["lab/mini"]["model.safetensors"]);
}

#[test]
fn a_download_that_is_given_up_is_not_taken_for_whole_and_goes_on_next_time() {
    let bench = HubProject::new();
    bench.server.misbehave(Fault::Cut { times: usize::MAX, after: 1000 });
    let said = bench.sweep_badly();
    assert!(
        said.contains("model.safetensors` broke off") && said.contains("goes on where it stopped"),
        "{said}"
    );
    assert!(!bench.weights().exists());
    bench.server.starts();
    bench.server.misbehave(Fault::None);
    bench.sweep_well();
    let starts = bench.server.starts();
    assert!(starts.len() == 1 && starts[0] >= 1000, "{starts:?}");
}

#[test]
fn what_was_changed_or_shortened_on_the_way_is_refused_and_not_kept() {
    for fault in [Fault::Tampered, Fault::Truncated] {
        let bench = HubProject::new();
        bench.server.misbehave(fault);
        let said = bench.sweep_badly();
        assert!(said.contains("model.safetensors` is damaged"), "{fault:?}: {said}");
        assert!(!bench.weights().exists());
        bench.server.misbehave(Fault::None);
        bench.sweep_well();
    }
}

#[test]
fn a_file_that_was_changed_in_the_cache_is_refused() {
    let bench = HubProject::new();
    bench.sweep_well();
    let mut bytes = fs::read(bench.weights()).unwrap();
    bytes[100_000] ^= 1;
    fs::write(fs::canonicalize(bench.weights()).unwrap(), bytes).unwrap();
    fs::remove_dir_all(bench.path("results")).unwrap();
    let said = bench.sweep_badly();
    assert!(
        said.contains("is damaged") && said.contains("hint: remove `") || said.contains("help: remove `"),
        "{said}"
    );
}

#[test]
fn weights_that_are_pickles_or_lead_out_of_the_cache_are_refused() {
    for (name, bytes, what) in [
        ("pytorch_model.bin", "\u{80}", "pytorch_model.bin` is a pickle, which is never read"),
        (
            "model.safetensors.index.json",
            "{\"weight_map\": {\"a\": \"../../../../x.safetensors\"}}",
            "names a shard outside its directory",
        ),
        ("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"a.bin\"}}", "a.bin` is a pickle"),
    ] {
        let mut repos = repos();
        let model = repos.get_mut("lab/mini").unwrap();
        model.remove("model.safetensors");
        model.insert(name.to_owned(), bytes.as_bytes().to_vec());
        let bench = HubProject::serving(repos);
        let text = bench.sweep_badly();
        assert!(text.contains(what), "{text}");
        assert!(!bench.path("results").exists(), "nothing was begun");
    }
}

#[test]
fn a_gated_repository_asks_for_a_token() {
    let bench = HubProject::new();
    bench.server.gate("lab/mini", "hf_right");
    let said_without = bench.sweep_badly();
    assert!(said_without.contains("(401)") && said_without.contains("set `HF_TOKEN`"), "{said_without}");
    assert!(said_without.contains(&format!("{}/lab/mini", bench.server.endpoint)), "{said_without}");
    let output = bench.command("sweep").env("HF_TOKEN", "hf_wrong").output().unwrap();
    assert!(said(&output).contains("the token may not read it"), "{}", said(&output));
    let output = bench.command("sweep").env("HF_TOKEN", "hf_right").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_repository_a_revision_or_a_file_that_is_not_there_is_named() {
    let bench = HubProject::new();
    let rows = "hf://datasets/lab/rows@main/data/rows.jsonl";
    for (revision, rows, message) in [
        ("nowhere", rows, "does not have `lab/mini` at revision `nowhere`"),
        (&"f".repeat(40), rows, "at commit `ffffffff"),
        ("main", "hf://datasets/lab/none@main/rows.jsonl", "does not have `lab/none` at revision `main`"),
        ("main", "hf://datasets/lab/rows@main/other.jsonl", "/other.jsonl` hint: check the file's name"),
    ] {
        bench.manifest(revision, rows);
        let said = bench.sweep_badly().replace("help:", "hint:");
        assert!(said.contains(message), "{message}: {said}");
    }
}

#[test]
fn without_a_connection_what_is_pinned_is_planned_and_what_is_cached_is_used() {
    let bench = HubProject::new();
    let rows = format!("hf://datasets/lab/rows@{COMMIT}/data/rows.jsonl");
    let dead = |command: &str, name: &str, value: &str| {
        bench.command(command).env("HF_ENDPOINT", "http://127.0.0.1:9").env(name, value).output().unwrap()
    };
    // What is not pinned is planned under its revision's name, and not run.
    for (offline, why) in [("1", "does not know which commit `main`"), ("0", "cannot get `lab/rows`")] {
        assert!(dead("plan", "HF_HUB_OFFLINE", offline).status.success());
        let swept = said(&dead("sweep", "HF_HUB_OFFLINE", offline));
        assert!(swept.contains(why), "{swept}");
    }
    bench.manifest(COMMIT, &rows);
    let pinned = dead("plan", "HF_HUB_OFFLINE", "0");
    assert!(pinned.status.success(), "{}", said(&pinned));
    let swept = dead("sweep", "HF_HUB_OFFLINE", "1");
    assert!(said(&swept).contains("is not in the cache"), "{}", said(&swept));
    let swept = dead("sweep", "HF_HUB_OFFLINE", "0");
    assert!(
        said(&swept).contains("cannot get") && said(&swept).contains("`HF_ENDPOINT`"),
        "{}",
        said(&swept)
    );
    bench.sweep_well();
    fs::remove_dir_all(bench.path("results")).unwrap();
    assert!(dead("sweep", "HF_HUB_OFFLINE", "1").status.success());
}

#[test]
fn a_full_disk_is_named() {
    let bench = HubProject::new();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&repos()["lab/mini"]["model.safetensors"]);
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let blobs = bench.cache().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    std::os::unix::fs::symlink("/dev/full", blobs.join(name + ".part")).unwrap();
    let said = bench.sweep_badly();
    assert!(said.contains("free disk space"), "{said}");
    assert!(!bench.weights().exists());
}

/// The paper's experiments are planned where there is neither a hub nor anything of it.
#[test]
fn the_experiments_of_the_paper_are_planned_offline() {
    let folder = tempfile::tempdir().unwrap();
    for (name, distil, search, evaluations) in [
        // Bases of 28, 28 and 32 layers, three variants, twelve tasks.
        ("table1", 9, 108, 36 * (2 * (28 * 29 / 2 + 4) + 32 * 33 / 2 + 4)),
        ("pubmedqa-llama-3.1-8b", 3, 3, 3 * (32 * 33 / 2 + 4)),
        ("trajectories", 4, 8, 8 * (28 * 29 / 2 + 4)),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_dtr"))
            .args(["plan", &format!("{ROOT}/experiments/{name}.toml"), "--json", "--results"])
            .arg(folder.path().join("results"))
            .env("HF_HOME", folder.path())
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("HF_HUB_CACHE")
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let to_do = &plan["to-do"];
        assert_eq!(to_do["cells"], serde_json::json!({ "distil": distil, "search": search }));
        assert_eq!(to_do["evaluations_at_most"], evaluations, "{name}");
        assert_eq!(to_do["distil_tokens"], distil * 100_000_000_u64);
        assert!(to_do["download_bytes"].as_u64().unwrap() > 8 << 30, "{to_do}");
        assert!(to_do["unknown"].as_array().unwrap().is_empty());
    }
}
