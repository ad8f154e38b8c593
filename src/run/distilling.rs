//! Distilling cells that share base, corpus and recipe: one teacher forward for all.

use std::collections::BTreeMap;

use super::bases::{Bases, TWINS};
use super::claims::{Claimed, begin, checkpoint, claim, conclude};
use super::conductor::{Context, Ended};
use crate::device::Spent;
use crate::distil::{self, Pupil};
use crate::error::Result;
use crate::model::Decoder;
use crate::observer::Observer;
use crate::plan::{Cell, Distillation, Look, Standing, standing};
use crate::sequences::Sequences;
use crate::store::{Claim, DistilResult, Key};

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
            outcomes.extend(pending.drain(1..).map(|(cell, _)| (cell.key, Err(error.again()))));
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
        match standing(context.store, cell, Look::Through)? {
            Standing::Done => drop(outcomes.insert(cell.key, Ok(Ended::Elsewhere))),
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
    let base = bases.base(&first.base)?;
    let (mut taking, mut pupils) = (Vec::new(), Vec::new());
    for one in ours {
        match pupil(context, one, &base.decoder) {
            Ok(pupil) => {
                taking.push(one);
                pupils.push(pupil);
            }
            Err(error) => drop(outcomes.insert(one.0.0.key, Err(error))),
        }
    }
    let labels = taking.iter().map(|((cell, _), _)| &cell.labels);
    let names: Vec<&str> = labels.filter_map(|labels| labels.variant.as_deref()).collect();
    let name = format!("distil {} {}", ours[0].0.0.labels.model, names.join("+"));
    let total = distil::num_steps(&first.recipe) * distil::tokens_per_step(&first.recipe);
    let task =
        context.progress.task(&name, total, "tokens").logging(taking.iter().map(|(_, claim)| claim))?;
    for ((((cell, _), _), pupil), _) in
        taking.iter().zip(&pupils).zip(0..).filter(|((_, pupil), _)| pupil.steps() > 0)
    {
        task.say(&format!("`{}` goes on after step {}", cell.labels.line(), pupil.steps()));
    }
    let (source, extent) = (&first.corpus.source, distil::extent(&first.recipe));
    let sequences = Sequences::new(source, &base.tokenizer, extent, first.recipe.seed, &task)?;
    let is_whole = pupils.iter().all(|pupil| pupil.steps() == 0);
    let watch = context.meter.watch();
    distil::distil(&base.decoder, &mut pupils, &first.recipe, &sequences, &task)?;
    // Pupils add up seconds from process to process, and nobody adds up joules.
    let joules = watch.spent().joules.filter(|_| is_whole);
    let seconds: f64 = pupils.iter().map(Pupil::seconds).sum();
    for (((cell, _), claim), pupil) in taking.iter().zip(&mut pupils) {
        let share = pupil.seconds() / seconds.max(f64::MIN_POSITIVE);
        let spent = Spent { seconds: pupil.seconds(), joules: joules.map(|joules| share * joules) };
        outcomes.insert(cell.key, graduate(context, cell, claim, pupil, spent));
    }
    Ok(())
}

fn pupil(context: &Context<'_>, ours: &(Learning<'_>, Claim), base: &Decoder) -> Result<Pupil> {
    let ((cell, work), claim) = ours;
    let name = cell.labels.variant.clone().unwrap_or_default();
    Pupil::new(&name, &work.variant, base, &work.recipe, &checkpoint(context, cell, claim, TWINS)?)
}

fn graduate(
    context: &Context<'_>,
    cell: &Cell,
    claim: &Claim,
    pupil: &mut Pupil,
    spent: Spent,
) -> Result<Ended> {
    let result = pupil.result()?;
    pupil.write_twins(&claim.artifact(TWINS)?)?;
    conclude(context, cell, claim, spent, &[TWINS], result)?;
    Ok(Ended::Now)
}
