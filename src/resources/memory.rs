//! Estimates of the memory that models take on a device.
//!
//! On a GPU, one training step of a distillation trains the twins of several layers. These layers are called
//! a stack.

use crate::algorithms::distil::{DistilConfig, largest_stack_size};
use crate::manifest::Dtype;
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

/// Bytes of a number in f32.
pub(super) const F32_BYTES: u64 = 4;

/// Bytes per parameter of a twin between training steps: the master weight and the two moments of AdamW, in
/// f32.
const PARAMETER_BYTES_BETWEEN_STEPS: u64 = 3 * F32_BYTES;

/// Number of values that a GPU holds for each parameter of a stack during a training step. The step of a
/// stack is enqueued before the step of the previous stack ends. So the GPU holds a working copy and a
/// gradient for each of two stacks.
const STEP_VALUES_PER_PARAMETER: u64 = 2 * 2;

/// Number of hidden states per token that a GPU holds while it computes the gradient of a twin. The number
/// includes the hidden states of the base. Each hidden state has the model's width.
const STEP_STATES_PER_TOKEN: u64 = 32;

/// Bytes of GPU memory that the driver, the kernels and the matrix products take.
pub const GPU_OVERHEAD_BYTES: u64 = 1 << 29;

/// Returns the size of a base's weights in bytes.
pub fn weight_bytes(config: &DecoderConfig, dtype: Dtype) -> u64 {
    dtype_bytes(dtype) * config.num_parameters()
}

/// Returns the size of the twins of all layers in bytes.
pub fn twin_bytes(config: &DecoderConfig, variant: &TwinVariant, dtype: Dtype) -> u64 {
    dtype_bytes(dtype) * config.num_layers as u64 * Mixer::num_twin_parameters(variant, config)
}

/// Returns the number of bytes that training holds for `num_parameters` parameters: weights, gradients and
/// the two moments of AdamW, in f32.
pub fn training_bytes(num_parameters: u64) -> u64 {
    4 * F32_BYTES * num_parameters
}

/// Returns the size in bytes of the keys and values of `num_layers` layers at `num_positions` positions, in
/// f32.
pub fn kv_cache_bytes(config: &DecoderConfig, num_layers: usize, num_positions: usize) -> u64 {
    F32_BYTES * (2 * num_layers * config.num_kv_heads * config.head_dim * num_positions) as u64
}

/// Estimates the memory that distilling several variants together takes.
pub struct DistilMemory<'a> {
    /// The shape of the base.
    pub config: &'a DecoderConfig,
    /// The floating-point type in which the base computes.
    pub dtype: Dtype,
    /// The variants of the twins.
    pub variants: Vec<&'a TwinVariant>,
    /// The training recipe.
    pub recipe: &'a DistilConfig,
}

impl DistilMemory<'_> {
    /// Returns the peak memory in bytes if all layers are trained together.
    ///
    /// The estimate assumes a GPU for a base in bf16, and a CPU for a base in f32. The estimate for a GPU
    /// includes temporary tensors. The estimate for a CPU does not.
    pub fn peak_bytes_of_all_layers(&self) -> u64 {
        match self.dtype {
            Dtype::Bf16 => self.gpu_peak_bytes(self.config.num_layers),
            Dtype::F32 => self.cpu_bytes(),
        }
    }

    /// Returns the peak memory of a GPU in bytes while `num_layers` layers are trained together. At any
    /// time, the GPU holds the inputs and outputs of only one stack of layers.
    pub fn gpu_peak_bytes(&self, num_layers: usize) -> u64 {
        let between_steps =
            num_layers as u64 * PARAMETER_BYTES_BETWEEN_STEPS * self.twin_parameters().sum::<u64>();
        self.base_bytes() + between_steps + self.step_bytes(num_layers)
    }

    /// Returns the size of the base's weights in bytes.
    pub fn base_bytes(&self) -> u64 {
        weight_bytes(self.config, self.dtype)
    }

    /// Returns the maximum number of layers that can be trained together in `limit` bytes of a GPU's memory.
    ///
    /// # Errors
    /// Fails if a single layer does not fit.
    pub fn max_layers(&self, limit: u64) -> Result<usize> {
        let fits = |num_layers: &usize| self.gpu_peak_bytes(*num_layers) <= limit;
        (1..=self.config.num_layers).rev().find(fits).ok_or_else(|| {
            Error::environment(format!(
                "distilling a single layer at a time needs {} of the device's memory, and {} are free",
                format_bytes(self.gpu_peak_bytes(1)),
                format_bytes(limit)
            ))
            .hint("lower `distil.batch-size`, or sweep fewer variants at once")
        })
    }

    /// Returns the number of bytes that a CPU holds: the base, the twins with their moments and gradients,
    /// and the inputs and outputs of all layers for a batch.
    fn cpu_bytes(&self) -> u64 {
        let num_layers = self.config.num_layers;
        let twins = training_bytes(num_layers as u64 * self.twin_parameters().sum::<u64>());
        let states = 2 * F32_BYTES * self.batch_tokens() * (num_layers * self.config.hidden_size) as u64;
        self.base_bytes() + twins + states
    }

    /// Returns the number of parameters of one layer's twin, for each variant.
    fn twin_parameters(&self) -> impl Iterator<Item = u64> {
        self.variants.iter().map(|variant| Mixer::num_twin_parameters(variant, self.config))
    }

    /// Returns the number of bytes that the training step of a stack takes on a GPU, if `num_layers` layers
    /// are trained together.
    fn step_bytes(&self, num_layers: usize) -> u64 {
        let hidden_size = self.config.hidden_size;
        let stack = largest_stack_size(num_layers, self.batch_tokens() as usize, hidden_size) as u64;
        let number = dtype_bytes(self.dtype);
        let states = STEP_STATES_PER_TOKEN * self.batch_tokens() * hidden_size as u64 * number;
        let parameters = STEP_VALUES_PER_PARAMETER * number * self.twin_parameters().max().unwrap_or(0);
        GPU_OVERHEAD_BYTES + stack * (parameters + states)
    }

    fn batch_tokens(&self) -> u64 {
        (self.recipe.batch_size * self.recipe.sequence_length) as u64
    }
}

