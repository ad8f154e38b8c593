//! Distilling cells that share base, corpus and recipe: one teacher forward for all.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bases::{Bases, TWINS};
use super::claims::{Claimed, begin, checkpoint, claim, conclude};
use super::progress::Task;
use super::scheduler::{Context, Ended};
use crate::algorithms::distil::DistilResult;
use crate::algorithms::distil::{self, DistilledTwins, Student};
use crate::algorithms::parallel::map_in_threads;
use crate::data::token_sequences::TokenSequences;
use crate::device::ResourceUsage;
use crate::observer::Observer;
use crate::plan::{Cell, CellState, Check, Distillation, Lessons, cell_state};
use crate::store::{Claim, Key};
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::Decoder;
use dtr_ops::is_cpu;

/// A distil cell.
pub type Learning<'a> = (&'a Cell, &'a Distillation);

/// What became of cells, by key.
type Outcomes = BTreeMap<Key, Result<Ended>>;

/// The cells that this process has claimed.
type Ours<'a> = Vec<(Learning<'a>, Claim)>;

/// Distils the twins of cells that share base, corpus and recipe.
///
/// Returns what became of each; one that fails leaves the others to go on. Those that another process
/// has claimed come last: nobody waits who holds what another may wait for.
pub fn distil(context: &Context<'_>, bases: &mut Bases<'_>, group: &[Learning<'_>]) -> Vec<Result<Ended>> {
    let mut outcomes = Outcomes::new();
    let mut pending = group.to_vec();
    while !pending.is_empty() {
        let ended = claim_free(context, &pending, &mut outcomes)
            .and_then(|ours| distil_ours(context, bases, &ours, &mut outcomes));
        pending.retain(|(cell, _)| !outcomes.contains_key(&cell.key));
        if let Err(error) = ended {
            outcomes.extend(pending.drain(1..).map(|(cell, _)| (cell.key, Err(error.duplicate()))));
            outcomes.extend(pending.pop().map(|(cell, _)| (cell.key, Err(error))));
        }
    }
    let outcome = |(cell, _): &Learning<'_>| outcomes.remove(&cell.key).expect("none is pending");
    group.iter().map(outcome).collect()
}

/// Claims the cells of `pending` that no other process has; if it has all of them, waits for one.
fn claim_free<'a>(
    context: &Context<'_>,
    pending: &[Learning<'a>],
    outcomes: &mut Outcomes,
) -> Result<Ours<'a>> {
    let mut ours = Vec::new();
    for &(cell, work) in pending {
        let Some(claim) = context.store.claim(cell.stage, &cell.key)? else { continue };
        match cell_state(context.store, cell, Check::Full)? {
            CellState::Done => drop(outcomes.insert(cell.key, Ok(Ended::Elsewhere))),
            _ => ours.push(((cell, work), claim)),
        }
    }
    if ours.is_empty() && pending.iter().all(|(cell, _)| !outcomes.contains_key(&cell.key)) {
        let (cell, work) = pending[0];
        match claim::<DistilResult>(context, cell)? {
            Claimed::Done(_) => drop(outcomes.insert(cell.key, Ok(Ended::Elsewhere))),
            Claimed::Ours(claim) => ours.push(((cell, work), claim)),
        }
    }
    Ok(ours)
}

fn distil_ours(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    ours: &Ours<'_>,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let Some(((_, first), _)) = ours.first() else { return Ok(()) };
    ours.iter().try_for_each(|((cell, _), claim)| begin(context, cell, claim))?;
    let replicas = bases.replicas(&first.base)?;
    let (base, replicas) = (&replicas[0], replicas.as_slice());
    let lessons = Lessons {
        config: &base.decoder.config,
        dtype: first.base.dtype(),
        variants: ours.iter().map(|((_, work), _)| &work.variant).collect(),
        recipe: &first.recipe,
    };
    let stretches = stretches(context, &lessons)?;
    let checkpoints = stretches.iter().map(|layers| {
        let name = if stretches.len() == 1 { TWINS.to_owned() } else { in_part(layers) };
        ours.iter().map(|((cell, _), claim)| checkpoint(context, cell, claim, &name)).collect()
    });
    let checkpoints: Vec<Vec<CheckpointFile>> = checkpoints.collect::<Result<_>>()?;
    let names: Vec<&str> = ours.iter().map(|((cell, _), _)| variant_name(cell)).collect();
    let name = format!("distil {} {}", ours[0].0.0.labels.model, names.join("+"));
    let schedule = first.recipe.schedule();
    let task = context
        .progress
        .task(&name, schedule.num_tokens() * stretches.len() as u64, "tokens")
        .logging(ours.iter().map(|(_, claim)| claim))?;
    if stretches.len() > replicas.len() {
        let passes = stretches.len().div_ceil(replicas.len());
        task.message(&format!("layers learn in {passes} groups, since all at once do not fit in memory"));
    }
    let source = &first.corpus.source;
    let sequences =
        TokenSequences::new(source, &base.tokenizer, schedule.sequences(), first.recipe.seed, &task)?;
    let watch = context.meter.start();
    let teach = |device: usize| {
        let of_device = (device..stretches.len()).step_by(replicas.len());
        let teach = |index: usize| {
            let school = School { base: &replicas[device].decoder, task: &task, sequences: &sequences };
            school.teach(ours, &stretches[index], &checkpoints[index], stretches.len() > 1)
        };
        of_device.map(teach).collect::<Result<Vec<_>>>()
    };
    let by_device = map_in_threads(0..replicas.len(), teach)?;
    // Pupils add up seconds from process to process, and nobody adds up joules.
    let is_whole = by_device.iter().flatten().all(|stretch| stretch.is_whole);
    let joules = watch.usage().joules.filter(|_| is_whole);
    let taught = joined(by_device, ours.len());
    let seconds: f64 = taught.iter().flatten().map(|taught| taught.seconds).sum();
    for (((cell, _), claim), taught) in ours.iter().zip(taught) {
        let outcome = taught.and_then(|taught| {
            let share = taught.seconds / seconds.max(f64::MIN_POSITIVE);
            let spent =
                ResourceUsage { seconds: taught.seconds, joules: joules.map(|joules| share * joules) };
            taught.write_twins(&claim.artifact(TWINS)?)?;
            conclude(context, cell, claim, spent, &[TWINS], taught.result)?;
            Ok(Ended::Now)
        });
        outcomes.insert(cell.key, outcome);
    }
    Ok(())
}

