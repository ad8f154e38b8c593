use burn::tensor::{DType, Device, Tensor, TensorData};
use dtr_core::seed::Seed;
use rand::RngExt;

use super::{linear, to_column_major};

fn random(name: &str, shape: [usize; 2]) -> Tensor<2> {
    let mut rng = Seed(5).child(name).rng();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
}

#[test]
fn the_product_of_a_row_does_not_depend_on_other_rows() {
    const MANY: usize = 300;
    for width in [1, 3, 24, 192, 513, 1100] {
        for out in [1, 6, 64, 96, 260] {
            let (weight, x) = (random("weight", [out, width]), random("x", [MANY, width]));
            let product = |x: Tensor<2>, weight: &Tensor<2>| -> Vec<f32> {
                linear(x.unsqueeze(), weight, None).to_data().try_to_vec().unwrap()
            };
            let expected = product(x.clone(), &weight);
            for rows in [1, 2, 3, 8, 31, 64, 65, 257] {
                let few = x.clone().narrow(0, MANY - rows, rows);
                for weight in [weight.clone(), to_column_major(weight.clone())] {
                    let found = product(few.clone(), &weight);
                    assert_eq!(found, expected[(MANY - rows) * out..], "{rows} x {width} to {out}");
                }
            }
        }
    }
}
