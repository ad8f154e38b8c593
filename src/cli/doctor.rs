//! `dtr doctor`: checks the devices, the energy meters, the sandbox and the results folder of this machine.

use clap::Args;

use super::{ResultsArgs, SandboxArgs, print_json};
use crate::device;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files::create_folder;
use dtr_sandbox::AttackResult;

/// Check the devices, the energy meters, the sandbox and the results directory of this machine.
///
/// The sandbox runs Python programs that a model wrote. Several attacks on it show whether it holds.
///
/// Exits with code 5 if a required part is missing.
#[derive(Args)]
pub struct DoctorCommand {
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct CheckResult {
    name: &'static str,
    ok: bool,
    /// Whether dtr works even if this check fails.
    optional: bool,
    detail: String,
}

impl DoctorCommand {
    pub(super) fn run(self) -> Result<u8> {
        let mut checks = vec![
            check_version(),
            check_processor(),
            check_cuda(),
            check_energy(),
            self.check_results_folder(),
        ];
        checks.extend(self.check_sandbox());
        if self.json {
            print_json(&checks);
        } else {
            for check in &checks {
                let mark = match (check.ok, check.optional) {
                    (true, _) => "ok",
                    (false, true) => "none",
                    (false, false) => "missing",
                };
                println!("{mark:<7} {:<10} {}", check.name, check.detail);
            }
        }
        let is_usable = checks.iter().all(|check| check.ok || check.optional);
        Ok(if is_usable { 0 } else { ErrorKind::Environment.exit_code() })
    }

    fn check_results_folder(&self) -> CheckResult {
        let path = &self.results.results;
        let probe = || -> Result<()> {
            create_folder(path)?;
            tempfile::tempfile_in(path).map(drop).map_err(|cause| Error::io("write in", path, cause))
        };
        match probe() {
            Ok(()) => CheckResult {
                name: "results",
                ok: true,
                optional: false,
                detail: format!("`{}` is writable", path.display()),
            },
            Err(error) => CheckResult {
                name: "results",
                ok: false,
                optional: false,
                detail: error.message_with_sources(),
            },
        }
    }
}

impl DoctorCommand {
    /// Checks the layers of the sandbox, and runs attacks on the sandbox. These checks are optional, because
    /// only tasks whose answers are programs need a sandbox.
    fn check_sandbox(&self) -> Vec<CheckResult> {
        let optional = |name, ok, detail| CheckResult { name, ok, optional: true, detail };
        let attack = || -> Result<Vec<CheckResult>> {
            let sandbox = self.sandbox.options().open()?;
            let python = sandbox.python();
            let numpy = python.numpy_version.as_deref().unwrap_or("none");
            let version = python.version.split_whitespace().next().unwrap_or_default();
            let mut checks = vec![
                optional("python", true, format!("{version}, numpy {numpy}")),
                optional("sandbox", sandbox.layers().is_confined(), sandbox.layers().to_string()),
            ];
            let attacks = sandbox.probe_attacks()?.into_iter();
            checks.extend(attacks.map(|AttackResult { name, is_held, detail }| {
                optional("attack", is_held, format!("{name}: {detail}"))
            }));
            Ok(checks)
        };
        attack().unwrap_or_else(|error| vec![optional("sandbox", false, error.to_line())])
    }
}

fn check_version() -> CheckResult {
    CheckResult { name: "dtr", ok: true, optional: false, detail: env!("CARGO_PKG_VERSION").to_owned() }
}

fn check_processor() -> CheckResult {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    CheckResult {
        name: "cpu",
        ok: true,
        optional: false,
        detail: format!("{}, {threads} threads", device::cpu_name()),
    }
}

fn check_energy() -> CheckResult {
    let measured: Vec<&str> = [
        ("the CPU", device::DeviceChoice::Cpu),
        ("cuda:0", device::DeviceChoice::Cuda(device::CudaIndices::FIRST)),
    ]
    .into_iter()
    .filter(|(_, choice)| device::UsageMeter::for_device(*choice, 1).has_energy_counter())
    .map(|(name, _)| name)
    .collect();
    let detail = match measured.as_slice() {
        [] => "no device reports its energy".to_owned(),
        measured => format!("reported by {}", measured.join(" and ")),
    };
    CheckResult { name: "energy", ok: !measured.is_empty(), optional: true, detail }
}

fn check_cuda() -> CheckResult {
    #[cfg(feature = "cuda")]
    if let missing @ [_, ..] = dtr_ops::missing_cuda_requirements().as_slice() {
        let detail = format!("not found: {}", missing.join(", "));
        return CheckResult { name: "cuda", ok: false, optional: true, detail };
    }
    match device::DeviceChoice::Cuda(device::CudaIndices::FIRST).open_all_return_first() {
        Ok(_) => {
            CheckResult { name: "cuda", ok: true, optional: true, detail: "cuda:0 is available".to_owned() }
        }
        Err(error) => {
            CheckResult { name: "cuda", ok: false, optional: true, detail: error.message_with_sources() }
        }
    }
}
