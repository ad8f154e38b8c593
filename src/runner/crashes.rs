//! Filing what workers before this one died of: a failure where one cell was at work, a note in the logs of several.

use super::claims::{conclude_died, conclude_failed};
use super::scheduler::Context;
use super::watch::{Ending, Fate};
use crate::device::ResourceUsage;
use crate::plan::Plan;
use dtr_core::error::{Error, Result};

/// Files what became of the cells that workers before this one died of, or may have died of.
pub fn file_deaths(plan: &Plan, context: &Context<'_>) -> Result<()> {
    let past = context.worker.past();
    for cell in &plan.cells {
        if let Some(Fate { why, seconds }) = past.blamed.get(&cell.key) {
            context.progress.say(&format!("failed  {}: {why}", cell.line()));
            let spent = ResourceUsage { seconds: *seconds, joules: None };
            conclude_failed(context, cell, spent, &Error::failed(why.clone()))?;
            context.worker.ended(&cell.key, Ending::Failed);
        }
        if let Some(Fate { why, .. }) = past.suspected.get(&cell.key) {
            let said = format!("{why}; others were at work beside it, and now it is done alone");
            context.progress.say(&format!("{}: {said}", cell.line()));
            conclude_died(context, cell, said)?;
            context.worker.ended(&cell.key, Ending::Left);
        }
    }
    Ok(())
}
