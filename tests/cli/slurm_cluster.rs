//! A cluster of Slurm with two nodes on this machine, for tests. It needs root and Debian's packages
//! `slurmctld`, `slurmd`, `slurm-client` and `munge`.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::dtr_command::DtrCommand;
use crate::project::wait_at_most;
use crate::temp_folder::TempFolder;

/// Maximum time that a test waits for its jobs. Jobs wait for seconds between two starts.
const JOBS_TIMEOUT: Duration = Duration::from_secs(1200);

const NODES: [&str; 2] = ["n1", "n2"];

/// The configuration. Nodes are daemons on the loopback interface. There are no cgroups and no database. With
/// a short `cred_expire`, a requeued job starts again after seconds. Jobs in `urgent` preempt the others: at
/// once in `all`, and after a grace time in `grace`.
const CONFIGURATION: &str = "
ClusterName=dtr
SlurmctldHost=localhost
SlurmctldPort=@PORT0@
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=@DIR@/munge.socket,cred_expire=5
StateSaveLocation=@DIR@/state
SlurmdSpoolDir=@DIR@/spool-%n
SlurmctldPidFile=@DIR@/slurmctld.pid
SlurmdPidFile=@DIR@/slurmd-%n.pid
SlurmctldLogFile=@DIR@/slurmctld.log
SlurmdLogFile=@DIR@/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=10
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=@PORT1@ CPUs=1 RealMemory=2000 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=@PORT2@ CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=grace Nodes=n1,n2 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 State=UP
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
";

/// A running cluster, which ends when the value is dropped.
pub struct SlurmCluster {
    folder: TempFolder,
}

impl SlurmCluster {
    /// Starts a cluster. Returns `None` if this machine cannot.
    pub fn start() -> Option<Self> {
        let cluster = Self { folder: TempFolder::new() };
        let path = |name: &str| cluster.folder.path(name);
        for folder in ["state", "spool-n1", "spool-n2"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        fs::set_permissions(cluster.folder.root(), Permissions::from_mode(0o755)).unwrap();
        let mut text = CONFIGURATION.replace("@DIR@", &cluster.folder.root().display().to_string());
        for (index, port) in free_ports().iter().enumerate() {
            text = text.replace(&format!("@PORT{index}@"), &port.to_string());
        }
        cluster.folder.write("slurm.conf", text);
        let key: Vec<u8> = (0..1024_u32).map(|byte| (byte * 37 + std::process::id()) as u8).collect();
        let key = cluster.folder.write("munge.key", key);
        fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", path(file).display());
        let munged = cluster.run(
            "munged",
            &[
                "--force",
                &option("key-file", "munge.key"),
                &option("socket", "munge.socket"),
                &option("pid-file", "munged.pid"),
                &option("log-file", "munged.log"),
                &option("seed-file", "munge.seed"),
            ],
        )?;
        let daemons = [("slurmctld", vec!["-c"]), ("slurmd", vec!["-N", "n1"]), ("slurmd", vec!["-N", "n2"])];
        let started = |(name, arguments): &(&str, Vec<&str>)| {
            cluster.run(name, arguments).is_some_and(|output| output.status.success())
        };
        let is_up = munged.status.success() && daemons.iter().all(started) && cluster.becomes_idle();
        is_up.then_some(cluster)
    }

    /// Waits until all nodes are idle, for at most 20 seconds.
    fn becomes_idle(&self) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            let output = self.run("sinfo", &["--noheader", "--Node", "--partition=all", "--format=%t"]);
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            text.is_some_and(|text| text.lines().filter(|state| *state == "idle").count() == NODES.len())
        })
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path("slurm.conf")
    }

    /// Runs a program of Slurm. Returns `None` if it cannot be started.
    fn run(&self, program: &str, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.configuration()).stdin(Stdio::null()).output().ok()
    }

    /// Runs a program of Slurm that must succeed, and returns its output.
    pub fn query(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments).unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets a command use the cluster.
    pub fn serve(&self, command: DtrCommand) -> DtrCommand {
        command.env("SLURM_CONF", self.configuration())
    }

    /// Runs a job on both nodes, which preempts all other jobs.
    pub fn preempt(&self) {
        self.query("sbatch", &["--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 2"]);
    }

    /// Returns the state of a job or of a task of an array, such as `RUNNING`, and how often it was restarted.
    pub fn state(&self, job: &str) -> (String, u32) {
        let text = self.query("scontrol", &["show", "job", job]);
        let value = |name: &str| {
            let word = text.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
        };
        (value("JobState="), value("Restarts=").parse().unwrap())
    }

    /// Kills the daemon of a node and all processes of its jobs, as if the node had lost its power.
    pub fn kill_node(&self, node: &str) {
        let pid = fs::read_to_string(self.folder.path(&format!("slurmd-{node}.pid"))).unwrap();
        let mut doomed = vec![pid.trim().to_owned()];
        let marks =
            [format!("SLURMD_NODENAME={node}"), format!("SLURM_CONF={}", self.configuration().display())];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let is_of_job = marks.iter().all(|mark| environment.split('\0').any(|entry| entry == mark));
            let is_daemon_of_job = String::from_utf8_lossy(&read("cmdline")).starts_with("slurmstepd");
            if is_of_job || is_daemon_of_job {
                doomed.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        // A process may have ended meanwhile.
        let _ = Command::new("kill").arg("-KILL").args(doomed).status();
    }

    /// Waits until no job waits or runs.
    pub fn wait_for_jobs(&self) {
        wait_at_most(JOBS_TIMEOUT, "the end of all jobs", || {
            self.query("squeue", &["--noheader"]).is_empty()
        });
    }
}

impl Drop for SlurmCluster {
    fn drop(&mut self) {
        let _ = self.run("scancel", &["--user=root"]);
        for name in ["slurmd-n1.pid", "slurmd-n2.pid", "slurmctld.pid", "munged.pid"] {
            let Ok(pid) = fs::read_to_string(self.folder.path(name)) else { continue };
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

/// Returns three ports that nobody listens on.
fn free_ports() -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
