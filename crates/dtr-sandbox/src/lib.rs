//! Runs Python programs that a model wrote, each in a confined process of its own, and judges them as HF
//! `code_eval` and EvalPlus do.
//!
//! A program has no network and cannot start processes. Its time and memory are limited, and it can write
//! only in an empty temporary folder. A user's script that scores answers runs in the same way. The host
//! program, which uses this crate, starts itself again for each Python program. The new process calls
//! [`child_main`], which gives up all rights that Python does not need and then becomes the Python
//! interpreter. [`SandboxLayers`] lists the layers of protection that a machine offers.
//!
//! The program and the code that judges it share one Python process, as in `code_eval` and EvalPlus. A
//! program that searches the interpreter's memory for the judging code can therefore forge its own verdict.
//! It cannot harm the machine.

#![warn(missing_docs)]

#[cfg(target_os = "linux")]
mod attacks;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod child;
mod evalplus;
#[cfg_attr(not(target_os = "linux"), path = "unsupported.rs")]
mod jobs;
mod layers;
mod limits;
#[cfg(target_os = "linux")]
mod process;
mod program;
mod python;
mod sandbox;
mod verdict;

#[cfg(target_os = "linux")]
pub use child::child_main;
pub use evalplus::{EvalPlusTask, InputSet, InputSetOutputs, ReferenceOutputs};
#[cfg(not(target_os = "linux"))]
pub use jobs::child_main;
pub use layers::SandboxLayers;
pub use limits::ProgramLimits;
pub use program::{Program, ScoringScript};
pub use python::PythonInterpreter;
pub use sandbox::{AttackResult, ConfinementPolicy, Sandbox};
pub use verdict::{ReferenceStatus, Verdict, VerdictStatus};

/// The name of the subcommand with which a program starts itself as a sandboxed process.
pub const CHILD_SUBCOMMAND: &str = "__sandbox";
