//! The stages: the kinds of work whose results the store keeps.

pub mod search;
