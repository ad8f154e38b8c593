//! Hybrids of the bases in `tests/fixtures/architectures`, with random twins.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use dtr_core::seed::Seed;
use dtr_model::generate::{GenerationConfig, generate};
use dtr_model::testing::{twins_with_random_convolutions, variants};
use dtr_model::{
    BaseModel, BlockConfig, DecoderState, GdnConfig, GeometryConfig, GlaConfig, Hybrid, HybridFormat,
    HybridWriter, JetConfig, LoadedModel, NamedTensors, TwinInit, TwinVariant, WeightDtype,
};

/// The bases: Llama with and without a tied head, Qwen2.5 in shards, and Qwen3.
const BASES: [&str; 4] = ["llama-3.1", "llama-3.2", "qwen2.5", "qwen3"];

/// The tokens of a row, of a decoding after the row, and of a greedy text.
const ROW: usize = 70;
const STEPS: usize = 5;
const GREEDY: usize = 24;

/// The padding on the left of each row of a batch.
const LEFT_PADS: [usize; 2] = [0, 9];

/// Returns variants with the base's geometry, and one variant of each kind of block with another geometry.
fn all_variants() -> Vec<TwinVariant> {
    let with_geometry = |block: BlockConfig, num_heads, num_kv_heads| TwinVariant {
        block,
        geometry: GeometryConfig {
            num_heads: Some(num_heads),
            num_kv_heads: Some(num_kv_heads),
            key_dim: Some(6),
            value_dim: Some(12),
            ..GeometryConfig::default()
        },
        init: TwinInit::Random,
    };
    let gla = GlaConfig { gate_low_rank_dim: 4, gate_logit_normalizer: 2.0 };
    let gdn = GdnConfig { conv_size: 2, allow_neg_eigval: true };
    let jet = JetConfig { conv_size: 3, generator_reduction: 5 };
    variants()
        .into_iter()
        .chain([
            with_geometry(BlockConfig::Gla(gla), 3, 3),
            with_geometry(BlockConfig::Gdn(gdn), 6, 2),
            with_geometry(BlockConfig::Jet(jet), 5, 1),
        ])
        .collect()
}

/// Writes hybrids of every base and every variant to `folder`, each in a subfolder. Beside its weights, each
/// has the file `expected.safetensors` with inputs, and with the outputs that dtr computes.
///
/// Every third hybrid has linear attention in all layers. Returns the subfolders.
pub fn write_hybrids(folder: &Path) -> Vec<PathBuf> {
    let mut written = Vec::new();
    for base in BASES {
        for variant in all_variants() {
            let layers: &[u32] = [&[1][..], &[0, 2], &[0, 1, 2]][written.len() % 3];
            let name = format!("{base}-{}-{}", variant.block.name(), written.len());
            let path = folder.join(name);
            HybridSource { base, variant: &variant, layers }.write(&path, HybridFormat::Transformers, None);
            write_expected_beside(&path, &path);
            written.push(path);
        }
    }
    written
}

/// A hybrid of a base in `tests/fixtures/architectures`, with random twins.
pub struct HybridSource<'a> {
    pub base: &'a str,
    pub variant: &'a TwinVariant,
    pub layers: &'a [u32],
}

impl HybridSource<'_> {
    /// Writes the hybrid to `path`. The same source always gives the same values.
    pub fn write(&self, path: &Path, format: HybridFormat, dtype: Option<WeightDtype>) {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/architectures").join(self.base);
        self.write_from(&base, path, format, dtype);
    }

    /// Writes the hybrid to `path`, with the base in the directory or the file `base`.
    pub fn write_from(&self, base: &Path, path: &Path, format: HybridFormat, dtype: Option<WeightDtype>) {
        self.try_write_from(base, path, format, dtype).unwrap();
    }

    /// Writes the hybrid to `path`, or returns the reason why it cannot be written.
    pub fn try_write_from(
        &self,
        base: &Path,
        path: &Path,
        format: HybridFormat,
        dtype: Option<WeightDtype>,
    ) -> dtr_core::error::Result<()> {
        let decoder = BaseModel::read(base, &Device::flex()).unwrap().decoder;
        let file = path.with_extension("twins");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut twins = twins_with_random_convolutions(self.variant, &decoder);
        NamedTensors::from_module(&mut twins).save(&file).unwrap();
        let writer = HybridWriter {
            base,
            twins: (&file, self.variant),
            mask: &self.layers.iter().copied().collect(),
            tuned: None,
            model_card: String::new(),
            format,
            dtype,
        };
        writer.write(path)
    }
}

