//! `dtr push` uploads a model to the hub. A local server takes the place of the hub.

use std::collections::BTreeMap;
use std::fs;

use crate::dtr_command::DtrCommand;
use crate::hub_server::HubServer;
use crate::project::repository_root;
use crate::temp_folder::TempFolder;

const TOKEN: &str = "a-token";

#[test]
fn a_pushed_model_has_the_files_of_its_directory() {
    let (server, folder) = (HubServer::start(BTreeMap::new()), TempFolder::new());
    server.allow_uploads(TOKEN);
    let base = repository_root().join("models/mini");
    let push = |token: &str| {
        DtrCommand::new("push")
            .arg(&base)
            .arg("lab/pushed")
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HOME", folder.path("home"))
            .env("HF_TOKEN", token)
    };
    push("").exit(5).stderr_contains("an upload needs a token");
    push("other").exit(5).stderr_contains("denies the upload (401)");
    let pushed = push(TOKEN).json();
    assert!(pushed["url"].as_str().unwrap().contains("/lab/pushed/commit/"), "{pushed}");
    let files = server.files("lab/pushed");
    assert_eq!(pushed["num_files"], files.len());
    assert!(files.contains_key("model.safetensors") && files.contains_key("config.json"));
    for (name, bytes) in &files {
        assert!(fs::read(base.join(name)).unwrap() == *bytes, "{name} differs");
    }
    assert_eq!(files.len(), fs::read_dir(&base).unwrap().count());

    // The repository exists, and has the large files.
    let num_requests = server.num_requests();
    push(TOKEN).success();
    assert_eq!(server.num_requests(), num_requests + 4);
}

#[test]
fn a_folder_without_a_model_and_a_malformed_repository_are_refused() {
    let folder = TempFolder::new();
    let push = |repository: &str| DtrCommand::new("push").arg(folder.root()).arg(repository);
    push("lab/new").exit(2).stderr_contains("holds no model");
    push("new").exit(2).stderr_contains("OWNER/NAME");
}
