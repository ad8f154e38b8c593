//! An estimate of the memory that logit distillation takes.

use super::memory::{twin_bytes, weight_bytes};
use super::tuning_memory::{BatchShape, TuningMemory, num_replaced};
use crate::algorithms::logit_distil::LogitDistilConfig;
use crate::algorithms::tuning::{HybridChoice, TrainedParts};
use crate::manifest::Dtype;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

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
        self.tuning().weight_bytes()
    }

    /// Returns the peak memory in bytes. A GPU computes one micro-batch at a time, and a CPU computes one in
    /// each thread.
    pub fn peak_bytes(&self) -> u64 {
        self.tuning().peak_bytes()
    }

    fn tuning(&self) -> TuningMemory<'_> {
        let (config, recipe) = (self.config, self.recipe);
        TuningMemory {
            config,
            dtype: self.dtype,
            other_weight_bytes: weight_bytes(config, self.dtype)
                + twin_bytes(config, self.variant, Dtype::F32),
            num_trained: self.num_trained(),
            batch: BatchShape {
                batch_size: recipe.batch_size,
                micro_batch_size: recipe.micro_batch_size,
                sequence_length: recipe.sequence_length,
            },
        }
    }

    fn num_trained(&self) -> u64 {
        let num_layers = self.config.num_layers as u64;
        let replaced = num_replaced(self.config, self.hybrid);
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
