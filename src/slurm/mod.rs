//! The workload manager Slurm: its queue as `squeue` lists it, and jobs for `sbatch`.

mod batch_job;
mod job_script;
mod queue;

pub use batch_job::BatchJob;
pub use job_script::{JobScript, quote};
pub use queue::{QueuedJob, SlurmRun, list_jobs};
