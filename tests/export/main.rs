//! Tests of exported hybrids in other software. They run Python programs with packages of
//! `tests/export/requirements.txt`. If these packages are not installed, the tests report themselves as
//! skipped.
//!
//! `docs/introduction.md` defines terms such as *base*, *twin* and *variant*.

#[path = "../support/dtr_command.rs"]
#[allow(dead_code, reason = "the tests of the program use the other functions")]
mod dtr_command;
#[path = "../support/dtr_server.rs"]
mod dtr_server;
#[path = "../support/project.rs"]
#[allow(dead_code, reason = "the tests of the program use the other functions")]
mod project;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/temp_folder.rs"]
mod temp_folder;

mod harness;
mod hybrids;
mod portable;
mod serving;
mod transformers;
