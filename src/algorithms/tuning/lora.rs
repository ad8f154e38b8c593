//! Low-rank adaptation (LoRA, arXiv 2106.09685): a matrix `W` changes by a product of two small matrices,
//! `W + α/r · B A`. Only `A` and `B` are trained.
//!
//! The forward pass computes with the sum, so the training sees the weights that are scored and exported.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::TrainableDecoder;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::optimizer::{AdamW, AdamWConfig, Gradient};
use dtr_model::{
    Decoder, Initializer, NamedTensors, ParamMut, ParamSource, Parameters, RandomParams, SafetensorsReader,
    count_parameters, read_parameters,
};

/// The shape and the scale of all adapters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraShape {
    /// The rank `r` of the products.
    pub rank: usize,
    /// The factor `α`. The scale of the products is `α/r`.
    pub alpha: f64,
}

/// A decoder whose matrices are adapted.
pub struct LoraDecoder {
    /// The decoder, with the adapted matrices.
    decoder: Decoder,
    adapters: Adapters,
    config: AdamWConfig,
    optimizer: AdamW,
}

/// The adapters, by the names of the matrices, in the order in which the decoder visits its parameters.
struct Adapters {
    adapters: Vec<(String, Adapter)>,
    /// The index of each matrix's adapter.
    indices: BTreeMap<String, usize>,
    /// The scale `α/r`.
    scale: f64,
}

/// The adapter of a matrix `[o, i]`.
struct Adapter {
    /// The matrix before the training, `[o, i]`.
    start_oi: Tensor<2>,
    /// `A`, `[r, i]`, in f32.
    down_ri: Tensor<2>,
    /// `B`, `[o, r]`, in f32.
    up_or: Tensor<2>,
}

impl LoraDecoder {
    /// Adds adapters to the matrices for whose names `is_adapted` returns true. `A` is random, with entries of
    /// variance `1/i`, and `B` is zero. So the decoder computes as before at first.
    ///
    /// # Errors
    /// Fails if no matrix is adapted.
    pub fn new(
        mut decoder: Decoder,
        shape: LoraShape,
        config: &AdamWConfig,
        seed: Seed,
        is_adapted: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let device = decoder.device();
        let mut random = RandomParams::new(seed.child("lora"), &device);
        let mut adapters = Vec::new();
        let mut result = Ok(());
        decoder.visit(&mut |name, param| {
            let ParamMut::Matrix(matrix) = param else { return };
            if is_adapted(name) && result.is_ok() {
                let adapter = Adapter::new(name, matrix.clone(), shape.rank, &mut random);
                result = adapter.map(|adapter| adapters.push((name.to_owned(), adapter)));
            }
        });
        result?;
        if adapters.is_empty() {
            return Err(Error::failed("cannot train the model: no matrix is adapted")
                .hint("add matrices to `targets`"));
        }
        let indices = adapters.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
        let mut adapters = Adapters { adapters, indices, scale: shape.alpha / shape.rank as f64 };
        let optimizer = AdamW::new(config, &mut adapters, &device);
        let mut adapted = Self { decoder, adapters, config: config.clone(), optimizer };
        adapted.merge();
        Ok(adapted)
    }

    /// Recomputes the adapted matrices of the decoder.
    fn merge(&mut self) {
        let adapters = &self.adapters;
        self.decoder.visit(&mut |name, param| {
            if let (Some(adapter), ParamMut::Matrix(matrix)) = (adapters.find(name), param) {
                *matrix = adapter.merged(adapters.scale);
            }
        });
    }
}

impl TrainableDecoder for LoraDecoder {
    fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn is_trained(&self, name: &str) -> bool {
        self.adapters.indices.contains_key(name)
    }

    fn reduce(&self, name: &str, gradient: Tensor<1>) -> Vec<Tensor<1>> {
        let adapter = self.adapters.find(name).expect("only adapted matrices have a gradient");
        adapter.gradients(gradient, self.adapters.scale)
    }

    fn num_trained(&mut self) -> u64 {
        count_parameters(&mut self.adapters)
    }

    fn update(&mut self, gradient: Vec<Tensor<1>>, step: u64, num_steps: u64) -> Tensor<1> {
        let gradient = Gradient::new(gradient);
        let norm = gradient.norm();
        let rate = self.config.learning_rate_at(step, num_steps);
        self.optimizer.update(&mut self.adapters, gradient, rate);
        self.merge();
        norm
    }

    fn reset_optimizer(&mut self) {
        self.optimizer = AdamW::new(&self.config, &mut self.adapters, &self.decoder.device());
    }

