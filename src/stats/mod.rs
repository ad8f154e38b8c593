//! The statistics that a report needs: how sure a score is, whether two scores really differ, whether two orders agree.
//!
//! Pure functions of numbers; nothing here knows what was counted. `tests/reference/statistics.rs` compares them with
//! scipy and statsmodels.

mod bootstrap;
mod fdr;
mod mcnemar;
mod median;
mod overlap;
mod ranks;
mod wilson;

pub use bootstrap::paired_bootstrap;
pub use fdr::benjamini_hochberg;
pub use mcnemar::mcnemar_exact;
pub use median::median;
pub use overlap::overlap_p_value;
pub use ranks::{Agreement, kendall_tau_b, spearman_rho};
pub use wilson::wilson;
