//! Times the forward pass of the base, linear-attention blocks, and distillation steps.

use burn::tensor::DType;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::{Decoder, ForwardContext, Hybrid, MixerIo, TwinInit};

use super::{DeviceBench, NamedVariant, OperationMeasurement, OperationMemory, SEQUENCE_LENGTH};
use crate::algorithms::distil::{Student, train_first_stack, train_step};
use crate::manifest::Dtype;
use crate::resources::DistilMemory;

/// The number of forward passes of a twin in one timed run.
const FORWARDS_PER_RUN: usize = 10;

/// The number of steps in the learning-rate schedule. A measurement runs only the first few steps.
const NUM_STEPS: u64 = 1000;

impl DeviceBench<'_> {
    pub(super) fn time_base_forward(&self, base: &Decoder) -> Result<()> {
        let (batch, model, batch_size) = (self.batch(), Hybrid::from_base(base), self.batch_size);
        let seconds = self.median_seconds(5, || drop(model.forward_hidden(&batch, None, None)))?;
        self.report_batch_time(format!("base forward {batch_size}x{SEQUENCE_LENGTH}"), seconds);
        Ok(())
    }

    /// Times the forward pass and the training step of one linear-attention block.
    pub(super) fn time_block(&self, base: &Decoder, variant: &NamedVariant) -> Result<()> {
        let (name, batch_size) = (variant.0, self.batch_size);
        let context = ForwardContext::new(&base.config, batch_size, SEQUENCE_LENGTH, 0, None, &self.device);
        let [input, output] =
            [(); 2].map(|()| self.random([batch_size, SEQUENCE_LENGTH, self.model.hidden_size]));
        let twin = self.twins(&variant.1, base, input.dtype(), 1)?.layers.remove(0);
        let seconds = self.median_seconds(5, || {
            for _ in 0..FORWARDS_PER_RUN {
                drop(twin.forward(input.clone(), &context, None));
            }
        })?;
        self.report_batch_time(
            format!("{name} forward {batch_size}x{SEQUENCE_LENGTH}"),
            seconds / FORWARDS_PER_RUN as f64,
        );
        let (mut student, io) = (self.student(variant, base, 1)?, MixerIo { input, output });
        let mut step = 0;
        let seconds = self.median_seconds(5, || {
            train_first_stack(base, &mut student, &io, step, NUM_STEPS);
            step += 1;
        })?;
        self.report_batch_time(format!("{name} training step {batch_size}x{SEQUENCE_LENGTH}"), seconds);
        Ok(())
    }

    /// Measures the time and the memory of a distillation step. The step trains twins of all layers for each
    /// of `variants`. `free_bytes` is the device's free memory before the benchmark. If the predicted memory
    /// exceeds `free_bytes`, this function measures nothing.
    pub(super) fn measure_distillation(
        &self,
        base: &Decoder,
        variants: &[&NamedVariant],
        free_bytes: Option<u64>,
        free_bytes_now: impl Fn() -> Option<u64>,
    ) -> Result<()> {
        let num_layers = self.model.num_layers;
        let memory = DistilMemory {
            config: &self.model,
            dtype: Dtype::Bf16,
            variants: variants.iter().map(|(_, variant)| variant).collect(),
            recipe: &self.config,
        };
        let predicted_bytes = memory.gpu_peak_bytes(num_layers);
        if free_bytes.is_some_and(|free_bytes| predicted_bytes > free_bytes) {
            return Ok(());
        }
        let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
        let operation =
            format!("{} distillation step {}x{SEQUENCE_LENGTH}", names.join("+"), self.batch_size);
        self.device.memory_cleanup();
        let students = variants.iter().map(|variant| self.student(variant, base, num_layers));
        let mut students: Vec<Student> = students.collect::<Result<_>>()?;
        let (batch, mut step) = (self.batch(), 0);
        let seconds = self.median_seconds(3, || {
            train_step(base, &mut students, &batch, step, NUM_STEPS);
            step += 1;
        })?;
        drop(students);
        self.report_batch_time(operation.clone(), seconds);
        // If other processes freed memory meanwhile, the difference can be negative. The report then says 0.
        let allocated_bytes =
            free_bytes.zip(free_bytes_now()).map(|(before, now)| before.saturating_sub(now));
        (self.on_measurement)(&OperationMeasurement::Memory(OperationMemory {
            operation,
            allocated_bytes,
            predicted_bytes,
        }));
        Ok(())
    }

    fn student(&self, variant: &NamedVariant, base: &Decoder, num_layers: usize) -> Result<Student> {
        // A student needs the path of a checkpoint, but the benchmark never writes the checkpoint.
        let checkpoint = CheckpointFile::new(std::env::temp_dir().join("dtr-bench"), "bench");
        let twins = self.twins(&variant.1, base, DType::F32, num_layers)?;
        Ok(Student::from_twins(variant.0, twins.layers, 0, TwinInit::Random, &self.config, &checkpoint, base))
    }
}
