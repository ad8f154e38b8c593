//! Functions that read fixtures of reference implementations and compare tensors with these fixtures.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use crate::skipped::report_skipped;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Returns the folder `name` in the folder of public files that `DTR_PUBLIC` names.
///
/// If the variable is not set, reports the test as skipped and returns `None`.
pub fn public_folder(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DTR_PUBLIC").map(|public| Path::new(&public).join(name));
    if folder.is_none() {
        report_skipped(&format!("DTR_PUBLIC does not name a folder with `{name}`"));
    }
    folder
}

/// The tensors of a fixture.
pub struct ReferenceTensors(Vec<u8>);

impl ReferenceTensors {
    pub fn read(name: &str) -> Self {
        let path = fixture(name);
        Self(fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display())))
    }

    /// Returns the shape of a tensor and the bytes of its elements. Each element has four bytes.
    pub fn element_bytes(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        let words = tensor.data().chunks_exact(4).map(|word| word.try_into().unwrap()).collect();
        (tensor.shape().to_vec(), words)
    }

    pub fn float_tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, words) = self.element_bytes(name);
        let values: Vec<f32> = words.into_iter().map(f32::from_le_bytes).collect();
        let shape: [usize; D] = shape.try_into().unwrap();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }
}

/// Asserts that the relative root mean square error of `computed` against `reference` is below `bound`.
/// Prints the error.
///
/// If the reference is zero everywhere, `computed` must be zero everywhere too.
pub fn assert_close<const D: usize>(name: &str, computed: Tensor<D>, reference: Tensor<D>, bound: f64) {
    let values = |x: Tensor<D>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
    assert_eq!(computed.dims(), reference.dims(), "{name}");
    let (computed, reference) = (values(computed), values(reference));
    let (mut largest, mut errors, mut squares) = (0.0_f64, 0.0, 0.0);
    for (computed, reference) in computed.iter().zip(&reference) {
        let difference = f64::from(computed - reference);
        largest = largest.max(difference.abs());
        errors += difference * difference;
        squares += f64::from(*reference) * f64::from(*reference);
    }
    let relative = if errors == 0.0 { 0.0 } else { (errors / squares).sqrt() };
    println!("{name}: largest difference {largest:.1e}, relative rms {relative:.1e}");
    assert!(relative < bound, "{name}: largest difference {largest:.1e}, relative rms {relative:.1e}");
}
