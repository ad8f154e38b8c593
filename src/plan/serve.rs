//! Whether bases can serve tasks, looked at before anything runs: a base that has no words for an item, or
//! no room for it, would give scores that mean nothing.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::{Split, items};
use crate::error::{Error, Result};
use crate::manifest::{At, Loaded, Manifest, ModelSource};
use crate::model::{Base, Config, Tokenizer};
use crate::requests::Requests;

/// Refuses a sweep with a task that one of its bases on disk cannot serve, and underlines the task.
pub(super) fn check(loaded: &Loaded, manifest: &Manifest) -> Result<()> {
    let combinations = manifest.sweep.combinations().into_iter();
    let pairs: BTreeSet<(&str, &str)> = combinations.map(|(model, _, task)| (model, task)).collect();
    for model in &manifest.sweep.model {
        let ModelSource::Path(path) = &manifest.models[model].source else { continue };
        let (config, tokenizer) = (Base::config(Path::new(path))?, Base::tokenizer(Path::new(path))?);
        for (index, task) in manifest.sweep.task.iter().enumerate() {
            if !pairs.contains(&(model, task)) {
                continue;
            }
            for split in [Split::Validation, Split::Test] {
                let definition = &manifest.tasks[task];
                let (items, room) = (items(definition, split)?, config.max_positions);
                let requests = Requests::new(&tokenizer, items, definition.metric(), room);
                if let Some(why) = obstacle(&config, &tokenizer, requests) {
                    let error = Error::manifest(format!("`{model}` cannot serve the task `{task}`: {why}"))
                        .hint("take another task, or keep the two apart with `sweep.exclude`");
                    let path = ["sweep", "task", &index.to_string()];
                    return Err(loaded.sources().point(error, &path, At::Value, "not for this base"));
                }
            }
        }
    }
    Ok(())
}

/// Why a base cannot serve a split; none if it can.
fn obstacle(config: &Config, tokenizer: &Tokenizer, requests: Result<Requests>) -> Option<String> {
    let requests = match requests {
        Ok(requests) => requests,
        Err(error) => return Some(error.one_line()),
    };
    let rows = requests.rows();
    let unknown = tokenizer.unknown();
    let targets = (0..rows.len()).flat_map(|row| requests.targets(row));
    let tokens = rows.iter().flatten().copied().chain(targets.map(|target| target.token));
    tokens.into_iter().find_map(|token| {
        if Some(token) == unknown {
            return Some("its tokenizer does not know all words of the items".to_owned());
        }
        let surplus = token as usize >= config.vocab_size;
        surplus.then(|| {
            format!("its tokenizer gives token {token}, and its vocabulary ends at {}", config.vocab_size)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load;

    /// The quickstart over a copy of its base whose file `name` was changed.
    fn refused(name: &str, from: &str, to: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(root.join("models/mini").join(file), folder.path().join(file)).unwrap();
        }
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is in {name}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let set = format!("models.mini.source.path={:?}", folder.path().display().to_string());
        let loaded = load(&root.join("experiments/quickstart.toml"), &[set]).unwrap();
        let error = crate::plan::plan(&loaded).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        let message = error.to_string();
        let rendered = format!("{:?}", miette::Report::new(error));
        assert!(
            rendered.contains("not for this base") && rendered.contains("quickstart.toml:9:9"),
            "{rendered}"
        );
        message
    }

    #[test]
    fn a_task_whose_choices_have_no_room_is_refused() {
        let text =
            refused("config.json", "\"max_position_embeddings\": 128", "\"max_position_embeddings\": 0");
        assert!(text.contains("`mini` cannot serve the task `recall`: choice 0 of item"), "{text}");
    }

    #[test]
    fn a_task_that_a_base_has_no_words_for_is_refused() {
        let text = refused("tokenizer.json", "\"colour\"", "\"color\"");
        assert!(text.contains("does not know all words"), "{text}");
    }

    #[test]
    fn a_vocabulary_that_ends_too_early_is_refused() {
        let text = refused("config.json", "\"vocab_size\": 579", "\"vocab_size\": 200");
        assert!(text.contains("vocabulary ends at 200"), "{text}");
    }
}