/// The layers of a base in stretches that learn one after the other: one for each device, and more where
/// memory asks for it.
fn stretches(context: &Context<'_>, lessons: &Lessons<'_>) -> Result<Vec<Range<usize>>> {
    let num_layers = lessons.config.num_layers;
    let at_once = match (context.room, is_cpu(context.device())) {
        (Some(room), false) => lessons.most_layers(room)?,
        _ => num_layers,
    };
    Ok(cut(num_layers, at_once, context.devices.len()))
}

/// `num_layers` in stretches of at most `at_once`, as even as can be and as many for each device.
fn cut(num_layers: usize, at_once: usize, num_devices: usize) -> Vec<Range<usize>> {
    let count = num_layers.div_ceil(at_once).next_multiple_of(num_devices).min(num_layers);
    let bound = |index: usize| index * num_layers / count;
    (0..count).map(|index| bound(index)..bound(index + 1)).collect()
}

/// The file of a stretch's checkpoint.
fn in_part(layers: &Range<usize>) -> String {
    format!("twins-{}-{}.safetensors", layers.start, layers.end)
}

fn variant_name(cell: &Cell) -> &str {
    cell.labels.variant.as_deref().unwrap_or_default()
}

/// What teaches twins on one device.
struct School<'a> {
    base: &'a Decoder,
    task: &'a Task<'a>,
    sequences: &'a TokenSequences,
}

/// What became of a stretch of layers: the twins of each cell.
struct Stretch {
    taught: Vec<Result<DistilledTwins>>,
    /// Whether none was taken up from a checkpoint.
    is_whole: bool,
}

impl School<'_> {
    /// Teaches `layers` to the twins of all cells. What is taught is kept where other stretches may outlast
    /// it.
    fn teach(
        &self,
        ours: &[(Learning<'_>, Claim)],
        layers: &Range<usize>,
        checkpoints: &[CheckpointFile],
        is_kept: bool,
    ) -> Result<Stretch> {
        let recipe = &ours[0].0.1.recipe;
        let pupil = |((cell, work), _): &(Learning<'_>, Claim), checkpoint: &CheckpointFile| {
            Student::new(variant_name(cell), &work.variant, self.base, layers.clone(), recipe, checkpoint)
        };
        let enrolled = ours.iter().zip(checkpoints).map(|(one, checkpoint)| pupil(one, checkpoint));
        let (mut pupils, mut places) = (Vec::new(), Vec::new());
        for one in enrolled {
            places.push(one.map(|pupil| pupils.push(pupil)));
        }
        for pupil in pupils.iter().filter(|pupil| pupil.num_steps_done() > 0) {
            self.task.message(&format!("`{}` goes on after step {}", pupil.name(), pupil.num_steps_done()));
        }
        let is_whole = pupils.iter().all(|pupil| pupil.num_steps_done() == 0);
        distil::distil(self.base, &mut pupils, recipe, self.sequences, self.task)?;
        if is_kept {
            pupils.iter().try_for_each(Student::save)?;
        }
        let mut pupils = pupils.into_iter();
        let finish = |place: Result<()>| place.and_then(|()| pupils.next().expect("it enrolled").finish());
        Ok(Stretch { taught: places.into_iter().map(finish).collect(), is_whole })
    }
}

/// What each cell was taught over all stretches, which `by_device` holds as the devices took them in turn.
fn joined(by_device: Vec<Vec<Stretch>>, num_cells: usize) -> Vec<Result<DistilledTwins>> {
    let num_devices = by_device.len();
    let mut devices: Vec<_> = by_device.into_iter().map(Vec::into_iter).collect();
    let in_order = (0..).map_while(|index| devices[index % num_devices].next());
    let mut cells: Vec<Option<Result<DistilledTwins>>> = (0..num_cells).map(|_| None).collect();
    for stretch in in_order {
        for (cell, next) in cells.iter_mut().zip(stretch.taught) {
            *cell = Some(match cell.take() {
                None => next,
                Some(before) => before.and_then(|before| Ok(before.append_layers(next?))),
            });
        }
    }
    cells.into_iter().map(|cell| cell.expect("a base has a layer")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_cut_evenly_and_for_every_device() {
        assert_eq!(cut(32, 32, 1), vec![0..32; 1]);
        assert_eq!(cut(32, 31, 1), [0..16, 16..32]);
        assert_eq!(cut(28, 28, 3), [0..9, 9..18, 18..28]);
        assert_eq!(cut(8, 3, 2), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(cut(2, 2, 4), [0..1, 1..2], "a device without a layer idles");
    }
}
