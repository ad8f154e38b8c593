//! A stand-in for `cubecl-llvm` that compiles no kernels and contains no LLVM.
//!
//! `cubecl-cuda` 0.11.3 can compile a kernel in two ways: as CUDA C++ by NVRTC, or as LLVM IR by
//! `cubecl-llvm`. In both cases, `cubecl-cuda` depends on `cubecl-llvm`. The build script of the real
//! `cubecl-llvm` downloads a prebuilt LLVM of hundreds of megabytes. dtr compiles kernels by NVRTC (feature
//! `cuda-cpp` of `cubecl`), so it needs no LLVM. On a build machine without a network, the download would
//! fail.
//!
//! This crate has only the names that `cubecl-cuda` mentions. The results of a compilation ([`NvptxModule`],
//! [`PtxVersion`](nvptx::ptx_version::PtxVersion)) are types without values, so no code can obtain a result.
//! In a build without `cuda-cpp`, [`restrict_features`](shared::lowered_features::restrict_features) panics
//! when the device starts, and [`PlironCompiler::compile`] returns an error.

use core::convert::Infallible;
use core::ffi::c_char;
use core::fmt;

use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::nvidia::SmArch;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::{BufferIOAttr, KernelDefinition};

use crate::nvptx::ptx_version::PtxVersion;

const REFUSAL: &str = "cannot compile a CUDA kernel by LLVM, which this build lacks: enable the feature `cuda-cpp` of the crate \
                       `cubecl`";

/// The target of a compilation.
#[derive(Clone, Copy, Debug)]
pub enum LlvmTarget {
    /// PTX, for NVIDIA GPUs.
    Nvptx,
}

/// The compiler, which refuses every kernel.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// The target of a compilation.
    pub target: LlvmTarget,
}

/// The options of a compilation. This crate reads none of them.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// The architecture of an AMD GPU, which `cubecl-cuda` never sets.
    pub arch: Option<Infallible>,
    /// The architecture of the NVIDIA GPU.
    pub sm_arch: Option<SmArch>,
    /// The PTX version to emit.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars are passed in the kernel's parameter block.
    pub grid_constants: bool,
}

/// A kernel compiled to PTX. This type has no values.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// The PTX, NUL-terminated.
    pub ptx: Vec<c_char>,
    /// The LLVM IR.
    pub ir: String,
    /// The shared memory of one launch, in bytes.
    pub shared_memory_size: usize,
    /// How the kernel uses each of its buffers.
    pub io: Vec<BufferIOAttr>,
    _never: Infallible,
}

/// The result of a compilation. This type has no values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// A kernel for an NVIDIA GPU.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NvptxCode(module) => f.write_str(&module.ir),
        }
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    /// Returns an error that names the missing feature.
    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic { reason: REFUSAL.to_owned(), backtrace: BackTrace::capture() })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// Compilation for NVIDIA GPUs.
pub mod nvptx {
    /// PTX versions of drivers.
    pub mod ptx_version {
        use core::fmt;

        /// A PTX version that LLVM could emit. This type has no values.
        #[derive(Clone, Copy, Debug)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// Returns `None`, since this crate emits no PTX.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// Code shared by the targets.
pub mod shared {
    /// The device features that LLVM supports.
    pub mod lowered_features {
        use cubecl_ir::DeviceProperties;

        /// The kind of GPU.
        #[derive(Clone, Copy, Debug)]
        pub enum GpuTarget {
            /// An NVIDIA GPU.
            Nvptx,
        }

        /// Panics. The real crate's function restricts the properties of a device to the features that LLVM
        /// supports.
        ///
        /// # Panics
        /// Always panics. In a build without `cuda-cpp`, `cubecl-cuda` calls this function when the device
        /// starts. The user therefore gets one message instead of one message for each kernel.
        pub fn restrict_features(_props: &mut DeviceProperties, _target: GpuTarget) {
            panic!("{}", crate::REFUSAL);
        }
    }
}
