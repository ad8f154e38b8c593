//! Statistics for reports: confidence intervals of scores, tests of differences between scores, and agreement
//! of rankings.
//!
//! These functions take plain numbers. `tests/reference/statistics.rs` compares the functions with scipy and
//! statsmodels.

mod bootstrap;
mod fdr;
mod mcnemar;
mod median;
mod overlap;
mod rank_correlation_test;
mod resampling;
mod wilson;

pub use bootstrap::paired_bootstrap;
pub use fdr::benjamini_hochberg;
pub use mcnemar::mcnemar_exact;
pub use median::median;
pub use overlap::overlap_p_value;
pub use rank_correlation_test::{RankCorrelationTest, kendall_tau_b, spearman_rho};
pub use resampling::{bootstrap_interval, paired_permutation_test};
pub use wilson::wilson_interval;
