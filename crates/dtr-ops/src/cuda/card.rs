//! A CUDA device as this crate uses it: compiled kernels and cuBLASLt, on the stream that burn computes on.
//!
//! The device does all in the order in which it is asked for, so that memory which burn hands on to another tensor is not
//! written early, and nothing waits for anything else.

use std::collections::HashMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use cubecl::server::Handle;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError,
    LaunchConfig, PushKernelArg, result, sys,
};

use super::attention::TensorMap;
use super::blas::Blas;
use super::compile::{Kernel, compile};
use super::stream::stream_of_burn;

/// Numbers that stay zero between kernels.
const ZEROS: usize = 1 << 16;

/// Bytes of shared memory that every kernel may be launched with.
const UNASKED_SHARED: u32 = 48 << 10;

/// A device that was opened, for as long as the process lives.
pub(super) struct Card {
    context: Arc<CudaContext>,
    /// Where work is done.
    stream: Arc<CudaStream>,
    /// Where work is recorded, which does nothing.
    recorder: Arc<CudaStream>,
    /// Major and minor number of what the device computes, `(9, 0)` for Hopper.
    pub capability: (i32, i32),
    /// Multiprocessors.
    pub processors: u32,
    zeros: CudaSlice<u32>,
    state: Mutex<State>,
}

/// What one piece of work at a time uses.
struct State {
    /// By source and definitions.
    modules: HashMap<(&'static str, String), Arc<CudaModule>>,
    /// With the bytes of shared memory that each may be launched with.
    functions: HashMap<Kernel, (CudaFunction, u32)>,
    blas: Blas,
    /// What tensors of work that is being recorded hold; none where work is done as it is asked for.
    recorded: Option<Vec<Handle>>,
}

/// Recorded work, with the memory that it goes through: nothing else may be given it.
pub(super) struct Recording {
    graph: CudaGraph,
    _memory: Vec<Handle>,
}

/// A kernel's argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    /// An address on the device; 0 where the kernel allows none.
    Pointer(u64),
    /// A stride or a size.
    Long(i64),
    /// A number of things.
    Int(i32),
    /// A factor.
    Float(f32),
    /// A tensor by its description.
    Map(TensorMap),
}

/// How many threads a kernel runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Blocks.
    pub grid: (u32, u32, u32),
    /// Threads of a block.
    pub block: (u32, u32),
    /// Bytes of shared memory that are asked for at the launch.
    pub shared: u32,
}

/// What went wrong on the device; burn's operations have no other way to say so.
#[track_caller]
pub(super) fn sound<T, E: Display>(result: Result<T, E>, doing: impl Display) -> T {
    result.unwrap_or_else(|cause| panic!("the CUDA device failed to {doing}: {cause}"))
}

impl Card {
    /// The device of this index, opened when it is first asked for.
    pub fn of(index: usize) -> &'static Self {
        static CARDS: LazyLock<Mutex<HashMap<usize, &'static Card>>> = LazyLock::new(Mutex::default);
        let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        cards.entry(index).or_insert_with(|| Box::leak(Box::new(sound(Self::open(index), "open"))))
    }

    fn open(index: usize) -> Result<Self, DriverError> {
        let context = CudaContext::new(index)?;
        // SAFETY: all work here goes to one stream, in its order; events of single buffers would break recordings.
        unsafe { context.disable_event_tracking() };
        let stream = stream_of_burn(&context, index);
        let processors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let capability = context.compute_capability()?;
        let state = State {
            modules: HashMap::new(),
            functions: HashMap::new(),
            blas: Blas::new(&stream, capability)?,
            recorded: None,
        };
        Ok(Self {
            recorder: context.new_stream()?,
            capability,
            processors: context.attribute(processors)? as u32,
            zeros: stream.alloc_zeros(ZEROS)?,
            state: Mutex::new(state),
            stream,
            context,
        })
    }

    /// So many zeros, u32, that kernels may count in if they leave zeros.
    pub fn counters(&self, count: usize) -> Argument {
        assert!(count < ZEROS, "a kernel counts at most {ZEROS} things, not {count}");
        Argument::Pointer(self.zeros.device_ptr(&self.stream).0)
    }

    /// A zero, u32, that no kernel writes to.
    pub fn zero(&self) -> Argument {
        Argument::Pointer(self.zeros.device_ptr(&self.stream).0 + 4 * (ZEROS as u64 - 1))
    }

    /// Makes the device the one that this thread asks.
    pub fn bind(&self) {
        sound(self.context.bind_to_thread(), "be bound to a thread");
    }

    /// Does `work` in its turn among all that the device is asked to do, or records it.
    pub fn run<T>(&self, work: impl FnOnce(&mut Lane<'_>) -> T) -> T {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.bind();
        work(&mut Lane { card: self, state })
    }

    /// Whether what is asked for now is recorded instead of done.
    pub fn is_recording(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).recorded.is_some()
    }

    /// Keeps the memory of a tensor for work that is being recorded.
    pub fn note(&self, handle: &Handle) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorded) = &mut state.recorded {
            recorded.push(handle.clone());
        }
    }

    /// Records what this thread asks for in `work` instead of doing it.
    pub fn record(&self, work: impl FnOnce()) -> Recording {
        let state = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.bind();
        let own = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        sound(self.recorder.begin_capture(own), "begin to record");
        state().recorded = Some(Vec::new());
        let asked = catch_unwind(AssertUnwindSafe(work));
        let memory = state().recorded.take();
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = self.recorder.end_capture(flags);
        // Only now, so that what another cell asks for is not recorded.
        if let Err(panic) = asked {
            resume_unwind(panic);
        }
        let graph = sound(graph, "end a recording");
        Recording { graph: graph.expect("something was recorded"), _memory: memory.unwrap_or_default() }
    }

    /// Does recorded work.
    pub fn replay(&self, recording: &Recording) {
        self.bind();
        let (graph, stream) = (recording.graph.cu_graph_exec(), self.stream.cu_stream());
        // SAFETY: graph and stream are alive, and of one context.
        sound(unsafe { result::graph::launch(graph, stream) }, "do recorded work again");
    }
}

