//! Checks, before twins are distilled, that hybrids with these twins can be expressed in the format that
//! their variant names in `geometry.portable`.

use super::Plan;
use crate::manifest::{EntryPart, LoadedManifest};
use crate::stages::DistilJob;
use dtr_core::error::Result;
use dtr_model::HybridFormat;

/// Checks the bases and variants of all twins of `plan`. Skips bases whose configuration is not downloaded.
///
/// # Errors
/// Fails if a format cannot express a hybrid. The error underlines the format in the manifest.
pub(super) fn check(loaded: &LoadedManifest, plan: &Plan) -> Result<()> {
    for cell in &plan.cells {
        let Some(job) = cell.downcast_job::<DistilJob>() else { continue };
        let Some(format) = job.variant.geometry.portable else { continue };
        let Some(base) = job.base.config()? else { continue };
        HybridFormat::Portable(format).check(&base, &job.variant).map_err(|error| {
            let model = &cell.labels.model;
            let error = error.hint(format!("change the variant, or exclude `{model}` with `sweep.exclude`"));
            let variant = cell.labels.variant.as_deref().unwrap_or_default();
            let path = ["variants", variant, "geometry", "portable"];
            loaded.source_map().underline_entry(
                error,
                &path,
                EntryPart::Value,
                format!("not for `{model}` with this variant"),
            )
        })?;
    }
    Ok(())
}
