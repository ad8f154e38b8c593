//! Trains the twins of a group of distil cells on all devices, and records the twins.

use super::layer_ranges::{LayerRange, layer_ranges};
use super::{CellResults, ClaimedJob};
use crate::algorithms::distil::{self, DistilConfig, DistilledTwins, Student};
use crate::algorithms::parallel::map_in_threads;
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;
use crate::resources::DistilMemory;
use crate::runner::{ProgressTask, RunContext, UsageRecorder};
use crate::stages::models::{ModelCache, TWINS_FILE};
use crate::stages::stage::CompletedBy;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::{Decoder, TwinVariant};

/// Trains and records the twins of claimed cells. The cells have the same base, recipe and corpus.
pub(super) fn distil_claimed(
    context: &RunContext<'_>,
    models: &mut ModelCache,
    jobs: &[ClaimedJob<'_>],
    results: &mut CellResults,
) -> Result<()> {
    let Some(first) = jobs.first() else { return Ok(()) };
    let recorder = UsageRecorder::begin(jobs.iter().map(|job| &job.claimed).collect())?;
    let replicas = models.load_replicas(context, &first.job.base)?;
    let (base, recipe) = (&replicas[0], &first.job.recipe);
    let ranges = layer_ranges(
        context,
        &DistilMemory {
            config: &base.decoder.config,
            dtype: first.job.base.dtype(),
            variants: jobs.iter().map(|job| &job.job.variant).collect(),
            recipe,
        },
    )?;
    let checkpoints = checkpoints(jobs, &ranges)?;
    let task = progress_task(context, jobs, ranges.len()).with_recorder(&recorder)?;
    if ranges.len() > replicas.len() {
        let passes = ranges.len().div_ceil(replicas.len());
        task.message(&format!(
            "trains the layers in {passes} groups, because not all layers fit in memory together"
        ));
    }
    let sequences = recipe.training_schedule().sequence_shape();
    let sequences = TokenSequences::new(&first.job.corpus, &base.tokenizer, sequences, recipe.seed, &task)?;
    let variants: Vec<(&str, &TwinVariant)> =
        jobs.iter().map(|job| (variant_name(job), &job.job.variant)).collect();
    let (bases, variants) = (replicas.as_slice(), variants.as_slice());
    // With `n` devices, device `d` trains the ranges d, d + n, d + 2n and so on.
    let train_on_device = |device: usize| {
        let base = &bases[device].decoder;
        let trainer = DeviceTrainer { base, variants, recipe, task: &task, sequences: &sequences };
        let own_ranges = (device..ranges.len()).step_by(bases.len());
        own_ranges
            .map(|index| trainer.train(&ranges[index], &checkpoints[index], ranges.len() > 1))
            .collect::<Result<Vec<_>>>()
    };
    let by_device = map_in_threads(0..bases.len(), train_on_device)?;
    record_twins(jobs, join_ranges(by_device, jobs.len()), &recorder, results);
    Ok(())
}

fn record_twins(
    jobs: &[ClaimedJob<'_>],
    trained: Vec<Result<DistilledTwins>>,
    recorder: &UsageRecorder<'_>,
    results: &mut CellResults,
) {
    for (index, (job, twins)) in jobs.iter().zip(trained).enumerate() {
        let completion = twins.and_then(|twins| {
            twins.write_twins(&job.claimed.artifact_path(TWINS_FILE)?)?;
            recorder.finish(index, &[TWINS_FILE], Vec::new(), twins.result)?;
            Ok(CompletedBy::ThisProcess)
        });
        results.insert(job.cell.key(), completion);
    }
}

/// Returns the checkpoints by range. Each range has one checkpoint per cell.
fn checkpoints(jobs: &[ClaimedJob<'_>], ranges: &[LayerRange]) -> Result<Vec<Vec<CheckpointFile>>> {
    let of_range = |layers: &LayerRange| {
        let name = match ranges.len() {
            1 => TWINS_FILE.to_owned(),
            _ => format!("twins-{}-{}.safetensors", layers.start, layers.end),
        };
        jobs.iter().map(|job| job.claimed.checkpoint(&name)).collect()
    };
    ranges.iter().map(of_range).collect()
}

fn progress_task<'a>(
    context: &'a RunContext<'_>,
    jobs: &[ClaimedJob<'_>],
    num_ranges: usize,
) -> ProgressTask<'a> {
    let recipe = &jobs[0].job.recipe;
    let variants: Vec<&str> = jobs.iter().map(variant_name).collect();
    let name = format!("distil {} {}", jobs[0].cell.labels.model, variants.join("+"));
    let num_tokens = recipe.training_schedule().num_tokens() * num_ranges as u64;
    context.progress.start_task(&name, num_tokens, "tokens")
}

fn variant_name<'a>(job: &ClaimedJob<'a>) -> &'a str {
    job.cell.labels.variant.as_deref().unwrap_or_default()
}

