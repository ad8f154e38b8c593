//! How each kind of cell is done: claim it, look once more, work, write its record.

use super::bases::Bases;
use super::claims::{Claimed, begin, checkpoint, claim, conclude};
use super::scheduler::{Context, Ended};
use super::search_run::find_hybrid;
use crate::algorithms::pretrain::PretrainResult;
use crate::algorithms::pretrain::{self, Trainer};
use crate::algorithms::score::ScoreResult;
use crate::algorithms::score::Scorer;
use crate::data::base_tokenizer;
use crate::data::token_sequences::TokenSequences;
use crate::device::ResourceUsage;
use crate::observer::Observer;
use crate::plan::{Cell, Pretraining, Scoring, Searching};
use crate::stages::search::SearchResult;
use crate::store::{Claim, Lookup, Outcome};
use dtr_core::error::Result;
use dtr_model::{Mask, write_base};

/// The files of a pretrain cell: a Hugging Face directory.
const BASE_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// Trains a base.
pub fn pretrain(context: &Context<'_>, cell: &Cell, work: &Pretraining) -> Result<Ended> {
    let Claimed::Ours(claim) = claim::<PretrainResult>(context, cell)? else { return Ok(Ended::Elsewhere) };
    begin(context, cell, &claim)?;
    let (result, spent) = train(context, cell, work, &claim)?;
    conclude(context, cell, &claim, spent, &BASE_FILES, result)?;
    Ok(Ended::Now)
}

/// What the training came to and what it took; joules only of one that was not interrupted.
fn train(
    context: &Context<'_>,
    cell: &Cell,
    work: &Pretraining,
    claim: &Claim,
) -> Result<(PretrainResult, ResourceUsage)> {
    let tokenizer = base_tokenizer(&work.architecture)?;
    let config = pretrain::llama_config(&work.architecture, &tokenizer, &work.recipe);
    let task = context.progress.task(&cell.line(), work.recipe.token_budget.0, "tokens").logging([claim])?;
    let sequences = work.recipe.schedule().sequences();
    let sequences = TokenSequences::new(&work.corpus.source, &tokenizer, sequences, work.recipe.seed, &task)?;
    let checkpoint = checkpoint(context, cell, claim, "base.safetensors")?;
    let mut trainer = Trainer::new(&config, &work.recipe, &checkpoint, context.device())?;
    if trainer.num_steps_done() > 0 {
        task.message(&format!("goes on after step {}", trainer.num_steps_done()));
    }
    let is_whole = trainer.num_steps_done() == 0;
    let watch = context.meter.start();
    trainer.run(&sequences, &task)?;
    let joules = watch.usage().joules.filter(|_| is_whole);
    let spent = ResourceUsage { seconds: trainer.seconds(), joules };
    let (result, mut decoder) = trainer.finish();
    write_base(&mut decoder, &tokenizer, claim.dir())?;
    Ok((result, spent))
}

/// The score of a mask, if it is remembered.
pub fn remembered(context: &Context<'_>, cell: &Cell) -> Result<Option<ScoreResult>> {
    Ok(match context.store.find::<ScoreResult>(cell.stage, &cell.key)? {
        Lookup::Done(record) => match record.outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Failed { .. } => None,
        },
        _ => None,
    })
}

/// Scores a base by itself.
pub fn score_base(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    cell: &Cell,
    work: &Scoring,
) -> Result<Ended> {
    let Claimed::Ours(claim) = claim::<ScoreResult>(context, cell)? else { return Ok(Ended::Elsewhere) };
    begin(context, cell, &claim)?;
    let watch = context.meter.start();
    let base = &bases.replicas(&work.base)?[0];
    let requests = bases.requests(&work.base, &work.task, work.split, &work.identity)?;
    let result = Scorer::new(&base.decoder, None, &requests).score(&Mask::none(), &Mask::none())?;
    conclude(context, cell, &claim, watch.usage(), &[], result)?;
    Ok(Ended::Now)
}

/// Searches a hybrid for a task, then judges base, best and opt on the test split.
pub fn search(context: &Context<'_>, bases: &mut Bases<'_>, cell: &Cell, work: &Searching) -> Result<Ended> {
    let Claimed::Ours(claim) = claim::<SearchResult>(context, cell)? else { return Ok(Ended::Elsewhere) };
    begin(context, cell, &claim)?;
    let watch = context.meter.start();
    let result = find_hybrid(context, bases, cell, work, &claim)?;
    conclude(context, cell, &claim, watch.usage(), &[], result)?;
    Ok(Ended::Now)
}
