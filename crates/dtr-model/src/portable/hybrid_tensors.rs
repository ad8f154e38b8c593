//! The tensors of a hybrid under their names in dtr, from which the tensors of a format are made.

use std::collections::BTreeMap;

use crate::directory::{ElementMap, Segment, TensorSource};
use crate::mixer::{LINEAR_ATTENTION_PREFIX, TwinGeometry};
use crate::{DecoderConfig, Mask, TwinVariant};
use dtr_core::error::{Error, Result};

/// The name of the embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// The name of the output head. A model with a tied head does not have it.
pub(crate) const HEAD: &str = "lm_head.weight";

/// The name of the norm after the last layer.
pub(crate) const LAST_NORM: &str = "model.norm.weight";

/// The norms of a layer.
pub(crate) const LAYER_NORMS: [&str; 2] = ["input_layernorm.weight", "post_attention_layernorm.weight"];

/// The weights of a layer's MLP.
pub(crate) const MLP: [&str; 3] = ["mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"];

/// A hybrid to express in another format.
pub(crate) struct HybridTensors<'a> {
    /// The configuration of the base. Its head is tied if the hybrid has no tensor for it.
    pub config: &'a DecoderConfig,
    /// The variant of the twins.
    pub variant: &'a TwinVariant,
    /// The geometry of the twins.
    pub geometry: TwinGeometry,
    /// The replaced layers.
    pub mask: &'a Mask,
    tensors: BTreeMap<String, TensorSource>,
}

impl<'a> HybridTensors<'a> {
    /// Collects the tensors of a hybrid.
    pub fn new(
        config: &'a DecoderConfig,
        variant: &'a TwinVariant,
        mask: &'a Mask,
        tensors: Vec<TensorSource>,
    ) -> Self {
        let geometry = TwinGeometry::new(&variant.geometry, config);
        let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        Self { config, variant, geometry, mask, tensors }
    }

    /// Returns whether twins replace the attention of `layer`.
    pub fn is_linear(&self, layer: usize) -> bool {
        self.mask.contains(layer as u32)
    }

    /// Returns the tensor `name`.
    ///
    /// # Errors
    /// Fails when the hybrid does not have it.
    pub fn find(&self, name: &str) -> Result<&TensorSource> {
        self.tensors.get(name).ok_or_else(|| Error::failed(format!("the hybrid has no tensor `{name}`")))
    }

    /// Returns the tensor `from` under the name `to`.
    ///
    /// # Errors
    /// Fails when the hybrid does not have the tensor.
    pub fn renamed(&self, from: &str, to: &str) -> Result<TensorSource> {
        let mut tensor = self.find(from)?.clone();
        to.clone_into(&mut tensor.name);
        Ok(tensor)
    }

    /// Returns the tensor `from`, each value changed by `map`, under the name `to`.
    ///
    /// # Errors
    /// Fails when the hybrid does not have the tensor.
    pub fn mapped(&self, from: &str, map: ElementMap, to: &str) -> Result<TensorSource> {
        let tensor = self.find(from)?;
        let shape = tensor.shape().to_vec();
        Ok(TensorSource::computed(to.to_owned(), shape, vec![Segment::mapped(tensor, map)]))
    }

    /// Returns the part `part` of the twin of `layer`.
    ///
    /// # Errors
    /// Fails when the hybrid does not have the tensor.
    pub fn twin_part(&self, layer: usize, part: &str) -> Result<&TensorSource> {
        self.find(&format!("model.layers.{layer}.{LINEAR_ATTENTION_PREFIX}.{part}"))
    }

    /// Returns a tensor of the twin of `layer` whose rows belong to key/value heads, for the query heads: the
    /// rows of a key/value head are repeated for each query head that shares it. `rows_per_head` is the number
    /// of rows of a head.
    ///
    /// # Errors
    /// Fails when the hybrid does not have the tensor.
    pub fn for_query_heads(&self, layer: usize, part: &str, rows_per_head: usize) -> Result<Vec<Segment>> {
        let tensor = self.twin_part(layer, part)?;
        Ok(Segment::repeat_heads(tensor, rows_per_head, self.geometry.heads_per_kv_head()))
    }
}
