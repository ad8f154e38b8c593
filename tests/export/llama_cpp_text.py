"""Compares the greedy text of a hybrid in llama.cpp with that of dtr.

    llama_cpp_text.py FILE DIRECTORY

The file `expected.safetensors` in DIRECTORY holds the prompt and the greedy text of dtr.
"""

import sys
from pathlib import Path

import xllamacpp
from safetensors.numpy import load_file


def main():
    file, directory = map(Path, sys.argv[1:])
    expected = load_file(directory / "expected.safetensors")
    greedy = expected["greedy"].astype(int).flatten().tolist()
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 256
    params.warmup = False
    params.cpuparams.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    answer = server.handle_completions(
        {
            "prompt": expected["ids"][0].astype(int).tolist(),
            "max_tokens": len(greedy),
            "temperature": 0.0,
            "ignore_eos": True,
            "return_tokens": True,
        }
    )
    print(answer)
    assert answer["tokens"] == greedy, (answer["tokens"], greedy)


if __name__ == "__main__":
    main()
