//! `dtr prune`: lists or deletes files of the results folder that no record needs.

use clap::Args;

use super::{ResultsArgs, print_json};
use crate::store::{Leftover, LeftoverKind};
use dtr_core::error::Result;
use dtr_core::files::format_bytes;

/// List the files of the results folder that no record needs, or delete them.
///
/// Lists the checkpoints of finished cells, damaged records, temporary files and leases of killed processes,
/// weights whose cell another process finished first, and the checkpoints and logs of unfinished cells.
/// `--delete` deletes all of them. An unfinished cell without its checkpoint starts again from the beginning.
/// Running cells are skipped.
#[derive(Args)]
pub struct PruneCommand {
    #[command(flatten)]
    results: ResultsArgs,
    /// Delete the listed files.
    #[arg(long)]
    delete: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PruneCommand {
    pub(super) fn run(self) -> Result<u8> {
        let store = self.results.store()?;
        let leftovers = if self.delete { store.delete_leftovers()? } else { store.find_leftovers()? };
        if self.json {
            print_json(&leftovers);
            return Ok(0);
        }
        for leftover in &leftovers {
            let (kind, bytes) = (kind_text(leftover.kind), format_bytes(leftover.bytes));
            println!("{kind:<16} {bytes:>12}  {}", leftover.path.display());
        }
        eprintln!("{}", summary(&leftovers, self.delete));
        Ok(0)
    }
}

fn kind_text(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::Unfinished => "unfinished",
        LeftoverKind::Checkpoint => "checkpoint",
        LeftoverKind::CorruptRecord => "corrupt record",
        LeftoverKind::Temporary => "temporary file",
        LeftoverKind::OtherAttempt => "other attempt",
        LeftoverKind::StaleLease => "stale lease",
    }
}

fn summary(leftovers: &[Leftover], is_deleted: bool) -> String {
    let total = format_bytes(leftovers.iter().map(|leftover| leftover.bytes).sum());
    match (leftovers.len(), is_deleted) {
        (0, _) => "every file is needed".to_owned(),
        (count, true) => format!("deleted {count} files and folders, {total}"),
        (count, false) => format!("{count} files and folders, {total}; `--delete` deletes them"),
    }
}
