//! Foundations of all crates of `dtr`: the error type, atomic files, checkpoints, seeds, and limits on the
//! work that an untrusted file can cause.
//!
//! This crate contains no code about models or experiments.
//!
//! # Threat model
//!
//! Manifests, model directories, corpora, task files, their templates, archives of published results, and
//! responses of the hub are untrusted. They may be damaged or forged. A bad file must end the program with an
//! error that names the file. It must not crash the program, exhaust the memory, or write outside the
//! program's folders. dtr trusts that nobody has forged results folders, checkpoints and caches. They may
//! still be damaged.
//!
//! Each threat has one defence:
//!
//! - A library panics over a malformed file: [`error::catch_panic`] turns the panic into an error.
//! - A header, footer or page claims a size that exceeds the file: the reader checks the claim before it
//!   allocates memory.
//! - A text, line or row is extremely long, perhaps only after decompression: the reader stops at a maximum
//!   length, as [`files::read_text_up_to`] does.
//! - A template runs forever or writes a huge text: [`jinja`] limits the steps and the text of a template.
//!   Both are counted in units of fuel.
//! - A template engine allocates much memory within one step, before the limit of [`jinja`] applies:
//!   [`memory_guard`] ends the process.
//! - A record in an archive has a valid digest, but impossible numbers: the reader checks that the records
//!   agree with one another.
//! - A checkpoint, an artifact or a download is damaged: its reader compares digests.
//! - A file name points outside its folder: the hub client and the reader of sharded weights refuse `..` and
//!   absolute paths.
//! - Weights are stored as pickles, which can run code: dtr reads only safetensors and GGUF files.

#![warn(missing_docs)]

pub mod checkpoint;
pub mod count;
pub mod error;
pub mod files;
pub mod jinja;
pub mod markdown;
pub mod memory_guard;
pub mod schema_ranges;
pub mod seed;
pub mod system_info;
