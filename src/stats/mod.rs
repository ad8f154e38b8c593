//! The statistics that a report needs: how sure a score is, and whether two scores really differ.
//!
//! Pure functions of numbers; nothing here knows what was counted.

mod mcnemar;
mod median;
mod wilson;

pub use mcnemar::mcnemar_exact;
pub use median::median;
pub use wilson::wilson;
