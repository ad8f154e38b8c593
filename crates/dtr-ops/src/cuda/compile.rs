//! Kernels from CUDA C++ to machine code, by NVRTC, once for each device and compiler: the code is kept.

use std::ffi::CString;
use std::path::PathBuf;

use burn::tensor::DType;
use cudarc::driver::sys as driver;
use cudarc::nvrtc::{Ptx, result as nvrtc, sys};

use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder, write_bytes_atomically};

/// A file of kernels.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The file's name.
    pub name: &'static str,
    /// CUDA C++.
    pub text: &'static str,
}

/// A kernel of a source that was compiled with certain definitions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    /// Where it stands.
    pub source: &'static Source,
    /// What the source leaves to define, `-DELEMENT=float`, with blanks between.
    pub defines: String,
    /// Its name there.
    pub name: &'static str,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the kernel `{}` of `{}.cu` ({})", self.name, self.source.name, self.defines)
    }
}

/// The name in CUDA C++ of the numbers of a tensor.
pub(super) fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::BF16 => "__nv_bfloat16",
        other => unreachable!("kernels are asked for in f32 and bf16 alone, not in {other:?}"),
    }
}

/// The machine code that has `kernel`, for devices of this capability.
///
/// # Errors
/// When the compiler or CUDA's headers are not found, or the compiler refuses.
pub(super) fn compile(kernel: &Kernel, (major, minor): (i32, i32)) -> Result<Ptx> {
    let source = kernel.source;
    // Instructions of one generation alone, such as Hopper's wgmma, are asked for by an `a`.
    let suffix = if major >= 9 { "a" } else { "" };
    let architecture = format!("--gpu-architecture=sm_{major}{minor}{suffix}");
    let include = format!("--include-path={}", headers()?.display());
    let mut options =
        vec![architecture.as_str(), include.as_str(), "--std=c++17", "-default-device", "-lineinfo"];
    options.extend(kernel.defines.split_whitespace());
    let kept = kept_at(source, &options);
    if let Some(code) = kept.as_ref().and_then(|path| std::fs::read(path).ok()) {
        return Ok(Ptx::from_binary(code));
    }
    let code = translate(source, &options)?;
    if let Some(path) = kept {
        // Code that cannot be kept is compiled again by the next process.
        let folder = path.parent().expect("a file has a folder");
        let _ = create_folder(folder).and_then(|()| write_bytes_atomically(&path, &code));
    }
    Ok(Ptx::from_binary(code))
}

/// What kernels cannot do without and this machine lacks, in words.
pub(crate) fn lacking() -> Vec<String> {
    // SAFETY: libraries are looked for as the driver's and compiler's own start-up code allows.
    let present = unsafe {
        [driver::is_culib_present(), sys::is_culib_present(), cudarc::cublaslt::sys::is_culib_present()]
    };
    let names = ["NVIDIA's driver (libcuda)", "CUDA's compiler (libnvrtc)", "cuBLASLt (libcublasLt)"];
    let missing = names.iter().zip(present).filter(|(_, is_present)| !is_present);
    let mut lacking: Vec<String> = missing.map(|(name, _)| (*name).to_owned()).collect();
    lacking.extend(headers().err().map(|_| "CUDA's headers (cuda_bf16.h)".to_owned()));
    if present[0] {
        let mut version = 0;
        // SAFETY: the driver is there, and the number lives across the call.
        let asked = unsafe { driver::cuDriverGetVersion(&raw mut version) }.result();
        if asked.is_err() || version < OLDEST_DRIVER {
            lacking.push("a driver for CUDA 12.5 or newer (555)".to_owned());
        }
    }
    lacking
}

/// The first version, as the driver tells it, whose contexts have events.
const OLDEST_DRIVER: i32 = 12_050;

/// Where the folder `include` of CUDA lies.
fn headers() -> Result<PathBuf> {
    let set = std::env::var_os("CUDA_PATH").map(PathBuf::from);
    let folders = set.into_iter().chain(["/usr/local/cuda", "/opt/cuda", "/usr"].map(PathBuf::from));
    let found =
        folders.map(|folder| folder.join("include")).find(|folder| folder.join("cuda_bf16.h").exists());
    found.ok_or_else(|| {
        Error::environment("CUDA's headers (`cuda_bf16.h`) are not found, which its compiler needs").hint(
            "set CUDA_PATH to a folder that has them in `include`; the package `cuda-cudart-dev` or, from PyPI, \
             `nvidia-cuda-runtime` brings them",
        )
    })
}

/// The file that the machine code is kept in: named after everything that it follows from.
fn kept_at(source: &Source, options: &[&str]) -> Option<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers live across the call.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    let mut hasher = blake3::Hasher::new_derive_key("dtr kernels");
    for part in options.iter().chain([&source.text]) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(format!("{major}.{minor}").as_bytes());
    let digest = hasher.finalize().to_hex();
    Some(caches.join("dtr/kernels").join(format!("{}-{}.cubin", source.name, &digest[..16])))
}

/// A program of the compiler, destroyed when it is done with.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created by `create_program` and is destroyed nowhere else.
        let _ = unsafe { nvrtc::destroy_program(self.0) };
    }
}

fn translate(source: &Source, options: &[&str]) -> Result<Vec<u8>> {
    let failed = |doing: &str, cause: nvrtc::NvrtcError| {
        Error::environment(format!("CUDA's compiler failed to {doing} `{}`: {cause:?}", source.name))
    };
    let text = CString::new(source.text).expect("kernels hold no zero byte");
    let name = CString::new(source.name).expect("names hold no zero byte");
    let program = nvrtc::create_program(&text, Some(&name)).map_err(|cause| failed("read", cause))?;
    let program = Program(program);
    // SAFETY: the program is alive.
    if let Err(cause) = unsafe { nvrtc::compile_program(program.0, options) } {
        // SAFETY: it still is.
        let log = unsafe { nvrtc::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        return Err(failed("compile", cause).hint(String::from_utf8_lossy(&log).into_owned()));
    }
    let mut size = 0;
    // SAFETY: the program is alive, and so is the number.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }
        .result()
        .map_err(|cause| failed("measure the code of", cause))?;
    let mut code = vec![0_u8; size];
    // SAFETY: the buffer is as long as the compiler asked for.
    unsafe { sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()) }
        .result()
        .map_err(|cause| failed("give the code of", cause))?;
    Ok(code)
}
