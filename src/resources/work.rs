//! Estimates of the work of distillations and searches, and of the time that it takes.
//!
//! Two kinds of work are counted. Matrix products run at a rate that is measured on the device. Everything
//! else (norms, gates, recurrences, moving hidden states, starting kernels) is taken to be proportional to
//! the hidden states that are processed. Its cost was measured once, and is stated in operations of the
//! product, so that a faster device is estimated to be faster at both.

use super::evaluations::{NUM_TESTS, max_evaluations};
use crate::algorithms::distil::DistilConfig;
use crate::algorithms::search::SearchStrategy;
use crate::device::DeviceChoice;
use dtr_core::error::Result;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

/// The work of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkAmount {
    /// Multiply-adds in matrix products and attention.
    pub multiply_adds: f64,
    /// Numbers in the hidden states that layers process: tokens times layers times the model's width. A
    /// distillation counts them once for each variant.
    pub state_numbers: f64,
}

impl std::ops::Add for WorkAmount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            state_numbers: self.state_numbers + other.state_numbers,
        }
    }
}

/// The speed at which a device does the work of distillations and searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkRates {
    /// Floating-point operations per second in matrix products. A multiply-add is two operations.
    pub product_rate: f64,
    /// Cost of a number of the hidden states in a distillation, in operations of a matrix product.
    pub distil_operations: f64,
    /// Cost of a number of the hidden states in a search, in operations of a matrix product.
    pub search_operations: f64,
}

impl WorkRates {
    /// Returns the rates of the chosen devices. Measures one of them for less than a second.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support the device, or if the device fails.
    pub fn measure(device: DeviceChoice) -> Result<Self> {
        let product_rate = device.measure_product_rate()? * device.num_devices() as f64;
        Ok(match device {
            DeviceChoice::Cpu => Self::of_cpu(product_rate),
            DeviceChoice::Cuda(_) => Self::of_gpu(product_rate),
        })
    }

    /// Returns the rates of a GPU that computes matrix products in bf16 at `product_rate`.
    ///
    /// Measured on one H200 at 790 TFLOP/s. The rate of distillation is that of three variants from one
    /// teacher, 32 x 512 tokens a step, for bases of 135M, 0.5B and 1.5B parameters: 212,000, 158,000 and
    /// 63,000 tokens a second. The rate of a search is that of a base of 135M parameters on ARC-Easy: 27 s
    /// for 29,000 tokens, times 1.9, which pruning saves according to `dtr bench search`.
    pub fn of_gpu(product_rate: f64) -> Self {
        Self { product_rate, distil_operations: 60_000.0, search_operations: 240_000.0 }
    }

    /// Returns the rates of a CPU that computes matrix products in f32 at `product_rate`.
    ///
    /// Measured with the quick start on two cores of an EPYC, which other work shared: distilling took 163 s
    /// while the product ran at about 35 GFLOP/s, and 115 s while it ran at about 50 GFLOP/s.
    pub fn of_cpu(product_rate: f64) -> Self {
        Self { product_rate, distil_operations: 10_000.0, search_operations: 3_000.0 }
    }

    /// Returns the seconds that a distillation with this work takes.
    pub fn distil_seconds(&self, work: WorkAmount) -> f64 {
        self.seconds(work, self.distil_operations)
    }

    /// Returns the seconds that a search with this work takes, in one process.
    pub fn search_seconds(&self, work: WorkAmount) -> f64 {
        self.seconds(work, self.search_operations)
    }

    fn seconds(&self, work: WorkAmount, operations: f64) -> f64 {
        (2.0 * work.multiply_adds + operations * work.state_numbers) / self.product_rate
    }
}

/// Returns the work of distilling the twins of several variants together. One forward pass of the base serves
/// all of them.
pub fn distil_work(config: &DecoderConfig, variants: &[&TwinVariant], recipe: &DistilConfig) -> WorkAmount {
    let layers = config.num_layers as f64;
    // Every token attends to half of the sequence on average, in two products.
    let attention = (recipe.sequence_length * config.num_heads * config.head_dim) as f64;
    let teacher =
        layers * (attention_parameters(config) + attention) + (layers - 1.0) * mlp_parameters(config);
    let twins: f64 = variants.iter().map(|variant| Mixer::num_twin_parameters(variant, config) as f64).sum();
    // A training step of a twin takes a forward pass, the gradients of its weights, and those of its states.
    let tokens = recipe.token_budget.0 as f64;
    WorkAmount {
        multiply_adds: tokens * (teacher + 3.0 * layers * twins),
        state_numbers: tokens * layers * (config.hidden_size * variants.len()) as f64,
    }
}

/// The size of a split of a task, as a model processes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSize {
    /// Number of tokens that go through the model. A prompt that several choices share counts once.
    pub tokens: u64,
    /// Number of tokens whose log-likelihoods are computed.
    pub targets: u64,
}

