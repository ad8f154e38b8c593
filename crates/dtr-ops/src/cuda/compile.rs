//! Compiles CUDA C++ with NVRTC when a kernel is first used, and caches the machine code on disk.

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::ptr;

use burn::tensor::DType;
use cudarc::driver::sys as driver;
use cudarc::nvrtc::{Ptx, result as nvrtc, sys};
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder, user_cache_folder, write_bytes_atomically};

/// The name and the text of the header that CUDA sources may include.
const HEADER: (&CStr, &str) = (c"vector.cuh", include_str!("vector.cuh"));

/// The oldest supported version of the driver API: CUDA 12.5.
const OLDEST_DRIVER: i32 = 12_050;

/// A source file in CUDA C++.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct CudaSource {
    /// The name of the file without its extension.
    pub name: &'static str,
    pub text: &'static str,
}

/// A kernel, identified by its source, the macro definitions of the compilation, and its name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct CudaKernel {
    pub source: &'static CudaSource,
    /// The compiler options that define macros, such as `-DELEMENT=float`, separated by spaces.
    pub defines: String,
    pub name: &'static str,
}

impl CudaKernel {
    /// Returns a kernel that is compiled for tensors of `dtype`. The source calls the element type `ELEMENT`.
    pub fn for_element(source: &'static CudaSource, name: &'static str, dtype: DType) -> Self {
        Self { source, defines: format!("-DELEMENT={}", cuda_type(dtype)), name }
    }
}

impl std::fmt::Debug for CudaKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the kernel `{}` of `{}.cu` ({})", self.name, self.source.name, self.defines)
    }
}

/// Returns the CUDA C++ type of the elements of a tensor.
pub(crate) fn cuda_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::BF16 => "__nv_bfloat16",
        other => unreachable!("CUDA kernels compute in f32 and bf16, not in {other:?}"),
    }
}

/// Returns the machine code of `kernel` for devices of the compute capability `(major, minor)`.
///
/// # Errors
/// Fails when CUDA's headers are missing, or when the compiler fails.
pub(super) fn compile(kernel: &CudaKernel, (major, minor): (i32, i32)) -> Result<Ptx> {
    let source = kernel.source;
    // The suffix `a` enables instructions of one generation, such as Hopper's wgmma.
    let suffix = if major >= 9 { "a" } else { "" };
    let architecture = format!("--gpu-architecture=sm_{major}{minor}{suffix}");
    let include = format!("--include-path={}", cuda_headers()?.display());
    let mut options =
        vec![architecture.as_str(), include.as_str(), "--std=c++17", "-default-device", "-lineinfo"];
    options.extend(kernel.defines.split_whitespace());
    let cached = cache_path(source, &options);
    if let Some(code) = cached.as_ref().and_then(|path| std::fs::read(path).ok()) {
        return Ok(Ptx::from_binary(code));
    }
    let code = compile_source(source, &options)?;
    if let Some(path) = cached {
        // An error is ignored: without the cache file, the next process compiles the kernel again.
        let folder = path.parent().expect("the cache file must have a parent folder");
        let _ = create_folder(folder).and_then(|()| write_bytes_atomically(&path, &code));
    }
    Ok(Ptx::from_binary(code))
}

/// Lists the requirements of the CUDA kernels that are missing on this machine: libraries, headers or a
/// recent driver.
pub(crate) fn missing_requirements() -> Vec<String> {
    // SAFETY: the functions only try to load the libraries.
    let present = unsafe {
        [driver::is_culib_present(), sys::is_culib_present(), cudarc::cublaslt::sys::is_culib_present()]
    };
    let names = ["NVIDIA's driver (libcuda)", "CUDA's compiler (libnvrtc)", "cuBLASLt (libcublasLt)"];
    let absent = names.iter().zip(present).filter(|(_, is_present)| !is_present);
    let mut missing: Vec<String> = absent.map(|(name, _)| (*name).to_owned()).collect();
    missing.extend(cuda_headers().err().map(|_| "CUDA's headers (cuda_bf16.h)".to_owned()));
    if present[0] {
        let mut version = 0;
        // SAFETY: the driver is present, and the number outlives the call.
        let result = unsafe { driver::cuDriverGetVersion(&raw mut version) }.result();
        if result.is_err() || version < OLDEST_DRIVER {
            missing.push("a driver for CUDA 12.5 or newer (version 555)".to_owned());
        }
    }
    missing
}

