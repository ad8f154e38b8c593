use burn::tensor::{Device, Tensor};

use super::{Rope, RopeScaling};
use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_close, assert_gradients_close, cuda_device, fill_free_memory_with_nan,
    for_each_dtype, random_beyond_tf32, random_bf16_exact, to_device,
};

#[test]
fn rotations_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (heads, time, width) in [(1, 1, 64), (6, 37, 32), (8, 130, 128)] {
            let x = random_bf16_exact([2, heads, time, width], -2.0, 2.0);
            let rope = Rope::new(width, 1e4, &RopeScaling::None);
            let positions = [0, 5].map(|start| (start..start + time).collect()).to_vec();
            let truth = Rope::apply(x.clone(), &rope.angles(&positions, &Device::flex()));
            fill_free_memory_with_nan(device);
            let found = Rope::apply(to_device(device, dtype, &x), &rope.angles(&positions, device));
            assert_close(&format!("rotation {heads} {time} {width} {dtype:?}"), &found, &truth, bound);
        }
    });
}

#[test]
fn training_computes_in_true_f32() {
    let Some(device) = cuda_device() else { return };
    for (batch, heads, time, width) in [(1, 4, 7, 32), (3, 4, 65, 64), (2, 8, 130, 32)] {
        let rope = Rope::new(width, 1e4, &RopeScaling::None);
        let rotate = |[q]: [Tensor<4>; 1], device: &Device| {
            let angles = rope.angles(&[(0..time).collect()], device);
            Rope::apply(q, &angles.autodiff())
        };
        let inputs = [random_beyond_tf32([batch, heads, time, width])];
        let label = format!("rotation {batch} {heads} {time} {width}");
        assert_gradients_close(F32_TRAINING_BOUND, &label, &device, inputs, rotate, rotate);
    }
}
