//! Joins several layers of the same shape into one module that computes all of them at once. Splits such a
//! module into its layers again.

use burn::tensor::Tensor;

use super::{ParamMut, Parameters};

/// Returns one module that computes all `layers` at once. Each parameter of the module holds the values of
/// the first layer, then the values of the second layer, and so on.
///
/// # Panics
/// Panics if there is no layer.
pub fn stack_layers<M: Parameters + Clone>(layers: &mut [M]) -> M {
    if let [layer] = layers {
        return layer.clone();
    }
    let mut values: Vec<Vec<Tensor<1>>> = Vec::new();
    for layer in layers.iter_mut() {
        let mut index = 0;
        layer.visit(&mut |_, param| {
            if values.len() == index {
                values.push(Vec::new());
            }
            values[index].push(param.flat());
            index += 1;
        });
    }
    let mut values = values.into_iter();
    let mut stack = layers[0].clone();
    stack.visit(&mut |_, mut param| {
        param.set_rows(Tensor::cat(values.next().expect("all layers must have the same parameters"), 0));
    });
    stack
}

/// Splits a `stack` made by [`stack_layers`] into its `count` layers.
pub fn unstack_layers<M: Parameters + Clone>(stack: &M, count: usize) -> Vec<M> {
    let layer = |index: usize| {
        let mut layer = stack.clone();
        if count > 1 {
            layer.visit(&mut |_, mut param| {
                let size = param.num_elements() / count;
                let values = param.flat().narrow(0, index * size, size);
                param.set_rows(values);
            });
        }
        layer
    };
    (0..count).map(layer).collect()
}

impl ParamMut<'_> {
    /// Sets the parameter's values to `flat`, `[n]`. The number of rows of a matrix may change.
    fn set_rows(&mut self, flat: Tensor<1>) {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => **tensor = flat,
            Self::Matrix(tensor) => {
                let columns = tensor.dims()[1];
                let rows = flat.dims()[0] / columns;
                **tensor = flat.reshape([rows, columns]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Distribution, Tensor};

    use super::*;
    use crate::testing::{decoder, variants};
    use crate::{AutodiffCopy, ForwardContext, Mixer, RandomParams, Twins};
    use dtr_core::seed::Seed;
    use dtr_ops::mean_squared_error;

    /// Returns the twins of a variant, with random values in all parameters.
    fn twins(variant: usize) -> Vec<Mixer> {
        let base = decoder(true, true);
        let mut random = RandomParams::new(Seed(7), &Device::flex());
        let mut twins = Twins::new(&variants()[variant], &base, &mut random).unwrap();
        twins.visit(&mut |_, mut param| {
            let values = param.flat();
            let noise = values.random_like(Distribution::Normal(0.0, 0.1));
            param.set(values + noise);
        });
        twins.layers
    }

    #[test]
    fn a_stack_has_the_outputs_the_losses_and_the_gradients_of_its_layers() {
        let config = decoder(true, true).config;
        let [batch, time, width] = [2, 9, config.hidden_size];
        let device = Device::flex();
        for variant in 0..variants().len() {
            let mut layers = twins(variant);
            let count = layers.len();
            let random = |layers: usize| {
                Tensor::<3>::random([layers * batch, time, width], Distribution::Normal(0.0, 1.0), &device)
            };
            let (x, y) = (random(count), random(count));
            let context = ForwardContext::new(&config, batch, time, 0, None, &device).autodiff();
            let train = |module: &Mixer, x: Tensor<3>, y: Tensor<3>, layers: usize| {
                let copy = AutodiffCopy::new(module, DType::F32);
                let output = copy.0.forward(x.autodiff(), &context, None);
                let loss = mean_squared_error(output.clone(), y.autodiff(), layers);
                (output.inner(), loss.clone().inner(), copy.gradients(&loss))
            };
            let stack = stack_layers(&mut layers);
            let (output, loss, gradients) = train(&stack, x.clone(), y.clone(), count);
            for (index, layer) in layers.iter().enumerate() {
                let part = |x: &Tensor<3>| x.clone().narrow(0, index * batch, batch);
                let (expected, expected_loss, expected_gradients) = train(layer, part(&x), part(&y), 1);
                assert_close(part(&output).flatten(0, 2), expected.flatten(0, 2));
                assert_close(loss.clone().narrow(0, index, 1), expected_loss);
                for (gradient, expected) in gradients.iter().zip(expected_gradients) {
                    let size = expected.dims()[0];
                    assert_close(gradient.clone().narrow(0, index * size, size), expected);
                }
            }
        }
    }

    fn assert_close(found: Tensor<1>, expected: Tensor<1>) {
        let scale = expected.clone().abs().max().into_scalar::<f32>().max(1e-6);
        let error = (found - expected).abs().max().into_scalar::<f32>();
        assert!(error <= 1e-4 * scale, "the error is {error}, and the largest value is {scale}");
    }

    #[test]
    fn unstacking_returns_the_layers() {
        let mut layers = twins(2);
        let count = layers.len();
        let mut unstacked = unstack_layers(&stack_layers(&mut layers), count);
        for (layer, found) in layers.iter_mut().zip(&mut unstacked) {
            let values = |module: &mut Mixer| {
                let mut values = Vec::new();
                module.visit(&mut |name, param| {
                    values.push((name.to_owned(), param.shape(), param.flat().to_data()));
                });
                values
            };
            assert_eq!(values(layer), values(found));
        }
    }
}
