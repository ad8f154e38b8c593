//! What a distillation holds in a device's memory at its peak, by how many layers learn at once.

use crate::algorithms::distil::DistilConfig;
use crate::manifest::Dtype;
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_model::Variant;
use dtr_model::{DecoderConfig, Mixer};

/// Bytes of an f32.
const FULL: u64 = 4;

/// Bytes of a parameter that learns, itself and two moments, in f32 whatever the base is computed in.
const LEARNING: u64 = 3 * FULL;

/// What is held beside for each parameter of the twins that are at work, a copy and a gradient in what is computed in: of two
/// twins, since one is asked for before the one before it is done.
const AT_WORK: u64 = 2 * 2;

/// Hidden states that a twin at work holds for its gradient, with those of the teacher beside: so many times the width, by token.
const STATES: u64 = 32;

/// Bytes of what a GPU's driver, kernels and products hold for themselves.
const OWN: u64 = 1 << 29;

/// A distillation of some variants side by side.
pub struct Lessons<'a> {
    /// The base's shape.
    pub config: &'a DecoderConfig,
    /// What it is computed in.
    pub dtype: Dtype,
    /// The variants.
    pub variants: Vec<&'a Variant>,
    /// How they learn.
    pub recipe: &'a DistilConfig,
}

impl Lessons<'_> {
    /// Bytes at the peak on a GPU while `num_layers` learn at once. Lessons are no part of it: a GPU holds one at a time.
    pub fn bytes(&self, num_layers: usize) -> u64 {
        self.base() + num_layers as u64 * LEARNING * self.twins().sum::<u64>() + self.at_work()
    }

    /// Bytes of the base.
    pub fn base(&self) -> u64 {
        element(self.dtype) * self.config.num_parameters()
    }

    /// Parameters of a layer's twin, by variant.
    fn twins(&self) -> impl Iterator<Item = u64> {
        self.variants.iter().map(|variant| Mixer::num_twin_parameters(variant, self.config))
    }

    fn at_work(&self) -> u64 {
        let tokens = (self.recipe.batch_size * self.recipe.sequence_length) as u64;
        let states = STATES * tokens * self.config.hidden_size as u64 * element(self.dtype);
        OWN + AT_WORK * element(self.dtype) * self.twins().max().unwrap_or(0) + states
    }

    /// How many layers can learn at once in `room` bytes.
    ///
    /// # Errors
    /// When not even one can.
    pub fn most_layers(&self, room: u64) -> Result<usize> {
        let fits = |num_layers: &usize| self.bytes(*num_layers) <= room;
        (1..=self.config.num_layers).rev().find(fits).ok_or_else(|| {
            let least = format_bytes(self.bytes(1));
            Error::environment(format!(
                "to distil a single layer at a time needs {least} of the device's memory, and {} are free",
                format_bytes(room)
            ))
            .hint("lower `distil.batch-size`, or sweep fewer variants at once")
        })
    }
}

/// Bytes of a number.
pub fn element(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F32 => FULL,
        Dtype::Bf16 => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtr_model::{BlockConfig, DecoderShape, GdnConfig, GeometryConfig, GlaConfig, JetConfig, TwinInit};

    const GB: f64 = 1e9;

    fn llama_8b(num_layers: usize) -> DecoderConfig {
        let architecture = DecoderShape {
            hidden_size: 4096,
            intermediate_size: 14336,
            num_layers,
            num_heads: 32,
            num_kv_heads: 8,
            head_dim: 128,
            tokenizer: None,
        };
        architecture.llama_config(128_256, 131_072)
    }

    fn variants() -> [Variant; 3] {
        [
            BlockConfig::Gla(GlaConfig::default()),
            BlockConfig::Gdn(GdnConfig::default()),
            BlockConfig::Jet(JetConfig::default()),
        ]
        .map(|block| Variant { block, geometry: GeometryConfig::default(), init: TwinInit::Random })
    }

    /// What was held in `dtr bench device` by NVIDIA's management library: 32 layers on an H200, fewer on an H100.
    #[test]
    fn what_is_reckoned_is_what_was_measured_and_little_more() {
        let variants = variants();
        let recipe = DistilConfig { sequence_length: 512, batch_size: 16, ..DistilConfig::default() };
        let [gla, gdn, jet] = &variants;
        let measured = [
            (32, vec![gla], 40.89),
            (32, vec![gdn], 40.97),
            (32, vec![jet], 41.91),
            (32, vec![gla, gdn, jet], 87.14),
            (24, vec![gla], 31.74),
            (24, vec![gla, gdn, jet], 66.32),
            (8, vec![gla], 13.47),
            (8, vec![gla, gdn, jet], 25.20),
        ];
        for (num_layers, variants, measured) in measured {
            let config = llama_8b(num_layers);
            let lessons = Lessons { config: &config, dtype: Dtype::Bf16, variants, recipe: &recipe };
            let ratio = lessons.bytes(num_layers) as f64 / GB / measured;
            assert!((1.0..1.07).contains(&ratio), "{num_layers} layers, {measured} GB: {ratio:.3}");
        }
    }

    #[test]
    fn fewer_layers_learn_at_once_where_all_do_not_fit() {
        let (config, variants) = (llama_8b(32), variants());
        let recipe = DistilConfig { sequence_length: 512, batch_size: 16, ..DistilConfig::default() };
        let lessons = Lessons {
            config: &config,
            dtype: Dtype::Bf16,
            variants: variants.iter().collect(),
            recipe: &recipe,
        };
        assert_eq!(lessons.most_layers(140_000_000_000).unwrap(), 32);
        let at_once = lessons.most_layers(80_000_000_000).unwrap();
        assert!((16..32).contains(&at_once), "half at least: two groups do, not {at_once} layers");
        let refused = lessons.most_layers(20_000_000_000).unwrap_err().to_line();
        assert!(refused.contains("a single layer at a time") && refused.contains("batch-size"), "{refused}");
    }
}