/// Returns the token ids of two rows.
fn rows(num_tokens: usize, first: usize) -> Vec<Vec<u32>> {
    let token = |row: usize, at: usize| ((at * at + 3 * at + 7 * row) % 60) as u32;
    (0..2).map(|row| (first..first + num_tokens).map(|at| token(row, at)).collect()).collect()
}

fn logits(model: &Hybrid<'_>, hidden_btd: Tensor<3>) -> Tensor<3> {
    let [batch, time, width] = hidden_btd.dims();
    let logits = model.logits(hidden_btd.reshape([batch * time, width]));
    let vocabulary = logits.dims()[1];
    logits.reshape([batch, time, vocabulary])
}

/// Returns the logits that dtr computes for a directory: for two rows, for the tokens after these rows one by
/// one, and for the rows with padding on the left.
pub fn compute_logits(directory: &Path) -> [Tensor<3>; 3] {
    let loaded = LoadedModel::read(directory, &Device::flex()).unwrap();
    let model = loaded.hybrid();
    let mut state = DecoderState::new(model.num_layers());
    let prefill = logits(&model, model.forward_hidden(&rows(ROW, 0), None, Some(&mut state)));
    let step = |at| logits(&model, model.forward_hidden(&rows(1, ROW + at), None, Some(&mut state)));
    let steps = Tensor::cat((0..STEPS).map(step).collect(), 1);
    let padded = logits(&model, model.forward_hidden(&rows(ROW, 0), Some(&LEFT_PADS), None));
    [prefill, steps, padded]
}

/// Returns the text that dtr generates greedily after the first row.
fn greedy_tokens(directory: &Path) -> Vec<u32> {
    let model = LoadedModel::read(directory, &Device::flex()).unwrap();
    let config = GenerationConfig {
        max_tokens: GREEDY,
        temperature: 0.0,
        top_p: 1.0,
        stop_strings: Vec::new(),
        eos_token_ids: Vec::new(),
        seed: Seed(0),
    };
    let prompt = &rows(ROW, 0)[0];
    generate(&model.hybrid(), &model.tokenizer, prompt, &config, &mut |_| Ok(())).unwrap().tokens
}

/// Writes the inputs, and the outputs that dtr computes for the hybrid in `directory`, to the file
/// `expected.safetensors` in `exported`.
pub fn write_expected_beside(directory: &Path, exported: &Path) {
    let mut tensors = NamedTensors::default();
    let mut insert_ids = |name: &str, ids: &[Vec<u32>]| {
        let values = ids.concat().into_iter().map(|id| id as f32).collect();
        tensors.insert(name, vec![ids.len(), ids[0].len()], values);
    };
    insert_ids("ids", &rows(ROW, 0));
    insert_ids("next_ids", &rows(STEPS, ROW));
    insert_ids("left_pads", &[LEFT_PADS.map(|pad| pad as u32).to_vec()]);
    insert_ids("greedy", &[greedy_tokens(directory)]);
    for (name, logits) in
        ["logits", "next_logits", "padded_logits"].into_iter().zip(compute_logits(directory))
    {
        tensors.insert(name, logits.dims().to_vec(), logits.into_data().try_to_vec().unwrap());
    }
    tensors.save(&exported.join("expected.safetensors")).unwrap();
}
