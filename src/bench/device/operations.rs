//! Times matrix products, and attention in decoding and in prefill.

use burn::tensor::{Distribution, Tensor};

use dtr_core::error::Result;
use dtr_model::DecoderConfig;
use dtr_ops::{CausalMask, KvCache, attention, linear, preferred_dtype, run_on_device_thread};

use super::{DeviceBench, SEQUENCE_LENGTH};

/// The number of matrix products in one run.
const MATMULS_PER_RUN: usize = 10;

/// The number of attention calls in one run that times decoding. Each call has a single query position.
const DECODES_PER_RUN: usize = 50;

impl DeviceBench<'_> {
    pub(super) fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let dtype = preferred_dtype(&self.device);
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), (&self.device, dtype))
    }

    pub(super) fn time_matmuls(&self) -> Result<()> {
        let rows = self.batch_size * SEQUENCE_LENGTH;
        for [inputs, outputs] in [[4096, 4096], [4096, 1024], [4096, 14336], [14336, 4096]] {
            let (x, weight) = (self.random([1, rows, inputs]), self.random([outputs, inputs]));
            // A run enqueues all its calls before it synchronises, as a forward pass does.
            let seconds = |work: &(dyn Fn() + Sync)| -> Result<f64> {
                let run = || run_on_device_thread(&self.device, || (0..MATMULS_PER_RUN).for_each(|_| work()));
                Ok(self.median_seconds(5, run)? / MATMULS_PER_RUN as f64)
            };
            let flops = 2.0 * (rows * inputs * outputs) as f64;
            let forward = seconds(&|| drop(linear(x.clone(), &weight, None)))?;
            self.report_time(format!("matmul {rows}x{inputs}x{outputs}"), forward, flops, "flop");
            let both = seconds(&|| {
                let tracked_x = x.clone().autodiff().require_grad();
                let tracked_weight = weight.clone().autodiff().require_grad();
                drop(linear(tracked_x, &tracked_weight, None).backward());
            })?;
            let operation = format!("matmul with gradients {rows}x{inputs}x{outputs}");
            self.report_time(operation, both, 3.0 * flops, "flop");
        }
        Ok(())
    }

    pub(super) fn time_attention(&self) -> Result<()> {
        for (batch, keys) in [(1, 65536), (8, 8192), (32, 4096), (128, 512)] {
            self.time_decode_attention(batch, keys)?;
        }
        for (batch, time) in [(8, 2048), (1, 8192), (1, 16384), (1, 65536)] {
            self.time_prefill_attention(batch, time)?;
        }
        Ok(())
    }

    fn time_decode_attention(&self, batch: usize, keys: usize) -> Result<()> {
        let DecoderConfig { num_heads, num_kv_heads, head_dim, .. } = self.model;
        let q = self.random([batch, num_heads, 1, head_dim]);
        let [k, v] = [(); 2].map(|()| self.random([batch, num_kv_heads, keys, head_dim]));
        let (cache, mask) = (KvCache::new(k, v), CausalMask::new(1, keys - 1, None, &self.device));
        let seconds = self.median_seconds(5, || {
            run_on_device_thread(&self.device, || {
                (0..DECODES_PER_RUN).for_each(|_| drop(attention(q.clone(), &cache, &mask)));
            });
        })?;
        let operation = format!("decode attention {batch}x{keys}");
        self.report_time(operation, seconds / DECODES_PER_RUN as f64, cache.num_bytes() as f64, "byte");
        Ok(())
    }

    fn time_prefill_attention(&self, batch: usize, time: usize) -> Result<()> {
        let DecoderConfig { num_heads, num_kv_heads, head_dim, .. } = self.model;
        let q = self.random([batch, num_heads, time, head_dim]);
        let [k, v] = [(); 2].map(|()| self.random([batch, num_kv_heads, time, head_dim]));
        let (cache, mask) = (KvCache::new(k, v), CausalMask::new(time, 0, None, &self.device));
        let seconds = self.median_seconds(5, || drop(attention(q.clone(), &cache, &mask)))?;
        let flops = 2.0 * (batch * num_heads * time * time * head_dim) as f64;
        self.report_time(format!("prefill attention {batch}x{time}"), seconds, flops, "flop");
        Ok(())
    }
}
