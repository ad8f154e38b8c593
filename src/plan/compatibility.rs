//! Checks, before a sweep runs, that each base model can be scored on its tasks.
//!
//! The tokenizer must know all words of the items, and each item must fit in the context of the base. The
//! weights must have the shapes that the configuration declares. Otherwise, scores would be meaningless.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::compatibility_cache::{BaseDigests, CompatibilityCache};
use crate::algorithms::pretrain::base_config_and_tokenizer;
use crate::data::{QuestionDigests, Split, Task, TaskItems, TaskRequests};
use crate::hub;
use crate::manifest::{EntryPart, HubModel, LoadedManifest, Manifest, ModelConfig, ModelSource};
use crate::stages::base_path;
use crate::stages::checkpoint_distil::{NamedVocabulary, ensure_equal_vocabularies};
use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, read_text_file};
use dtr_model::{BaseModel, DecoderConfig, Tokenizer, unused_tensors_note};

/// Checks that each base of a sweep can be scored on its tasks. Skips splits whose file is not downloaded,
/// and splits whose check is in `cache`.
///
/// Returns notes for the user about weight files with unused tensors.
///
/// # Errors
/// Fails if a base cannot be scored on a task. The error underlines the task in the manifest.
pub(super) fn check(
    loaded: &LoadedManifest,
    manifest: &Manifest,
    cache: &CompatibilityCache,
) -> Result<Vec<String>> {
    check_train_splits(loaded, manifest)?;
    let mut notes = Vec::new();
    let combinations = manifest.sweep.combinations().into_iter();
    let pairs: BTreeSet<(&str, &str)> = combinations.map(|(model, _, task)| (model, task)).collect();
    for model in &manifest.sweep.model {
        if !pairs.iter().any(|(one, _)| one == model) {
            continue;
        }
        let Some(base) = CheckedBase::open(manifest, model)? else { continue };
        for (index, task) in manifest.sweep.task.iter().enumerate() {
            if !pairs.contains(&(model, task)) {
                continue;
            }
            if let Some(reason) = base.incompatibility(&manifest.tasks[task], cache)? {
                let error =
                    Error::manifest(format!("`{model}` cannot be scored on the task `{task}`: {reason}"))
                        .hint("choose another task, or exclude the pair with `sweep.exclude`");
                let path = ["sweep", "task", &index.to_string()];
                let source_map = loaded.source_map();
                return Err(source_map.underline_entry(error, &path, EntryPart::Value, "not for this base"));
            }
        }
        check_teacher(loaded, manifest, model, &base)?;
        notes.extend(base.check_files()?);
    }
    Ok(notes)
}

/// Checks that the teacher of the students of `model` has the same vocabulary. Skips teachers whose files are
/// not downloaded, because the training itself checks this again.
fn check_teacher(
    loaded: &LoadedManifest,
    manifest: &Manifest,
    model: &str,
    base: &CheckedBase,
) -> Result<()> {
    let config = &manifest.checkpoint_distil;
    let Some(name) = config.teacher.as_deref().filter(|_| !config.is_disabled()) else { return Ok(()) };
    let Some(teacher) = CheckedBase::open(manifest, name)? else { return Ok(()) };
    let student = NamedVocabulary { model, config: &base.config, tokenizer: base.tokenizer()? };
    let teacher = NamedVocabulary { model: name, config: &teacher.config, tokenizer: teacher.tokenizer()? };
    ensure_equal_vocabularies(&student, &teacher).map_err(|error| {
        let (path, label) = (["checkpoint-distil", "teacher"], "has another vocabulary");
        loaded.source_map().underline_entry(error, &path, EntryPart::Value, label)
    })
}

