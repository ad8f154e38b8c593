//! Uploads a folder to a model repository of the hub, as one commit.
//!
//! The requests are those of the Python library `huggingface_hub`: create the repository, ask which files are
//! large, upload large files by the protocol of Git LFS, and commit.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::upload_client::UploadClient;
use super::{Hub, list_files_recursively};
use dtr_core::error::{Error, Result};

/// The number of bytes at the beginning of a file by which the hub decides whether the file is large.
const SAMPLE_BYTES: usize = 512;

/// The largest file that one request can upload, in bytes.
const MAX_UPLOAD_BYTES: u64 = 5 << 30;

/// The branch that receives the commit.
const BRANCH: &str = "main";

/// A commit that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedCommit {
    /// The page of the commit.
    pub url: String,
    /// The number of files in the commit.
    pub num_files: usize,
}

/// A file to upload.
struct Upload {
    /// The path in the repository.
    name: String,
    path: PathBuf,
    num_bytes: u64,
    sha256: String,
    sample: Vec<u8>,
}

impl Upload {
    fn read(folder: &Path, name: String) -> Result<Self> {
        let path = folder.join(&name);
        let io_error = |cause| Error::io("read", &path, cause);
        let mut file = std::fs::File::open(&path).map_err(io_error)?;
        let num_bytes = file.metadata().map_err(io_error)?.len();
        if num_bytes > MAX_UPLOAD_BYTES {
            return Err(Error::environment(format!(
                "cannot upload `{}`: it is larger than 5 GiB",
                path.display()
            ))
            .hint("upload it with `hf upload`, which sends a file in parts"));
        }
        let mut hasher = Sha256::new();
        std::io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(io_error)?;
        let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let sample = read_start(&path).map_err(io_error)?;
        Ok(Self { name, num_bytes, sha256, sample, path })
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut sample = Vec::with_capacity(SAMPLE_BYTES);
    std::fs::File::open(path)?.take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
    Ok(sample)
}

impl Hub {
    /// Uploads all files of `folder` to the model repository `repo`, `OWNER/NAME`, as one commit of the branch
    /// `main`. Creates the repository if it does not exist; `is_private` applies only then.
    ///
    /// # Errors
    /// Fails when there is no token, a file cannot be read, or the hub refuses a request.
    pub fn push(&self, folder: &Path, repo: &str, is_private: bool) -> Result<PushedCommit> {
        let Some(token) = &self.token else {
            return Err(Error::environment("an upload needs a token with write access")
                .hint("set `HF_TOKEN`, or run `hf auth login`"));
        };
        if self.is_offline {
            return Err(Error::environment("`HF_HUB_OFFLINE` is set").hint("unset `HF_HUB_OFFLINE`"));
        }
        let client = UploadClient::new(&self.endpoint, token);
        let mut names = list_files_recursively(folder, folder)?;
        names.sort();
        let uploads: Vec<Upload> =
            names.into_iter().map(|name| Upload::read(folder, name)).collect::<Result<_>>()?;
        create_repository(&client, repo, is_private)?;
        let is_large = large_files(&client, repo, &uploads)?;
        let (large, small): (Vec<&Upload>, Vec<&Upload>) =
            uploads.iter().partition(|upload| is_large(&upload.name) && upload.num_bytes > 0);
        upload_large_files(&client, repo, &large)?;
        let url = commit(&client, repo, &small, &large)?;
        Ok(PushedCommit { url, num_files: uploads.len() })
    }
}

/// Creates a repository. Does nothing if it exists.
fn create_repository(client: &UploadClient<'_>, repo: &str, is_private: bool) -> Result<()> {
    let (owner, name) = repo.split_once('/').expect("the caller has checked the repository's name");
    let body = json!({ "type": "model", "organization": owner, "name": name, "private": is_private });
    client.post_json("api/repos/create", &body, &[409]).map(|_| ())
}

/// Asks the hub which files are large.
fn large_files(
    client: &UploadClient<'_>,
    repo: &str,
    uploads: &[Upload],
) -> Result<impl Fn(&str) -> bool + use<>> {
    let mut large = std::collections::BTreeSet::new();
    let file = |upload: &Upload| {
        let sample = BASE64.encode(&upload.sample);
        json!({ "path": upload.name, "size": upload.num_bytes, "sample": sample })
    };
    let body = json!({ "files": uploads.iter().map(file).collect::<Vec<_>>() });
    let answer = client.post_json(&format!("api/models/{repo}/preupload/{BRANCH}"), &body, &[])?;
    let files = answer["files"].as_array().ok_or_else(|| client.unexpected_answer())?;
    for file in files.iter().filter(|file| file["uploadMode"] == "lfs") {
        large.insert(file["path"].as_str().unwrap_or_default().to_owned());
    }
    Ok(move |name: &str| large.contains(name))
}

/// Uploads large files that the hub does not have yet.
fn upload_large_files(client: &UploadClient<'_>, repo: &str, uploads: &[&Upload]) -> Result<()> {
    if uploads.is_empty() {
        return Ok(());
    }
    let object = |upload: &&Upload| json!({ "oid": upload.sha256, "size": upload.num_bytes });
    let body = json!({
        "operation": "upload",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "ref": { "name": BRANCH },
        "objects": uploads.iter().map(object).collect::<Vec<_>>(),
    });
    let answer = client.post_lfs(&format!("{repo}.git/info/lfs/objects/batch"), &body)?;
    let objects = answer["objects"].as_array().ok_or_else(|| client.unexpected_answer())?;
    for object in objects {
        let found = uploads.iter().find(|upload| object["oid"] == upload.sha256.as_str());
        let upload = found.ok_or_else(|| client.unexpected_answer())?;
        if let Some(problem) = object["error"]["message"].as_str() {
            return Err(Error::environment(format!("the hub refuses `{}`: {problem}", upload.name)));
        }
        let actions = &object["actions"];
        if let Some(address) = actions["upload"]["href"].as_str() {
            client.put_file(address, &actions["upload"]["header"], &upload.path)?;
        }
        if let Some(address) = actions["verify"]["href"].as_str() {
            client.post_lfs_url(address, &json!({ "oid": upload.sha256, "size": upload.num_bytes }))?;
        }
    }
    Ok(())
}

/// Commits the files. Returns the address of the commit's page.
fn commit(client: &UploadClient<'_>, repo: &str, small: &[&Upload], large: &[&Upload]) -> Result<String> {
    let header = json!({ "summary": "Upload a hybrid with dtr", "description": "" });
    let mut lines = vec![json!({ "key": "header", "value": header })];
    for upload in small {
        let bytes = std::fs::read(&upload.path).map_err(|cause| Error::io("read", &upload.path, cause))?;
        let content = BASE64.encode(bytes);
        let value = json!({ "path": upload.name, "content": content, "encoding": "base64" });
        lines.push(json!({ "key": "file", "value": value }));
    }
    for Upload { name, sha256, num_bytes, .. } in large {
        let value = json!({ "path": name, "algo": "sha256", "oid": sha256, "size": num_bytes });
        lines.push(json!({ "key": "lfsFile", "value": value }));
    }
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = client.post_lines(&format!("api/models/{repo}/commit/{BRANCH}"), body)?;
    match &answer["commitUrl"] {
        Value::String(url) => Ok(url.clone()),
        _ => Err(client.unexpected_answer()),
    }
}
