//! Formats of other software that can express some hybrids without own code.
//!
//! A hybrid is expressed without loss or refused. [`portable_constraints`] lists the conditions of a format.

mod constraints;
mod generator_reduction;
#[cfg(test)]
mod tests;

pub use constraints::{Constraint, check_portable, portable_constraints};
