use burn::tensor::{Device, Tensor};

use super::{silu, silu_mul};
use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_close, assert_gradients_close, cuda_device, fill_free_memory_with_nan,
    for_each_dtype, random_beyond_tf32, random_bf16_exact, to_device,
};

#[test]
fn silu_mul_matches_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for [rows, width] in [[1, 64], [77, 192], [300, 4096]] {
            let (x, gate) =
                (random_bf16_exact([rows, width], -4.0, 4.0), random_bf16_exact([rows, width], -8.0, 8.0));
            fill_free_memory_with_nan(device);
            let found = silu_mul(to_device(device, dtype, &gate), to_device(device, dtype, &x));
            assert_close(&format!("gate {rows} x {width} {dtype:?}"), &found, &silu_mul(gate, x), bound);
        }
    });
}

#[test]
fn training_computes_in_true_f32() {
    let Some(device) = cuda_device() else { return };
    for shape in [[1, 1, 1, 64], [1, 1, 77, 192], [1, 2, 384, 128], [3, 1, 100, 1000]] {
        let gate = |[gate, x]: [Tensor<4>; 2], _: &Device| silu_mul(gate * 4.0, x);
        assert_gradients_close(
            F32_TRAINING_BOUND,
            &format!("gate {shape:?}"),
            &device,
            [random_beyond_tf32(shape), random_beyond_tf32(shape)],
            gate,
            gate,
        );
    }
    for shape in [[1, 1, 7, 33], [1, 1, 1, 8], [3, 1, 100, 1000]] {
        let run = |[x]: [Tensor<4>; 1], _: &Device| silu(x * 4.0);
        assert_gradients_close(
            F32_TRAINING_BOUND,
            &format!("silu {shape:?}"),
            &device,
            [random_beyond_tf32(shape)],
            run,
            run,
        );
    }
}
