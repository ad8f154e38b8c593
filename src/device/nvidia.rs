//! What NVIDIA's management library tells of a card: its name and its energy.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// A card.
pub struct Card {
    library: Nvml,
    place: Place,
}

/// How the library finds a card.
enum Place {
    Index(u32),
    Uuid(String),
}

impl Card {
    /// The CUDA device of `index`; none where the library or the card is missing.
    pub fn open(index: usize) -> Option<Self> {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let place = place(index, visible.as_deref())?;
        let card = Self { library: Nvml::init().ok()?, place };
        card.device().is_ok().then_some(card)
    }

    fn device(&self) -> Result<Device<'_>, NvmlError> {
        match &self.place {
            Place::Index(index) => self.library.device_by_index(*index),
            Place::Uuid(uuid) => self.library.device_by_uuid(uuid.as_str()),
        }
    }

    /// The card's name, such as `NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> Option<String> {
        self.device().ok()?.name().ok()
    }

    /// Bytes of memory that nothing holds now.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.device().ok()?.memory_info().ok()?.free)
    }

    /// Joules since the driver was loaded; none where the card does not count.
    pub fn joules(&self) -> Option<f64> {
        Some(self.device().ok()?.total_energy_consumption().ok()? as f64 / 1e3)
    }
}

/// Where the library finds the CUDA device of `index`: it counts all cards, and CUDA those that are `visible`.
fn place(index: usize, visible: Option<&str>) -> Option<Place> {
    let Some(visible) = visible.filter(|visible| !visible.is_empty()) else {
        return Some(Place::Index(index as u32));
    };
    let entry = visible.split(',').nth(index)?.trim();
    Some(entry.parse().map_or_else(|_| Place::Uuid(entry.to_owned()), Place::Index))
}
