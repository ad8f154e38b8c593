//! Projections and the moves between `[b, t, d]` and `[b, h, t, k]`.

use burn::tensor::{DType, Tensor};

use super::native::{Native, native};
#[cfg(feature = "cuda")]
use super::native::{blocks, elements, native_frozen};
use super::norm::swish_gate;
use super::processor;

/// `x · weightᵀ + bias` with the weight as Hugging Face stores it, `[out, in]`.
///
/// On a processor a token's product is the same to the last bit whatever other tokens it is computed with.
pub fn linear(x_btd: Tensor<3>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<3> {
    let time = x_btd.dims()[1];
    with_bias(by_time(product(flat(x_btd), weight), time), bias)
}

/// [`linear`] by three weights, each with its bias; a GPU reads some in one go.
pub fn linear_by_three(x_btd: Tensor<3>, parts: [(&Tensor<2>, Option<&Tensor<1>>); 3]) -> [Tensor<3>; 3] {
    #[cfg(feature = "cuda")]
    if native_frozen(&x_btd) == Some(Native::Cuda) {
        let time = x_btd.dims()[1];
        let mut products =
            elements::project_by_three(flat(x_btd), parts.map(|(weight, _)| weight)).into_iter();
        return parts.map(|(_, bias)| {
            let product = products.next().expect("every weight has its product");
            with_bias(by_time(product, time), bias)
        });
    }
    parts.map(|(weight, bias)| linear(x_btd.clone(), weight, bias))
}

/// `silu(x · gateᵀ) · (x · upᵀ)`, the inside of a SwiGLU.
pub fn swish_gated(x_btd: Tensor<3>, gate_od: &Tensor<2>, up_od: &Tensor<2>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if native_frozen(&x_btd) == Some(Native::Cuda) {
        let time = x_btd.dims()[1];
        return by_time(elements::swish_gated(flat(x_btd), [gate_od, up_od]), time);
    }
    let gate = linear(x_btd.clone(), gate_od, None);
    swish_gate(gate, linear(x_btd, up_od, None))
}

fn flat(x_btd: Tensor<3>) -> Tensor<2> {
    let [batch, time, width] = x_btd.dims();
    x_btd.reshape([batch * time, width])
}

fn by_time(y_rd: Tensor<2>, time: usize) -> Tensor<3> {
    let [rows, width] = y_rd.dims();
    y_rd.reshape([rows / time, time, width])
}

fn with_bias(y_btd: Tensor<3>, bias: Option<&Tensor<1>>) -> Tensor<3> {
    match bias {
        #[cfg(feature = "cuda")]
        Some(bias) if native_frozen(&y_btd) == Some(Native::Cuda) => elements::with_bias(y_btd, bias),
        Some(bias) => {
            let bias = beside(bias, &y_btd);
            y_btd + bias
        }
        None => y_btd,
    }
}

/// A row `[n]` as it stands beside each token of `x_btd`: what learns through it sums over tokens, which burn does slowly on a GPU.
pub(super) fn beside(row: &Tensor<1>, x_btd: &Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if row.is_autodiff() && native(row) == Some(Native::Cuda) {
        let [batch, time, _] = x_btd.dims();
        return blocks::repeat_row(row.clone(), [batch, time]);
    }
    let _ = x_btd;
    row.clone().unsqueeze::<3>()
}

/// `x_rd · weight_odᵀ` in f32, whatever the dtype of both: what is to be told apart closely.
pub fn exact_product(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if native(&x_rd) == Some(Native::Cuda) && !x_rd.is_autodiff() {
        return blocks::project_exactly(x_rd, weight_od.clone());
    }
    product(x_rd, weight_od).cast(DType::F32)
}

/// `x_rd · weight_odᵀ`.
fn product(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if native(&x_rd) == Some(Native::Cuda) {
        return blocks::project(x_rd, weight_od.clone());
    }
    let ([rows, width], [out, _]) = (x_rd.dims(), weight_od.dims());
    let weight = weight_od.clone().transpose();
    match processor::rows_needed(&x_rd, out).saturating_sub(rows) {
        0 => x_rd.matmul(weight),
        more => {
            let padding = Tensor::zeros([more, width], &x_rd.device());
            Tensor::cat(vec![x_rd, padding], 0).matmul(weight).narrow(0, 0, rows)
        }
    }
}

/// The same matrix with its columns in one piece each, which products with few rows read faster.
pub fn by_columns(weight: Tensor<2>) -> Tensor<2> {
    if native(&weight) != Some(Native::Processor) {
        return weight;
    }
    processor::read_as_they_lie();
    let [out, inputs] = weight.dims();
    weight.transpose().reshape([inputs * out]).reshape([inputs, out]).transpose()
}

/// `[b, t, h·k]` to `[b, h, t, k]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, time, width] = x.dims();
    x.reshape([batch, time, heads, width / heads]).swap_dims(1, 2)
}

/// `[b, h, t, k]` to `[b, t, h·k]`.
pub fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, time, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, time, heads * width])
}

/// Repeats each head `times` times in place, as grouped-query attention pairs them:
/// head `g` serves query heads `g·times .. (g+1)·times`.
pub fn repeat_heads(x: Tensor<4>, times: usize) -> Tensor<4> {
    if times == 1 {
        return x;
    }
    let [batch, heads, time, width] = x.dims();
    x.reshape([batch, heads, 1, time, width]).expand([batch, heads, times, time, width]).reshape([
        batch,
        heads * times,
        time,
        width,
    ])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use rand::RngExt;

    use super::*;
    use dtr_core::seed::Seed;

    fn random(name: &str, shape: [usize; 2]) -> Tensor<2> {
        let mut rng = Seed(5).child(name).rng();
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
    }

    #[test]
    fn a_row_has_the_same_product_whatever_rows_are_beside_it() {
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
                    for weight in [weight.clone(), by_columns(weight.clone())] {
                        let found = product(few.clone(), &weight);
                        assert_eq!(found, expected[(MANY - rows) * out..], "{rows} x {width} to {out}");
                    }
                }
            }
        }
    }
}
