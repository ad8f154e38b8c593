//! Energy counters of CPUs: the RAPL interface in Linux's `/sys/class/powercap`. On most systems, only root
//! may read the counters.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The folder that has a subfolder for each CPU package, such as `intel-rapl:0`.
const POWERCAP_FOLDER: &str = "/sys/class/powercap";

/// The interval between readings. At full load, a counter wraps around after some minutes. The counters must
/// be read more often than that, because a reading can detect only one wrap-around.
const READ_INTERVAL: Duration = Duration::from_secs(20);

/// A meter of the energy of all CPU packages.
pub struct RaplMeter(Arc<Mutex<Counters>>);

struct Counters {
    packages: Vec<Package>,
    total_microjoules: u64,
}

/// The energy counter of one package.
struct Package {
    file: PathBuf,
    /// Microjoules after which the counter wraps around to 0.
    range: u64,
    last_reading: u64,
}

impl RaplMeter {
    /// Opens the counters of this machine. Returns `None` if the counters are missing or cannot be read.
    pub fn open() -> Option<Self> {
        Self::open_in(Path::new(POWERCAP_FOLDER))
    }

    /// Opens the counters below `folder`, and starts a thread that reads them regularly.
    pub(super) fn open_in(folder: &Path) -> Option<Self> {
        let counters = Arc::new(Mutex::new(Counters::open(folder)?));
        let weak = Arc::downgrade(&counters);
        std::thread::spawn(move || {
            while let Some(counters) = weak.upgrade() {
                counters.lock().expect("no holder of this lock panics").read();
                drop(counters);
                std::thread::sleep(READ_INTERVAL);
            }
        });
        Some(Self(counters))
    }

    /// Returns the joules consumed since the counters were opened.
    pub fn joules(&self) -> Option<f64> {
        self.0.lock().expect("no holder of this lock panics").read()
    }
}

impl Counters {
    fn open(folder: &Path) -> Option<Self> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            // Skip parts of a package, such as `intel-rapl:0:1`. The package's own counter includes them.
            let is_package = name.strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':'));
            if is_package {
                let (file, range) = (path.join("energy_uj"), read_number(&path.join("max_energy_range_uj"))?);
                let last_reading = read_number(&file)?;
                packages.push(Package { file, range, last_reading });
            }
        }
        (!packages.is_empty()).then_some(Self { packages, total_microjoules: 0 })
    }

    /// Reads all counters. Returns the joules consumed since the counters were opened.
    fn read(&mut self) -> Option<f64> {
        for package in &mut self.packages {
            let reading = read_number(&package.file)?;
            let wrapped = if reading < package.last_reading { package.range } else { 0 };
            self.total_microjoules += reading + wrapped - package.last_reading;
            package.last_reading = reading;
        }
        Some(self.total_microjoules as f64 / 1e6)
    }
}

fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_summed_across_a_wraparound_of_their_counters() {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, energy: u64| {
            let path = folder.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("max_energy_range_uj"), "10000000\n").unwrap();
            fs::write(path.join("energy_uj"), format!("{energy}\n")).unwrap();
        };
        assert!(Counters::open(folder.path()).is_none());
        set("intel-rapl", 0);
        set("intel-rapl:0", 2_000_000);
        set("intel-rapl:0:0", 1_000_000);
        set("intel-rapl:1", 9_000_000);
        let mut counters = Counters::open(folder.path()).unwrap();
        assert_eq!(counters.read(), Some(0.0));
        set("intel-rapl:0", 3_500_000);
        set("intel-rapl:0:0", 2_500_000);
        set("intel-rapl:1", 1_000_000);
        assert_eq!(counters.read(), Some(1.5 + 2.0));
        assert_eq!(counters.read(), Some(3.5));
    }
}