/// Returns the size of a number of type `dtype` in bytes.
pub(super) fn dtype_bytes(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F32 => F32_BYTES,
        Dtype::Bf16 => 2,
    }
}

#[cfg(test)]
pub(super) mod tests {
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

    pub(in crate::resources) fn variants() -> [TwinVariant; 3] {
        [
            BlockConfig::Gla(GlaConfig::default()),
            BlockConfig::Gdn(GdnConfig::default()),
            BlockConfig::Jet(JetConfig::default()),
        ]
        .map(|block| TwinVariant {
            block,
            geometry: GeometryConfig::default(),
            init: TwinInit::Random,
        })
    }

    /// `dtr bench device` measured these values with NVIDIA's management library (NVML). The values for 32
    /// layers are from an H200, and the values for fewer layers are from an H100.
    #[test]
    fn the_estimate_is_at_most_seven_percent_above_the_measurement() {
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
            let memory = DistilMemory { config: &config, dtype: Dtype::Bf16, variants, recipe: &recipe };
            let ratio = memory.gpu_peak_bytes(num_layers) as f64 / GB / measured;
            assert!((1.0..1.07).contains(&ratio), "{num_layers} layers, {measured} GB: {ratio:.3}");
        }
    }

    /// `dtr bench device --shape …` measured these values on an H200, for batches of 32 x 512 tokens. The
    /// models are SmolLM2 135M, Qwen2.5 0.5B and Qwen2.5 1.5B.
    #[test]
    fn the_estimate_for_stacked_layers_is_above_the_measurement() {
        let variants = variants();
        let recipe = DistilConfig { sequence_length: 512, batch_size: 32, ..DistilConfig::default() };
        let measured = [
            ([576, 1536, 30, 9, 3, 64], 49_152, 9.67),
            ([896, 4864, 24, 14, 2, 64], 151_936, 11.84),
            ([1536, 8960, 28, 12, 2, 128], 151_936, 24.49),
        ];
        for (shape, vocab_size, measured) in measured {
            let [hidden_size, intermediate_size, num_layers, num_heads, num_kv_heads, head_dim] = shape;
            let shape = DecoderShape {
                hidden_size,
                intermediate_size,
                num_layers,
                num_heads,
                num_kv_heads,
                head_dim,
                tokenizer: None,
            };
            let config = DecoderConfig { tied_head: true, ..shape.llama_config(vocab_size, 131_072) };
            let memory = DistilMemory {
                config: &config,
                dtype: Dtype::Bf16,
                variants: variants.iter().collect(),
                recipe: &recipe,
            };
            let ratio = memory.gpu_peak_bytes(num_layers) as f64 / GB / measured;
            assert!((1.0..1.35).contains(&ratio), "{hidden_size}: {ratio:.3}");
        }
    }

    #[test]
    fn fewer_layers_are_trained_together_if_all_do_not_fit() {
        let (config, variants) = (llama_8b(32), variants());
        let recipe = DistilConfig { sequence_length: 512, batch_size: 16, ..DistilConfig::default() };
        let memory = DistilMemory {
            config: &config,
            dtype: Dtype::Bf16,
            variants: variants.iter().collect(),
            recipe: &recipe,
        };
        assert_eq!(memory.max_layers(140_000_000_000).unwrap(), 32);
        let at_once = memory.max_layers(80_000_000_000).unwrap();
        assert!((16..32).contains(&at_once), "expected at least 16 and fewer than 32 layers, not {at_once}");
        let refused = memory.max_layers(20_000_000_000).unwrap_err().to_line();
        assert!(refused.contains("a single layer at a time") && refused.contains("batch-size"), "{refused}");
    }
}
