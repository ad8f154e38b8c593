"""Writes GGUF files and their reference outputs into tests/fixtures/gguf/.

- types.gguf and types.safetensors: a tensor of each number format, and its values by gguf.quants.dequantize
- llama.gguf, qwen2.gguf and qwen3.gguf: small random models
- expected.safetensors: the logits of these models in transformers
- tokenizer-NAME.gguf: the same vocabulary with each pre-tokenizer
- expected.json: token ids. For byte-level BPE, this script computes them by the definition, with the patterns of
  llama.cpp. For the tokenizer `llama`, one list comes from SentencePiece, and another from transformers, which
  reads llama.gguf.

With the argument FOLDER, the script also writes published.json. It contains the digest of all values, the token
ids and the logits of two published files, SmolLM2-135M-Instruct.Q4_1.gguf and
qwen2.5-coder-0.5b-instruct-q4_k_m.gguf. For each file, FOLDER needs a folder with the name of the file without
`.gguf`. The folder holds the same model in the Hugging Face format, with values in float32.
"""

import hashlib
import io
import json
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np
import regex
import sentencepiece
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, TokenType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from safetensors import safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FIXTURES = Path(__file__).parent.parent / "fixtures"
FOLDER = FIXTURES / "gguf"
TEXT = json.loads((FIXTURES / "tokenizers.json").read_text(encoding="utf-8"))["text"]
CORPUS = "The lamp is in the kitchen. Where is the lamp? They're in the garden, I think; it's 1987 or 2024.\n" * 4 + TEXT
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"

# The offsets of the f16 scales in a block of each format, in bytes.
SCALES = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q2_K: [80, 82],
    Type.Q3_K: [108],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
    Type.IQ4_NL: [0],
}


