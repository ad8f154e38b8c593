"""Compares a hybrid in GGUF with the same hybrid as a Qwen3.5 model.

    gguf_container.py FILE DIRECTORY

The names of tensors come from the package gguf. The values follow the converter of llama.cpp: norms get 1
added, except the norm of linear layers. The decay becomes -exp(A_log). Kernels lose a dimension.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

# The name of this tensor has no suffix in GGUF files, and the map of the package expects one in directories.
DT_BIAS = ".dt_bias"


def check_tensors(reader, directory, num_layers):
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN35, num_layers)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    for name, values in load_file(directory / "model.safetensors").items():
        mapped = name.replace(DT_BIAS, ".dt_proj.bias") if name.endswith(DT_BIAS) else name
        found = stored.pop(names.get_name(mapped, try_suffixes=(".weight", ".bias")))
        if name.endswith("A_log"):
            values = -np.exp(values)
        elif name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            values = values + 1
        values = values.squeeze()
        assert found.tensor_type == gguf.GGMLQuantizationType.F32, found.tensor_type
        assert list(reversed(found.shape)) == list(values.shape), (name, found.shape, values.shape)
        assert np.allclose(found.data, values, rtol=1e-6, atol=1e-7), name
    assert not stored, f"the file has other tensors: {list(stored)}"


def check_metadata(reader, config):
    value = lambda key: reader.fields[key].contents()
    keys, arch = gguf.Keys, "qwen35"
    heads, width = config["linear_num_value_heads"], config["linear_key_head_dim"]
    rope = config["rope_parameters"]
    for key, expected in {
        keys.General.ARCHITECTURE: arch,
        keys.General.FILE_TYPE: int(gguf.LlamaFileType.ALL_F32),
        keys.LLM.BLOCK_COUNT: config["num_hidden_layers"],
        keys.LLM.CONTEXT_LENGTH: config["max_position_embeddings"],
        keys.LLM.EMBEDDING_LENGTH: config["hidden_size"],
        keys.LLM.FEED_FORWARD_LENGTH: config["intermediate_size"],
        keys.Attention.HEAD_COUNT: config["num_attention_heads"],
        keys.Attention.HEAD_COUNT_KV: config["num_key_value_heads"],
        keys.Attention.KEY_LENGTH: config["head_dim"],
        keys.Attention.VALUE_LENGTH: config["head_dim"],
        keys.Rope.DIMENSION_COUNT: config["head_dim"] * rope["partial_rotary_factor"],
        keys.Rope.FREQ_BASE: rope["rope_theta"],
        keys.Rope.DIMENSION_SECTIONS: [3, 3, 2, 0],
        keys.SSM.CONV_KERNEL: config["linear_conv_kernel_dim"],
        keys.SSM.STATE_SIZE: width,
        keys.SSM.GROUP_COUNT: config["linear_num_key_heads"],
        keys.SSM.TIME_STEP_RANK: heads,
        keys.SSM.INNER_SIZE: heads * config["linear_value_head_dim"],
        "{arch}.attention.recurrent_layers": [kind == "linear_attention" for kind in config["layer_types"]],
    }.items():
        found = value(key.format(arch=arch))
        assert found == expected, (key, found, expected)
    epsilon = value(keys.Attention.LAYERNORM_RMS_EPS.format(arch=arch))
    assert abs(epsilon - config["rms_norm_eps"]) < 1e-12


def check_tokenizer(reader, directory):
    value = lambda key: reader.fields[key].contents()
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokens = value(gguf.Keys.Tokenizer.LIST)
    assert all(tokens[id] == token for token, id in tokenizer["model"]["vocab"].items())
    assert value(gguf.Keys.Tokenizer.MODEL) == "gpt2" and value(gguf.Keys.Tokenizer.PRE) == "qwen2"
    for token in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        assert tokens[token["id"]] == token["content"]
        assert value(gguf.Keys.Tokenizer.TOKEN_TYPE)[token["id"]] == kind
    generation = json.loads((directory / "generation_config.json").read_text())
    eos = generation["eos_token_id"]
    assert value(gguf.Keys.Tokenizer.EOS_ID) == (eos[0] if isinstance(eos, list) else eos)


def main():
    file, directory = map(Path, sys.argv[1:])
    reader = gguf.GGUFReader(file)
    config = json.loads((directory / "config.json").read_text())
    check_tensors(reader, directory, config["num_hidden_layers"])
    check_metadata(reader, config)
    check_tokenizer(reader, directory)


if __name__ == "__main__":
    main()
