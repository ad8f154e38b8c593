//! Full softmax attention of Llama, Qwen2 and Qwen3.

use burn::tensor::Tensor;

use super::Geometry;
use super::parts::{Linear, Projections, TwinConfig};
use super::{MixerState, Pass};
use crate::config::Config;
use crate::parameters::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{KvCache, Rope, merge_heads};

/// Grouped-query softmax attention with rotary positions.
#[derive(Clone)]
pub struct FullAttention {
    /// Queries, keys and values.
    pub projections: Projections,
    /// The output projection, `[d, h·k]`.
    pub o_proj: Linear,
}

impl FullAttention {
    /// The attention of a layer of `config`, parameters from `make` under `name`.
    pub fn new(config: &Config, make: &mut dyn ParamSource, name: &str) -> Result<Self> {
        let geometry = TwinConfig::new(&Geometry::default(), config);
        let (width, heads) = (config.hidden_size, config.num_heads * config.head_dim);
        let fill = Initializer::into_residual(heads, config.num_layers);
        Ok(Self {
            projections: Projections::new(&geometry, None, make, name)?,
            o_proj: Linear::new(make, &format!("{name}.o_proj"), [width, heads], fill)?,
        })
    }

    /// Queries `[b, h, t, k]`, keys and values `[b, g, t, k]`, not rotated.
    fn by_head(&self, x_btd: Tensor<3>) -> [Tensor<4>; 3] {
        let project = &self.projections;
        let [q, k, v] = project.forward(x_btd);
        [project.query_heads(q), project.key_heads(k), project.value_heads(v)]
    }

    /// Rotated queries `[b, h, t, k]` and keys `[b, g, t, k]`, and values `[b, g, t, k]`.
    pub(super) fn project(&self, x_btd: Tensor<3>, pass: &Pass) -> [Tensor<4>; 3] {
        rotated(self.by_head(x_btd), pass)
    }

    pub(super) fn forward(
        &self,
        x_btd: Tensor<3>,
        pass: &Pass,
        past: Option<MixerState>,
    ) -> (Tensor<3>, MixerState) {
        let tokens = self.by_head(x_btd);
        let (queries, cache) = match past {
            Some(MixerState::Cache(cache)) if pass.at.is_some() => {
                cache.rotate_and_append(tokens, &pass.rope)
            }
            Some(MixerState::Cache(cache)) => {
                let [queries, keys, values] = rotated(tokens, pass);
                (queries, cache.append(keys, values, pass.room))
            }
            Some(MixerState::Recurrent { .. }) => unreachable!("a layer's state is made by the layer itself"),
            None => {
                let [queries, keys, values] = rotated(tokens, pass);
                (queries, KvCache::new(keys, values).with_capacity(pass.room))
            }
        };
        let output = dtr_ops::attention(queries, &cache, &pass.mask);
        (self.o_proj.forward(merge_heads(output)), MixerState::Cache(cache))
    }
}

fn rotated([queries, keys, values]: [Tensor<4>; 3], pass: &Pass) -> [Tensor<4>; 3] {
    let [queries, keys] = [queries, keys].map(|x| Rope::apply(x, &pass.rope));
    [queries, keys, values]
}

impl Parameters for FullAttention {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.projections.visit(visitor);
        self.o_proj.visit("o_proj", visitor);
    }
}
