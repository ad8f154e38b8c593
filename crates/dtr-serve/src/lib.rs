//! A server of generated text and its log-probabilities for a base or a hybrid.
//!
//! One thread owns the model and its device ([`engine`]). It decodes many prompts together: a prompt joins
//! and leaves between two steps. On a CPU, the tokens and the log-probabilities of a prompt do not depend on
//! the other prompts, or on what the prefix cache holds.

#![warn(missing_docs)]

pub mod engine;
pub mod http;
