//! Divides the layers of a base into ranges. Each device trains its ranges one after another.

use std::ops::Range;

use crate::resources::DistilMemory;
use crate::runner::RunContext;
use dtr_core::error::Result;
use dtr_ops::is_cpu;

/// A range of successive layers that are trained together.
pub(super) type LayerRange = Range<usize>;

/// Returns one range of layers per device. If a range would not fit in the device's memory, returns several
/// smaller ranges per device.
pub(super) fn layer_ranges(context: &RunContext<'_>, memory: &DistilMemory<'_>) -> Result<Vec<LayerRange>> {
    let num_layers = memory.config.num_layers;
    let max_layers = match (context.memory_limit, is_cpu(context.device())) {
        (Some(limit), false) => memory.max_layers(limit)?,
        _ => num_layers,
    };
    Ok(divide(num_layers, max_layers, context.devices.len()))
}

/// Divides `num_layers` layers into ranges of at most `max_layers`. The ranges are as equal in size as
/// possible. If there are enough layers, each device gets the same number of ranges.
fn divide(num_layers: usize, max_layers: usize, num_devices: usize) -> Vec<LayerRange> {
    let count = num_layers.div_ceil(max_layers).next_multiple_of(num_devices).min(num_layers);
    let bound = |index: usize| index * num_layers / count;
    (0..count).map(|index| bound(index)..bound(index + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_divided_evenly_and_for_every_device() {
        assert_eq!(divide(32, 32, 1), vec![0..32; 1]);
        assert_eq!(divide(32, 31, 1), [0..16, 16..32]);
        assert_eq!(divide(28, 28, 3), [0..9, 9..18, 18..28]);
        assert_eq!(divide(8, 3, 2), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(divide(2, 2, 4), [0..1, 1..2], "two of the four devices have no layers");
    }
}
