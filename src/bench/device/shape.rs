//! The shapes of published bases. The benchmarks give these bases random weights.

use clap::ValueEnum;

use dtr_model::{DecoderConfig, DecoderShape};

/// The shape of a published base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchModelShape {
    /// SmolLM2 135M: Llama architecture, 30 layers of width 576.
    #[value(name = "smollm2-135m")]
    SmolLm2_135M,
    /// Qwen2.5 0.5B: Qwen2 architecture, 24 layers of width 896.
    #[value(name = "qwen2.5-0.5b")]
    Qwen25_05B,
    /// Qwen2.5 1.5B: Qwen2 architecture, 28 layers of width 1,536.
    #[value(name = "qwen2.5-1.5b")]
    Qwen25_15B,
    /// Llama 3.1 8B: Llama architecture, 32 layers of width 4,096.
    #[value(name = "llama-3.1-8b")]
    Llama31_8B,
}

impl BenchModelShape {
    /// Returns the configuration of the base. `num_layers` replaces the published number of layers.
    pub(super) fn config(self, num_layers: Option<usize>) -> DecoderConfig {
        let [layers, hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim, vocab_size] =
            match self {
                Self::SmolLm2_135M => [30, 576, 1536, 9, 3, 64, 49_152],
                Self::Qwen25_05B => [24, 896, 4864, 14, 2, 64, 151_936],
                Self::Qwen25_15B => [28, 1536, 8960, 12, 2, 128, 151_936],
                Self::Llama31_8B => [32, 4096, 14_336, 32, 8, 128, 128_256],
            };
        let shape = DecoderShape {
            hidden_size,
            intermediate_size,
            num_layers: num_layers.unwrap_or(layers),
            num_heads,
            num_kv_heads,
            head_dim,
            tokenizer: None,
        };
        DecoderConfig {
            tied_head: self != Self::Llama31_8B,
            qkv_bias: matches!(self, Self::Qwen25_05B | Self::Qwen25_15B),
            ..shape.llama_config(vocab_size, 131_072)
        }
    }

    /// Returns the number of rows in a training or scoring batch.
    pub(super) fn batch_size(self) -> usize {
        if self == Self::Llama31_8B { 16 } else { 32 }
    }

    /// Returns the pairs of batch size and context length at which decoding is timed.
    pub(super) fn decoding_cases(self) -> &'static [(usize, usize)] {
        match self {
            Self::Llama31_8B => &[(1, 512), (1, 16384), (1, 65536), (16, 2048), (64, 2048), (128, 512)],
            _ => &[(1, 512), (16, 512), (128, 512)],
        }
    }
}
