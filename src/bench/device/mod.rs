//! `dtr bench device`: times the operations of distillation, scoring and decoding on one device. The base has
//! a published shape and random weights. `bench/pytorch` times the same operations in PyTorch.

mod decoding;
mod measurement;
mod operations;
mod shape;
mod training;

use std::time::Instant;

use burn::tensor::{DType, Device};

use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::{
    BlockConfig, Decoder, DecoderConfig, GdnConfig, GeometryConfig, GlaConfig, JetConfig, TwinInit,
    TwinVariant, Twins,
};

pub use measurement::{OperationMeasurement, OperationMemory, OperationTime};
pub use shape::BenchModelShape;

use crate::algorithms::distil::DistilConfig;
use crate::algorithms::throughput::RepeatedRandomWeights;
use crate::device::DeviceChoice;
use crate::observer::Observer;

/// Number of tokens in each row of a training or scoring batch.
const SEQUENCE_LENGTH: usize = 512;

/// A callback that receives each measurement as soon as it is made.
type MeasurementCallback<'a> = dyn Fn(&OperationMeasurement) + 'a;

/// A linear-attention variant with its name.
type NamedVariant = (&'static str, TwinVariant);

/// Measures the time and the memory of all operations, and calls `on_measurement` with each measurement.
///
/// # Errors
/// Fails if the device fails or the user asked to stop.
pub fn measure_operations(
    choice: DeviceChoice,
    shape: BenchModelShape,
    num_layers: Option<usize>,
    observer: &dyn Observer,
    on_measurement: &MeasurementCallback<'_>,
) -> Result<()> {
    let model = shape.config(num_layers);
    let num_layers = model.num_layers;
    let config = DistilConfig {
        sequence_length: SEQUENCE_LENGTH,
        batch_size: shape.batch_size(),
        ..DistilConfig::default()
    };
    // Opening the device takes memory for the driver and for kernels. The prediction counts this memory, so
    // the measurement starts before the device is opened.
    let free_bytes = choice.available_bytes();
    let bench = DeviceBench {
        device: choice.open_all_return_first()?,
        model,
        batch_size: shape.batch_size(),
        config,
        on_measurement,
    };
    // The operations run in the same order as in `bench/pytorch`, so that the device has a similar
    // temperature for each operation of both benchmarks.
    if shape == BenchModelShape::Llama31_8B {
        bench.time_matmuls()?;
        bench.time_attention()?;
    }
    observer.check_interrupted()?;
    let base = Decoder::new(&bench.model, &mut RepeatedRandomWeights::new(Seed(1), &bench.device))?;
    bench.time_base_forward(&base)?;
    let [gla, gdn, jet] = variants();
    for variant in [&gla, &gdn, &jet] {
        bench.time_block(&base, variant)?;
    }
    for variants in [vec![&gla], vec![&gdn], vec![&jet], vec![&gla, &gdn, &jet]] {
        observer.check_interrupted()?;
        bench.measure_distillation(&base, &variants, free_bytes, || choice.available_bytes())?;
    }
    bench.device.memory_cleanup();
    let twins = bench.twins(&gla.1, &base, base.dtype(), num_layers)?;
    bench.time_decoding(&base, &twins, shape.decoding_cases(), observer)
}

fn variants() -> [NamedVariant; 3] {
    let variant = |block| TwinVariant { block, geometry: GeometryConfig::default(), init: TwinInit::Random };
    [
        ("gla", variant(BlockConfig::Gla(GlaConfig::default()))),
        ("gdn", variant(BlockConfig::Gdn(GdnConfig::default()))),
        ("jet", variant(BlockConfig::Jet(JetConfig::default()))),
    ]
}

/// The device and the shapes of all measurements.
struct DeviceBench<'a> {
    device: Device,
    model: DecoderConfig,
    /// Number of rows in a training or scoring batch.
    batch_size: usize,
    config: DistilConfig,
    on_measurement: &'a MeasurementCallback<'a>,
}

impl DeviceBench<'_> {
    /// Returns the median seconds of `repeats` runs after one warm-up run.
    fn median_seconds(&self, repeats: usize, mut run: impl FnMut()) -> Result<f64> {
        let synchronize =
            || self.device.sync().map_err(|cause| Error::failed(format!("the device failed: {cause:?}")));
        let mut seconds = Vec::with_capacity(repeats);
        for index in 0..=repeats {
            synchronize()?;
            let start = Instant::now();
            run();
            synchronize()?;
            if index > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[repeats / 2])
    }

    fn report_time(&self, operation: String, seconds: f64, amount: f64, unit: &'static str) {
        (self.on_measurement)(&OperationMeasurement::Time(OperationTime {
            operation,
            seconds,
            amount,
            unit,
        }));
    }

    fn report_batch_time(&self, operation: String, seconds: f64) {
        self.report_time(operation, seconds, (self.batch_size * SEQUENCE_LENGTH) as f64, "token");
    }

    /// Returns the tokens of a training or scoring batch: `batch_size` rows of `SEQUENCE_LENGTH` tokens.
    fn batch(&self) -> Vec<Vec<u32>> {
        let token = |row: usize, at: usize| ((7919 * row + 104_729 * at) % self.model.vocab_size) as u32;
        (0..self.batch_size).map(|row| (0..SEQUENCE_LENGTH).map(|at| token(row, at)).collect()).collect()
    }

    /// Returns twins of the first `num_layers` layers.
    fn twins(&self, variant: &TwinVariant, base: &Decoder, dtype: DType, num_layers: usize) -> Result<Twins> {
        let mut weights = RepeatedRandomWeights::new(Seed(2), &self.device).with_dtype(dtype);
        let layers = (0..num_layers).map(|layer| Twins::new_layer(variant, base, layer, &mut weights));
        Ok(Twins { layers: layers.collect::<Result<_>>()? })
    }
}
