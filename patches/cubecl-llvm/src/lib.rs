//! A stand-in for `cubecl-llvm` that compiles no kernels and contains no LLVM.
//!
//! `cubecl-cuda` 0.11.3 can turn a kernel into PTX in two ways: as CUDA C++ through NVRTC, or as
//! LLVM IR through `cubecl-llvm`. It depends on the second unconditionally, whichever of the two
//! runs, and the real crate's build script downloads a prebuilt LLVM. Kernels here go through
//! NVRTC (`cubecl`'s feature `cuda-cpp`), so that download would bring a build hundreds of
//! megabytes that no run ever uses, and a network it may not have.
//!
//! This crate has the names that `cubecl-cuda` mentions, and nothing else. What a compilation
//! would yield ([`NvptxModule`], [`PtxVersion`](nvptx::ptx_version::PtxVersion)) are types
//! without values, so no code path can get past the refusal. The refusal itself is met only where
//! `cuda-cpp` was left out of the build: when the device starts, in
//! [`restrict_features`](shared::lowered_features::restrict_features), and again in
//! [`PlironCompiler::compile`].

use core::convert::Infallible;
use core::ffi::c_char;
use core::fmt;

use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::nvidia::SmArch;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::{BufferIOAttr, KernelDefinition};

use crate::nvptx::ptx_version::PtxVersion;

const REFUSAL: &str = "this build has no LLVM: its CUDA kernels are compiled by NVRTC, \
     which needs the feature `cuda-cpp` of the crate `cubecl` at build time";

/// What the compiler would be compiling for.
#[derive(Clone, Copy, Debug)]
pub enum LlvmTarget {
    /// PTX, for NVIDIA GPUs.
    Nvptx,
}

/// The compiler, which refuses every kernel.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would be compiling for.
    pub target: LlvmTarget,
}

/// Options of a compilation, none of which is read.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// The architecture of an AMD GPU, which `cubecl-cuda` never has.
    pub arch: Option<Infallible>,
    /// The architecture of the NVIDIA GPU.
    pub sm_arch: Option<SmArch>,
    /// The PTX version to emit.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars travel in the kernel's parameter block.
    pub grid_constants: bool,
}

/// A kernel compiled to PTX, of which there are none.
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

/// The outcome of a compilation, of which there are none.
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

    /// Refuses, saying which feature the build lacks.
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

/// What concerns NVIDIA GPUs.
pub mod nvptx {
    /// The PTX version that an installed driver loads.
    pub mod ptx_version {
        use core::fmt;

        /// A PTX version that LLVM could emit, of which there are none.
        #[derive(Clone, Copy, Debug)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The newest version for a driver: none, as nothing is emitted.
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

/// What the targets have in common.
pub mod shared {
    /// What a device may advertise when LLVM compiles for it.
    pub mod lowered_features {
        use cubecl_ir::DeviceProperties;

        /// The GPU that would be compiled for.
        #[derive(Clone, Copy, Debug)]
        pub enum GpuTarget {
            /// An NVIDIA GPU.
            Nvptx,
        }

        /// Would narrow a device's properties to what LLVM compiles for it, which is nothing.
        ///
        /// # Panics
        ///
        /// Always. `cubecl-cuda` calls it as a device starts, if LLVM is to compile that device's
        /// kernels; stopping here gives one plain message in place of one for each kernel.
        pub fn restrict_features(_props: &mut DeviceProperties, _target: GpuTarget) {
            panic!("{}", crate::REFUSAL);
        }
    }
}
