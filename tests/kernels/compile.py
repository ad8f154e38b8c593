"""Compiles every CUDA kernel of `src/ops/cuda/kernels` with NVRTC, as this crate does at run time, for Ampere and for Hopper. No GPU is needed.

    python tests/kernels/compile.py
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from cuda.bindings import nvrtc

KERNELS = Path(__file__).parents[2] / "src/ops/cuda/kernels"
BOTH = ["sm_80", "sm_90a"]

# What each file leaves to define, in the forms that `src/ops/cuda` asks for.
FORMS = {
    "conv": ["-DCONV_WIDTH=4", "-DCONV_WIDTH=4 -DREAL_F32"],
    "decode": ["-DHEAD_DIM=128"],
    "delta": [f"-DELEMENT={element} -DKEY_WIDTH=128 -DSLICE={slice}" for element, slice in [("float", 32), ("__nv_bfloat16", 64)]],
    "few": [f"-DROWS={rows} -DELEMENT={element}" for rows in [1, 4] for element in ["float", "__nv_bfloat16"]] + ["-DROWS=3 -DELEMENT=__nv_bfloat16 -DRESULT=float"],
    "gates": ["-DVALUE_WIDTH=128", "-DVALUE_WIDTH=128 -DREAL_F32"],
    "gla": ["-DKEY_WIDTH=128 -DVALUE_WIDTH=128", "-DKEY_WIDTH=64 -DVALUE_WIDTH=64 -DREAL_F32"],
    "prefill": ["-DHEAD_DIM=128"],
    "prefill_sm90": ["-DHEAD_DIM=128"],
    "rotary": [""],
    "step": ["-DELEMENT=float", "-DELEMENT=__nv_bfloat16"],
    "train": ["-DELEMENT=float", "-DELEMENT=__nv_bfloat16"],
}


def headers():
    """The folder of CUDA's headers among Python's packages."""
    for root in find_spec("nvidia").submodule_search_locations:
        for found in Path(root).glob("*/include/cuda_bf16.h"):
            return found.parent
    raise SystemExit("cuda_bf16.h is not found: install tests/kernels/requirements.txt")


INCLUDE = headers()


def compile_kernel(name, defines, architecture):
    """The compiler's log, if it refuses."""
    source = (KERNELS / f"{name}.cu").read_text().encode()
    options = [f"--gpu-architecture={architecture}", "--std=c++17", "-default-device", f"--include-path={INCLUDE}"]
    options = [option.encode() for option in options + defines.split()]
    _, program = nvrtc.nvrtcCreateProgram(source, f"{name}.cu".encode(), 0, [], [])
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status == nvrtc.nvrtcResult.NVRTC_SUCCESS:
        return None
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.decode(errors="replace")


def main():
    names = {path.stem for path in KERNELS.glob("*.cu")}
    if names != set(FORMS):
        raise SystemExit(f"kernels without forms, or forms without kernels: {sorted(names ^ set(FORMS))}")
    work = [
        (name, defines, architecture)
        for name, forms in FORMS.items()
        for defines in forms
        for architecture in (["sm_90a"] if name == "prefill_sm90" else BOTH)
    ]
    with ThreadPoolExecutor() as pool:
        logs = pool.map(lambda one: compile_kernel(*one), work)
    refused = [(one, log) for one, log in zip(work, logs) if log]
    for (name, defines, architecture), log in refused:
        print(f"{name}.cu {defines} for {architecture}:\n{log}", file=sys.stderr)
    print(f"{len(work)} passed, {len(refused)} failed")
    sys.exit(bool(refused))


main()