/// Returns the folder of CUDA's headers.
fn cuda_headers() -> Result<PathBuf> {
    let set = std::env::var_os("CUDA_PATH").map(PathBuf::from);
    let folders = set.into_iter().chain(["/usr/local/cuda", "/opt/cuda", "/usr"].map(PathBuf::from));
    let found =
        folders.map(|folder| folder.join("include")).find(|folder| folder.join("cuda_bf16.h").exists());
    found.ok_or_else(|| {
        Error::environment("cannot find CUDA's headers: no folder holds `cuda_bf16.h`").hint(
            "set CUDA_PATH to a folder that holds `include/cuda_bf16.h`, or install the package \
             `cuda-cudart-dev`, or `nvidia-cuda-runtime` from PyPI",
        )
    })
}

/// Returns the path of the cache file of the machine code. The file's name contains a digest of the source,
/// the options and NVRTC's version.
fn cache_path(source: &CudaSource, options: &[&str]) -> Option<PathBuf> {
    let caches = user_cache_folder()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers outlive the call.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    let mut hasher = blake3::Hasher::new_derive_key("dtr kernels");
    for part in options.iter().chain(&[HEADER.1, source.text]) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(format!("{major}.{minor}").as_bytes());
    let digest = hasher.finalize().to_hex();
    Some(caches.join("dtr/kernels").join(format!("{}-{}.cubin", source.name, &digest[..16])))
}

/// An NVRTC program, which is destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &CudaSource) -> std::result::Result<Self, nvrtc::NvrtcError> {
        let [text, name, header] = [source.text, source.name, HEADER.1]
            .map(|text| CString::new(text).expect("a CUDA source must not hold a zero byte"));
        let (headers, names) = ([header.as_ptr()], [HEADER.0.as_ptr()]);
        let mut program = ptr::null_mut();
        // SAFETY: all strings and arrays outlive the call, and the arrays have one member each.
        unsafe {
            sys::nvrtcCreateProgram(
                &raw mut program,
                text.as_ptr(),
                name.as_ptr(),
                1,
                headers.as_ptr(),
                names.as_ptr(),
            )
        }
        .result()?;
        Ok(Self(program))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created by `Program::new` and is destroyed nowhere else.
        let _ = unsafe { nvrtc::destroy_program(self.0) };
    }
}

fn compile_source(source: &CudaSource, options: &[&str]) -> Result<Vec<u8>> {
    let error = |action: &str, cause: nvrtc::NvrtcError| {
        Error::environment(format!("cannot {action} `{}.cu`: {cause:?}", source.name))
    };
    let program = Program::new(source).map_err(|cause| error("read", cause))?;
    // SAFETY: the program is alive.
    if let Err(cause) = unsafe { nvrtc::compile_program(program.0, options) } {
        // SAFETY: the program is alive.
        let log = unsafe { nvrtc::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        return Err(error("compile", cause).hint(String::from_utf8_lossy(&log).into_owned()));
    }
    let mut size = 0;
    // SAFETY: the program and the number are alive.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }
        .result()
        .map_err(|cause| error("measure the machine code of", cause))?;
    let mut code = vec![0_u8; size];
    // SAFETY: the buffer has the size that NVRTC returned.
    unsafe { sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()) }
        .result()
        .map_err(|cause| error("get the machine code of", cause))?;
    Ok(code)
}
