"""Compares the greedy text of a hybrid in llama.cpp, and its first log-probabilities, with those of dtr.

    llama_cpp_text.py FILE DIRECTORY

The file `expected.safetensors` in DIRECTORY holds the prompt and the greedy text of dtr.
"""

import sys
from pathlib import Path

import numpy as np
import xllamacpp
from safetensors.numpy import load_file

# The largest difference between log-probabilities, in nats.
MAX_DIFFERENCE = 1e-3


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
            "logprobs": 20,
        }
    )
    tokens = answer["choices"][0]["logprobs"]["content"]
    found = [token["id"] for token in tokens]
    # The list leaves out tokens that end within a character.
    assert len(found) >= 8 and found == greedy[: len(found)], (found, greedy)
    last = expected["logits"][0, -1].astype(float)
    last -= np.log(np.exp(last - last.max()).sum()) + last.max()
    top = {token["id"]: token["logprob"] for token in tokens[0]["top_logprobs"]}
    difference = max(abs(last[id] - found) for id, found in top.items())
    print(f"log-probabilities of {len(top)} tokens differ by at most {difference:.1e}")
    assert difference < MAX_DIFFERENCE


if __name__ == "__main__":
    main()
