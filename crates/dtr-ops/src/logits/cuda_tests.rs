use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::log_softmax};

use super::chunked_log_likelihoods;
use super::cross_entropy_cuda::chunked_cross_entropy;
use crate::cuda_testing::{
    assert_close, assert_gradients_close_in, fill_free_memory_with_nan, for_each_dtype, random_bf16_exact,
    to_device,
};

#[test]
fn log_likelihoods_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (rows, width, vocab) in [(1, 64, 9), (5, 128, 1000), (37, 64, 30_011)] {
            let (x, head) =
                (random_bf16_exact([rows, width], -1.0, 1.0), random_bf16_exact([vocab, width], -1.0, 1.0));
            let targets: Vec<(usize, u32)> =
                (0..3 * rows).map(|at| (at % rows, (7919 * at % vocab) as u32)).collect();
            let truth = log_softmax(x.clone().matmul(head.clone().transpose()), 1);
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
            // The first case has all rows in one chunk. In the second case, a chunk has half of the rows,
            // rounded up.
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

#[test]
fn cross_entropy_and_its_gradients_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (rows, width, vocab) in [(1, 64, 9), (37, 64, 1000), (70, 128, 30_011)] {
            let inputs = [
                random_bf16_exact([1, 1, rows, width], -1.0, 1.0),
                random_bf16_exact([1, 1, vocab, width], -1.0, 1.0),
            ];
            let targets = |device: &Device| {
                let tokens: Vec<i32> = (0..rows).map(|row| (7919 * row % vocab) as i32).collect();
                Tensor::<1, Int>::from_data(TensorData::new(tokens, [rows]), (device, DType::I32))
            };
            let matrices =
                |[x, head]: [Tensor<4>; 2]| (x.reshape([rows, width]), head.reshape([vocab, width]));
            let exact = |inputs: [Tensor<4>; 2], device: &Device| {
                let (x, head) = matrices(inputs);
                let log_likelihoods = log_softmax(x.matmul(head.transpose()), 1);
                let targets = targets(device).reshape([rows, 1]).autodiff();
                log_likelihoods.gather(1, targets).mean().neg().reshape([1, 1, 1, 1])
            };
            // The first case has all rows in one chunk. In the second case, a chunk has half of the rows,
            // rounded up.
            for rows_per_chunk in [rows, rows.div_ceil(2)] {
                let run = |inputs: [Tensor<4>; 2], device: &Device| {
                    let (x, head) = matrices(inputs);
                    chunked_cross_entropy(x, &head, targets(device), rows_per_chunk).reshape([1, 1, 1, 1])
                };
                let label = format!("cross entropy {rows} of {vocab} {dtype:?}");
                assert_gradients_close_in((dtype, bound), &label, device, inputs.clone(), run, exact);
            }
        }
    });
}
