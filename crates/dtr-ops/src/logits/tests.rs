use burn::tensor::{Tensor, TensorData};

use super::{chunked_log_likelihoods, log_likelihoods};
use crate::linear::linear_f32;
use crate::testing::{random, to_f32};

#[test]
fn log_likelihoods_do_not_depend_on_the_chunks() {
    // No target belongs to the last row.
    let (x, head) = (to_f32(&random("x", [4, 5], -2.0, 2.0)), to_f32(&random("head", [7, 5], -2.0, 2.0)));
    let targets = [(2, 6), (0, 0), (2, 3), (1, 5)];
    let expected = targets.map(|(row, token)| {
        let logits = linear_f32(x.clone().narrow(0, row, 1), &head);
        let token = Tensor::from_data(TensorData::new(vec![token as i32], [1]), &x.device());
        log_likelihoods(logits, token).into_scalar::<f32>()
    });
    for rows in 1..5 {
        assert_eq!(chunked_log_likelihoods(&x, &head, &targets, rows), expected, "{rows} rows a chunk");
    }
}
