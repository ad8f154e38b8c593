//! Cells that time: models of the right shape, kept from cell to cell, and the work itself.

use burn::tensor::Device;

use super::claims::{Claimed, begin, claim, conclude};
use super::scheduler::{Context, Ended};
use crate::algorithms::throughput::ThroughputResult;
use crate::algorithms::throughput::{PromptShape, TiledWeights, measure_throughput};
use crate::plan::{Cell, Layers, Timing};
use crate::stages::search::SearchResult;
use crate::store::{Key, Lookup, Stage, Store};
use dtr_core::error::{Error, Result};
use dtr_core::process::CpuTimes;
use dtr_core::seed::Seed;
use dtr_model::{Decoder, DecoderConfig, Hybrid, Mask, Twins};
use dtr_model::{TwinInit, Variant};

/// A base and twins of random weights: those that were asked for last.
#[derive(Default)]
pub struct Models {
    base: Option<(DecoderConfig, Seed, Decoder)>,
    twins: Option<(Variant, Twins)>,
}

impl Models {
    /// The base of `work`'s shape, and twins for it where layers are replaced.
    fn of(&mut self, work: &Timing, device: &Device) -> Result<(&Decoder, Option<&Twins>)> {
        let seed = work.recipe.seed;
        let is_here = self.base.as_ref().is_some_and(|base| base.0 == work.shape && base.1 == seed);
        if !is_here {
            // What is there goes first: two bases may not have room side by side.
            *self = Self::default();
            let mut make = TiledWeights::new(seed.child("throughput/base"), device);
            self.base = Some((work.shape.clone(), seed, Decoder::new(&work.shape, &mut make)?));
        }
        let (_, _, base) = self.base.as_ref().expect("it was made where it was not here");
        let Some(variant) = &work.variant else { return Ok((base, None)) };
        // However twins start, they are as fast, and only random ones may have another geometry.
        let variant = Variant { init: TwinInit::Random, ..variant.clone() };
        if self.twins.as_ref().is_none_or(|twins| twins.0 != variant) {
            self.twins = None;
            let mut make = TiledWeights::new(seed.child("throughput/twins"), device);
            let twins = Twins::new(&variant, base, &mut make)?;
            self.twins = Some((variant, twins));
        }
        Ok((base, self.twins.as_ref().map(|(_, twins)| twins)))
    }
}

/// Times a base or a hybrid.
pub fn throughput(context: &Context<'_>, models: &mut Models, cell: &Cell, work: &Timing) -> Result<Ended> {
    let Claimed::Ours(claim) = claim::<ThroughputResult>(context, cell)? else { return Ok(Ended::Elsewhere) };
    begin(context, cell, &claim)?;
    let watch = context.meter.start();
    let result = time(context, models, cell, work)?;
    conclude(context, cell, &claim, watch.usage(), &[], result)?;
    Ok(Ended::Now)
}

fn time(context: &Context<'_>, models: &mut Models, cell: &Cell, work: &Timing) -> Result<ThroughputResult> {
    let mask: Mask = layers(context.store, &work.layers)?.into_iter().collect();
    let (base, twins) = models.of(work, context.device())?;
    let model = match twins {
        Some(twins) => Hybrid::new(base, twins, &mask),
        None => Hybrid::from_base(base),
    };
    let task = context.progress.task(&cell.line(), work.num_tokens(), "tokens");
    let shape = PromptShape { context: work.context, batch_size: work.batch_size };
    let before = CpuTimes::now();
    let (bytes, runs) = measure_throughput(&model, &work.recipe, shape, context.device(), &task)?;
    let other_cpus = before.zip(CpuTimes::now()).map(|(before, now)| before.other_cpus_until(&now));
    Ok(ThroughputResult {
        layers: mask.layers(),
        cache_bytes: bytes.cache,
        state_bytes: bytes.recurrent,
        other_cpus,
        runs,
    })
}

/// The layers that are replaced, as the plan or a search says.
fn layers(store: &Store, layers: &Layers) -> Result<Vec<u32>> {
    let (num_replaced, search): (u32, &Key) = match layers {
        Layers::These(layers) => return Ok(layers.clone()),
        Layers::Of(num_replaced, search) => (*num_replaced, search),
    };
    let found = store.find::<SearchResult>(Stage::Search, search)?;
    let Lookup::Done(record) = found else {
        return Err(Error::failed(format!("search cell {} was not done", search.short())));
    };
    let Some(result) = record.result() else { unreachable!("a record found done has a result") };
    let round = result.rounds.iter().find(|round| round.num_replaced == num_replaced);
    let missing = || {
        Error::failed(format!("search cell {} has no hybrid of {num_replaced} linear layers", search.short()))
    };
    Ok(round.ok_or_else(missing)?.layers.clone())
}
