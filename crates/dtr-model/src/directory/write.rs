//! Writing a hybrid as a Hugging Face directory, from the files of its base and its twins.

use std::path::Path;

use super::pieces::{self, Piece};
use super::written::config_json;
use crate::Variant;
use crate::import::{Base, weight_files};
use crate::mask::Mask;
use crate::mixer::{FULL, LINEAR};
use crate::twins::Twins;
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder_atomically, write_bytes_atomically};

/// The most bytes of a weight file.
const SHARD_BYTES: u64 = 5_000_000_000;

/// The file of the tokenizer, which every base has.
const TOKENIZER: &str = "tokenizer.json";

/// A hybrid as it lies in files: its base's directory, and which layers have which twins.
pub struct HybridWriter<'a> {
    /// The base's directory.
    pub base: &'a Path,
    /// The file of the twins of all layers, and their variant; not looked at where no layer is replaced.
    pub twins: (&'a Path, &'a Variant),
    /// The replaced layers.
    pub mask: &'a Mask,
    /// The model card, `README.md`.
    pub card: String,
}

impl HybridWriter<'_> {
    /// Writes the hybrid to `directory`, which is there whole or not at all.
    ///
    /// Values are copied as they lie: the base's in its own dtype, the twins' in theirs.
    ///
    /// # Errors
    /// When `directory` holds something, a file is missing, or a replaced layer has no twin.
    pub fn write(&self, directory: &Path) -> Result<()> {
        self.write_in_shards(directory, SHARD_BYTES)
    }

    pub(super) fn write_in_shards(&self, directory: &Path, most: u64) -> Result<()> {
        let variant = Some(self.twins.1).filter(|_| self.mask.num_replaced() > 0);
        let config = config_json(self.base, self.mask, variant)?;
        let pieces = self.pieces()?;
        create_folder_atomically(directory, |folder| {
            pieces::write(folder, pieces, most)?;
            for name in [TOKENIZER].into_iter().chain(Base::OPTIONAL) {
                self.copy(name, folder)?;
            }
            write_bytes_atomically(&folder.join("config.json"), config.as_bytes())?;
            write_bytes_atomically(&folder.join("README.md"), self.card.as_bytes())
        })
    }

    fn copy(&self, name: &str, folder: &Path) -> Result<()> {
        let path = self.base.join(name);
        if !path.exists() && name != TOKENIZER {
            return Ok(());
        }
        let bytes = std::fs::read(&path).map_err(|cause| Error::io("read", &path, cause))?;
        write_bytes_atomically(&folder.join(name), &bytes)
    }

    /// The tensors of the hybrid: the base's without the attention of replaced layers, and their twins.
    fn pieces(&self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for file in weight_files(self.base)? {
            pieces.extend(Piece::all_of(&file)?);
        }
        for layer in self.mask.layers() {
            let replaced = format!("model.layers.{layer}.{FULL}.");
            pieces.retain(|piece| !piece.name.starts_with(&replaced));
            pieces.extend(self.twin(layer)?);
        }
        Ok(pieces)
    }

    /// The tensors of a layer's twin, under their names in the hybrid.
    fn twin(&self, layer: u32) -> Result<Vec<Piece>> {
        let prefix = format!("{}.", Twins::name(layer as usize));
        let own = |mut piece: Piece| {
            let part = piece.name.strip_prefix(&prefix)?.to_owned();
            piece.name = format!("model.layers.{layer}.{LINEAR}.{part}");
            Some(piece)
        };
        let twin: Vec<Piece> = Piece::all_of(self.twins.0)?.into_iter().filter_map(own).collect();
        match twin.is_empty() {
            true => Err(Error::failed(format!("`{}` has no twin of layer {layer}", self.twins.0.display()))),
            false => Ok(twin),
        }
    }
}
