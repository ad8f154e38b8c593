//! `dtr push`: uploads an exported hybrid to the Hugging Face hub.

use std::path::PathBuf;

use clap::Args;

use super::print_json;
use crate::hub::{default_hub, is_repo_id};
use dtr_core::error::{Error, Result};

/// Upload an exported hybrid to a repository of the Hugging Face hub
///
/// All files of the directory become one commit of the branch `main`. The token is that of `HF_TOKEN` or of
/// `hf auth login`, and needs write access.
#[derive(Args)]
pub struct PushCommand {
    /// Directory of a model, as `dtr export` writes it
    directory: PathBuf,
    /// Repository, `OWNER/NAME`; it is created if it does not exist
    repository: String,
    /// Create the repository as a private one
    #[arg(long)]
    private: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PushCommand {
    pub(super) fn run(self) -> Result<u8> {
        if !(is_repo_id(&self.repository) && self.repository.contains('/')) {
            return Err(Error::manifest(format!("`{}` is not a repository", self.repository))
                .hint("write `OWNER/NAME`"));
        }
        if !self.directory.join("config.json").is_file() {
            return Err(Error::manifest(format!("`{}` holds no model", self.directory.display()))
                .hint("name a directory that `dtr export` wrote"));
        }
        let pushed = default_hub().push(&self.directory, &self.repository, self.private)?;
        match self.json {
            true => {
                let (url, num_files) = (&pushed.url, pushed.num_files);
                print_json(&serde_json::json!({ "url": url, "num_files": num_files }));
            }
            false => println!("{}", pushed.url),
        }
        Ok(0)
    }
}