/// Trains ranges of layers on one device.
struct DeviceTrainer<'a> {
    base: &'a Decoder,
    /// The name and the definition of each cell's variant.
    variants: &'a [(&'a str, &'a TwinVariant)],
    recipe: &'a DistilConfig,
    task: &'a ProgressTask<'a>,
    sequences: &'a TokenSequences,
}

/// The twins of a range of layers, for each cell.
type TrainedRange = Vec<Result<DistilledTwins>>;

impl DeviceTrainer<'_> {
    /// Trains the twins of `layers` for all cells. If there are other ranges, saves the trained twins as
    /// checkpoints. A process that resumes the work then does not train this range again.
    fn train(
        &self,
        layers: &LayerRange,
        checkpoints: &[CheckpointFile],
        has_other_ranges: bool,
    ) -> Result<TrainedRange> {
        // The creation of a student can fail, for example because its checkpoint has a different shape. The
        // remaining students still train.
        let (mut students, mut creations) = (Vec::new(), Vec::new());
        for ((name, variant), checkpoint) in self.variants.iter().zip(checkpoints) {
            let student =
                Student::new_or_resume(name, variant, self.base, layers.clone(), self.recipe, checkpoint);
            creations.push(student.map(|student| students.push(student)));
        }
        for student in students.iter().filter(|student| student.num_steps_done() > 0) {
            self.task.message(&format!(
                "`{}` resumes after step {}",
                student.variant_name(),
                student.num_steps_done()
            ));
        }
        distil::distil(self.base, &mut students, self.recipe, self.sequences, self.task)?;
        if has_other_ranges {
            self.task.before_checkpoint()?;
            let checkpoints = students.iter().filter_map(|student| student.encode_checkpoint().transpose());
            checkpoints.into_iter().try_for_each(|checkpoint| checkpoint?.write())?;
        }
        let mut students = students.into_iter();
        let finish = |creation: Result<()>| {
            creation
                .and_then(|()| students.next().expect("each successful creation added a student").finish())
        };
        Ok(creations.into_iter().map(finish).collect())
    }
}

/// Joins the twins of all ranges for each cell. `by_device` holds the ranges that each device trained.
fn join_ranges(by_device: Vec<Vec<TrainedRange>>, num_cells: usize) -> Vec<Result<DistilledTwins>> {
    let num_devices = by_device.len();
    let mut devices: Vec<_> = by_device.into_iter().map(Vec::into_iter).collect();
    let in_order = (0..).map_while(|index| devices[index % num_devices].next());
    let mut cells: Vec<Option<Result<DistilledTwins>>> = (0..num_cells).map(|_| None).collect();
    for range in in_order {
        for (cell, next) in cells.iter_mut().zip(range) {
            *cell = Some(match cell.take() {
                None => next,
                Some(before) => before.and_then(|before| Ok(before.append_layers(next?))),
            });
        }
    }
    cells.into_iter().map(|cell| cell.expect("there is at least one range")).collect()
}
