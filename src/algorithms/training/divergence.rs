//! Detects that a training run diverges, and creates the error that reports the divergence.

use std::fmt::Arguments;

use dtr_core::error::{Error, Result};

/// Checks that `value` is finite. The error names `step` and the quantity `subject`, such as the loss of a
/// layer. Its hint suggests a lower learning rate in the manifest's table `manifest_table`.
///
/// # Errors
/// Fails if the value is infinite or not a number.
pub fn ensure_finite(subject: Arguments<'_>, value: f64, step: u64, manifest_table: &str) -> Result<()> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(divergence_error(subject, &format!("is {value}"), step, manifest_table))
    }
}

/// Returns the error for a training run that diverges. Its message is "`subject` `predicate` at step `step`".
pub fn divergence_error(subject: Arguments<'_>, predicate: &str, step: u64, manifest_table: &str) -> Error {
    Error::failed(format!("{subject} {predicate} at step {step}"))
        .hint(format!("lower `{manifest_table}.optimizer.learning-rate`"))
}
