"""Compiles every CUDA source of `crates/dtr-ops` for Ampere and for Hopper. No GPU is needed.

The compiler is NVRTC, which the crate also uses at run time.

    python tests/kernels/compile.py
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from cuda.bindings import nvrtc

SOURCES = Path(__file__).parents[2] / "crates/dtr-ops/src"
BOTH = ["sm_80", "sm_90a"]
ELEMENTS = ["-DELEMENT=float", "-DELEMENT=__nv_bfloat16"]
# The widths of attention heads that have kernels: multiples of 16 up to 128, and 256.
HEAD_WIDTHS = [f"-DHEAD_DIM={width}" for width in [*range(16, 129, 16), 256]]

# The macros with which each source is compiled. The file `cuda.rs` beside a source defines the same macros.
DEFINES = {
    "adamw": ELEMENTS,
    "conv": ["-DCONV_WIDTH=4", "-DCONV_WIDTH=4 -DREAL_F32"],
    "counter": [""],
    "decode": HEAD_WIDTHS,
    "delta_gates": ELEMENTS,
    "delta_rule": [
        "-DELEMENT=float -DKEY_WIDTH=128 -DSLICE=32 -DL2NORM=1",
        "-DELEMENT=__nv_bfloat16 -DKEY_WIDTH=128 -DSLICE=64 -DL2NORM=1",
    ],
    "elementwise": ELEMENTS,
    "embedding": ELEMENTS,
    "gates": ["-DVALUE_WIDTH=128", "-DVALUE_WIDTH=128 -DREAL_F32"],
    "gla": ["-DKEY_WIDTH=128 -DVALUE_WIDTH=128", "-DKEY_WIDTH=64 -DVALUE_WIDTH=64 -DREAL_F32"],
    "logits": ELEMENTS,
    "squared_error": ELEMENTS,
    "norm": ELEMENTS,
    "prefill": HEAD_WIDTHS,
    "prefill_sm90": [f"-DHEAD_DIM={width}" for width in [64, 96, 128, 256]],
    "reduce": ELEMENTS,
    "rotary": [""],
    "small_gemm": [f"-DROWS={rows} {element}" for rows in [1, 4] for element in ELEMENTS]
    + ["-DROWS=3 -DELEMENT=__nv_bfloat16 -DRESULT=float"],
    "softmax": ELEMENTS,
}


def cuda_headers():
    """Returns the folder of the CUDA headers in the installed Python packages."""
    for root in find_spec("nvidia").submodule_search_locations:
        for found in Path(root).glob("*/include/cuda_bf16.h"):
            return found.parent
    raise SystemExit("cannot find cuda_bf16.h: install tests/kernels/requirements.txt")


INCLUDES = [cuda_headers(), SOURCES / "cuda"]


def compile_source(path, defines, architecture):
    """Compiles a source. Returns None on success, and the compiler's log on failure."""
    options = [f"--gpu-architecture={architecture}", "--std=c++17", "-default-device"]
    options += [f"--include-path={folder}" for folder in INCLUDES]
    options = [option.encode() for option in options + defines.split()]
    _, program = nvrtc.nvrtcCreateProgram(path.read_bytes(), path.name.encode(), 0, [], [])
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status == nvrtc.nvrtcResult.NVRTC_SUCCESS:
        return None
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.decode(errors="replace")


def main():
    paths = {path.stem: path for path in SOURCES.glob("*/*.cu")}
    if paths.keys() != DEFINES.keys():
        raise SystemExit(f"sources without macros, or macros without a source: {sorted(paths.keys() ^ DEFINES.keys())}")
    work = [
        (paths[name], defines, architecture)
        for name, variants in DEFINES.items()
        for defines in variants
        for architecture in (["sm_90a"] if name == "prefill_sm90" else BOTH)
    ]
    with ThreadPoolExecutor() as pool:
        logs = pool.map(lambda arguments: compile_source(*arguments), work)
    failures = [(arguments, log) for arguments, log in zip(work, logs) if log]
    for (path, defines, architecture), log in failures:
        print(f"{path.name} {defines} for {architecture}:\n{log}", file=sys.stderr)
    print(f"{len(work)} passed, {len(failures)} failed")
    sys.exit(bool(failures))


main()