/// Returns the maximum work of a search: it replaces every layer, prunes no candidate, and finds no score in
/// the store.
pub fn search_work(
    config: &DecoderConfig,
    variant: &TwinVariant,
    strategy: &SearchStrategy,
    num_earlier_stops: u64,
    validation: SplitSize,
    test: SplitSize,
) -> WorkAmount {
    let num_layers = config.num_layers as u64;
    let evaluations = max_evaluations(strategy, num_layers, 0) - NUM_TESTS;
    let tests = NUM_TESTS + num_earlier_stops;
    let passes = max_layer_passes(strategy, num_layers) + num_layers as f64;
    let layer_tokens = passes * validation.tokens as f64 + (tests * num_layers) as f64 * test.tokens as f64;
    let targets = evaluations as f64 * validation.targets as f64 + tests as f64 * test.targets as f64;
    let mixer = attention_parameters(config).max(Mixer::num_twin_parameters(variant, config) as f64);
    let head = (config.hidden_size * config.vocab_size) as f64;
    WorkAmount {
        multiply_adds: layer_tokens * (mixer + mlp_parameters(config)) + targets * head,
        state_numbers: layer_tokens * config.hidden_size as f64,
    }
}

/// Returns the maximum number of layers that a search runs to score its candidates on one token of the
/// validation split.
///
/// A greedy search runs a candidate from the layer that it replaces, because the layers before are those of
/// the round's incumbent. This bound is for a search that replaces the last layers first: the remaining
/// candidates then run the most layers.
fn max_layer_passes(strategy: &SearchStrategy, num_layers: u64) -> f64 {
    let greedy = || {
        let run_from = |layer: u64| num_layers - layer;
        (1..=num_layers).map(|remaining| (0..remaining).map(run_from).sum::<u64>()).sum::<u64>() as f64
    };
    match *strategy {
        SearchStrategy::Greedy {} => greedy(),
        SearchStrategy::Beam { width } => width as f64 * greedy(),
        _ => ((max_evaluations(strategy, num_layers, 0) - NUM_TESTS - 1) * num_layers) as f64,
    }
}

fn attention_parameters(config: &DecoderConfig) -> f64 {
    (2 * config.hidden_size * (config.num_heads + config.num_kv_heads) * config.head_dim) as f64
}

fn mlp_parameters(config: &DecoderConfig) -> f64 {
    (3 * config.hidden_size * config.intermediate_size) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtr_core::count::Count;
    use dtr_model::DecoderShape;

    use crate::resources::memory::tests::variants;

    const H200: f64 = 790e12;

    fn config(
        [layers, hidden, intermediate, heads, kv_heads, head_dim]: [usize; 6],
        vocab: usize,
    ) -> DecoderConfig {
        let shape = DecoderShape {
            hidden_size: hidden,
            intermediate_size: intermediate,
            num_layers: layers,
            num_heads: heads,
            num_kv_heads: kv_heads,
            head_dim,
            tokenizer: None,
        };
        shape.llama_config(vocab, 131_072)
    }

    /// The measurements of [`WorkRates::of_gpu`], and that of Llama 3.1 8B in `docs/gpu.md`.
    #[test]
    fn the_time_of_a_distillation_is_near_what_was_measured() {
        let variants = variants();
        for (shape, tokens_per_second) in [
            ([30, 576, 1536, 9, 3, 64], 212e3),
            ([24, 896, 4864, 14, 2, 64], 158e3),
            ([28, 1536, 8960, 12, 2, 128], 63e3),
            ([32, 4096, 14_336, 32, 8, 128], 11.6e3),
        ] {
            let recipe = DistilConfig { token_budget: Count(1_000_000), ..DistilConfig::default() };
            let work = distil_work(&config(shape, 49_152), &variants.each_ref(), &recipe);
            let ratio = WorkRates::of_gpu(H200).distil_seconds(work) * tokens_per_second / 1e6;
            assert!((0.85..1.15).contains(&ratio), "{shape:?}: {ratio:.3}");
        }
    }

    #[test]
    fn a_search_is_estimated_to_take_at_least_as_long_as_was_measured() {
        let config = config([30, 576, 1536, 9, 3, 64], 49_152);
        let (validation, test) =
            (SplitSize { tokens: 29_000, targets: 11_000 }, SplitSize { tokens: 0, targets: 0 });
        let work = search_work(&config, &variants()[0], &SearchStrategy::Greedy {}, 0, validation, test);
        let seconds = WorkRates::of_gpu(H200).search_seconds(work);
        assert!((27.0 * 1.8..27.0 * 2.1).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_greedy_search_of_three_layers_runs_at_most_fourteen() {
        // In the first round the candidates run 3, 2 and 1 layers, in the second 3 and 2, in the third 3.
        assert_eq!(max_layer_passes(&SearchStrategy::Greedy {}, 3), 14.0);
        assert_eq!(max_layer_passes(&SearchStrategy::Uniform {}, 3), 9.0);
    }
}
