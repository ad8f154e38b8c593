//! How each kind of cell is done: claim it, look once more, work, write its record.

use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bases::{Bases, TWINS};
use super::conductor::Context;
use super::hunt::find_hybrid;
use crate::data::world_tokenizer;
use crate::distil::{self, Pupil};
use crate::error::{Error, Kind, Result};
use crate::model::{Mask, Tokenizer, export};
use crate::plan::{Cell, Distillation, Pretraining, Scoring, Searching};
use crate::pretrain::{self, Trainer};
use crate::score::Scorer;
use crate::sealed::Sealed;
use crate::sequences::Sequences;
use crate::store::{Claim, DistilResult, Draft, Found, Outcome, Provenance, ScoreResult, SearchResult};

/// The files of a pretrain cell: a Hugging Face directory.
const BASE_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// What is left to do of a cell: nothing, or the work under this claim.
pub enum Claimed<T> {
    /// Another process finished it meanwhile.
    Done(T),
    /// It is ours.
    Ours(Claim),
}

/// Claims `cell`, waiting while another process is at it; its result if that one finished it.
pub fn claim<T: DeserializeOwned>(context: &Context<'_>, cell: &Cell) -> Result<Claimed<T>> {
    let mut said = false;
    let claim = context.store.claim_wait(cell.stage, &cell.key, |_| {
        if !said {
            context.progress.say(&format!("{}: another process is at it; waiting", cell.line()));
            said = true;
        }
        context.check()
    })?;
    match context.store.find::<T>(cell.stage, &cell.key)? {
        Found::Done(record) => match record.outcome {
            Outcome::Done(result) => Ok(Claimed::Done(result)),
            Outcome::Failed { .. } => unreachable!("a record found done has a result"),
        },
        _ => Ok(Claimed::Ours(claim)),
    }
}

/// Writes the record of a cell that ended, well or not. An interruption is no end.
pub fn conclude<T: Serialize + DeserializeOwned>(
    context: &Context<'_>,
    cell: &Cell,
    claim: &Claim,
    seconds: f64,
    artifacts: &[&str],
    outcome: Result<T>,
) -> Result<T> {
    let (outcome, artifacts) = match outcome {
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(error) => (Outcome::Failed { error: error.one_line() }, Vec::new()),
        Ok(result) => (Outcome::Done(result), artifacts.iter().map(|&name| name.to_owned()).collect()),
    };
    let draft = Draft {
        spec: cell.spec.clone(),
        inputs: cell.inputs.clone(),
        artifacts,
        seconds,
        provenance: Provenance {
            hub_files: context.hub_files.clone(),
            ..Provenance::here(context.device_name.clone(), context.threads)
        },
        outcome,
    };
    match claim.finish(draft)?.outcome {
        Outcome::Done(result) => Ok(result),
        Outcome::Failed { error } => Err(Error::failed(error)),
    }
}

/// A checkpoint of a cell, to go on from where it is whole.
pub fn checkpoint(context: &Context<'_>, cell: &Cell, claim: &Claim, name: &str) -> Result<Sealed> {
    let checkpoint = claim.checkpoint(name)?;
    if checkpoint.remove_if_damaged()? {
        let path = checkpoint.path().display();
        context
            .progress
            .say(&format!("{}: `{path}` was damaged and is gone; what it held is done anew", cell.line()));
    }
    Ok(checkpoint)
}

/// Trains a base.
pub fn pretrain(context: &Context<'_>, cell: &Cell, work: &Pretraining) -> Result<()> {
    let Claimed::Ours(claim) = claim::<crate::store::PretrainResult>(context, cell)? else { return Ok(()) };
    let start = Instant::now();
    let outcome = train(context, cell, work, &claim);
    conclude(context, cell, &claim, start.elapsed().as_secs_f64(), &BASE_FILES, outcome).map(drop)
}

fn train(
    context: &Context<'_>,
    cell: &Cell,
    work: &Pretraining,
    claim: &Claim,
) -> Result<crate::store::PretrainResult> {
    let tokenizer = Tokenizer::from(world_tokenizer()?);
    let config = pretrain::config(&work.architecture, &tokenizer, &work.recipe);
    let task = context.progress.task(&cell.line(), work.recipe.token_budget.0, "tokens");
    let extent = pretrain::extent(&work.recipe);
    let sequences = Sequences::new(&work.corpus.source, &tokenizer, extent, work.recipe.seed, &task)?;
    let mut trainer = Trainer::new(
        &config,
        &work.recipe,
        &checkpoint(context, cell, claim, "base.safetensors")?,
        &context.device,
    )?;
    trainer.run(&sequences, &task)?;
    let (result, mut decoder) = trainer.finish();
    export(&mut decoder, &tokenizer, claim.dir())?;
    Ok(result)
}

