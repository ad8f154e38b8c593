use burn::tensor::{DType, Device, Tensor, TensorData};

use super::chunked_log_likelihoods;
use crate::cuda_testing::{assert_close, fill_free_memory_with_nan, for_each_dtype, random, to_device};

#[test]
fn log_likelihoods_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (rows, width, vocab) in [(1, 64, 9), (5, 128, 1000), (37, 64, 30_011)] {
            let (x, head) = (random([rows, width], -1.0, 1.0), random([vocab, width], -1.0, 1.0));
            let targets: Vec<(usize, u32)> =
                (0..3 * rows).map(|at| (at % rows, (7919 * at % vocab) as u32)).collect();
            let truth = burn::tensor::activation::log_softmax(x.clone().matmul(head.clone().transpose()), 1);
            let truth: Vec<f64> = truth.into_data().iter::<f64>().collect();
            let truth: Vec<f64> =
                targets.iter().map(|&(row, token)| truth[row * vocab + token as usize]).collect();
            fill_free_memory_with_nan(device);
            let (x_, head_) = (to_device(device, dtype, &x), to_device(device, dtype, &head));
            let values = |numbers: Vec<f64>| {
                let shape = [numbers.len()];
                Tensor::<1>::from_data(TensorData::new(numbers, shape), (&Device::flex(), DType::F64))
            };
            let truth = values(truth);
            // First all rows in one chunk, then in two chunks, of which the second may be smaller.
            for at_once in [rows, rows.div_ceil(2)] {
                let found = chunked_log_likelihoods(&x_, &head_, &targets, at_once);
                let found = values(found.into_iter().map(f64::from).collect());
                assert_close(&format!("likelihoods {rows} of {vocab} {dtype:?}"), &found, &truth, bound);
            }
            let with_nan = to_device(device, dtype, &x.mul_scalar(f64::NAN));
            let found = chunked_log_likelihoods(&with_nan, &head_, &targets, rows);
            assert!(found.iter().all(|value| value.is_nan()), "NaN in the input gives NaN likelihoods");
        }
    });
}
