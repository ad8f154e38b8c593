//! Programs in place of those of Slurm.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::dtr_command::DtrCommand;
use crate::temp_folder::TempFolder;

/// A folder with programs in place of those of Slurm.
pub struct FakeSlurm(TempFolder);

impl FakeSlurm {
    /// Creates the programs. `squeue` lists jobs with the ids and names of `queue`.
    pub fn new(queue: &[(u64, &str)]) -> Self {
        let slurm = Self(TempFolder::new());
        let folder = slurm.0.root().display().to_string();
        slurm.write("squeue", &format!("echo squeue >> {folder}/queries\ncat {folder}/queue"));
        let running = queue.iter().map(|(id, name)| (*id, "RUNNING", "None", *name));
        slurm.set_queue(&running.collect::<Vec<_>>());
        // The ids of submitted jobs are 1000, 1001, and so on.
        let count = format!("n=$(cat {folder}/calls 2> /dev/null | wc -l)");
        slurm.write("sbatch", &format!("{count}\necho \"$@\" >> {folder}/calls\necho $((1000 + n))"));
        slurm
    }

    /// Lets `squeue` list jobs with these ids, states, reasons and names.
    pub fn set_queue(&self, queue: &[(u64, &str, &str, &str)]) {
        let line = |(id, state, reason, name): &(u64, &str, &str, &str)| {
            let nodes = if *state == "RUNNING" { "n1" } else { "" };
            format!("{id:<24}{id:<24}{:<24}{state:<16}{:<12}{nodes:<64}{reason:<64}{name:<128}\n", "N/A", 0)
        };
        self.0.write("queue", queue.iter().map(line).collect::<String>());
    }

    /// Returns the number of calls of `squeue`.
    pub fn num_queries(&self) -> usize {
        fs::read_to_string(self.0.path("queries")).unwrap_or_default().lines().count()
    }

    pub fn write(&self, name: &str, script: &str) {
        let path = self.0.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Lets a command find the programs.
    pub fn serve(&self, command: DtrCommand) -> DtrCommand {
        let path = format!("{}:{}", self.0.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", &path)
    }

    /// Returns the arguments of each call of `sbatch`.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.0.path("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}
