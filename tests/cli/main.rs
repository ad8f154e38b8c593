//! The program as people run it: each module holds the tests of one feature.

#[path = "../support/project.rs"]
mod project;
#[path = "../support/temp_folder.rs"]
mod temp_folder;
#[path = "../support/tiny_model.rs"]
mod tiny_model;

mod bad_inputs;
mod concurrency;
mod crashes;
mod damaged_files;
mod determinism;
mod failed_cells;
mod generate;
mod hub;
mod hub_project;
mod hub_server;
mod report_page;
mod resume;
mod storage;
mod sweep;
mod templates;
mod throughput;
mod verify;
