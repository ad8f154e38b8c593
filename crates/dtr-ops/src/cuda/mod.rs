//! What CUDA devices compute by kernels of their own and by cuBLASLt, instead of by burn's tensor operations. The only
//! module outside of `dtr-kernels` with `unsafe`: it calls the driver.

#![allow(unsafe_code)]

mod adamw;
mod attention;
mod blas;
mod buffer;
mod card;
mod compile;
mod conv;
mod delta;
mod dispatch;
mod gates;
mod gla;
mod inference;
mod loss;
mod products;
mod replay;
mod rotary;
mod small_gemm;
mod step;
mod stream;
mod train_ops;

pub(super) use buffer::exclusively;
pub(super) use compile::lacking;
pub(super) use replay::Recorded;
pub(super) use stream::keep_order;

#[cfg(test)]
mod tests;
