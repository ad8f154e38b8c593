//! The energy of processors as Linux tells it, from their running average power limits. Most systems let only the
//! superuser read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where Linux keeps the counters: a folder for each package, `intel-rapl:0`, and others for its parts.
const FOLDER: &str = "/sys/class/powercap";

/// Counters begin anew after some minutes at full load, so that they are looked at more often.
const PAUSE: Duration = Duration::from_secs(20);

/// The energy of all packages.
pub struct Rapl(Arc<Mutex<Counters>>);

struct Counters {
    packages: Vec<Package>,
    microjoules: u64,
}

/// One package's counter, which begins anew after `range` microjoules.
struct Package {
    file: PathBuf,
    range: u64,
    last: u64,
}

impl Rapl {
    /// The counters of this machine; none where there are none or they cannot be read.
    pub fn open() -> Option<Self> {
        let counters = Arc::new(Mutex::new(Counters::open(Path::new(FOLDER))?));
        let watched = Arc::downgrade(&counters);
        std::thread::spawn(move || {
            while let Some(counters) = watched.upgrade() {
                counters.lock().expect("no holder of this lock panics").advance();
                drop(counters);
                std::thread::sleep(PAUSE);
            }
        });
        Some(Self(counters))
    }

    /// Joules since it was opened.
    pub fn joules(&self) -> Option<f64> {
        self.0.lock().expect("no holder of this lock panics").advance()
    }
}

impl Counters {
    fn open(folder: &Path) -> Option<Self> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            // Parts of a package have a further number, `intel-rapl:0:1`, and are counted in it.
            let is_package = name.strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':'));
            if is_package {
                let (file, range) = (path.join("energy_uj"), read(&path.join("max_energy_range_uj"))?);
                let last = read(&file)?;
                packages.push(Package { file, range, last });
            }
        }
        (!packages.is_empty()).then_some(Self { packages, microjoules: 0 })
    }

    /// Adds what was taken since the last look; joules since the first.
    fn advance(&mut self) -> Option<f64> {
        for package in &mut self.packages {
            let now = read(&package.file)?;
            let again = if now < package.last { package.range } else { 0 };
            self.microjoules += now + again - package.last;
            package.last = now;
        }
        Some(self.microjoules as f64 / 1e6)
    }
}

fn read(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_added_up_also_when_a_counter_begins_anew() {
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
        assert_eq!(counters.advance(), Some(0.0));
        set("intel-rapl:0", 3_500_000);
        set("intel-rapl:0:0", 2_500_000);
        set("intel-rapl:1", 1_000_000);
        assert_eq!(counters.advance(), Some(1.5 + 2.0));
        assert_eq!(counters.advance(), Some(3.5));
    }
}