def random_blocks(kind, rows, columns, scale, generator):
    """Returns the bytes of random blocks. Their scales are normally distributed with standard deviation `scale`."""
    block_len, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, (rows, columns // block_len, block_bytes), dtype=np.uint8)
    for offset in SCALES[kind]:
        scales = (generator.standard_normal(blocks.shape[:2]) * scale).astype(np.float16)
        blocks[..., offset : offset + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def write_types():
    generator = np.random.default_rng(1)
    writer = GGUFWriter(FOLDER / "types.gguf", "llama")
    values = {}
    for kind in [Type.F32, Type.F16, Type.BF16, *SCALES]:
        if kind in SCALES:
            data = random_blocks(kind, 2, 256, 0.1, generator)
            # One scale is a subnormal number.
            data[0, SCALES[kind][0] : SCALES[kind][0] + 2] = [3, 128]
        else:
            data = quantize(generator.standard_normal((2, 32)).astype(np.float32), kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        values[kind.name] = np.ascontiguousarray(dequantize(data, kind))
    finish(writer)
    save_file(values, FOLDER / "types.safetensors")


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level_vocabulary():
    """Returns tokens, types and merges of a byte-level BPE. No sequence of merges makes its token `Ġlamp?`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([CORPUS], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(merge) for merge in model["merges"]]
    types = [TokenType.NORMAL] * len(tokens)
    for token, kind in [
        ("<|endoftext|>", TokenType.CONTROL),
        ("<|im_start|>", TokenType.CONTROL),
        ("<|im_end|>", TokenType.CONTROL),
        ("Ġlamp?", TokenType.NORMAL),
        ("  left", TokenType.USER_DEFINED),
        ("[PAD]", TokenType.UNUSED),
    ]:
        tokens.append(token)
        types.append(kind)
    return tokens, types, merges


def add_byte_level(writer, vocabulary, pre, bos=None):
    tokens, types, merges = vocabulary
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    if bos is not None:
        writer.add_add_bos_token(bos)
    writer.add_chat_template(TEMPLATE)


GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
CASED = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}COUNT| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The patterns in llama.cpp's `llama-vocab.cpp`.
PATTERNS = {
    None: [r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "gpt-2": [GPT_2],
    "smollm": [r"\p{N}", GPT_2],
    "qwen2": [CASED.replace("COUNT", "")],
    "llama-bpe": [CASED.replace("COUNT", "{1,3}")],
}


def split(text, pattern):
    """Splits a text into the matches of a pattern and the texts between the matches."""
    parts, end = [], 0
    for match in regex.finditer(pattern, text):
        parts += [text[end : match.start()], match.group()]
        end = match.end()
    return [part for part in parts + [text[end:]] if part]


def byte_level_ids(text, vocabulary, pre):
    """Computes the token ids of a text by the definition of byte-level BPE."""
    tokens, types, merges = vocabulary
    ids = {token: id for id, token in enumerate(tokens)}
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    characters = bytes_to_unicode()
    added = [token for token, kind in zip(tokens, types) if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)]
    found = [ids["<|endoftext|>"]] if pre == "llama-bpe" else []
    for piece in split(text, "|".join(map(regex.escape, added))):
        if piece in added:
            found.append(ids[piece])
            continue
        words = [unicodedata.normalize("NFC", piece) if pre == "qwen2" else piece]
        for pattern in PATTERNS[pre]:
            words = [part for word in words for part in split(word, pattern)]
        for word in words:
            word = "".join(characters[byte] for byte in word.encode())
            if pre == "llama-bpe" and word in ids:
                found.append(ids[word])
                continue
            symbols = list(word)
            while pairs := [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]:
                best = min(pairs, key=ranks.get)
                merged, at = [], 0
                while at < len(symbols):
                    is_best = tuple(symbols[at : at + 2]) == best
                    merged.append("".join(best) if is_best else symbols[at])
                    at += 2 if is_best else 1
                symbols = merged
            found += [ids[symbol] for symbol in symbols]
    return found


def bytes_to_unicode():
    """Returns the character that stands for each byte, as in GPT-2."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(others)}


def write_tokenizers(vocabulary):
    ids = {}
    for pre in PATTERNS:
        name = f"tokenizer-{pre or 'default'}"
        writer = GGUFWriter(FOLDER / f"{name}.gguf", "llama")
        add_byte_level(writer, vocabulary, pre)
        writer.add_tensor("token_embd.weight", np.zeros((1, 1), np.float32))
        finish(writer)
        ids[name] = byte_level_ids(TEXT, vocabulary, pre)
    return ids


def sentence_piece():
    """Trains a BPE tokenizer with SentencePiece."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        character_coverage=0.98,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def add_sentence_piece(writer, processor):
    tokens, scores, types = [], [], []
    for id in range(processor.get_piece_size()):
        tokens.append(processor.id_to_piece(id))
        scores.append(processor.get_score(id))
        kind = TokenType.NORMAL
        if processor.is_unknown(id):
            kind = TokenType.UNKNOWN
        elif processor.is_control(id):
            kind = TokenType.CONTROL
        elif processor.is_byte(id):
            kind = TokenType.BYTE
        types.append(kind)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def rope_factors(theta, dim, scaling):
    """Returns the tensor `rope_freqs`, as llama.cpp's `convert_hf_to_gguf.py` computes it."""
    factors = []
    for at in range(0, dim, 2):
        wavelength = 2 * math.pi * theta ** (at / dim)
        length, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        if wavelength < length / high:
            factors.append(1)
        elif wavelength > length / low:
            factors.append(factor)
        else:
            smooth = (length / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def interleave(weight, heads):
    """Changes the row order of q or k from that of transformers to that of a Llama in llama.cpp."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def deinterleave(weight, heads):
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


SHAPE = dict(
    hidden_size=32,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    attn_implementation="eager",
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500_000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GLOBAL = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
# For each model, two lists of formats. The matrices take the formats of the first list in turn. `ffn_down` takes the
# formats of the second list, because its rows are long enough for blocks of 256 values.
FORMATS = {
    "llama": ([Type.Q8_0, Type.Q4_1, Type.F16, Type.Q5_0], [Type.Q4_K, Type.Q6_K]),
    "qwen2": ([Type.Q5_1, Type.Q4_0, Type.BF16], [Type.Q5_K, Type.IQ4_NL]),
    "qwen3": ([Type.Q8_0, Type.F32, Type.Q4_0], [Type.Q2_K, Type.Q3_K]),
}


def gguf_name(name):
    if name in GLOBAL:
        return GLOBAL[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{PARTS[part]}.{kind}"


@torch.no_grad()
def write_model(name, model, add_tokenizer):
    """Writes a random model. Returns random token ids and their logits."""
    config, generator = model.config, np.random.default_rng(3)
    writer = GGUFWriter(FOLDER / f"{name}.gguf", name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if name != "qwen2":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    add_tokenizer(writer)
    if config.rope_parameters["rope_type"] == "llama3":
        factors = rope_factors(config.rope_parameters["rope_theta"], config.head_dim, config.rope_parameters)
        writer.add_tensor("rope_freqs.weight", factors)
    matrices, downs = FORMATS[name]
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    heads = heads if name == "llama" else {}
    num_matrices = 0
    for parameter_name, parameter in model.named_parameters():
        noise = generator.standard_normal(parameter.shape)
        heads_here = next((count for ending, count in heads.items() if parameter_name.endswith(ending)), None)
        if parameter.ndim == 1:
            kind = Type.F32
            stored = (1 + 0.2 * noise if "norm" in parameter_name else 0.5 * noise).astype(np.float32)
        elif "down_proj" in parameter_name:
            kind = downs[int(parameter_name.split(".")[2])]
            stored = random_blocks(kind, *parameter.shape, 0.002, generator)
        else:
            kind = matrices[num_matrices % len(matrices)]
            num_matrices += 1
            scale = 1 if "embed" in parameter_name else 1.5 * parameter.shape[1] ** -0.5
            weight = (noise * scale).astype(np.float32)
            stored = quantize(interleave(weight, heads_here) if heads_here else weight, kind)
        writer.add_tensor(gguf_name(parameter_name), stored, raw_dtype=kind)
        values = dequantize(stored, kind).astype(np.float32)
        values = deinterleave(values, heads_here) if heads_here else values
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)).reshape(parameter.shape))
    finish(writer)
    ids = torch.from_numpy(generator.integers(0, config.vocab_size, (1, 60)))
    logits = model(ids).logits[0, -4:]
    return {f"{name}.ids": ids.to(torch.int32).numpy(), f"{name}.logits": np.ascontiguousarray(logits.numpy())}


def write_models(vocabulary, processor):
    size = len(vocabulary[0])
    llama = LlamaConfig(
        **SHAPE, vocab_size=processor.get_piece_size(), head_dim=8, rms_norm_eps=1e-5, rope_parameters=LLAMA3,
        tie_word_embeddings=True,
    )
    qwen2 = Qwen2Config(
        **SHAPE, vocab_size=size, rms_norm_eps=1e-6, rope_theta=1_000_000.0, tie_word_embeddings=False
    )
    qwen3 = Qwen3Config(
        **SHAPE, vocab_size=size, head_dim=16, rms_norm_eps=1e-6, rope_theta=1_000_000.0, tie_word_embeddings=True
    )
    tensors = write_model("llama", LlamaForCausalLM(llama).eval(), lambda writer: add_sentence_piece(writer, processor))
    with_qwen2 = lambda writer: add_byte_level(writer, vocabulary, "qwen2", bos=False)
    tensors |= write_model("qwen2", Qwen2ForCausalLM(qwen2).eval(), with_qwen2)
    tensors |= write_model("qwen3", Qwen3ForCausalLM(qwen3).eval(), with_qwen2)
    save_file(tensors, FOLDER / "expected.safetensors")


def sentence_piece_ids(processor):
    """Returns the token ids of TEXT by SentencePiece and by transformers.

    Also returns a text with special tokens and its ids by transformers only, because SentencePiece recognises no
    special tokens in a text.
    """
    pieces = [1] + [id for line in [TEXT] for id in processor.encode(line)]
    tokenizer = AutoTokenizer.from_pretrained(str(FOLDER), gguf_file="llama.gguf")
    special = "<s>user\nThe lamp</s> is"
    return {"llama": pieces, "llama by transformers": tokenizer(TEXT)["input_ids"]}, {
        "text": special,
        "ids": tokenizer(special)["input_ids"],
    }


@torch.no_grad()
def published(folder):
    found = {}
    for file in ["SmolLM2-135M-Instruct.Q4_1.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"]:
        directory = str(folder / file.removesuffix(".gguf"))
        digest = hashlib.sha256()
        with safe_open(f"{directory}/model.safetensors", "np") as tensors:
            for name in sorted(tensors.keys()):
                digest.update(np.ascontiguousarray(tensors.get_tensor(name)).tobytes())
        tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
        ids = tokenizer(TEXT)["input_ids"]
        logits = model(torch.tensor([ids])).logits[0, -1]
        found[file] = {"values": digest.hexdigest(), "ids": ids, "logits": logits[:200].tolist()}
    return found


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    vocabulary, processor = byte_level_vocabulary(), sentence_piece()
    write_types()
    ids = write_tokenizers(vocabulary)
    write_models(vocabulary, processor)
    more, special = sentence_piece_ids(processor)
    expected = {"ids": ids | more, "special": special}
    (FOLDER / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")
    if len(sys.argv) > 1:
        (FOLDER / "published.json").write_text(json.dumps(published(Path(sys.argv[1]))) + "\n")
    print({file.name: file.stat().st_size for file in sorted(FOLDER.iterdir())})


if __name__ == "__main__":
    main()
