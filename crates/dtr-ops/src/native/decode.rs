//! What a decoding step does with tokens whose position the device itself counts, on CUDA devices.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

/// Kernels that read a position from the device.
#[backend_extension(Cube)]
#[allow(clippy::type_complexity)]
pub trait Counted: Backend {
    /// Turns pairs of x `[b, h, t, k]` by cosines and sines `[1, 1, room, k/2]` of all positions, of which `at` `[1]` says the
    /// first token's.
    fn rotate_at(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        at: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Queries `[b, h, t, k]` turned so, and the caches `[b, g, room, k]` of keys and values with k `[b, g, t, k]`, turned
    /// too, and v in them from `at` on, in place.
    #[allow(clippy::too_many_arguments)]
    fn rotate_and_append(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        at: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Attention over a cache whose last token stands where `at` does.
    fn attention_at(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        at: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `at + by`, in place.
    fn advance(at: IntTensor<Self>, by: usize) -> IntTensor<Self>;
}

/// Turns pairs of x by tables of all positions, of which `at` says the first token's.
pub(crate) fn rotate_at(
    x_bhtk: Tensor<4>,
    (cos, sin): &(Tensor<4>, Tensor<4>),
    at: &Tensor<1, Int>,
) -> Tensor<4> {
    let (cos, sin) = (cos.clone().into_dispatch(), sin.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::rotate_at(x_bhtk.into_dispatch(), cos, sin, at.clone().into_dispatch()))
}

/// Queries turned, and the caches of keys and values with these in them from `at` on, in place.
pub(crate) fn rotate_and_append(
    tokens: [Tensor<4>; 3],
    (keys, values): (Tensor<4>, Tensor<4>),
    (cos, sin): &(Tensor<4>, Tensor<4>),
    at: &Tensor<1, Int>,
) -> (Tensor<4>, (Tensor<4>, Tensor<4>)) {
    let [q, k, v] = tokens.map(Tensor::into_dispatch);
    let [keys, values] = [keys, values].map(Tensor::into_dispatch);
    let (cos, sin) = (cos.clone().into_dispatch(), sin.clone().into_dispatch());
    let (q, keys, values) =
        Dispatch::rotate_and_append(q, k, v, keys, values, cos, sin, at.clone().into_dispatch());
    (Tensor::from_dispatch(q), (Tensor::from_dispatch(keys), Tensor::from_dispatch(values)))
}

/// Attention over a cache whose last token stands where `at` does.
pub(crate) fn attention_at(
    q_bhtk: Tensor<4>,
    (keys, values): (Tensor<4>, Tensor<4>),
    at: &Tensor<1, Int>,
) -> Tensor<4> {
    let (keys, values) = (keys.into_dispatch(), values.into_dispatch());
    let at = at.clone().into_dispatch();
    Tensor::from_dispatch(Dispatch::attention_at(q_bhtk.into_dispatch(), keys, values, at))
}

/// Adds to a counter, in place.
pub(crate) fn advance(at: &Tensor<1, Int>, by: usize) {
    drop(Dispatch::advance(at.clone().into_dispatch(), by));
}
