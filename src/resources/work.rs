//! Estimates of the work of distillations and searches, and of the time that this work takes.
//!
//! Two kinds of work are counted. The first kind is matrix products, which run at a rate that is measured on
//! the device. The second kind is all other work: norms, gates, recurrences, memory traffic and kernel
//! launches. The second kind is assumed to be proportional to the number of elements of the hidden states.
//! Its cost per element was measured once, as the number of matrix-product operations that take equally long.
//! Therefore, both kinds of work take less time on a device with a higher rate.

use super::evaluations::{MIN_TEST_EVALUATIONS, max_evaluations};
use crate::algorithms::distil::DistilConfig;
use crate::algorithms::logit_distil::LogitDistilConfig;
use crate::algorithms::search::SearchStrategy;
use crate::device::DeviceChoice;
use dtr_core::error::Result;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

/// The work of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkAmount {
    /// Multiply-adds in matrix products and attention.
    pub multiply_adds: f64,
    /// Elements of the hidden states that layers process: tokens times layers times the model's width. A
    /// distillation counts the elements once for each variant.
    pub hidden_state_elements: f64,
}

impl std::ops::Add for WorkAmount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            hidden_state_elements: self.hidden_state_elements + other.hidden_state_elements,
        }
    }
}

/// The speed at which a device does the work of distillations and searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkRates {
    /// Floating-point operations per second in matrix products. A multiply-add is two operations.
    pub matmul_rate: f64,
    /// Cost of an element of the hidden states in a distillation, in floating-point operations of a matrix
    /// product.
    pub distil_flops_per_element: f64,
    /// Cost of an element of the hidden states in a search, in floating-point operations of a matrix product.
    pub search_flops_per_element: f64,
}

impl WorkRates {
    /// Returns the rates of the chosen devices. Measures one device for less than a second, and multiplies
    /// its rate by the number of devices.
    ///
    /// # Errors
    /// Fails if this build or this machine does not support the device, or if the device fails.
    pub fn measure(device: DeviceChoice) -> Result<Self> {
        let matmul_rate = device.measure_matmul_rate()? * device.num_devices() as f64;
        Ok(match device {
            DeviceChoice::Cpu => Self::of_cpu(matmul_rate),
            DeviceChoice::Cuda(_) => Self::of_gpu(matmul_rate),
        })
    }

    /// Returns the rates of a GPU that computes matrix products in bf16 at `matmul_rate`.
    ///
    /// The costs were measured on one H200, which computes matrix products at 790 TFLOP/s. The distillations
    /// trained three variants together, on 32 x 512 tokens a step. For bases of 135M, 0.5B and 1.5B
    /// parameters, their rates were 212,000, 158,000 and 63,000 tokens a second.
    ///
    /// The search was on ARC-Easy, with a base of 135M parameters and 29,000 tokens. With pruning, the search
    /// took 27 s. According to `dtr bench search`, a search without pruning takes 1.9 times as long.
    pub fn of_gpu(matmul_rate: f64) -> Self {
        Self { matmul_rate, distil_flops_per_element: 60_000.0, search_flops_per_element: 240_000.0 }
    }

    /// Returns the rates of a CPU that computes matrix products in f32 at `matmul_rate`.
    ///
    /// The costs were measured with the quick start on two cores of an EPYC, which other work also used. The
    /// distillation took 163 s when matrix products ran at about 35 GFLOP/s, and 115 s when they ran at about
    /// 50 GFLOP/s.
    pub fn of_cpu(matmul_rate: f64) -> Self {
        Self { matmul_rate, distil_flops_per_element: 10_000.0, search_flops_per_element: 3_000.0 }
    }

    /// Returns the seconds that a distillation with this work takes.
    pub fn distil_seconds(&self, work: WorkAmount) -> f64 {
        self.seconds(work, self.distil_flops_per_element)
    }

    /// Returns the seconds that a search with this work takes, in one process.
    pub fn search_seconds(&self, work: WorkAmount) -> f64 {
        self.seconds(work, self.search_flops_per_element)
    }

    fn seconds(&self, work: WorkAmount, operations: f64) -> f64 {
        (2.0 * work.multiply_adds + operations * work.hidden_state_elements) / self.matmul_rate
    }
}

/// Returns the work of distilling the twins of several variants together. One forward pass of the base serves
/// all variants.
pub fn distil_work(config: &DecoderConfig, variants: &[&TwinVariant], recipe: &DistilConfig) -> WorkAmount {
    let layers = config.num_layers as f64;
    // On average, every token attends to half of the sequence, in two matrix products.
    let attention = (recipe.sequence_length * config.num_heads * config.head_dim) as f64;
    let teacher =
        layers * (attention_parameters(config) + attention) + (layers - 1.0) * mlp_parameters(config);
    let twins: f64 = variants.iter().map(|variant| Mixer::num_twin_parameters(variant, config) as f64).sum();
    // A training step of a twin takes three times the work of a forward pass, because it also computes the
    // gradients of the weights and of the hidden states.
    let tokens = recipe.token_budget.0 as f64;
    WorkAmount {
        multiply_adds: tokens * (teacher + 3.0 * layers * twins),
        hidden_state_elements: tokens * layers * (config.hidden_size * variants.len()) as f64,
    }
}

