//! The identities of an experiment's input files, by the names that the manifest gives to the inputs.
//!
//! A plan computes identities from files. Published results hold the identities, so that an experiment can
//! be planned without its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::identity::{CorpusIdentity, ModelIdentity, SplitIdentity};
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_model::DecoderConfig;

/// Everything that a plan reads from files.
///
/// The key of an entry is a name in the manifest, followed by the values of the sweep's axes if there are
/// any. So the identities are valid only for the manifest for which they were computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputIdentities {
    /// The identity of each base. `None` if a pretrain cell trains the base, or if the base is only a shape.
    pub(super) models: BTreeMap<String, Option<ModelIdentity>>,
    /// The shape of each base. `None` if its configuration has not been downloaded.
    pub(super) shapes: BTreeMap<String, Option<DecoderConfig>>,
    /// The digest of the tokenizer of each base that a pretrain cell trains. `None` for the tokenizer of the
    /// synthetic language.
    pub(super) tokenizers: BTreeMap<String, Option<Digest>>,
    /// The identity of the corpus.
    pub(super) corpora: BTreeMap<String, CorpusIdentity>,
    /// The identity of each split of each task.
    pub(super) tasks: BTreeMap<String, SplitIdentity>,
}

impl InputIdentities {
    /// Checks the sizes in all shapes, because the shapes may come from an untrusted file.
    ///
    /// # Errors
    /// Fails if a size is out of range.
    pub fn ensure_valid(&self) -> Result<()> {
        self.shapes.values().flatten().try_for_each(DecoderConfig::ensure_valid)
    }
}

/// The origin of the identities of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IdentitySource {
    /// Identities are computed from files when they are needed.
    #[default]
    Files,
    /// All identities are known. No file is read.
    Known,
}

impl IdentitySource {
    /// Returns the value of `name` in `known`. If it is absent and files may be read, computes and adds it.
    ///
    /// # Errors
    /// Fails if `compute` fails, or if the value is absent and no file may be read.
    pub(super) fn get<T: Clone>(
        self,
        known: &mut BTreeMap<String, T>,
        name: &str,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match (known.get(name), self) {
            (Some(value), _) => Ok(value.clone()),
            (None, Self::Files) => {
                let value = compute()?;
                known.insert(name.to_owned(), value.clone());
                Ok(value)
            }
            (None, Self::Known) => {
                Err(Error::environment(format!("the published results lack the identity of `{name}`"))
                    .hint("publish the results again"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{PinnedRepo, RepoKind};

    #[test]
    fn identities_read_back_from_json() {
        let repo = PinnedRepo { kind: RepoKind::Model, id: "a/b".to_owned(), commit: "c".repeat(40) };
        let digest = Digest::hash(b"weights");
        let files = BTreeMap::from([("model.safetensors".to_owned(), digest)]);
        let models = [
            ModelIdentity::Hub(repo.clone()),
            ModelIdentity::HubFile { repo, file: "base.gguf".to_owned() },
            ModelIdentity::Files { files: files.clone(), reader_version: None, generation_files: None },
            ModelIdentity::Files { files, reader_version: Some(2), generation_files: None },
        ];
        let mut identities = InputIdentities::default();
        identities.tokenizers.insert("models.a".to_owned(), Some(digest));
        let models = models.into_iter().enumerate();
        identities.models.extend(models.map(|(index, model)| (format!("models.{index}"), Some(model))));
        let json = serde_json::to_string(&identities).unwrap();
        assert_eq!(serde_json::from_str::<InputIdentities>(&json).unwrap(), identities);
    }

    #[test]
    fn a_known_identity_is_not_computed_and_an_unknown_one_is_named() {
        let mut known = BTreeMap::from([("a".to_owned(), 1)]);
        let fail = || Err(Error::failed("read a file"));
        assert_eq!(IdentitySource::Known.get(&mut known, "a", fail).unwrap(), 1);
        let error = IdentitySource::Known.get(&mut known, "b", || Ok(2)).unwrap_err();
        assert!(error.to_string().contains("lack the identity of `b`"), "{error}");
        assert_eq!(IdentitySource::Files.get(&mut known, "b", || Ok(2)).unwrap(), 2);
        assert_eq!(known["b"], 2);
    }
}
