//! Kernel launches.

use std::sync::{Arc, MutexGuard};

use cudarc::driver::{CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg, sys};

use super::compile::{CudaKernel, compile};
use super::context::{GpuContext, LaunchState, expect_success};
use crate::attention::TensorMap;
use crate::linear::CublasLt;

/// The bytes of dynamic shared memory that the driver allows a kernel by default.
const DEFAULT_SHARED_BYTES: u32 = 48 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) enum KernelArg {
    /// An address on the device. The address 0 is null.
    Pointer(u64),
    Long(i64),
    Int(i32),
    Float(f32),
    /// The descriptor of a tensor for Hopper's tensor memory accelerator.
    Map(TensorMap),
}

/// Returns the numbers as kernel arguments of type `int`.
pub(crate) fn int_args<const N: usize>(numbers: [usize; N]) -> Vec<KernelArg> {
    numbers.map(|number| KernelArg::Int(number as i32)).to_vec()
}

/// The grid, the block size and the shared memory of a kernel launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaunchDims {
    /// The number of blocks in each dimension.
    pub grid: (u32, u32, u32),
    /// The number of threads of a block in each dimension.
    pub block: (u32, u32),
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
}

impl LaunchDims {
    /// Returns the dimensions of `blocks` blocks of `threads` threads, without dynamic shared memory.
    pub fn linear(blocks: usize, threads: u32) -> Self {
        Self { grid: (blocks as u32, 1, 1), block: (threads, 1), shared_bytes: 0 }
    }
}

/// A launcher that submits kernels to a device, or to the CUDA graph that is being captured.
pub(crate) struct Launcher<'a> {
    pub(super) gpu: &'a GpuContext,
    pub(super) state: MutexGuard<'a, LaunchState>,
}

impl<'a> Launcher<'a> {
    fn stream(&self) -> &'a CudaStream {
        if self.state.captured_buffers.is_some() { &self.gpu.capture_stream } else { &self.gpu.stream }
    }

    /// Launches `kernel`.
    ///
    /// # Safety
    /// `arguments` must match the kernel's parameters in order and type. Addresses must belong to live
    /// tensors that are large enough for the kernel's reads and writes. Outside a capture, the tensors may be
    /// dropped after the call: burn's later work is on the same stream, so it overwrites their memory only
    /// after the kernel has ended. During a capture, the kernel runs only when the graph is replayed. The
    /// graph keeps alive the tensors that the captured work allocates. The caller must keep all other tensors
    /// alive until the last replay has been submitted.
    pub unsafe fn launch(&mut self, kernel: &CudaKernel, dims: LaunchDims, arguments: &[KernelArg]) {
        let function = self.function(kernel, dims.shared_bytes);
        let mut launch = self.stream().launch_builder(&function);
        for argument in arguments {
            match argument {
                KernelArg::Pointer(address) => launch.arg(address),
                KernelArg::Long(number) => launch.arg(number),
                KernelArg::Int(number) => launch.arg(number),
                KernelArg::Float(number) => launch.arg(number),
                KernelArg::Map(map) => launch.arg(map),
            };
        }
        let config = LaunchConfig {
            grid_dim: dims.grid,
            block_dim: (dims.block.0, dims.block.1, 1),
            shared_mem_bytes: dims.shared_bytes,
        };
        // SAFETY: guaranteed by the caller.
        expect_success(unsafe { launch.launch(config) }, format_args!("launch {kernel:?} with {dims:?}"));
    }

    /// Returns the compiled function of `kernel`. The function may use `shared_bytes` of dynamic shared
    /// memory.
    fn function(&mut self, kernel: &CudaKernel, shared_bytes: u32) -> CudaFunction {
        if !self.state.functions.contains_key(kernel) {
            let module = self.module(kernel);
            let function = expect_success(module.load_function(kernel.name), format_args!("find {kernel:?}"));
            self.state.functions.insert(kernel.clone(), (function, DEFAULT_SHARED_BYTES));
        }
        let (function, allowed) = self.state.functions.get_mut(kernel).expect("the function is loaded");
        // Launches of one kernel can need different amounts of shared memory. For example, the forward pass
        // of the delta rule needs more when it saves tensors for gradients.
        if shared_bytes > *allowed {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let result = function.set_attribute(attribute, shared_bytes as i32);
            expect_success(result, format_args!("give {kernel:?} {shared_bytes} bytes of shared memory"));
            *allowed = shared_bytes;
        }
        function.clone()
    }

    fn module(&mut self, kernel: &CudaKernel) -> Arc<CudaModule> {
        let gpu = self.gpu;
        let load = || {
            let image = compile(kernel, gpu.capability).unwrap_or_else(|error| panic!("{}", error.to_line()));
            expect_success(gpu.load_module(image), format_args!("load {kernel:?}"))
        };
        let key = (kernel.source.name, kernel.defines.clone());
        self.state.modules.entry(key).or_insert_with(load).clone()
    }

    /// Returns the cuBLASLt handle, and the stream on which to use it.
    pub fn cublaslt(&mut self) -> (&mut CublasLt, &CudaStream) {
        let stream = self.stream();
        (&mut self.state.cublaslt, stream)
    }
}
