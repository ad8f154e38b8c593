//! A sweep works in a process of its own, which a small one watches: what no process survives, such as memory that
//! cannot be had, ends a cell and not the sweep.
//!
//! The two speak over sockets, of which the worker's is its standard input, a line of JSON at a time. The worker is
//! told once what became of the workers before it, and then whenever the user wants to stop. It tells which cells it
//! begins and ends, so that when it dies the watcher knows what it was at; the next worker files that, and goes on.
//! Either notices that the other is gone by the end of the line.

mod death;
mod past;
mod tee;
mod watcher;
mod worker;

pub use past::{Ending, Fate};
pub use watcher::watch;
pub use worker::Worker;

/// In a worker's environment the process that watches it, by the number that the system gave it.
const WATCHER: &str = "DTR_WATCHER";

/// What a worker hears each time that the user wants to stop.
const STOP: &str = "stop";
