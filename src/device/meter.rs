//! What work takes: seconds, and energy where the device tells.

use std::time::Instant;

use super::Choice;
#[cfg(feature = "cuda")]
use super::nvidia;
use super::rapl::Rapl;

/// What a piece of work took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Seconds, of each device that was held for it.
    pub seconds: f64,
    /// Joules that the device took meanwhile, with whatever else ran on it; none where it does not tell.
    pub joules: Option<f64>,
}

impl Spent {
    /// A share of it, of what was done side by side.
    pub fn share(self, share: f64) -> Self {
        Self { seconds: share * self.seconds, joules: self.joules.map(|joules| share * joules) }
    }
}

/// Reads what work on some devices takes.
pub struct Meter {
    source: Source,
    num_devices: usize,
}

enum Source {
    None,
    Processor(Rapl),
    #[cfg(feature = "cuda")]
    Nvidia(Vec<nvidia::Card>),
}

impl Meter {
    /// The meter of a device; one that cannot be read measures seconds alone.
    pub fn of(choice: Choice) -> Self {
        let source = match choice {
            Choice::Cpu => Rapl::open().map_or(Source::None, Source::Processor),
            #[cfg(feature = "cuda")]
            Choice::Cuda(cards) => {
                let cards: Option<Vec<_>> = cards.indices().map(nvidia::Card::open).collect();
                cards.map_or(Source::None, Source::Nvidia)
            }
            #[cfg(not(feature = "cuda"))]
            Choice::Cuda(_) => Source::None,
        };
        Self { source, num_devices: choice.count() }
    }

    /// Joules since some moment in the past.
    fn joules(&self) -> Option<f64> {
        match &self.source {
            Source::None => None,
            Source::Processor(rapl) => rapl.joules(),
            #[cfg(feature = "cuda")]
            Source::Nvidia(cards) => cards.iter().map(nvidia::Card::joules).sum(),
        }
    }

    /// Whether the device tells its energy.
    pub fn tells(&self) -> bool {
        self.joules().is_some()
    }

    /// Starts to watch a piece of work.
    pub fn watch(&self) -> Watch<'_> {
        Watch { meter: self, start: Instant::now(), joules: self.joules() }
    }
}

/// A piece of work that goes on.
pub struct Watch<'a> {
    meter: &'a Meter,
    start: Instant,
    joules: Option<f64>,
}

impl Watch<'_> {
    /// What it took up to now.
    pub fn spent(&self) -> Spent {
        let joules = self.joules.zip(self.meter.joules()).map(|(before, now)| now - before);
        Spent { seconds: self.start.elapsed().as_secs_f64() * self.meter.num_devices as f64, joules }
    }
}
