//! What a device does with a base of Llama 3.1 8B's shape and random weights, in the terms that other programs are measured
//! in too: `bench/peers` has PyTorch do the same.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use serde::Serialize;

use crate::algorithms::distil::DistilConfig;
use crate::algorithms::distil::{Student, lesson, practise};
use crate::algorithms::throughput::Tiled;
use crate::device::Choice;
use crate::manifest::Dtype;
use crate::observer::Observer;
use crate::plan::Lessons;
use dtr_core::checkpoint::Sealed;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::{Architecture, Block, GdnConfig, Geometry, GlaConfig, Init, JetConfig, Variant};
use dtr_model::{
    Config, Decoder, Decoding, Hybrid, LayerIo, Mask, Mixer, Pass, State, Twins, count_parameters,
};
use dtr_ops::{CausalMask, KvCache, attention, linear, preferred_dtype, run_on_device_thread};

/// Rows and tokens of a training or scoring pass.
const ROWS: usize = 16;
const TIME: usize = 512;

/// Tokens of a single row that enter its cache at a time.
const CHUNK: usize = 2048;

/// Steps of decoding that are timed.
const STEPS: usize = 32;

/// A piece of work, and how long it took.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    /// What was done; peers call it the same.
    pub work: String,
    /// Median of the repeats.
    pub seconds: f64,
    /// Floating-point operations, or bytes that must be read, or tokens: what `seconds` are held against.
    pub amount: f64,
    /// What the amount is of.
    pub unit: &'static str,
}

/// Memory of the device.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// What it was held for.
    pub work: String,
    /// Bytes that the device had given out by then, where it tells.
    pub bytes: Option<u64>,
    /// Bytes that a plan expects.
    pub predicted: u64,
}

/// What is told of a piece of work.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// How long it took.
    Timed(Timed),
    /// What it held.
    Held(Held),
}

/// The shape of Llama 3.1 8B, with so many layers.
fn shape(num_layers: usize) -> Config {
    let architecture = Architecture {
        hidden_size: 4096,
        intermediate_size: 14336,
        num_layers,
        num_heads: 32,
        num_kv_heads: 8,
        head_dim: 128,
        tokenizer: None,
    };
    Config::llama(&architecture, 128_256, 131_072)
}

