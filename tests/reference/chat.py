"""Renders chat templates with Hugging Face transformers (apply_chat_template). Writes the texts as fixtures.

The script renders each template in tests/fixtures/chat/ with each list of messages, with and without the
start of an answer. It writes each text, or the error that the template raised, to expected.json in the same
folder. The file also holds the special tokens of each template's tokenizer. The clock is fixed.

If a folder is given as argument, the script renders the templates (*.jinja) in this folder instead, and
writes expected.json into it. If DTR_CHATS names this folder, a test compares dtr's texts with that file.
"""

import datetime
import json
import shutil
import sys
import tempfile
from pathlib import Path

from jinja2 import TemplateError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

FIXTURES = Path(__file__).parent.parent / "fixtures" / "chat"
NOW = datetime.datetime(2026, 3, 5, 9, 7, 1)

ARGUMENTS = {"place": "Zürich \"am See\"", "days": 3, "exact": 0.5, "options": {"wind": True, "units": None}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
MESSAGES = {
    "one": [{"role": "user", "content": "  Hello there.\n"}],
    "system": [
        {"role": "system", "content": " You are terse. "},
        {"role": "user", "content": "What is 水? <b>& 'quotes' \"too\"</b>"},
    ],
    "turns": [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "<think>\nhm, first\n</think>\n\nsecond"},
        {"role": "user", "content": "third", "name": "ada"},
        {"role": "assistant", "content": "<think>\n\nlet me see\n</think>\n\nfourth 🙂"},
    ],
    "tools": [
        {"role": "system", "content": ""},
        {"role": "user", "content": "Will it rain?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
        {"role": "tool", "content": "no"},
        {"role": "tool", "content": "{\"wind\": 3}"},
        {"role": "assistant", "content": None, "thought": "\nso dry\n", "tool_calls": [CALL, CALL]},
        {"role": "user", "content": "<result>\nx\n</result>"},
    ],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "see "}, {"type": "image"}, {"type": "text", "text": "this"}]},
        {"role": "assistant", "content": []},
    ],
    "out of turn": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "notes": [{"role": "note", "content": "x"}] + [{"role": "user", "content": str(at)} for at in range(9)],
}


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def load_tokenizer(folder):
    """Loads the tokenizer of a folder that has a chat template but no vocabulary."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder, place, dirs_exist_ok=True)
        Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(f"{place}/tokenizer.json")
        return PreTrainedTokenizerFast.from_pretrained(place)


def render_chat(tokenizer, name, messages, opens_answer):
    result = {"messages": name, "opens_answer": opens_answer}
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens_answer)
        return result | {"text": text}
    except (TemplateError, TypeError) as error:
        return result | {"error": str(error)}


def render_chats(tokenizer):
    return [
        render_chat(tokenizer, name, messages, opens_answer)
        for name, messages in MESSAGES.items()
        for opens_answer in (False, True)
    ]


def write_expected(folder, models):
    whole = {"now": NOW.isoformat(), "messages": MESSAGES, "models": models}
    text = json.dumps(whole, ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    for name, model in models.items():
        failed = sum("error" in chat for chat in model["chats"])
        print(f"{name}: {len(model['chats']) - failed} texts, {failed} errors")


def write_repository_fixtures():
    models = {}
    for folder in sorted(path for path in FIXTURES.iterdir() if path.is_dir()):
        tokenizer = load_tokenizer(folder)
        models[folder.name] = {"tokens": tokenizer.special_tokens_map, "chats": render_chats(tokenizer)}
    write_expected(FIXTURES, models)


def write_folder_fixtures(folder):
    models = {}
    for path in sorted(folder.glob("*.jinja")):
        tokens = {"bos_token": "<s>", "eos_token": "</s>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")), **tokens)
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        models[path.stem] = {"tokens": tokens, "chats": render_chats(tokenizer)}
    write_expected(folder, models)


if __name__ == "__main__":
    chat_template_utils.datetime = FixedClock
    write_folder_fixtures(Path(sys.argv[1])) if len(sys.argv) > 1 else write_repository_fixtures()
