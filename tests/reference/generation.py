"""Writes the fixture of batched generation, computed by Hugging Face transformers with a small random model.

The folder tests/fixtures/generation/ gets the model as transformers saves it, a tokenizer of bytes and short
words, and the file expected.json. transformers continues all prompts as one batch with left padding, greedily
and in f32. Each case has stop strings. Some of them end inside a token. The script needs no GPU.
"""

import json
from pathlib import Path
from runpy import run_path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# `-P` keeps this folder out of the module search path, because its `tokenizers.py` would hide the package.
randomise = run_path(str(Path(__file__).with_name("architectures.py")))["randomise"]

FOLDER = Path(__file__).parent.parent / "fixtures" / "generation"
PAD, END = "<|pad|>", "<|end|>"
MAX_NEW_TOKENS = 40
PROMPTS = [
    "the lamp is in the study. where is the lamp?",
    "a",
    "naïve 水曜日 🙂 the",
    "the mirror lies in the stable. the flute lies in the courtyard. the box is in the bathroom. dora leaves",
    "where is",
    "Question: what is 3 + 4?\nAnswer:",
    "the lamp the lamp the lamp the lamp",
    "zzz 0123456789",
    "moritz puts the lamp in the garden, and pia walks to the museum.",
    "é",
]


def make_tokenizer():
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=360, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(PROMPTS, trainer)
    return tokenizer


@torch.no_grad()
def generate(model, tokenizer, eos, stops):
    """Returns the new tokens of each prompt, up to the token that ends its text."""
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    options = dict(stop_strings=stops, tokenizer=tokenizer) if stops else {}
    output = model.generate(
        **batch,
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=eos,
        pad_token_id=tokenizer.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    # The choice of a token must not depend on rounding.
    for logits in output.logits:
        best = logits.topk(2, dim=-1).values
        assert (best[:, 0] - best[:, 1]).min() > 1e-4, "two tokens have nearly the same logit"
    rows = []
    for row in output.sequences[:, batch["input_ids"].shape[1] :].tolist():
        while row and row[-1] == tokenizer.pad_token_id:
            row.pop()
        rows.append(row)
    return rows


def text_before_stops(text, stops):
    """Returns the text before the first stop string."""
    return text[: min([text.find(stop) for stop in stops if stop in text], default=len(text))]


def stop_inside_tokens(tokenizer, tokens, at):
    """Returns a text that begins inside the token `at` and ends inside a later token, or None."""
    pieces = [tokenizer.decode([token]) for token in tokens]
    for end in range(at + 1, min(at + 4, len(pieces))):
        inner = pieces[at + 1 : end]
        first, last = pieces[at], pieces[end]
        if min(len(first), len(last)) > 1 and "\ufffd" not in "".join([first, *inner, last]):
            return first[1:] + "".join(inner) + last[:-1]
    return None


def is_across_prompt(stop, prompt, text):
    """Returns whether `stop` begins in the prompt and ends in the text. transformers stops there, too.
    lm-evaluation-harness and dtr look at the text only."""
    return stop in prompt[-len(stop) + 1 :] + text[: len(stop) - 1]


def make_cases(model, tokenizer):
    plain = generate(model, tokenizer, [tokenizer.eos_token_id], [])
    texts = [tokenizer.decode(tokens) for tokens in plain]
    inside = []
    for row, tokens in enumerate(plain):
        stops = [stop_inside_tokens(tokenizer, tokens, at) for at in range(3 + row, len(tokens))]
        stops = [stop for stop in stops if stop is not None and len(stop) > 1]
        is_usable = lambda stop: not any(is_across_prompt(stop, *pair) for pair in zip(PROMPTS, texts))
        inside += list(filter(is_usable, stops))[:1]
    # A token that the model chooses in the second half of a text ends the texts of another case.
    eos = [tokenizer.eos_token_id, plain[3][MAX_NEW_TOKENS // 2]]
    assert len(inside) >= 3, inside
    for ends, stops in [([tokenizer.eos_token_id], []), ([tokenizer.eos_token_id], inside[:3]), (eos, inside[3:5])]:
        rows = generate(model, tokenizer, ends, stops)
        # The text of the token that ends a text is not part of the text.
        kept = [row[:-1] if row and row[-1] in ends else row for row in rows]
        texts = [tokenizer.decode(row, skip_special_tokens=True) for row in kept]
        yield {
            "eos_token_ids": ends,
            "stop_strings": stops,
            "tokens": rows,
            "texts": [text_before_stops(text, stops) for text in texts],
        }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    trained = make_tokenizer()
    trained.save(str(FOLDER / "tokenizer.json"), pretty=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token=PAD, eos_token=END)
    config = LlamaConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=32,
        intermediate_size=56,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    randomise(model)
    model.to(torch.bfloat16).save_pretrained(FOLDER)
    (FOLDER / "generation_config.json").unlink(missing_ok=True)
    stored = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    cases = list(make_cases(stored, tokenizer))
    expected = {"max_new_tokens": MAX_NEW_TOKENS, "prompts": prompts, "cases": cases}
    (FOLDER / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
    for case in cases:
        print(case["eos_token_ids"], case["stop_strings"], [len(row) for row in case["tokens"]])


if __name__ == "__main__":
    main()
