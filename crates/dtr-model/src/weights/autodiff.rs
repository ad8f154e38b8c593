//! Gradients of a loss with respect to a module's parameters.

use burn::tensor::{DType, Tensor};

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

    /// Returns the gradient of `loss` for each parameter, in the order of [`Parameters::visit`]. Each
    /// gradient is a vector `[n]` in the parameter's dtype. It is zero if the loss does not depend on the
    /// parameter.
    pub fn gradients(mut self, loss: &Tensor<1>) -> Vec<Tensor<1>> {
        let mut gradients = loss.backward();
        let mut rows = Vec::new();
        self.0.visit(&mut |_, param| rows.push(param.take_gradient(&mut gradients)));
        rows
    }
}
