//! The models that the stage `throughput` times. Their weights are random.

use burn::tensor::Device;

use super::ThroughputJob;
use crate::algorithms::throughput::RepeatedRandomWeights;
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::{Decoder, DecoderConfig, TwinInit, TwinVariant, Twins};

/// A cache of the base and the twins that the last timed job used.
#[derive(Default)]
pub struct RandomModelCache {
    base: Option<(DecoderConfig, Seed, Decoder)>,
    twins: Option<(TwinVariant, Twins)>,
}

impl RandomModelCache {
    /// Returns a base of the job's shape. If the job has a variant, also returns twins of that variant.
    pub(super) fn load(
        &mut self,
        job: &ThroughputJob,
        device: &Device,
    ) -> Result<(&Decoder, Option<&Twins>)> {
        let seed = job.recipe.seed;
        let is_loaded = self.base.as_ref().is_some_and(|base| base.0 == job.config && base.1 == seed);
        if !is_loaded {
            // Drop the previous base first, since two bases may not fit in memory.
            *self = Self::default();
            let mut source = RepeatedRandomWeights::new(seed.child("throughput/base"), device);
            self.base = Some((job.config.clone(), seed, Decoder::new(&job.config, &mut source)?));
        }
        let (_, _, base) = self.base.as_ref().expect("no base is loaded");
        let Some(variant) = &job.variant else { return Ok((base, None)) };
        // Initial values do not change the speed. Only `TwinInit::Random` supports every geometry.
        let variant = TwinVariant { init: TwinInit::Random, ..variant.clone() };
        if self.twins.as_ref().is_none_or(|twins| twins.0 != variant) {
            self.twins = None;
            let mut source = RepeatedRandomWeights::new(seed.child("throughput/twins"), device);
            let twins = Twins::new(&variant, base, &mut source)?;
            self.twins = Some((variant, twins));
        }
        Ok((base, self.twins.as_ref().map(|(_, twins)| twins)))
    }
}
