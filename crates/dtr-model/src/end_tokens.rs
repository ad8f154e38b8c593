//! The tokens with which a model ends its text.

use std::path::Path;

use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;

/// The files that name them, the first that does so first.
const FILES: [&str; 2] = ["generation_config.json", "config.json"];

/// The end tokens of the model in `directory`: `eos_token_id` of `generation_config.json`, or else of
/// `config.json`; none where neither names one.
///
/// # Errors
/// When a file is not JSON, or what it names is neither a token nor a list of them.
pub fn end_tokens(directory: &Path) -> Result<Vec<u32>> {
    for name in FILES {
        let path = directory.join(name);
        if !path.is_file() {
            continue;
        }
        let refuse = |what: &str| Error::environment(format!("`{}` {what}", path.display()));
        let config: Value = serde_json::from_str(&read_text_file(&path)?)
            .map_err(|cause| refuse("is not JSON").with_source(cause))?;
        let ids = match &config["eos_token_id"] {
            Value::Null => continue,
            Value::Array(ids) => ids.as_slice(),
            id => std::slice::from_ref(id),
        };
        let token = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        return ids
            .iter()
            .map(token)
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("has an `eos_token_id` that is no token"));
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_file_that_names_ends_counts() {
        let folder = tempfile::tempdir().unwrap();
        let ends = |generation: Option<&str>, config: &str| {
            let path = folder.path().join(FILES[0]);
            let _ = fs::remove_file(&path);
            if let Some(text) = generation {
                fs::write(&path, text).unwrap();
            }
            fs::write(folder.path().join(FILES[1]), config).unwrap();
            end_tokens(folder.path())
        };
        let config = r#"{ "eos_token_id": 2 }"#;
        assert_eq!(ends(None, config).unwrap(), [2]);
        assert_eq!(ends(Some(r#"{ "eos_token_id": [7, 9] }"#), config).unwrap(), [7, 9]);
        assert_eq!(ends(Some("{}"), config).unwrap(), [2]);
        assert!(ends(Some("{}"), r#"{ "eos_token_id": null }"#).unwrap().is_empty());
        assert!(ends(Some(r#"{ "eos_token_id": "two" }"#), config).is_err());
    }
}
