use burn::tensor::{Device, Tensor};

use super::rms_norm;
use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_close, assert_gradients_close, cuda_device, fill_free_memory_with_nan,
    for_each_dtype, random_beyond_tf32, random_bf16_exact, to_device,
};

/// RMSNorm in f64. `rms_norm` itself cannot be the reference, since it computes in f32.
fn exact_rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<D>) -> Tensor<D> {
    let scale = (x.clone().square().mean_dim(D - 1) + 1e-5).sqrt().recip();
    x * scale * weight
}

#[test]
fn norms_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for [rows, width] in [[1, 64], [77, 192], [300, 4096]] {
            let (x, weight) =
                (random_bf16_exact([rows, width], -4.0, 4.0), random_bf16_exact([width], 0.5, 1.5));
            fill_free_memory_with_nan(device);
            let found = rms_norm(to_device(device, dtype, &x), &to_device(device, dtype, &weight), 1e-5);
            let truth = exact_rms_norm(x, weight.unsqueeze());
            assert_close(&format!("norm {rows} x {width} {dtype:?}"), &found, &truth, bound);
        }
    });
}

#[test]
fn training_computes_in_true_f32() {
    let Some(device) = cuda_device() else { return };
    for shape in [[1, 1, 1, 64], [1, 1, 77, 192], [1, 2, 384, 128], [3, 1, 100, 1000]] {
        let norm = |[x, weight]: [Tensor<4>; 2], _: &Device| rms_norm(x, &weight.reshape([shape[3]]), 1e-5);
        let exact = |[x, weight]: [Tensor<4>; 2], _: &Device| exact_rms_norm(x, weight);
        let inputs = [random_beyond_tf32(shape), random_beyond_tf32([1, 1, 1, shape[3]])];
        assert_gradients_close(F32_TRAINING_BOUND, &format!("norm {shape:?}"), &device, inputs, norm, exact);
    }
}
