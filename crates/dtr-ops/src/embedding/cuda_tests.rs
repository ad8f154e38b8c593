use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::embedding;
use crate::cuda_testing::{assert_gradients_close_in, for_each_dtype, random_bf16_exact};

#[test]
fn lookups_and_the_gradient_of_the_table_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (rows, width, count) in [(5, 64, 1), (50, 64, 300), (1000, 192, 77)] {
            let table = random_bf16_exact([1, 1, rows, width], -1.0, 1.0);
            let run = |[table]: [Tensor<4>; 1], device: &Device| {
                // Some rows are looked up several times, and some rows are never looked up.
                let indices: Vec<i32> = (0..count).map(|at| (at * at % rows) as i32).collect();
                let indices = TensorData::new(indices, [count]);
                let indices = Tensor::<1, Int>::from_data(indices, (device, DType::I32)).autodiff();
                embedding(&table.reshape([rows, width]), indices).reshape([1, 1, count, width])
            };
            let label = format!("embedding {count} of {rows} x {width} {dtype:?}");
            assert_gradients_close_in((dtype, bound), &label, device, [table], run, run);
        }
    });
}
