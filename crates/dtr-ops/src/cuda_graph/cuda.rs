//! Position counters in the memory of CUDA devices, and decoding steps as CUDA graphs.

#![allow(unsafe_code)]

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::CubeDevice;
use burn_cubecl::tensor::CubeTensor;

use crate::attention::attention_from_counter;
use crate::cuda::{
    CapturedGraph, CudaKernel, CudaSource, GpuContext, KernelArg, LaunchDims, device_address, dims,
    gpu_context, int_args, into_cube, pointer,
};
use crate::kernel_support::has_cuda_kernels;
use crate::rope::{rotate_and_append, rotate_from_counter};

static COUNTER: CudaSource = CudaSource { name: "counter", text: include_str!("counter.cu") };

/// The number of threads of a block in the kernels on integers.
const THREADS: u32 = 128;

/// Counters in the memory of a CUDA device. They hold the position of the next token of each batch row.
/// Clones share the counters.
#[derive(Clone)]
pub struct PositionCounter(Tensor<1, Int>);

impl PositionCounter {
    /// Returns counters that start at `positions`, one for each batch row. Returns `None` if `device` does
    /// not support counters.
    pub fn new(positions: &[usize], device: &Device) -> Option<Self> {
        has_cuda_kernels(&Tensor::<1>::zeros([1], device)).then(|| Self(int_tensor(positions, device)))
    }

    /// Adds 1 to each position that is below `last`, for all clones.
    pub fn advance(&self, last: usize) {
        let positions = self.positions();
        let [count] = dims(&positions);
        let kernel = CudaKernel { source: &COUNTER, defines: String::new(), name: "advance" };
        let arguments = [vec![pointer(&positions)], int_args([1, last, count])].concat();
        // SAFETY: the counters are alive, and there are `count` of them.
        gpu_context(&positions).with_launcher(|launcher| unsafe {
            launcher.launch(
                &kernel,
                LaunchDims::linear(count.div_ceil(THREADS as usize), THREADS),
                &arguments,
            );
        });
    }

    /// Sets the position of batch row `row`, for all clones.
    pub fn set(&self, row: usize, position: usize) {
        copy_ints(&self.0, row, &int_tensor(&[position], &self.0.device()));
    }

    /// Returns the position of each batch row. Waits until the device has computed them.
    pub fn read(&self) -> Vec<usize> {
        self.0.to_data().iter::<i32>().map(|position| position as usize).collect()
    }

    /// Applies RoPE to `x_bhtk`. The first token of each batch row is at the row's position. `tables` holds
    /// the cosines and the sines of all positions.
    ///
    /// # Panics
    /// Panics if the width of a head is not a multiple of 16.
    pub(crate) fn rotate(&self, x_bhtk: Tensor<4>, tables: [Tensor<4>; 2]) -> Tensor<4> {
        assert!(x_bhtk.dims()[3].is_multiple_of(16), "the head width must be a multiple of 16");
        rotate_from_counter(x_bhtk, tables, self.positions())
    }

    /// Applies RoPE to the queries and keys of `[q, k, v]`. Writes the rotated keys and the values into the
    /// cache buffers in place, from the position of each batch row on. Returns the rotated queries and the
    /// buffers.
    pub(crate) fn rotate_and_append(
        &self,
        tokens: [Tensor<4>; 3],
        cache: [Tensor<4>; 2],
        tables: [Tensor<4>; 2],
    ) -> (Tensor<4>, [Tensor<4>; 2]) {
        rotate_and_append(tokens, cache, tables, self.positions())
    }

    /// Computes attention of `q_bhtk` over cache buffers. The last token of each batch row is at the row's
    /// position.
    pub(crate) fn attention(&self, q_bhtk: Tensor<4>, cache: [Tensor<4>; 2]) -> Tensor<4> {
        attention_from_counter(q_bhtk, cache, self.positions())
    }

    fn positions(&self) -> CubeTensor {
        into_cube(self.0.clone())
    }
}

/// Tokens in fixed memory of a CUDA device, one for each batch row. A recorded step reads these tokens and
/// overwrites them with the next tokens. A history keeps copies of the tokens, so that the host can read the
/// tokens of several steps at once.
pub struct TokenBuffer {
    tokens_b: Tensor<1, Int>,
    /// The tokens of earlier steps, one step after another.
    history: Tensor<1, Int>,
    num_recorded: usize,
}

impl TokenBuffer {
    /// Returns a buffer of `tokens`, one for each batch row, whose history has space for `num_steps` steps.
    pub fn new(tokens: &[u32], num_steps: usize, device: &Device) -> Self {
        let tokens: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
        let history = int_tensor(&vec![0; tokens.len() * num_steps], device);
        Self { tokens_b: int_tensor(&tokens, device), history, num_recorded: 0 }
    }

    /// Returns the tokens, `[b]`. The tensor shares the buffer's memory.
    pub fn tensor(&self) -> Tensor<1, Int> {
        self.tokens_b.clone()
    }

    /// Sets the token of batch row `row`.
    pub fn set(&self, row: usize, token: u32) {
        copy_ints(&self.tokens_b, row, &int_tensor(&[token as usize], &self.tokens_b.device()));
    }

    /// Sets the tokens of all rows.
    pub fn set_all(&self, tokens: &[u32]) {
        let tokens: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
        copy_ints(&self.tokens_b, 0, &int_tensor(&tokens, &self.tokens_b.device()));
    }

    /// Copies the tokens of all rows to the history.
    ///
    /// # Panics
    /// Panics if the history is full.
    pub fn record(&mut self) {
        copy_ints(&self.history, self.num_recorded * self.tokens_b.dims()[0], &self.tokens_b);
        self.num_recorded += 1;
    }

    /// Returns the recorded tokens of each step, `[step][row]`, and clears the history. A token is `u32::MAX`
    /// if all of its logits were NaN.
    pub fn take_history(&mut self) -> Vec<Vec<u32>> {
        let rows = self.tokens_b.dims()[0];
        let num_recorded = std::mem::take(&mut self.num_recorded);
        let tokens: Vec<u32> = self.history.to_data().iter::<i32>().map(|token| token as u32).collect();
        tokens.chunks_exact(rows).take(num_recorded).map(<[u32]>::to_vec).collect()
    }
}

/// Returns the numbers as a tensor of i32.
fn int_tensor(numbers: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> = numbers.iter().map(|&number| number as i32).collect();
    let length = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [length]), (device, DType::I32))
}

/// Copies all elements of `from` to the elements of `to` from the index `first` on. Writes in place, even if
/// other tensors share the memory of `to`.
fn copy_ints(to: &Tensor<1, Int>, first: usize, from: &Tensor<1, Int>) {
    let [to, from] = [to, from].map(|numbers| into_cube(numbers.clone()));
    let ([capacity], [count]) = (dims(&to), dims(&from));
    assert!(first + count <= capacity, "the elements to copy must fit the target");
    let target = KernelArg::Pointer(device_address(&to) + 4 * first as u64);
    let kernel = CudaKernel { source: &COUNTER, defines: String::new(), name: "copy_ints" };
    let arguments = [vec![target, pointer(&from)], int_args([count])].concat();
    // SAFETY: both tensors are alive, dense and i32, and the elements fit the target.
    gpu_context(&to).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(THREADS as usize), THREADS), &arguments);
    });
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
