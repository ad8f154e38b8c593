//! Tests of the program `dtr`. Most modules test one feature each. The other modules are helpers.
//!
//! `docs/introduction.md` defines terms such as *base*, *twin*, *mask* and *cell*.

#[path = "../support/dtr_command.rs"]
mod dtr_command;
#[path = "../support/dtr_server.rs"]
mod dtr_server;
#[path = "../support/project.rs"]
mod project;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/temp_folder.rs"]
mod temp_folder;
#[path = "../support/tiny_model.rs"]
mod tiny_model;

mod bad_inputs;
mod checkpoint_distillation;
mod concurrency;
mod crashes;
mod damaged_files;
mod determinism;
mod documentation;
mod export;
mod failed_cells;
mod fake_slurm;
mod finetune;
mod finetuned_bases;
mod full_disks;
mod generate;
mod generative;
mod gguf;
mod helped_search;
mod hub;
mod hub_project;
mod hub_server;
mod hub_uploads;
mod init;
mod interrupted_costs;
mod logit_distillation;
mod old_results;
mod partial_sweeps;
mod plan;
mod publish;
mod push;
mod report;
mod report_page;
mod resume;
mod rewrite_record;
mod search;
mod serve;
mod shared_folder;
mod show;
mod slurm;
mod slurm_cluster;
mod status;
mod submit;
mod sweep;
mod table_columns;
mod templates;
mod throughput;
mod verify;
mod workers;