/// The card's stream, or its recorder, while a piece of work has it.
pub(super) struct Lane<'a> {
    card: &'a Card,
    state: MutexGuard<'a, State>,
}

impl<'a> Lane<'a> {
    fn stream(&self) -> &'a CudaStream {
        if self.state.recorded.is_some() { &self.card.recorder } else { &self.card.stream }
    }

    /// Runs `kernel`.
    ///
    /// # Safety
    /// `arguments` are what the kernel takes, in its order: addresses of memory as large as it reads and writes,
    /// of tensors that are alive now. (What burn does with their memory later comes later on the device too.)
    pub unsafe fn launch(&mut self, kernel: &Kernel, extent: Extent, arguments: &[Argument]) {
        let function = self.function(kernel, extent.shared);
        let mut launch = self.stream().launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::Pointer(address) => launch.arg(address),
                Argument::Long(number) => launch.arg(number),
                Argument::Int(number) => launch.arg(number),
                Argument::Float(number) => launch.arg(number),
                Argument::Map(map) => launch.arg(map),
            };
        }
        let shape = LaunchConfig {
            grid_dim: extent.grid,
            block_dim: (extent.block.0, extent.block.1, 1),
            shared_mem_bytes: extent.shared,
        };
        // SAFETY: the caller's promise.
        sound(unsafe { launch.launch(shape) }, format_args!("run {kernel:?} with {extent:?}"));
    }

    /// The kernel, which may be launched with `shared` bytes of shared memory.
    fn function(&mut self, kernel: &Kernel, shared: u32) -> CudaFunction {
        if !self.state.functions.contains_key(kernel) {
            let module = self.module(kernel);
            let function = sound(module.load_function(kernel.name), format_args!("find {kernel:?}"));
            self.state.functions.insert(kernel.clone(), (function, UNASKED_SHARED));
        }
        let (function, granted) = self.state.functions.get_mut(kernel).expect("it was found");
        // One kernel takes more at some launches, as the delta rule's forward pass does where it keeps what its gradients need.
        if shared > *granted {
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let given = function.set_attribute(most, shared as i32);
            sound(given, format_args!("give {kernel:?} {shared} bytes of shared memory"));
            *granted = shared;
        }
        function.clone()
    }

    fn module(&mut self, kernel: &Kernel) -> Arc<CudaModule> {
        let card = self.card;
        let load = || {
            let image = compile(kernel, card.capability)
                .unwrap_or_else(|error| panic!("{}", error.message_with_sources()));
            sound(card.context.load_module(image), format_args!("load {kernel:?}"))
        };
        let key = (kernel.source.name, kernel.defines.clone());
        self.state.modules.entry(key).or_insert_with(load).clone()
    }

    /// The products of matrices.
    pub fn blas(&mut self) -> (&mut Blas, &CudaStream) {
        let stream = self.stream();
        (&mut self.state.blas, stream)
    }
}
