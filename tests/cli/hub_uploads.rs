//! The part of the local hub that receives uploads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::Digest;

use crate::hub_server::{COMMIT, MIN_LARGE_FILE_BYTES, Request, ServerState, hex};

/// The uploads of a server.
#[derive(Default)]
pub struct Uploads {
    /// The token that has write access.
    pub token: String,
    /// The large files that were uploaded, by their digests.
    objects: std::collections::BTreeMap<String, Vec<u8>>,
}

/// Returns the status and the JSON of the answer to an upload.
pub fn respond_to_upload(request: &Request, state: &mut ServerState, endpoint: &str) -> (String, Value) {
    let status = |status: &str| (status.to_owned(), Value::Null);
    // Uploads of large files go to another host, which must not see the token.
    if let Some(digest) = request.path.strip_prefix("/upload/") {
        let is_expected = request.token.is_none() && hex(&sha2::Sha256::digest(&request.body)) == digest;
        state.uploads.objects.insert(digest.to_owned(), request.body.clone());
        return status(if is_expected { "200 OK" } else { "400 Bad Request" });
    }
    if request.token.as_ref() != Some(&state.uploads.token) {
        return status("401 Unauthorized");
    }
    let parse = || serde_json::from_slice::<Value>(&request.body).unwrap();
    let path = request.path.as_str();
    if path == "/api/repos/create" {
        let body = parse();
        let name = format!("{}/{}", body["organization"].as_str().unwrap(), body["name"].as_str().unwrap());
        let is_new = !state.repositories.contains_key(&name);
        state.repositories.entry(name).or_default();
        return status(if is_new { "200 OK" } else { "409 Conflict" });
    }
    if path.ends_with("/preupload/main") {
        let mode = |file: &Value| match file["size"].as_u64().unwrap() as usize >= MIN_LARGE_FILE_BYTES {
            true => "lfs",
            false => "regular",
        };
        let files = parse()["files"].as_array().unwrap().clone();
        let files: Vec<Value> =
            files.iter().map(|file| json!({ "path": file["path"], "uploadMode": mode(file) })).collect();
        return ("200 OK".to_owned(), json!({ "files": files }));
    }
    if path.ends_with(".git/info/lfs/objects/batch") {
        let address = endpoint.replace("127.0.0.1", "localhost");
        let objects: Vec<Value> = parse()["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| {
                let digest = object["oid"].as_str().unwrap();
                let upload = json!({ "href": format!("{address}/upload/{digest}") });
                let actions = match state.uploads.objects.contains_key(digest) {
                    true => Value::Null,
                    false => json!({ "upload": upload }),
                };
                json!({ "oid": digest, "size": object["size"], "actions": actions })
            })
            .collect();
        return ("200 OK".to_owned(), json!({ "objects": objects }));
    }
    match path.strip_prefix("/api/models/").and_then(|path| path.strip_suffix("/commit/main")) {
        Some(repo) => commit(request, state, repo, endpoint),
        None => status("404 Not Found"),
    }
}

fn commit(request: &Request, state: &mut ServerState, repo: &str, endpoint: &str) -> (String, Value) {
    let lines = std::str::from_utf8(&request.body).unwrap().lines();
    for line in lines.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let value = &line["value"];
        let bytes = match line["key"].as_str().unwrap() {
            "file" => BASE64.decode(value["content"].as_str().unwrap()).unwrap(),
            "lfsFile" => state.uploads.objects[value["oid"].as_str().unwrap()].clone(),
            _ => continue,
        };
        let name = value["path"].as_str().unwrap().to_owned();
        state.repositories.get_mut(repo).unwrap().insert(name, bytes);
    }
    ("200 OK".to_owned(), json!({ "commitUrl": format!("{endpoint}/{repo}/commit/{COMMIT}") }))
}
