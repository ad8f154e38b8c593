//! The tokens with which a model ends its text.

use std::path::Path;

use serde_json::Value;

use super::model_files::ModelFiles;
use dtr_core::error::{Error, Result};

/// The files that may name the end tokens. The first file takes precedence.
const FILES: [&str; 2] = ["generation_config.json", "config.json"];

/// Reads the end tokens of the model in `directory`: `eos_token_id` of `generation_config.json`, or else of
/// `config.json`. Returns an empty list if neither file names an end token.
///
/// # Errors
/// Fails when a file is not JSON, or its `eos_token_id` is neither a token id nor a list of token ids.
pub fn read_eos_token_ids(directory: &Path) -> Result<Vec<u32>> {
    let files = ModelFiles::open(directory)?;
    for name in FILES {
        let Some(text) = files.text(name)? else { continue };
        let refuse = |problem: &str| {
            let path = files.path_of(name);
            Error::environment(format!("cannot read end tokens from `{}`: {problem}", path.display()))
        };
        let config: Value =
            serde_json::from_str(&text).map_err(|cause| refuse("it is not JSON").with_source(cause))?;
        let ids = match &config["eos_token_id"] {
            Value::Null => continue,
            Value::Array(ids) => ids.as_slice(),
            id => std::slice::from_ref(id),
        };
        let token_id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        return ids
            .iter()
            .map(token_id)
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("`eos_token_id` is not a token id"));
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn generation_config_takes_precedence_over_config() {
        let folder = tempfile::tempdir().unwrap();
        let read = |generation: Option<&str>, config: &str| {
            let path = folder.path().join(FILES[0]);
            let _ = fs::remove_file(&path);
            if let Some(text) = generation {
                fs::write(&path, text).unwrap();
            }
            fs::write(folder.path().join(FILES[1]), config).unwrap();
            read_eos_token_ids(folder.path())
        };
        let config = r#"{ "eos_token_id": 2 }"#;
        assert_eq!(read(None, config).unwrap(), [2]);
        assert_eq!(read(Some(r#"{ "eos_token_id": [7, 9] }"#), config).unwrap(), [7, 9]);
        assert_eq!(read(Some("{}"), config).unwrap(), [2]);
        assert!(read(Some("{}"), r#"{ "eos_token_id": null }"#).unwrap().is_empty());
        assert!(read(Some(r#"{ "eos_token_id": "two" }"#), config).is_err());
    }
}
