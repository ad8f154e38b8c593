//! Gradients of a loss with respect to a module's parameters.

use burn::tensor::{DType, Gradients, Tensor};

use super::{Parameters, to_dtype};

/// A copy of a module. The parameters of the copy are leaves of a new autodiff graph.
pub struct AutodiffCopy<M>(pub M);

impl<M: Parameters + Clone> AutodiffCopy<M> {
    /// Copies `module`, casts the parameters to `dtype`, and makes them leaves of a new graph.
    pub fn new(module: &M, dtype: DType) -> Self {
        let mut copy = to_dtype(module.clone(), dtype);
        copy.visit(&mut |_, mut param| param.require_grad());
        Self(copy)
    }

    /// Copies `module` as [`AutodiffCopy::new`] does. Only the parameters for whose names `is_trained` returns
    /// true become leaves. The others are constants of the graph.
    pub(crate) fn with_constants(module: &M, dtype: DType, is_trained: &dyn Fn(&str) -> bool) -> Self {
        let mut copy = to_dtype(module.clone(), dtype);
        copy.visit(&mut |name, mut param| match is_trained(name) {
            true => param.require_grad(),
            false => param.make_constant(),
        });
        Self(copy)
    }

    /// Returns the gradient of `loss` for each parameter, in the order of [`Parameters::visit`]. Each
    /// gradient is a vector `[n]` in the parameter's dtype. It is zero if the loss does not depend on the
    /// parameter.
    pub fn gradients(mut self, loss: &Tensor<1>) -> Vec<Tensor<1>> {
        self.take_gradients(&mut loss.backward(), &|_| true)
    }

    /// Removes the gradients of the parameters for whose names `is_trained` returns true from `gradients`, and
    /// returns them as [`AutodiffCopy::gradients`] does.
    pub(crate) fn take_gradients(
        &mut self,
        gradients: &mut Gradients,
        is_trained: &dyn Fn(&str) -> bool,
    ) -> Vec<Tensor<1>> {
        let mut rows = Vec::new();
        self.0.visit(&mut |name, param| {
            if is_trained(name) {
                rows.push(param.take_gradient(gradients));
            }
        });
        rows
    }
}