/// Returns the work of training a hybrid on the logits of its base. Linear blocks count as attention.
pub fn logit_distil_work(config: &DecoderConfig, recipe: &LogitDistilConfig) -> WorkAmount {
    let layers = config.num_layers as f64;
    let attention = (recipe.sequence_length * config.num_heads * config.head_dim) as f64;
    let layer = attention_parameters(config) + attention + mlp_parameters(config);
    let head = (config.hidden_size * config.vocab_size) as f64;
    // Each layer runs once in the base and twice in the hybrid. The backward pass computes the gradients of
    // states and, at most, of all weights. The logits of both models are computed, and those of the hybrid
    // have two gradients.
    let tokens = recipe.token_budget.0 as f64;
    WorkAmount {
        multiply_adds: tokens * (5.0 * layers * layer + 4.0 * head),
        // Measured with the quick start's base on two cores: 1.6 times the time of distilling one variant.
        hidden_state_elements: 1.6 * tokens * layers * config.hidden_size as f64,
    }
}

/// Returns the work of fine-tuning on `num_tokens` tokens in sequences of at most `sequence_length` tokens.
/// Linear blocks count as attention.
pub fn finetune_work(config: &DecoderConfig, num_tokens: u64, sequence_length: usize) -> WorkAmount {
    let layers = config.num_layers as f64;
    let attention = (sequence_length * config.num_heads * config.head_dim) as f64;
    let layer = attention_parameters(config) + attention + mlp_parameters(config);
    // Each layer runs twice. The backward pass computes the gradients of states and, at most, of all weights.
    // The logits of completions are few.
    WorkAmount {
        multiply_adds: num_tokens as f64 * 4.0 * layers * layer,
        hidden_state_elements: 1.3 * num_tokens as f64 * layers * config.hidden_size as f64,
    }
}

/// Returns the work of passing `num_tokens` tokens through a model in sequences of at most `sequence_length`
/// tokens, without the logits.
pub fn forward_work(config: &DecoderConfig, num_tokens: u64, sequence_length: usize) -> WorkAmount {
    let quarter = 0.25;
    let WorkAmount { multiply_adds, hidden_state_elements } =
        finetune_work(config, num_tokens, sequence_length);
    WorkAmount {
        multiply_adds: quarter * multiply_adds,
        hidden_state_elements: quarter * hidden_state_elements,
    }
}

/// The number of tokens of a split of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSize {
    /// Number of tokens that the model reads. A prompt that several choices share counts once.
    pub tokens: u64,
    /// Number of tokens whose log-likelihoods are computed.
    pub targets: u64,
}

/// Returns the maximum work of a search. A search does this work if it replaces every layer, prunes no
/// candidate, and finds no score in the store.
pub fn search_work(
    config: &DecoderConfig,
    variant: &TwinVariant,
    strategy: &SearchStrategy,
    num_earlier_stops: u64,
    validation: SplitSize,
    test: SplitSize,
) -> WorkAmount {
    let num_layers = config.num_layers as u64;
    let evaluations = max_evaluations(strategy, num_layers, 0) - MIN_TEST_EVALUATIONS;
    let tests = MIN_TEST_EVALUATIONS + num_earlier_stops;
    let passes = max_layer_passes(strategy, num_layers) + num_layers as f64;
    let layer_tokens = passes * validation.tokens as f64 + (tests * num_layers) as f64 * test.tokens as f64;
    let targets = evaluations as f64 * validation.targets as f64 + tests as f64 * test.targets as f64;
    let mixer = attention_parameters(config).max(Mixer::num_twin_parameters(variant, config) as f64);
    let head = (config.hidden_size * config.vocab_size) as f64;
    WorkAmount {
        multiply_adds: layer_tokens * (mixer + mlp_parameters(config)) + targets * head,
        hidden_state_elements: layer_tokens * config.hidden_size as f64,
    }
}

/// Returns the maximum number of layers through which the candidates of a search pass one token of the
/// validation split.
///
/// All candidates of a round extend one hybrid, the incumbent, by one replaced layer. A candidate runs only
/// from this layer on, because the hidden states before this layer are cached. The maximum is reached if the
/// search replaces the last layers first.
fn max_layer_passes(strategy: &SearchStrategy, num_layers: u64) -> f64 {
    let greedy = || {
        let run_from = |layer: u64| num_layers - layer;
        (1..=num_layers).map(|remaining| (0..remaining).map(run_from).sum::<u64>()).sum::<u64>() as f64
    };
    match *strategy {
        SearchStrategy::Greedy {} => greedy(),
        SearchStrategy::Beam { width } => width as f64 * greedy(),
        _ => ((max_evaluations(strategy, num_layers, 0) - MIN_TEST_EVALUATIONS - 1) * num_layers) as f64,
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

    /// The measured rates are from [`WorkRates::of_gpu`]. The rate for Llama 3.1 8B is from `docs/gpu.md`.
    #[test]
    fn the_time_of_a_distillation_is_near_the_measured_time() {
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
    fn the_time_of_a_search_is_near_the_measured_time_without_pruning() {
        let config = config([30, 576, 1536, 9, 3, 64], 49_152);
        let (validation, test) =
            (SplitSize { tokens: 29_000, targets: 11_000 }, SplitSize { tokens: 0, targets: 0 });
        let work = search_work(&config, &variants()[0], &SearchStrategy::Greedy {}, 0, validation, test);
        let seconds = WorkRates::of_gpu(H200).search_seconds(work);
        assert!((27.0 * 1.8..27.0 * 2.1).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_greedy_search_of_three_layers_runs_at_most_fourteen() {
        // The candidates run 3, 2 and 1 layers in the first round, 3 and 2 in the second, and 3 in the third.
        assert_eq!(max_layer_passes(&SearchStrategy::Greedy {}, 3), 14.0);
        assert_eq!(max_layer_passes(&SearchStrategy::Uniform {}, 3), 9.0);
    }
}
