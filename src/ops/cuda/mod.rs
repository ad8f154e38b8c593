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
mod few;
mod frozen;
mod gates;
mod gla;
mod learning;
mod loss;
mod order;
mod products;
mod replay;
mod rotary;
mod step;

pub(super) use buffer::exclusively;
pub(super) use compile::lacking;
pub(super) use order::keep_order;
pub(super) use replay::Recorded;

#[cfg(test)]
mod tests;
