//! The context of a CUDA device: its compiled kernels, its cuBLASLt handle, and the stream that burn uses.
//!
//! Kernels of burn and of this crate share one stream, so the device runs all work in the order of
//! submission. When burn reuses memory for another tensor, kernels that used this memory before have
//! therefore finished. No CUDA events are needed to synchronise.

use std::collections::HashMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use cubecl::server::Handle;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError, result,
    sys,
};

use super::compile::CudaKernel;
use super::launch::{KernelArg, Launcher};
use super::stream::burn_stream;
use crate::linear::CublasLt;

/// The number of counters in the buffer `zeros` of a context. All counters are zero between two kernels.
const NUM_ZEROS: usize = 1 << 16;

/// A CUDA device, open until the process ends.
pub(crate) struct GpuContext {
    context: Arc<CudaContext>,
    /// burn's stream.
    pub(super) stream: Arc<CudaStream>,
    /// A stream in capture mode, which records work and runs nothing.
    pub(super) capture_stream: Arc<CudaStream>,
    /// Compute capability, major and minor: `(9, 0)` for Hopper.
    pub capability: (i32, i32),
    pub num_multiprocessors: u32,
    /// The counters of [`GpuContext::zeroed_counters`].
    zeros: CudaSlice<u32>,
    state: Mutex<LaunchState>,
}

/// The state that kernel launches change. Only one thread uses it at a time.
pub(super) struct LaunchState {
    /// Compiled modules, by the name of the source and the macro definitions.
    pub modules: HashMap<(&'static str, String), Arc<CudaModule>>,
    /// The function of each kernel, and the bytes of dynamic shared memory that it may use.
    pub functions: HashMap<CudaKernel, (CudaFunction, u32)>,
    pub cublaslt: CublasLt,
    /// During a capture, the buffers that the captured work has allocated so far. Otherwise `None`.
    pub captured_buffers: Option<Vec<Handle>>,
}

/// A CUDA graph, and the buffers that the graph reads and writes. Holding the buffers prevents their reuse
/// while the graph exists.
pub(crate) struct CapturedGraph {
    graph: CudaGraph,
    _buffers: Vec<Handle>,
}

/// Unwraps the result of a call to the driver.
///
/// # Panics
/// Panics if the call failed, because an operation of burn cannot return an error.
#[track_caller]
pub(crate) fn expect_success<T, E: Display>(result: Result<T, E>, action: impl Display) -> T {
    result.unwrap_or_else(|cause| panic!("the CUDA device failed to {action}: {cause}"))
}

impl GpuContext {
    /// Returns the context of the device with this index. The first call opens the device.
    pub fn for_device(index: usize) -> &'static Self {
        static CONTEXTS: LazyLock<Mutex<HashMap<usize, &'static GpuContext>>> = LazyLock::new(Mutex::default);
        let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        contexts
            .entry(index)
            .or_insert_with(|| Box::leak(Box::new(expect_success(Self::open(index), "open"))))
    }

    fn open(index: usize) -> Result<Self, DriverError> {
        let context = CudaContext::new(index)?;
        // SAFETY: without event tracking, cudarc does not synchronise streams. No synchronisation is needed
        // here, because all work runs on one stream, in order. Tracking is off because its events would break
        // graph captures.
        unsafe { context.disable_event_tracking() };
        let stream = burn_stream(&context, index);
        let multiprocessors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let capability = context.compute_capability()?;
        let state = LaunchState {
            modules: HashMap::new(),
            functions: HashMap::new(),
            cublaslt: CublasLt::new(&stream, capability)?,
            captured_buffers: None,
        };
        Ok(Self {
            capture_stream: context.new_stream()?,
            capability,
            num_multiprocessors: context.attribute(multiprocessors)? as u32,
            zeros: stream.alloc_zeros(NUM_ZEROS)?,
            state: Mutex::new(state),
            stream,
            context,
        })
    }

    /// Returns the address of `count` counters (u32), all of which are zero. A kernel that changes a counter
    /// must reset it to zero before the kernel ends.
    pub fn zeroed_counters(&self, count: usize) -> KernelArg {
        assert!(count < NUM_ZEROS, "a kernel must use fewer than {NUM_ZEROS} counters, not {count}");
        KernelArg::Pointer(self.zeros.device_ptr(&self.stream).0)
    }

    /// Returns the address of a zero (u32) that no kernel writes to.
    pub fn constant_zero(&self) -> KernelArg {
        KernelArg::Pointer(self.zeros.device_ptr(&self.stream).0 + 4 * (NUM_ZEROS as u64 - 1))
    }

    /// Makes this device's context current on the calling thread.
    pub fn bind_to_thread(&self) {
        expect_success(self.context.bind_to_thread(), "bind its context to a thread");
    }

    /// Calls `work` with the launcher of this device. Only one thread can use the launcher at a time.
    pub fn with_launcher<T>(&self, work: impl FnOnce(&mut Launcher<'_>) -> T) -> T {
        let state = self.lock();
        self.bind_to_thread();
        work(&mut Launcher { gpu: self, state })
    }

    /// Returns whether a capture is in progress. A capture records launches into a graph and does not run
    /// them.
    pub fn is_capturing(&self) -> bool {
        self.lock().captured_buffers.is_some()
    }

    /// During a capture, keeps the buffer of a new tensor alive as long as the captured graph. Otherwise does
    /// nothing.
    pub fn retain_if_capturing(&self, buffer: &Handle) {
        if let Some(buffers) = &mut self.lock().captured_buffers {
            buffers.push(buffer.clone());
        }
    }

    /// Captures the launches of `work` on this thread into a graph instead of running them.
    pub fn capture(&self, work: impl FnOnce()) -> CapturedGraph {
        self.bind_to_thread();
        // In the other modes, the driver refuses the allocations that burn makes when its memory pool grows.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        expect_success(self.capture_stream.begin_capture(mode), "begin to capture");
        self.lock().captured_buffers = Some(Vec::new());
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let buffers = self.lock().captured_buffers.take();
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = self.capture_stream.end_capture(flags);
        // A panic is resumed only after the capture has ended. Otherwise, later launches would be captured
        // too.
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        let graph = expect_success(graph, "end a capture");
        CapturedGraph { graph: graph.expect("no graph was captured"), _buffers: buffers.unwrap_or_default() }
    }

    /// Runs a captured graph.
    pub fn replay(&self, captured: &CapturedGraph) {
        self.bind_to_thread();
        let (graph, stream) = (captured.graph.cu_graph_exec(), self.stream.cu_stream());
        // SAFETY: graph and stream are alive, and belong to one context.
        expect_success(unsafe { result::graph::launch(graph, stream) }, "replay a captured graph");
    }

    pub(super) fn load_module(&self, image: cudarc::nvrtc::Ptx) -> Result<Arc<CudaModule>, DriverError> {
        self.context.load_module(image)
    }

    fn lock(&self) -> MutexGuard<'_, LaunchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