fn variants() -> [(&'static str, Variant); 3] {
    let of = |block| Variant { block, geometry: Geometry::default(), init: Init::Random };
    [
        ("gla", of(Block::Gla(GlaConfig::default()))),
        ("gdn", of(Block::Gdn(GdnConfig::default()))),
        ("jet", of(Block::Jet(JetConfig::default()))),
    ]
}

/// Times everything; `tell` hears of each piece as it is done.
///
/// # Errors
/// When the device fails, or the user asked to stop.
pub fn measure(
    choice: Choice,
    num_layers: usize,
    observer: &dyn Observer,
    tell: &mut dyn FnMut(&Line),
) -> Result<()> {
    let recipe = DistilConfig { sequence_length: TIME, batch_size: ROWS, ..DistilConfig::default() };
    // Before anything is opened: driver, kernels and products have their share of what is reckoned.
    let room = choice.room();
    let bench = Bench { device: choice.open()?, config: shape(num_layers), recipe };
    // In the peer's order, so that both find the card as cool.
    bench.products(tell)?;
    bench.attention(tell)?;
    observer.check()?;
    let base = Decoder::new(&bench.config, &mut Tiled::new(Seed(1), &bench.device))?;
    bench.scoring(&base, tell)?;
    let [gla, gdn, jet] = variants();
    for (name, variant) in [&gla, &gdn, &jet] {
        bench.block(&base, variant, name, tell)?;
    }
    // All together only where they have room.
    for together in [vec![&gla], vec![&gdn], vec![&jet], vec![&gla, &gdn, &jet]] {
        observer.check()?;
        let lessons = bench.lessons(&together);
        if room.is_none_or(|room| lessons.bytes(num_layers) <= room) {
            let names: Vec<&str> = together.iter().map(|(name, _)| *name).collect();
            let work = format!("{} distillation {ROWS}x{TIME}", names.join("+"));
            bench.device.memory_cleanup();
            let seconds = bench.distillation(&base, &together)?;
            tell(&Line::Timed(bench.tokens(work.clone(), seconds)));
            // Others may have given some back meanwhile.
            let bytes = room.zip(choice.room()).map(|(before, now)| before.saturating_sub(now));
            tell(&Line::Held(Held { work, bytes, predicted: lessons.bytes(num_layers) }));
        }
    }
    bench.device.memory_cleanup();
    let twins = bench.twins(&gla.1, &base, base.dtype(), num_layers)?;
    bench.decoding(&base, &twins, observer, tell)
}

struct Bench {
    device: Device,
    config: Config,
    recipe: DistilConfig,
}

impl Bench {
    /// Of what a distillation's memory is reckoned.
    fn lessons<'a>(&'a self, variants: &[&'a (&'static str, Variant)]) -> Lessons<'a> {
        let variants = variants.iter().map(|(_, variant)| variant).collect();
        Lessons { config: &self.config, dtype: Dtype::Bf16, variants, recipe: &self.recipe }
    }

    /// The median of `repeats` runs after one that does not count.
    fn median(&self, repeats: usize, mut work: impl FnMut()) -> Result<f64> {
        let sync =
            || self.device.sync().map_err(|cause| Error::failed(format!("the device failed: {cause:?}")));
        let mut seconds = Vec::with_capacity(repeats);
        for run in 0..=repeats {
            sync()?;
            let start = Instant::now();
            work();
            sync()?;
            if run > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[repeats / 2])
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let dtype = preferred_dtype(&self.device);
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), (&self.device, dtype))
    }

    fn products(&self, tell: &mut dyn FnMut(&Line)) -> Result<()> {
        let rows = ROWS * TIME;
        for [inputs, outputs] in [[4096, 4096], [4096, 1024], [4096, 14336], [14336, 4096]] {
            let (x, weight) = (self.random([1, rows, inputs]), self.random([outputs, inputs]));
            const TIMES: usize = 10;
            // As all passes are asked for.
            let many = |work: &(dyn Fn() + Sync)| {
                run_on_device_thread(&self.device, || (0..TIMES).for_each(|_| work()));
            };
            let forward = self.median(5, || many(&|| drop(linear(x.clone(), &weight, None))))?;
            let flops = 2.0 * (rows * inputs * outputs) as f64;
            tell(&Line::Timed(Timed {
                work: format!("product {rows}x{inputs}x{outputs}"),
                seconds: forward / TIMES as f64,
                amount: flops,
                unit: "flop",
            }));
            let learn = || {
                let leaf = |x: &Tensor<2>| x.clone().autodiff().require_grad();
                let x = x.clone().autodiff().require_grad();
                drop(linear(x, &leaf(&weight), None).backward());
            };
            let both = self.median(5, || many(&learn))?;
            tell(&Line::Timed(Timed {
                work: format!("product and gradients {rows}x{inputs}x{outputs}"),
                seconds: both / TIMES as f64,
                amount: 3.0 * flops,
                unit: "flop",
            }));
        }
        Ok(())
    }

    fn attention(&self, tell: &mut dyn FnMut(&Line)) -> Result<()> {
        let Config { num_heads, num_kv_heads, head_dim, .. } = self.config;
        for (batch, keys) in [(1, 65536), (8, 8192), (32, 4096), (128, 512)] {
            let q = self.random([batch, num_heads, 1, head_dim]);
            let [k, v] = [(); 2].map(|()| self.random([batch, num_kv_heads, keys, head_dim]));
            let (cache, mask) = (KvCache::new(k, v), CausalMask::new(1, keys - 1, None, &self.device));
            const TIMES: usize = 50;
            let seconds = self.median(5, || {
                run_on_device_thread(&self.device, || {
                    (0..TIMES).for_each(|_| drop(attention(q.clone(), &cache, &mask)))
                });
            })?;
            tell(&Line::Timed(Timed {
                work: format!("attention of one token {batch}x{keys}"),
                seconds: seconds / TIMES as f64,
                amount: cache.num_bytes() as f64,
                unit: "byte",
            }));
        }
        for (batch, time) in [(8, 2048), (1, 8192), (1, 16384), (1, 65536)] {
            let q = self.random([batch, num_heads, time, head_dim]);
            let [k, v] = [(); 2].map(|()| self.random([batch, num_kv_heads, time, head_dim]));
            let (cache, mask) = (KvCache::new(k, v), CausalMask::new(time, 0, None, &self.device));
            let seconds = self.median(5, || drop(attention(q.clone(), &cache, &mask)))?;
            tell(&Line::Timed(Timed {
                work: format!("attention {batch}x{time}"),
                seconds,
                amount: 2.0 * (batch * num_heads * time * time * head_dim) as f64,
                unit: "flop",
            }));
        }
        Ok(())
    }

    fn batch(&self) -> Vec<Vec<u32>> {
        let token = |row: usize, at: usize| ((7919 * row + 104_729 * at) % self.config.vocab_size) as u32;
        (0..ROWS).map(|row| (0..TIME).map(|at| token(row, at)).collect()).collect()
    }

    fn tokens(&self, work: String, seconds: f64) -> Timed {
        Timed { work, seconds, amount: (ROWS * TIME) as f64, unit: "token" }
    }

    fn scoring(&self, base: &Decoder, tell: &mut dyn FnMut(&Line)) -> Result<()> {
        let (batch, model) = (self.batch(), Hybrid::base(base));
        let seconds = self.median(5, || drop(model.forward(&batch, None, None)))?;
        tell(&Line::Timed(self.tokens(format!("forward {ROWS}x{TIME}"), seconds)));
        Ok(())
    }

    /// Twins of the first layers.
    fn twins(&self, variant: &Variant, base: &Decoder, dtype: DType, num_layers: usize) -> Result<Twins> {
        let mut make = Tiled::new(Seed(2), &self.device).computing_in(dtype);
        let layers = (0..num_layers).map(|layer| Twins::one(variant, base, layer, &mut make));
        Ok(Twins { layers: layers.collect::<Result<_>>()? })
    }

    fn pupil(&self, name: &str, variant: &Variant, base: &Decoder, num_layers: usize) -> Result<Student> {
        let nowhere = Sealed::new(std::env::temp_dir().join("dtr-bench"), "bench");
        let twins = self.twins(variant, base, DType::F32, num_layers)?;
        Ok(Student::of(name, twins.layers, 0, Init::Random, &self.recipe, &nowhere, &self.device))
    }

    fn block(
        &self,
        base: &Decoder,
        variant: &Variant,
        name: &str,
        tell: &mut dyn FnMut(&Line),
    ) -> Result<()> {
        let pass = Pass::new(&base.config, ROWS, TIME, 0, None, &self.device);
        let [x, output] = [(); 2].map(|()| self.random([ROWS, TIME, self.config.hidden_size]));
        let twin = self.twins(variant, base, x.dtype(), 1)?.layers.remove(0);
        const TIMES: usize = 10;
        let seconds = self.median(5, || {
            for _ in 0..TIMES {
                drop(twin.forward(x.clone(), &pass, None));
            }
        })?;
        tell(&Line::Timed(self.tokens(format!("{name} forward {ROWS}x{TIME}"), seconds / TIMES as f64)));
        let (mut pupil, at_hand) = (self.pupil(name, variant, base, 1)?, LayerIo { input: x, output });
        let mut step = 0;
        let seconds = self.median(5, || {
            practise(base, &mut pupil, &at_hand, step, 1000);
            step += 1;
        })?;
        tell(&Line::Timed(self.tokens(format!("{name} step {ROWS}x{TIME}"), seconds)));
        Ok(())
    }

    /// Seconds of a step of all twins of some variants, with the teacher's pass.
    fn distillation(&self, base: &Decoder, variants: &[&(&str, Variant)]) -> Result<f64> {
        let num_layers = self.config.num_layers;
        let pupils = variants.iter().map(|(name, variant)| self.pupil(name, variant, base, num_layers));
        let mut pupils: Vec<Student> = pupils.collect::<Result<_>>()?;
        let (batch, mut step) = (self.batch(), 0);
        self.median(3, || {
            lesson(base, &mut pupils, &batch, step, 1000);
            step += 1;
        })
    }

    fn decoding(
        &self,
        base: &Decoder,
        twins: &Twins,
        observer: &dyn Observer,
        tell: &mut dyn FnMut(&Line),
    ) -> Result<()> {
        let num_layers = self.config.num_layers;
        let half: Mask = (0..num_layers as u32).filter(|layer| layer % 2 == 1).collect();
        let none = Mask::none();
        let models =
            [("base", Hybrid::base(base), &none), ("half gla", Hybrid::new(base, twins, &half), &half)];
        for (batch, context) in [(1, 512), (1, 16384), (1, 65536), (16, 2048), (64, 2048), (128, 512)] {
            for (name, model, replaced) in &models {
                observer.check()?;
                let ids: Vec<Vec<u32>> = (0..batch).map(|row| vec![row as u32; context]).collect();
                let mut state = State::new(num_layers).for_tokens(context + 2 * STEPS);
                let chunk = if batch == 1 { CHUNK.min(context) } else { TIME };
                for start in (0..context).step_by(chunk) {
                    let chunk: Vec<Vec<u32>> =
                        ids.iter().map(|row| row[start..start + chunk].to_vec()).collect();
                    drop(model.forward(&chunk, None, Some(&mut state)));
                }
                let bytes = state.bytes();
                let mut decoding = Decoding::new(model, state, &vec![1; batch], 2 * STEPS);
                decoding.step();
                decoding.step();
                let seconds = self.median(1, || {
                    for _ in 0..STEPS / 2 {
                        decoding.step();
                    }
                })?;
                tell(&Line::Timed(Timed {
                    work: format!("decode {name} {batch}x{context}"),
                    seconds: seconds / (STEPS / 2) as f64,
                    amount: self.weights(base, twins, replaced) + (bytes.cache + 2 * bytes.recurrent) as f64,
                    unit: "byte",
                }));
            }
        }
        Ok(())
    }

    /// Bytes of the weights that a step reads: all but the embedding, with the twins' instead of the attention's where they are.
    fn weights(&self, base: &Decoder, twins: &Twins, replaced: &Mask) -> f64 {
        let count = |mixer: &Mixer| count_parameters(&mut mixer.clone()) as f64;
        let more = |layer: usize| count(&twins.layers[layer]) - count(&base.layers[layer].attention);
        let embedding = (self.config.vocab_size * self.config.hidden_size) as f64;
        let changed: f64 = replaced.layers().iter().map(|layer| more(*layer as usize)).sum();
        (self.config.num_parameters() as f64 - embedding + changed) * base.dtype().size() as f64
    }
}