    fn trained_tensors(&mut self) -> NamedTensors {
        let mut tensors = NamedTensors::default();
        for (name, adapter) in &self.adapters.adapters {
            let matrix = adapter.merged(self.adapters.scale);
            let values = matrix.clone().into_data().try_to_vec().expect("a merged matrix is in f32");
            tensors.insert(name, matrix.dims().to_vec(), values);
        }
        tensors
    }

    fn checkpoint_tensors(&mut self) -> NamedTensors {
        let mut tensors = NamedTensors::from_module(&mut self.adapters);
        self.optimizer.store_moments(&mut tensors, &[MOMENTS_NAME.to_owned()]);
        tensors
    }

    fn restore(&mut self, checkpoint: &mut SafetensorsReader, num_steps: u64) -> Result<()> {
        read_parameters(&mut self.adapters, checkpoint)?;
        self.optimizer.restore_moments(checkpoint, &[MOMENTS_NAME.to_owned()], num_steps)?;
        self.merge();
        Ok(())
    }
}

/// The name of the optimizer's moments in checkpoints.
const MOMENTS_NAME: &str = "adamw.lora";

impl Adapters {
    fn find(&self, name: &str) -> Option<&Adapter> {
        self.indices.get(name).map(|index| &self.adapters[*index].1)
    }
}

impl Parameters for Adapters {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        for (name, adapter) in &mut self.adapters {
            visitor(&format!("{name}.lora_a"), ParamMut::Matrix(&mut adapter.down_ri));
            visitor(&format!("{name}.lora_b"), ParamMut::Matrix(&mut adapter.up_or));
        }
    }
}

impl Adapter {
    fn new(name: &str, start_oi: Tensor<2>, rank: usize, random: &mut RandomParams) -> Result<Self> {
        let ([outputs, inputs], device) = (start_oi.dims(), start_oi.device());
        let values =
            random.values(&format!("{name}.lora_a"), &[rank, inputs], Initializer::fan_in(inputs))?;
        let down_ri = f32_matrix(values, [rank, inputs], &device);
        let up_or = Tensor::zeros([outputs, rank], (&device, DType::F32));
        Ok(Self { start_oi, down_ri, up_or })
    }

    /// Returns `W + α/r · B A` in f32, for the scale `α/r`.
    fn merged(&self, scale: f64) -> Tensor<2> {
        let change_oi = self.up_or.clone().matmul(self.down_ri.clone());
        self.start_oi.clone().cast(DType::F32) + change_oi * scale
    }

    /// Returns the gradients of `A` and `B`, `[n]` each, from the gradient of the adapted matrix.
    fn gradients(&self, d_matrix: Tensor<1>, scale: f64) -> Vec<Tensor<1>> {
        let d_oi = d_matrix.reshape(self.start_oi.dims()) * scale;
        let d_down_ri = self.up_or.clone().transpose().matmul(d_oi.clone());
        let d_up_or = d_oi.matmul(self.down_ri.clone().transpose());
        vec![d_down_ri.flatten::<1>(0, 1), d_up_or.flatten::<1>(0, 1)]
    }
}

fn f32_matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtr_model::testing;

    #[test]
    fn a_new_adapter_changes_nothing_and_a_step_changes_adapted_matrices_only() {
        let start = testing::decoder(true, false);
        let shape = LoraShape { rank: 2, alpha: 4.0 };
        let is_adapted = |name: &str| name.ends_with("v_proj.weight") || name.ends_with("v_proj.bias");
        let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
        let mut lora = LoraDecoder::new(start.clone(), shape, &config, Seed(1), is_adapted).unwrap();
        let values = |decoder: &Decoder| {
            let mut values = BTreeMap::new();
            decoder.clone().visit(&mut |name, param| {
                values.insert(name.to_owned(), param.flat().into_data().try_to_vec::<f32>().unwrap());
            });
            values
        };
        let before = values(&start);
        assert_eq!(values(lora.decoder()), before);
        let gradient = |lora: &LoraDecoder| -> Vec<Tensor<1>> {
            let adapted = before.iter().filter(|(name, _)| lora.is_trained(name));
            adapted
                .flat_map(|(name, values)| lora.reduce(name, Tensor::ones([values.len()], &start.device())))
                .collect()
        };
        // `A` has no gradient while `B` is zero.
        assert_eq!(gradient(&lora)[0].clone().abs().max().into_scalar::<f32>(), 0.0);
        let step = gradient(&lora);
        lora.update(step, 0, 10);
        for (name, after) in values(lora.decoder()) {
            assert_eq!(after != before[&name], name.ends_with("v_proj.weight"), "{name}");
        }
        assert!(gradient(&lora)[0].clone().abs().max().into_scalar::<f32>() > 0.0);
    }
}
