//! Tensors that a reference implementation wrote, and how far ours are from them.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

/// The path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A folder of public files that are not shipped, below the one that `DTR_PUBLIC` names; says so where there is none.
pub fn public_folder(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DTR_PUBLIC").map(|public| Path::new(&public).join(name));
    if folder.is_none() {
        eprintln!("skipped: DTR_PUBLIC names no folder with `{name}`");
    }
    folder
}

/// The tensors of a file.
pub struct Expected(Vec<u8>);

impl Expected {
    /// Reads a fixture.
    pub fn read(name: &str) -> Self {
        let path = fixture(name);
        Self(fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display())))
    }

    /// The shape of a tensor, and its elements of four bytes.
    pub fn words(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        let words = tensor.data().chunks_exact(4).map(|word| word.try_into().unwrap()).collect();
        (tensor.shape().to_vec(), words)
    }

    /// A tensor of f32.
    pub fn floats<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, words) = self.words(name);
        let values: Vec<f32> = words.into_iter().map(f32::from_le_bytes).collect();
        let shape: [usize; D] = shape.try_into().unwrap();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }
}

/// Fails unless `ours` is `theirs` within a relative root mean square error of `bound`; says by how much
/// they differ either way. Where theirs is zero all over, ours must be too.
pub fn compare<const D: usize>(what: &str, ours: Tensor<D>, theirs: Tensor<D>, bound: f64) {
    let values = |x: Tensor<D>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let (ours, theirs) = (values(ours), values(theirs));
    let (mut largest, mut errors, mut squares) = (0.0_f64, 0.0, 0.0);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let difference = f64::from(ours - theirs);
        largest = largest.max(difference.abs());
        errors += difference * difference;
        squares += f64::from(*theirs) * f64::from(*theirs);
    }
    let relative = if errors == 0.0 { 0.0 } else { (errors / squares).sqrt() };
    println!("{what}: largest difference {largest:.1e}, relative rms {relative:.1e}");
    assert!(relative < bound, "{what}: largest difference {largest:.1e}, relative rms {relative:.1e}");
}
