use super::{Rope, RopeScaling};
use crate::testing::{random, to_f32};

#[test]
fn llama3_scaling_keeps_high_frequencies_and_divides_low_ones() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position: 8192,
    };
    let (plain, scaled) = (Rope::new(128, 5e5, &RopeScaling::None), Rope::new(128, 5e5, &scaling));
    let ratio = |index: usize| plain.frequency(index) / scaled.frequency(index);
    assert!((ratio(0) - 1.0).abs() < 1e-12);
    assert!((ratio(63) - 8.0).abs() < 1e-9);
    assert!((0..63).all(|index| ratio(index) <= ratio(index + 1) + 1e-12));
}

#[test]
fn each_frequency_is_divided_by_its_factor() {
    let scaling = RopeScaling::Factors(vec![1.0, 2.0, 4.0, 8.0]);
    let (plain, scaled) = (Rope::new(8, 1e4, &RopeScaling::None), Rope::new(8, 1e4, &scaling));
    for (index, factor) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
        assert_eq!(plain.frequency(index) / factor, scaled.frequency(index));
    }
}

#[test]
fn a_rotation_has_the_same_bits_on_an_autodiff_graph_and_off_it() {
    let rope = Rope::new(8, 1e4, &RopeScaling::None);
    let positions = [vec![3, 4, 5, 6, 7], vec![0, 0, 0, 1, 2]];
    let x = to_f32(&random("x", [2, 5, 3, 8], -2.0, 2.0));
    for positions in [&positions[..1], &positions[..]] {
        let angles = rope.angles(positions, &x.device());
        let autodiff_angles = angles.autodiff();
        // The first case is a view: memory has the order [b, t, h, k] of a projection, seen as [b, h, t, k].
        // The second case is contiguous.
        for x in [x.clone().swap_dims(1, 2), x.clone().reshape([2, 3, 5, 8])] {
            let expected = Rope::apply(x.clone().autodiff(), &autodiff_angles).inner().into_data();
            assert_eq!(Rope::apply(x, &angles).into_data(), expected);
        }
    }
}
