//! The division of layers into stacks. A GPU trains all layers of a stack together.

use std::ops::Range;

/// The largest number of elements in the input of a stack of layers. This bound limits the memory of a step.
const MAX_STACK_ELEMENTS: usize = 1 << 28;

/// A layer whose input has at least this many elements fills a GPU alone.
const FILLING_ELEMENTS: usize = 1 << 25;

/// Returns the number of layers that a GPU trains together. A batch has `batch_tokens` tokens, and the base
/// has the width `hidden_size`. Small layers are trained together, because one small layer does not fill a
/// GPU.
pub(super) fn layers_per_stack(batch_tokens: usize, hidden_size: usize) -> usize {
    match batch_tokens * hidden_size {
        elements if elements >= FILLING_ELEMENTS => 1,
        elements => MAX_STACK_ELEMENTS / elements.max(1),
    }
}

/// Returns the number of layers in the largest stack, if a GPU trains `num_layers` layers.
pub fn largest_stack_size(num_layers: usize, batch_tokens: usize, hidden_size: usize) -> usize {
    let stacks = split_into_stacks(0..num_layers, layers_per_stack(batch_tokens, hidden_size));
    stacks.iter().map(Range::len).max().unwrap_or(0)
}

/// Divides `layers` into successive stacks of at most `max_layers` layers. The sizes are as equal as
/// possible.
pub(super) fn split_into_stacks(layers: Range<usize>, max_layers: usize) -> Vec<Range<usize>> {
    let count = layers.len().div_ceil(max_layers);
    let bound = |index: usize| layers.start + index * layers.len() / count;
    (0..count).map(|index| bound(index)..bound(index + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_divided_into_even_stacks() {
        assert_eq!(split_into_stacks(0..30, 28), [0..15, 15..30]);
        assert_eq!(split_into_stacks(4..9, 2), [4..5, 5..7, 7..9]);
        assert_eq!(split_into_stacks(2..4, 1), [2..3, 3..4]);
        assert_eq!(largest_stack_size(31, 32 * 512, 576), 16);
    }

    #[test]
    fn only_layers_that_do_not_fill_a_gpu_are_stacked() {
        assert_eq!(layers_per_stack(32 * 512, 576), 28);
        assert_eq!(layers_per_stack(32 * 512, 1536), 10);
        assert_eq!(layers_per_stack(16 * 512, 4096), 1);
    }
}
