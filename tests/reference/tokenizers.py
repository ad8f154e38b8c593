"""Writes the fixture of tokenizers: the token ids that Hugging Face transformers gives to a difficult text.

The argument is a folder with the files of GPT-2 (gpt2/encoder.json, gpt2/vocab.bpe), GPT-NeoX
(gpt-neox/20B_tokenizer.json) and Qwen2.5 (qwen2.5/vocab.json, qwen2.5/merges.txt).
The file tests/fixtures/tokenizers.json gets the text and its ids.
"""

import json
import sys
from pathlib import Path

from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

FIXTURES = Path(__file__).parent.parent / "fixtures"
TEXT = (
    "In 1987, 3.14159 and 1,000,000,007 met  twice;\tthen\n\n   they left.\r\n"
    "水曜日の天気は晴れです。한국어도 됩니다. Привет, мир! مرحبا بالعالم\n"
    "👩‍👩‍👧 naïve cafe\u0301 \u00a0 ﬁn “quotes” … — 🙂🙂\n"
    "def f(x):\n    return {'a': x**2, \"b\": [1, 2]}  # isn't it?\n"
    "<|im_start|>user\nI'll, we've, THEY'RE<|im_end|>\n  trailing  "
)


def main():
    folder = Path(sys.argv[1])
    tokenizers = {
        "gpt2": GPT2Tokenizer(
            vocab=str(folder / "gpt2/encoder.json"), merges=str(folder / "gpt2/vocab.bpe")
        ),
        "gpt-neox": PreTrainedTokenizerFast(tokenizer_file=str(folder / "gpt-neox/20B_tokenizer.json")),
        "qwen2.5": Qwen2Tokenizer(
            vocab=str(folder / "qwen2.5/vocab.json"), merges=str(folder / "qwen2.5/merges.txt")
        ),
    }
    config = json.loads((folder / "qwen2.5/tokenizer_config.json").read_text(encoding="utf-8"))
    special = sorted(config["added_tokens_decoder"].items(), key=lambda entry: int(entry[0]))
    tokenizers["qwen2.5"].add_tokens([entry["content"] for _, entry in special], special_tokens=True)
    ids = {name: tokenizer(TEXT)["input_ids"] for name, tokenizer in tokenizers.items()}
    print({name: len(of) for name, of in ids.items()})
    (FIXTURES / "tokenizers.json").write_text(json.dumps({"text": TEXT, "ids": ids}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
