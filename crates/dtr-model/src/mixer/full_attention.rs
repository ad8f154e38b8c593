//! The softmax attention of Llama, Qwen2 and Qwen3.

use burn::tensor::Tensor;

use super::linear_projection::Linear;
use super::projections::Projections;
use super::{ForwardContext, GeometryConfig, MixerState, TwinGeometry};
use crate::{DecoderConfig, Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{KvCache, Rope, merge_heads};

/// Grouped-query softmax attention with rotary positions.
#[derive(Clone)]
pub struct FullAttention {
    /// The projections of queries, keys and values.
    pub(super) projections: Projections,
    /// The output projection, `[d, h·k]`.
    pub(super) o_proj: Linear,
}

impl FullAttention {
    /// Creates the attention of a layer, with parameters from `params` under `name`.
    pub(super) fn new(config: &DecoderConfig, params: &mut dyn ParamSource, name: &str) -> Result<Self> {
        let geometry = TwinGeometry::new(&GeometryConfig::default(), config);
        let (width, heads) = (config.hidden_size, config.num_heads * config.head_dim);
        let initializer = Initializer::residual_output(heads, config.num_layers);
        Ok(Self {
            projections: Projections::new(&geometry, None, params, name)?,
            o_proj: Linear::new(params, &format!("{name}.o_proj"), [width, heads], initializer)?,
        })
    }

    /// Returns whether a decoding step can be recorded as a CUDA graph.
    pub(super) fn is_recordable(&self) -> bool {
        dtr_ops::is_attention_recordable(self.projections.head_width())
    }

    /// Returns queries `[b, h, t, k]`, and keys and values `[b, g, t, k]`, without rotary positions.
    fn project(&self, x_btd: Tensor<3>) -> [Tensor<4>; 3] {
        let projections = &self.projections;
        let [q, k, v] = projections.forward(x_btd);
        [projections.query_heads(q), projections.key_heads(k), projections.value_heads(v)]
    }

    /// Returns queries `[b, h, t, k]`, and keys and values `[b, g, t, k]`. Queries and keys are rotated.
    pub(super) fn project_and_rotate(&self, x_btd: Tensor<3>, context: &ForwardContext) -> [Tensor<4>; 3] {
        rotate(self.project(x_btd), context)
    }

    pub(super) fn forward(
        &self,
        x_btd: Tensor<3>,
        context: &ForwardContext,
        past: Option<MixerState>,
    ) -> (Tensor<3>, MixerState) {
        let qkv = self.project(x_btd);
        let (queries, cache) = match past {
            Some(MixerState::Cache(cache)) if context.counter.is_some() => {
                cache.rotate_and_append(qkv, &context.rope_angles)
            }
            Some(MixerState::Cache(cache)) => {
                let [queries, keys, values] = rotate(qkv, context);
                let cache = match &context.positions {
                    Some(positions) => cache.write_at(keys, values, positions),
                    None => cache.append(keys, values, context.cache_capacity),
                };
                (queries, cache)
            }
            Some(MixerState::Recurrent { .. }) => unreachable!("full attention got a recurrent state"),
            None => {
                let [queries, keys, values] = rotate(qkv, context);
                (queries, KvCache::new(keys, values).with_capacity(context.cache_capacity))
            }
        };
        let output = dtr_ops::attention(queries, &cache, &context.causal_mask);
        (self.o_proj.forward(merge_heads(output)), MixerState::Cache(cache))
    }
}

fn rotate([queries, keys, values]: [Tensor<4>; 3], context: &ForwardContext) -> [Tensor<4>; 3] {
    let [queries, keys] = [queries, keys].map(|x| Rope::apply(x, &context.rope_angles));
    [queries, keys, values]
}

impl Parameters for FullAttention {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.o_proj.visit("o_proj", visitor);
    }
}