/// Distils the twins of cells that share base, corpus and recipe: one teacher forward for all.
///
/// Returns what became of each; one that fails leaves the others to go on.
pub fn distil(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    group: &[(&Cell, &Distillation)],
) -> Vec<Result<()>> {
    match distil_group(context, bases, group) {
        Ok(outcomes) => outcomes,
        Err(error) => group.iter().map(|_| Err(error.again())).collect(),
    }
}

fn distil_group(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    group: &[(&Cell, &Distillation)],
) -> Result<Vec<Result<()>>> {
    let mut ours = Vec::new();
    for (cell, work) in group {
        if let Claimed::Ours(claim) = claim::<DistilResult>(context, cell)? {
            ours.push((*cell, *work, claim));
        }
    }
    let Some((_, first, _)) = ours.first() else { return Ok(group.iter().map(|_| Ok(())).collect()) };
    let base = bases.base(&first.base)?;
    let mut pupils = ours
        .iter()
        .map(|(cell, work, claim)| {
            let name = cell.labels.variant.clone().unwrap_or_default();
            Pupil::new(
                &name,
                &work.variant,
                &base.decoder,
                &work.recipe,
                &checkpoint(context, cell, claim, TWINS)?,
            )
        })
        .collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = ours.iter().filter_map(|(cell, ..)| cell.labels.variant.as_deref()).collect();
    let name = format!("distil {} {}", ours[0].0.labels.model, names.join("+"));
    let total = distil::num_steps(&first.recipe) * distil::tokens_per_step(&first.recipe);
    let task = context.progress.task(&name, total, "tokens");
    let (source, extent) = (&first.corpus.source, distil::extent(&first.recipe));
    let sequences = Sequences::new(source, &base.tokenizer, extent, first.recipe.seed, &task)?;
    distil::distil(&base.decoder, &mut pupils, &first.recipe, &sequences, &task)?;
    Ok(ours
        .iter()
        .zip(&mut pupils)
        .map(|((cell, _, claim), pupil)| {
            let outcome = graduate(pupil, claim);
            conclude(context, cell, claim, pupil.seconds(), &[TWINS], outcome).map(drop)
        })
        .collect())
}

fn graduate(pupil: &mut Pupil, claim: &Claim) -> Result<DistilResult> {
    let result = pupil.result()?;
    pupil.write_twins(&claim.artifact(TWINS)?)?;
    Ok(result)
}

/// The score of a mask, if it is remembered.
pub fn remembered(context: &Context<'_>, cell: &Cell) -> Result<Option<ScoreResult>> {
    Ok(match context.store.find::<ScoreResult>(cell.stage, &cell.key)? {
        Found::Done(record) => match record.outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Failed { .. } => None,
        },
        _ => None,
    })
}

/// The score of a mask, remembered or computed by `evaluate`.
pub fn score(
    context: &Context<'_>,
    cell: &Cell,
    evaluate: impl FnOnce() -> Result<ScoreResult>,
) -> Result<ScoreResult> {
    if let Some(result) = remembered(context, cell)? {
        return Ok(result);
    }
    let claim = match claim(context, cell)? {
        Claimed::Done(result) => return Ok(result),
        Claimed::Ours(claim) => claim,
    };
    let start = Instant::now();
    let outcome = evaluate();
    conclude(context, cell, &claim, start.elapsed().as_secs_f64(), &[], outcome)
}

/// Scores a base by itself.
pub fn score_base(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    cell: &Cell,
    work: &Scoring,
) -> Result<ScoreResult> {
    score(context, cell, || {
        let base = bases.base(&work.base)?;
        let requests = bases.requests(&work.base, &work.task, work.split, &work.identity)?;
        Scorer::new(&base.decoder, None, &requests).score(&Mask::none(), &Mask::none())
    })
}

/// Searches a hybrid for a task, then judges base, best and opt on the test split.
pub fn search(context: &Context<'_>, bases: &mut Bases<'_>, cell: &Cell, work: &Searching) -> Result<()> {
    let Claimed::Ours(claim) = claim::<SearchResult>(context, cell)? else { return Ok(()) };
    let start = Instant::now();
    let outcome = find_hybrid(context, bases, cell, work, &claim);
    conclude(context, cell, &claim, start.elapsed().as_secs_f64(), &[], outcome).map(drop)
}
