use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::embedding;

/// Looks up the rows `indices` of a table of zeros. Returns the gradient of the sum of all looked-up elements
/// with respect to the table. Each element of row `i` of the gradient is the number of lookups of `i`.
fn gradient(indices: &[i32], [rows, width]: [usize; 2], dtype: DType) -> Vec<f64> {
    let device = Device::flex();
    let table = Tensor::<2>::zeros([rows, width], (&device, dtype)).autodiff().require_grad();
    let indices_r = TensorData::new(indices.to_vec(), [indices.len()]);
    let indices_r = Tensor::<1, Int>::from_data(indices_r, (&device, DType::I32)).autodiff();
    let gradients = embedding(&table, indices_r).sum().backward();
    table.grad(&gradients).unwrap().into_data().iter::<f64>().collect()
}

#[test]
fn the_gradient_of_a_row_is_the_sum_over_its_lookups() {
    for dtype in [DType::F32, DType::F64] {
        for (count, shape) in [(1, [5, 64]), (300, [50, 64]), (77, [1000, 192]), (5000, [300, 128])] {
            let [rows, width] = shape;
            let indices: Vec<i32> = (0..count).map(|at| (at * at % rows) as i32).collect();
            let expected = (0..rows).flat_map(|row| {
                let lookups = indices.iter().filter(|&&index| index == row as i32).count();
                std::iter::repeat_n(lookups as f64, width)
            });
            assert_eq!(
                gradient(&indices, shape, dtype),
                expected.collect::<Vec<_>>(),
                "{count} of {shape:?}"
            );
        }
    }
}