/// Checks that fine-tuning learns no question of the validation split or the test split. Skips tasks whose
/// files are not downloaded, because the fine-tuning itself checks this again.
fn check_train_splits(loaded: &LoadedManifest, manifest: &Manifest) -> Result<()> {
    let mut places: Vec<(&str, Vec<String>)> = Vec::new();
    if !manifest.finetune.is_disabled() {
        let place = |index: usize| ["sweep", "task", &index.to_string()].map(str::to_owned).to_vec();
        places.extend(manifest.sweep.task.iter().enumerate().map(|(index, name)| (&**name, place(index))));
    }
    for (model, task) in manifest.finetunings_of_bases() {
        places.push((task, ["models", model, "source", "finetuned", "task"].map(str::to_owned).to_vec()));
    }
    for (name, place) in places {
        let task = &manifest.tasks[name];
        let splits = [Split::Train, Split::Validation, Split::Test];
        let mut are_downloaded = true;
        for split in splits {
            are_downloaded &= is_downloaded(task, split)?;
        }
        if !are_downloaded {
            continue;
        }
        if let Err(reason) = QuestionDigests::load_disjoint(task) {
            let error =
                Error::manifest(format!("the task `{name}` cannot be fine-tuned on")).with_source(reason);
            let path: Vec<&str> = place.iter().map(String::as_str).collect();
            let label = "cannot be trained on";
            return Err(loaded.source_map().underline_entry(error, &path, EntryPart::Value, label));
        }
    }
    Ok(())
}

/// A base to check. Its tokenizer is read only when a check needs it.
struct CheckedBase {
    /// The folder of the base. `None` if the sweep trains the base.
    folder: Option<PathBuf>,
    config: DecoderConfig,
    tokenizer: OnceCell<Tokenizer>,
    /// Whether the cache has a successful check of this base. If so, the tokenizer is valid.
    has_cached_check: Cell<bool>,
}

impl CheckedBase {
    /// Opens a base. Returns `None` if its files are not downloaded. Also returns `None` if the base is a
    /// shape, which is a configuration without weights and tokenizer.
    fn open(manifest: &Manifest, model: &str) -> Result<Option<Self>> {
        let definition = manifest.original_model(model);
        let folder = folder(definition)?;
        let (config, tokenizer) = match (&folder, &definition.source) {
            (Some(folder), _) => (BaseModel::read_config(folder)?, OnceCell::new()),
            (None, ModelSource::Pretrain(architecture)) => {
                let (config, tokenizer) = base_config_and_tokenizer(architecture, &manifest.pretrain)?;
                (config, OnceCell::from(tokenizer))
            }
            (None, _) => return Ok(None),
        };
        Ok(Some(Self { folder, config, tokenizer, has_cached_check: Cell::new(false) }))
    }

    /// Returns the reason why the base cannot be scored on a task, if there is one.
    fn incompatibility(&self, task: &Task, cache: &CompatibilityCache) -> Result<Option<String>> {
        for split in [Split::Validation, Split::Test] {
            if !is_downloaded(task, split)? {
                continue;
            }
            // If the key cannot be computed, ignore the error. The check below fails too, with a better
            // error.
            let key = || self.digests().and_then(|base| cache.key(&base, task, split)).ok();
            let key_before = key();
            if key_before.is_some_and(|key| cache.contains(key)) {
                self.has_cached_check.set(true);
                continue;
            }
            let (tokenizer, items) = (self.tokenizer()?, TaskItems::load(task, split)?);
            let items = items.render_chats(self.folder.as_deref());
            let requests =
                items.and_then(|items| TaskRequests::new(tokenizer, task, items, self.config.max_positions));
            if let Some(reason) = incompatibility(&self.config, tokenizer, requests) {
                return Ok(Some(reason));
            }
            // Cache the check only if no file has changed during the check. A changed file changes the key.
            if let Some(key) = key().filter(|key| key_before == Some(*key)) {
                cache.insert(key);
            }
        }
        Ok(None)
    }

    /// Checks the weights of a base on disk. Also reads the base's tokenizer if the cache does not show that
    /// the tokenizer is valid. Returns a note if the base does not use all tensors.
    fn check_files(&self) -> Result<Option<String>> {
        if !self.has_cached_check.get() {
            self.tokenizer()?;
        }
        match self.folder.as_ref().filter(|folder| BaseModel::has_all_files(folder)) {
            Some(folder) => Ok(unused_tensors_note(folder, &BaseModel::check_weights(folder)?)),
            None => Ok(None),
        }
    }

