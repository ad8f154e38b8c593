//! The generator of a JetBlock's kernels in the terms of Jet-Nemotron.

use crate::mixer::TwinGeometry;
use crate::{JetConfig, jet_generator_width};

/// Returns the divisor of the width of v over all query heads whose quotient is the hidden width of the
/// generator. In dtr, the width of v is that of the key/value heads. Returns `None` if no whole number has
/// this quotient.
pub(super) fn generator_reduction(jet: &JetConfig, geometry: &TwinGeometry) -> Option<usize> {
    let inner = jet_generator_width(jet, geometry.num_kv_heads * geometry.value_dim);
    let channels = geometry.num_heads * geometry.value_dim;
    let reduction = channels / inner;
    (channels / reduction == inner).then_some(reduction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GeometryConfig;
    use crate::testing::shape;

    fn reduction(num_heads: usize, num_kv_heads: usize, value_dim: usize, own: usize) -> Option<usize> {
        let config = GeometryConfig {
            num_heads: Some(num_heads),
            num_kv_heads: Some(num_kv_heads),
            value_dim: Some(value_dim),
            ..GeometryConfig::default()
        };
        let geometry = TwinGeometry::new(&config, &shape().llama_config(50, 256));
        generator_reduction(&JetConfig { conv_size: 4, generator_reduction: own }, &geometry)
    }

    #[test]
    fn shared_heads_multiply_the_divisor() {
        assert_eq!(reduction(4, 4, 8, 8), Some(8));
        assert_eq!(reduction(8, 2, 16, 8), Some(32));
        // 24 channels of v over a hidden width of 4: the whole numbers 5 and 6 have this quotient.
        assert_eq!(reduction(3, 3, 8, 5), Some(6));
        // 100 channels over a hidden width of 40: 100 / 2 = 50 and 100 / 3 = 33.
        assert_eq!(reduction(5, 2, 20, 1), None);
    }
}
