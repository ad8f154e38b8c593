//! An estimate of the memory that logit distillation takes.

use super::memory::{F32_BYTES, GPU_OVERHEAD_BYTES, dtype_bytes, training_bytes, twin_bytes, weight_bytes};
use crate::algorithms::logit_distil::LogitDistilConfig;
use crate::algorithms::tuning::{HybridChoice, TrainedParts};
use crate::manifest::Dtype;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};
use dtr_ops::head_loss_bytes;

/// Number of hidden states per token that exist while a layer's gradient is computed. Each has the model's
/// width.
const LAYER_STATES: u64 = 32;

/// Number of inner states of the MLP per token that exist while a layer's gradient is computed.
const INNER_STATES: u64 = 6;

/// Estimates the memory that training a hybrid on the logits of its base takes.
pub struct LogitDistilMemory<'a> {
    /// The shape of the base.
    pub config: &'a DecoderConfig,
    /// The floating-point type in which base and hybrid compute.
    pub dtype: Dtype,
    /// The variant of the twins.
    pub variant: &'a TwinVariant,
    /// The hybrid. If the search decides its number of replaced layers, the estimate assumes all layers.
    pub hybrid: HybridChoice,
    /// The training recipe.
    pub recipe: &'a LogitDistilConfig,
}

impl LogitDistilMemory<'_> {
    /// Returns the bytes of the base, the twins and the trained parameters. These bytes include the
    /// parameters' moments, their gradients, and their copies in the dtype of the computation.
    pub fn weight_bytes(&self) -> u64 {
        let trained = self.num_trained();
        let copies = if self.dtype == Dtype::F32 { 0 } else { dtype_bytes(self.dtype) * trained };
        weight_bytes(self.config, self.dtype)
            + twin_bytes(self.config, self.variant, Dtype::F32)
            + training_bytes(trained)
            + copies
    }

    /// Returns the peak memory in bytes. A GPU computes one micro-batch at a time, and a CPU computes one in
    /// each thread.
    pub fn peak_bytes(&self) -> u64 {
        let (at_once, overhead) = match self.dtype {
            Dtype::Bf16 => (1, GPU_OVERHEAD_BYTES),
            Dtype::F32 => {
                let micro_batches = self.recipe.batch_size.div_ceil(self.recipe.micro_batch_size);
                (micro_batches.min(rayon::current_num_threads()) as u64, 0)
            }
        };
        self.weight_bytes() + overhead + at_once * self.micro_batch_bytes()
    }

    /// Returns the bytes that one micro-batch takes: the inputs of all layers, the states of one layer, a
    /// chunk of logits, and the gradient of the trained parameters.
    fn micro_batch_bytes(&self) -> u64 {
        let num_tokens =
            self.recipe.micro_batch_size.min(self.recipe.batch_size) * self.recipe.sequence_length;
        let (width, inner) = (self.config.hidden_size as u64, self.config.intermediate_size as u64);
        let states = width * (self.config.num_layers as u64 + 1 + LAYER_STATES) + inner * INNER_STATES;
        dtype_bytes(self.dtype) * num_tokens as u64 * states
            + head_loss_bytes(self.config.vocab_size, num_tokens)
            + F32_BYTES * self.num_trained()
    }

    fn num_trained(&self) -> u64 {
        let num_layers = self.config.num_layers as u64;
        let replaced = match self.hybrid {
            HybridChoice::Replaced(count) => u64::from(count).min(num_layers),
            HybridChoice::Opt | HybridChoice::Best => num_layers,
        };
        let mixers = replaced * Mixer::num_twin_parameters(self.variant, self.config);
        if self.recipe.train == TrainedParts::Mixers {
            return mixers;
        }
        let config = self.config;
        let attention =
            2 * (config.hidden_size * (config.num_heads + config.num_kv_heads) * config.head_dim) as u64;
        let rest = config.num_parameters() - num_layers * attention;
        let is_thawed = self.recipe.train.group_rates(1.0).iter().any(|rate| rate.name == "attention");
        mixers + rest + if is_thawed { (num_layers - replaced) * attention } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::tuning::AllParts;
    use crate::resources::memory::tests::variants;
    use dtr_model::DecoderShape;

    fn config(num_layers: usize) -> DecoderConfig {
        let shape = DecoderShape {
            hidden_size: 1536,
            intermediate_size: 8960,
            num_layers,
            num_heads: 12,
            num_kv_heads: 2,
            head_dim: 128,
            tokenizer: None,
        };
        DecoderConfig { tied_head: true, ..shape.llama_config(151_936, 131_072) }
    }

    fn memory<'a>(
        config: &'a DecoderConfig,
        variant: &'a TwinVariant,
        recipe: &'a LogitDistilConfig,
        hybrid: HybridChoice,
    ) -> LogitDistilMemory<'a> {
        LogitDistilMemory { config, dtype: Dtype::Bf16, variant, hybrid, recipe }
    }

    #[test]
    fn all_parts_take_at_least_sixteen_bytes_for_each_parameter() {
        let (config, variant) = (config(28), &variants()[0]);
        let train = TrainedParts::All(AllParts::default());
        let recipe = LogitDistilConfig { train, ..LogitDistilConfig::default() };
        let all = memory(&config, variant, &recipe, HybridChoice::Opt);
        assert!(all.weight_bytes() > 16 * config.num_parameters());
        let recipe = LogitDistilConfig::default();
        let mixers = memory(&config, variant, &recipe, HybridChoice::Opt);
        assert!(mixers.weight_bytes() < all.weight_bytes() / 2);
    }

    #[test]
    fn each_further_layer_adds_its_input_and_its_weights_only() {
        let (variant, recipe) = (&variants()[0], LogitDistilConfig::default());
        let bytes = |num_layers| {
            let config = config(num_layers);
            let memory = memory(&config, variant, &recipe, HybridChoice::Replaced(4));
            memory.peak_bytes() - memory.weight_bytes()
        };
        let input = 2 * 2048 * 1536;
        assert_eq!(bytes(28) - bytes(14), 14 * input);
    }
}