    fn tokenizer(&self) -> Result<&Tokenizer> {
        if let (None, Some(folder)) = (self.tokenizer.get(), &self.folder) {
            let _ = self.tokenizer.set(BaseModel::read_tokenizer(folder)?);
        }
        Ok(self.tokenizer.get().expect("the base has neither a tokenizer nor a folder"))
    }

    /// Returns the digests of the base's files on which the result of a check depends. The result does not
    /// depend on the weights.
    fn digests(&self) -> Result<BaseDigests> {
        let Some(folder) = &self.folder else {
            let texts =
                [("config", self.config.to_json().to_string()), ("tokenizer", self.tokenizer()?.to_json()?)];
            return Ok(texts
                .map(|(name, text)| (name.to_owned(), Some(Digest::hash(text.as_bytes()))))
                .into());
        };
        BaseModel::compute_digests_without_weights(folder)
    }
}

/// Returns the folder of a base. Returns `None` if the sweep trains the base, if the base is a shape without
/// weights, or if its configuration or its tokenizer is not downloaded.
fn folder(model: &ModelConfig) -> Result<Option<PathBuf>> {
    let Some(folder) = base_path(&model.source)? else { return Ok(None) };
    let ModelSource::Hub(model) = &model.source else { return Ok(Some(folder)) };
    let is_downloaded = BaseModel::has_config(&folder) && BaseModel::has_tokenizer(&folder);
    if let (true, HubModel { config: Some(copy), .. }) = (is_downloaded, model)
        && DecoderConfig::parse(&read_text_file(Path::new(copy))?, Path::new(copy))?
            != BaseModel::read_config(&folder)?
    {
        return Err(Error::manifest(format!("`{copy}` differs from the configuration that was downloaded"))
            .hint(match BaseModel::is_gguf(&folder) {
                true => format!(
                    "remove `config`, or copy `config.json` over it from `dtr convert {} DIR`",
                    folder.display()
                ),
                false => format!("copy `{}` over it", folder.join("config.json").display()),
            }));
    }
    Ok(is_downloaded.then_some(folder))
}

/// Returns whether the data file of a split is on disk. Synthetic tasks need no file.
fn is_downloaded(task: &Task, split: Split) -> Result<bool> {
    hub::are_local_or_cached(task.paths_of_split(split)?.iter().map(String::as_str))
}

/// Returns the reason why a base cannot be scored on a split with these requests, if there is one.
fn incompatibility(
    config: &DecoderConfig,
    tokenizer: &Tokenizer,
    requests: Result<TaskRequests>,
) -> Option<String> {
    let requests = match requests {
        Ok(requests) => requests,
        Err(error) => return Some(error.message_with_sources()),
    };
    let unknown = tokenizer.unknown_token();
    requests.tokens().find_map(|token| {
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
    use crate::manifest::load_manifest;

    /// Plans the quick start with a changed copy of its base, and returns the error. In the copy's file
    /// `name`, `to` replaces `from`.
    fn refused(name: &str, from: &str, to: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(root.join("models/mini").join(file), folder.path().join(file)).unwrap();
        }
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} does not contain {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let set = format!("models.mini.source.path={:?}", folder.path().display().to_string());
        let loaded = load_manifest(&root.join("experiments/quickstart.toml"), &[set]).unwrap();
        let error = crate::plan::plan_for_cpu(&loaded).unwrap_err();
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
    fn a_task_whose_choices_do_not_fit_in_the_context_is_refused() {
        let text =
            refused("config.json", "\"max_position_embeddings\": 128", "\"max_position_embeddings\": 0");
        assert!(text.contains("`mini` cannot be scored on the task `recall`: choice 0 of item"), "{text}");
    }

    #[test]
    fn a_task_with_words_that_the_tokenizer_lacks_is_refused() {
        let text = refused("tokenizer.json", "\"colour\"", "\"color\"");
        assert!(text.contains("does not know all words"), "{text}");
    }

    #[test]
    fn a_vocabulary_that_ends_too_early_is_refused() {
        let text = refused("config.json", "\"vocab_size\": 579", "\"vocab_size\": 200");
        assert!(text.contains("vocabulary ends at 200"), "{text}");
    }
}
