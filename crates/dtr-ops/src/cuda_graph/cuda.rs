//! Position counters in the memory of CUDA devices, and decoding steps as CUDA graphs.

#![allow(unsafe_code)]

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_cubecl::CubeDevice;
use burn_cubecl::tensor::CubeTensor;

use crate::attention::attention_from_counter;
use crate::cuda::{
    CapturedGraph, CudaKernel, CudaSource, GpuContext, KernelArg, LaunchDims, gpu_context, into_cube, pointer,
};
use crate::kernel_support::has_cuda_kernels;
use crate::rope::{rotate_and_append, rotate_from_counter};

static COUNTER: CudaSource = CudaSource { name: "counter", text: include_str!("counter.cu") };

/// A counter in the memory of a CUDA device that holds the position of the next token. Clones share the
/// counter.
#[derive(Clone)]
pub struct PositionCounter(Tensor<1, Int>);

impl PositionCounter {
    /// Returns a counter that starts at `position`, or `None` if `device` does not support counters.
    pub fn new(position: usize, device: &Device) -> Option<Self> {
        let counter = Tensor::<1, Int>::from_data(TensorData::from([position as i32]), device);
        has_cuda_kernels(&Tensor::<1>::zeros([1], device)).then_some(Self(counter))
    }

    /// Adds 1 to the position, for all clones.
    pub fn advance(&self) {
        let position = self.position();
        let kernel = CudaKernel { source: &COUNTER, defines: String::new(), name: "advance" };
        let arguments = [pointer(&position), KernelArg::Int(1)];
        // SAFETY: the counter is alive.
        gpu_context(&position).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear(1, 1), &arguments);
        });
    }

    /// Applies RoPE to `x_bhtk`, whose first token is at the counter's position. `tables` holds the cosines
    /// and the sines of all positions.
    ///
    /// # Panics
    /// Panics if the width of a head is not a multiple of 16.
    pub(crate) fn rotate(&self, x_bhtk: Tensor<4>, tables: [Tensor<4>; 2]) -> Tensor<4> {
        assert!(x_bhtk.dims()[3].is_multiple_of(16), "the head width must be a multiple of 16");
        rotate_from_counter(x_bhtk, tables, self.position())
    }

    /// Applies RoPE to the queries and keys of `[q, k, v]`. Writes the rotated keys and the values into the
    /// cache buffers in place, from the counter's position on. Returns the rotated queries and the buffers.
    pub(crate) fn rotate_and_append(
        &self,
        tokens: [Tensor<4>; 3],
        cache: [Tensor<4>; 2],
        tables: [Tensor<4>; 2],
    ) -> (Tensor<4>, [Tensor<4>; 2]) {
        rotate_and_append(tokens, cache, tables, self.position())
    }

    /// Computes attention of `q_bhtk` over cache buffers whose last token is at the counter's position.
    pub(crate) fn attention(&self, q_bhtk: Tensor<4>, cache: [Tensor<4>; 2]) -> Tensor<4> {
        attention_from_counter(q_bhtk, cache, self.position())
    }

    fn position(&self) -> CubeTensor {
        into_cube(self.0.clone())
    }
}

/// Work on fixed tensors that was recorded as a CUDA graph and can be replayed.
pub struct RecordedStep {
    gpu: &'static GpuContext,
    graph: CapturedGraph,
}

impl RecordedStep {
    /// Records the operations of `work` without running them.
    ///
    /// `work` may launch only kernels of this crate. burn's own operations would run immediately, and would
    /// not become part of the graph.
    ///
    /// # Panics
    /// Panics if the device is not a CUDA device, or if burn would have to copy a tensor.
    pub fn record(device: &Device, work: impl FnOnce()) -> Self {
        let gpu = match device.as_dispatch() {
            DispatchDevice::Cube(CubeDevice::Cuda(device)) => GpuContext::for_device(device.index),
            _ => unreachable!("only CUDA devices can record steps"),
        };
        Self { gpu, graph: gpu.capture(work) }
    }

    /// Runs the recorded work.
    pub fn replay(&self) {
        self.gpu.replay(&self.graph);
    }
}
