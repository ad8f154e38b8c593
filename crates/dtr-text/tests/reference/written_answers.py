"""Writes the fixtures of crates/dtr-text, computed by Python 3.11 and the packages in requirements.txt.

The folder tests/fixtures/ gets one JSON file for each subject. Few-shot draws, stop strings, the filter `regex`,
`exact_match` and the scores of LongBench and SWDE come from lm-evaluation-harness, and ROUGE-L from `rouge`.

The optional argument is a folder of public data with the files gsm8k/train.jsonl and gsm8k/test.jsonl. With this
argument, the script also writes gsm8k.json: the examples and the SHA-256 of the prompts of GSM8K.
"""

import ast
import hashlib
import json
import random
import re
import sys
import warnings
from pathlib import Path

import lm_eval
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.api.samplers import ContextSampler
from lm_eval.filters.extraction import RegexFilter
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.tasks.longbench.metrics import classification_score, qa_f1_score
from lm_eval.tasks.swde.task import contains_score
from rouge import Rouge
from sklearn.metrics import f1_score

FIXTURES = Path(__file__).parent.parent / "fixtures"
GSM8K_IGNORED = [",", "\\$", "(?s).*#### ", "\\.$"]
# Characters on which Python and Rust could disagree.
ODD = list("\x00\x0b\x0c\r\x1c\x1f\x85\xa0\u2003\u200b²½٣a\u0301ßſİıIΣσςΐﬅKk水_é𝟙Ⅷ🙂")


def write(name, value):
    path = FIXTURES / f"{name}.json"
    rows = [json.dumps(row) for row in value]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print(path.name, len(rows), f"{path.stat().st_size / 1024:.0f} KiB")


def random_text(generator, alphabet, most):
    return "".join(generator.choice(alphabet) for _ in range(generator.randrange(most + 1)))


def python_random():
    sizes = [(1, 1), (5, 5), (21, 4), (22, 4), (21, 5), (22, 5), (85, 6), (86, 6), (85, 21), (86, 21), (277, 22),
             (278, 22), (100, 100), (7473, 4), (7473, 0), (1 << 20, 3), (1 << 33, 4), ((1 << 33) + 7, 9), (0, 0)]
    rows = []
    for seed in [0, 1, 42, 1234, (1 << 32) - 1, 1 << 32, (1 << 63) + 12345, (1 << 64) - 1]:
        generator = random.Random(seed)
        bits = [generator.getrandbits(count) for count in (1, 13, 31, 32, 33, 63, 64)]
        samples = [[size, count, generator.sample(range(size), count)] for size, count in sizes]
        rows.append({"seed": seed, "bits": list(map(str, bits)), "samples": samples})
    return rows


def shots():
    """Draws of examples from the split of the documents. Equal documents have equal numbers in `documents`."""
    rows = []
    for documents in [list(range(30)), list(range(8)), [0, 1, 2, 3] * 3, [7, 7, 7, 1, 2]]:
        for count in (1, 3, 4):
            sampler = ContextSampler([{"number": number} for number in documents])
            sampler.set_rnd(1234)
            # Each row of the pool is an object of its own, which tells its place.
            places = {id(document): place for place, document in enumerate(sampler.df)}
            draws = []
            for number in documents:
                try:
                    drawn = sampler.sample(count, eval_doc={"number": number})
                    draws.append([places[id(document)] for document in drawn])
                except AssertionError:
                    draws.append(None)
            rows.append({"documents": documents, "count": count, "draws": draws})
    return rows


def stop_strings():
    generator = random.Random(5)
    rows = []
    for _ in range(300):
        stops = [random_text(generator, "ab\n水", 3) for _ in range(generator.randrange(5))]
        text = random_text(generator, "ab\n水", 14)
        rows.append([stops, text, postprocess_generated_text(text, stops, None)])
    return rows


def fenced_blocks():
    """Uses the function of the task mbpp_instruct, whose module cannot be imported without downloads."""
    source = (Path(lm_eval.__file__).parent / "tasks/mbpp/utils.py").read_text()
    function = next(node for node in ast.parse(source).body if getattr(node, "name", "") == "extract_code_blocks")
    scope = {"re": re}
    exec(compile(ast.Module([function], []), "utils.py", "exec"), scope)
    texts = ["python\ndef f():\n    return 1\n```\nmore\n```\nx\n```", "no end", "", "x = `1`\n```", "```", "py thon\nx```",
             "c++\nint x;\n```", "\n\nx\n\n\n```", "é²\nx\n```", "a\u0301\nx\n```", "python```", "x\r\n```"]
    return [[text, scope["extract_code_blocks"](text)] for text in texts]


def patterns():
    generator = random.Random(6)
    known = [
        r"#### (\-?[0-9\.\,]+)", r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r",", r"\$", r"(?s).*#### ", r"\.$", r"$", r"^", r"\Z", r"\A",
        r"a$", r"a\Z", r"(?m)^a|b$", r"(?m:a$)b?", r"(?i)ab", r"(?i:a)b", r"(?s:.)", r".", r"(?x) a  b # c", r"(?x:a # c" + "\n)b",
        r"\bthe\b", r"\b", r"\B", r"\w+", r"\W", r"\d", r"\D+", r"\s", r"\S+", r"[\w-]", r"[^\s\d]", r"[\S]", r"[\W_]", r"[\D]",
        r"[]a]", r"[^]a]", r"[[a]", r"[a&&b]", r"[+--b]", r"[a~~b|]", r"[a-]", r"[-a]", r"[a\-z]", r"[\b]", r"[\]\[]",
        r"[\x61-\x62]", r"[\141\0]", r"\x61", r"\u0062", r"\U0001f642", r"\141", r"\07", r"\0", r"\.", r"\-", r"\ ", r"\水", r"水+",
        r"a{2}", r"a{,2}", r"a{1,}", r"a{1,2}?", r"a{", r"a{b}", r"{", r"{}", r"a{,}", r"a{1,2,3}", r"}", r"]", r"\{a\}",
        r"a*", r"a*?", r"a??", r"|a", r"a|", r"(a*)", r"(a)|(b)", r"(a)?b", r"(a)(?:b)(c)?", r"((a)b?)+", r"(?=a)", r"(?!a).", r"(?<=a)b",
        r"(?<!a)b", r"(?P<x>a)(?P=x)", r"(a)\1", r"(a)(?(1)b|c)", r"(?P<x>a)?(?(x)b|c)", r"(?#note)a", r"(?>a+)b", r"a++b", r"a+?",
        r"(a|b)\1", r"(?:a|b)*", r"(a)\1[0a]", r"x*", r"\\", r"\/", r"(?i)(?s)a.b", r"(?i)ſ|k", r"\\boxed{(.*?)}",
        r"[Aa]nswer is:?\s*\(?([A-D])\)?", r"```(?:\w+)?\n?(.*?)\n?```", r"(?s)```(?:\w+)?\n?(.*?)\n?```", r"^(?:yes|no)\b",
    ]
    pieces = ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b", r"\s", "$", "^", "\n", "(a|b)", "(?:ab)?", "(?=b)", "(?!b)", "(a*)", r"\d"]
    counts = ["", "", "", "", "*", "+", "?", "*?", "{1,2}"]
    generated = set()
    while len(generated) < 150:
        pattern = "".join(generator.choice(pieces) + generator.choice(counts) for _ in range(generator.randrange(1, 4)))
        pattern = generator.choice(["", "", "(?m)", "(?s)", "(?i)"]) + pattern
        if generator.random() < 0.3:
            pattern += "|" + generator.choice(pieces)
        try:
            re.compile(pattern)
        except re.error:
            continue
        # An assertion or an anchor with a count means nothing, and the engines differ over it.
        if not re.search(r"([$^]|\\b|\(\?[=!]b\))[*+?{]|\(a\*\)[*+?{]", pattern):
            generated.add(pattern)
    texts = ["", "\n", "a", "ab\n", "aab ba\n\n", "The cat, the a1 b2.\n", " 5.", "Abba{1}[x]a,b} -]", "a²b\u0301 a_b", "x\x1cy\u2003z 12,"]
    rows = []
    for index, pattern in enumerate(known + sorted(generated)):
        own = [f"answer is (B) \\boxed{{3}} ```py\nx = 1\n``` aca abab水水aa-a\x08\\/ 🙂 Kſ $1,234.50 #### -3.\n"] if index < len(known) else []
        results = [[text, re.findall(pattern, text), re.sub(pattern, "", text)] for text in texts + own]
        rows.append({"pattern": pattern, "groups": re.compile(pattern).groups, "results": results})
    return rows


def invalid_patterns():
    rows = ["(", ")", "a)", "[", "[a", "a\\", r"\z", r"\p{L}", r"\G", r"\K", r"\h", r"[\z]", "(?<x>a)", "(?P>x)", "(?P<x", "a(?i)b", "(?", "(?i",
            "(?#", r"\x1", r"\u12", r"\U00110000", "[b-a]", r"[\d-z]", "(?(x)a)", r"\400", "*", "(?-i)a", "(?i-i:a)", "(?z)"]
    for pattern in rows:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                re.compile(pattern)
        except re.error:
            continue
        raise AssertionError(f"Python accepts {pattern!r}")
    return rows


def regex_filters():
    texts = [" He makes 9 * 2 = $<<9*2=18>>18.\n#### 18", " The answer is 1,234.", "It costs $5.00 in all.", " so 7", " no number",
             "#### -3.", "a. b, c ..", "x=3 and 12,", " #### 5\n\nQuestion", "The total is 18.0", "", "#### ", "#### 1 #### 2", "$", "--5", "٣ 3"]
    patterns = [r"#### (\-?[0-9\.\,]+)", r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r"\s*\w*", r"(a)?(b)?", r" ( *)", r"(\x1c| )"]
    rows = []
    for pattern in patterns:
        for choice in (0, -1):
            answers = [RegexFilter(pattern, choice).apply([[text]], [{}])[0][0] for text in texts + ["ab \x1c\n"]]
            rows.append({"pattern": pattern, "last": choice == -1, "texts": texts + ["ab \x1c\n"], "answers": answers})
    return rows


def exact_matches():
    generator = random.Random(7)
    configs = [(GSM8K_IGNORED, True, False, False), (None, False, False, False), (None, True, True, False), (None, False, False, True),
               ([" ", "\\d$"], True, True, True), (["\\.$"], False, False, False)]
    pairs = [("18", "a\n#### 18"), ("18.", "#### 18"), ("$1,234.\n", "#### 1234"), ("18.0", "#### 18"), ("..", "."), ("[invalid]", "#### 1"),
             ("5.\x00", "5"), ("a\x00", "a"), ("ΑΣ", "ας"), ("İ", "i̇"), ("#### 1\n#### 2", "2"), ("", "#### "), ("A b.", "ab"), ("x²", "x")]
    for _ in range(60):
        texts = [random_text(generator, "aA1 .,\n$#\x00", 6) for _ in range(2)]
        pairs += [tuple(texts), (texts[0], texts[0].upper() + ".")]
    rows = []
    for ignored, case, punctuation, numbers in configs:
        score = lambda pair: int(exact_match_hf_evaluate([pair[0]], [pair[1]], ignored, case, punctuation, numbers)["exact_match"])
        config = {"ignored-patterns": ignored or [], "ignore-case": case, "ignore-punctuation": punctuation, "ignore-numbers": numbers}
        rows.append({"config": config, "pairs": [[*pair, score(pair)] for pair in pairs]})
    return rows


def contains():
    generator = random.Random(8)
    cased = [chr(code) for code in range(0x110000) if chr(code).lower() != chr(code) or chr(code).upper() != chr(code)]
    cased = [one for one in cased if not 0xD800 <= ord(one) < 0xE000]
    rows = [["The Cat.", "cat", 1], ["cat", "", 1], ["", "", 1], ["", "a", 0], ["a.c", "a.c", 1], ["abc", "a.c", 0]]
    # All characters that Python takes for equal to another one, in groups.
    groups = {}
    for one in cased:
        groups.setdefault(one.lower()[0].upper(), []).append(one)
    for group in groups.values():
        if len(group) > 2 or generator.random() < 0.04:
            rows += [["x" + one + "y", other, contains_score("x" + one + "y", [other])] for one in group for other in group[:3]]
    for _ in range(150):
        text = random_text(generator, ODD + list("abAB"), 12)
        label = random_text(generator, ODD + list("abAB"), 1) or text[2:5].swapcase()
        rows.append([text, label, contains_score(text, [label])])
    return rows


def token_f1():
    generator = random.Random(9)
    words = ["the", "a", "An", "cat", "Cat,", "THE", "U.S.", "a-b", "b", "—", "it's", "2", "_the_", "a²", "ΑΣ", "then", "·a·x", "a\u0301", "\x1c", "\n"]
    rows = [["", "", qa_f1_score("", "")], ["the", "the", qa_f1_score("the", "the")], ["the cat", "a cat", qa_f1_score("the cat", "a cat")]]
    for _ in range(300):
        texts = [" ".join(generator.choice(words) for _ in range(generator.randrange(8))) for _ in range(2)]
        rows.append([*texts, qa_f1_score(*texts)])
    return rows


def macro_f1():
    generator = random.Random(10)
    rows = []
    for classes in [["yes", "no", "maybe"], ["a"], list("abcdefghijklm")]:
        for _ in range(20):
            count = generator.randrange(1, 40)
            golds = [generator.choice(classes) for _ in range(count)]
            texts = [generator.choice(classes + [gold, gold, gold, "[invalid]", "other"]) for gold in golds]
            rows.append({
                "classes": classes, "golds": golds, "answers": texts,
                "all": float(f1_score(golds, texts, average="macro")),
                "given": float(f1_score(golds, texts, labels=classes, average="macro")),
            })
    return rows


def rouge_l():
    generator = random.Random(11)
    sys.setrecursionlimit(100_000)
    pairs = [
        ("Amanda baked cookies and will bring Jerry some tomorrow.", "Amanda baked cookies and will bring Jerry some tomorrow."),
        ("Tom likes the cat. The cat likes Tom.", "The cat likes Tom. Tom likes the cat."), ("a b c d", "d c b a"), ("the the the", "the"),
        ("Hello , world", "hello, world"), ("A. B. C", "A B C"), ("x", "y"), ("One two three. Two three four.", "Two three. One four five. Six."),
        ("U.S.A. is big.", "The U.S.A. is very big."), ("a b a c a d", "a c d a b"), ("  spaced   words  here", "spaced words here"), ("...", "abc"),
        ("", "abc"), (". . .", "abc"), ("abc", ""), ("Anna will meet Bob at 5 pm at the station. She is late.", "Bob and Anna meet at the station at 5 pm. Anna is late."),
        (". .", ". a"), ("a\x1cb", "a b"), ("a\u00a0b.\n", "b a"), ("\n", " "),
    ]
    vocabulary = ["Anna", "Bob", "will", "meet", "at", "the", "station", "5", "pm", "late", "is", "She"]
    for index in range(320):
        words = vocabulary[: generator.randrange(2, len(vocabulary) + 1)] + ["."] * generator.randrange(3)
        most = 200 if index < 8 else 30
        pairs.append(tuple(" ".join(generator.choice(words) for _ in range(generator.randrange(1, most))) for _ in range(2)))
    rows = []
    for text, reference in pairs:
        try:
            score = Rouge().get_scores([text], [reference], avg=True)["rouge-l"]
            rows.append([text, reference, [score["r"], score["p"], score["f"]]])
        except ValueError:
            rows.append([text, reference, None])
    return rows


def classification():
    generator = random.Random(12)
    trec = ["Food", "Date", "Order, rank", "Speed", "Disease and medicine", "Word with a special property", "Abbreviation", "Language",
            "Letter like a-z", "Other entity", "Animal", "Expression abbreviated", "Price", "Techniques and method", "Musical instrument", "Mountain",
            "Currency or coin", "Event", "Currency name", "Other location", "City", "State", "Country", "Definition of something",
            "Description of something", "Individual", "Group or organization of person"]
    cases = [(text, gold, trec) for text, gold in [("Type: Animal", "Animal"), ("Animal or Food", "Animal"), ("animal", "Animal"), ("Other location", "Other location")]]
    cases += [("a ab abc", "abc", ["a", "ab", "abc"]), ("a b ab", "ab", ["a", "b", "ab"]), ("abc", "abc", ["a", "b", "c", "abc"]),
              ("Other location", "Other location", ["location", "Other location"]), ("", "a", ["", "a"]), ("x", "y", []), ("a", "a", ["b"])]
    for _ in range(300):
        classes = [random_text(generator, "abc", 3) for _ in range(generator.randrange(1, 9))]
        gold = generator.choice(classes) if generator.random() < 0.9 else "abc"
        cases.append((random_text(generator, "abc ", 8) + generator.choice(["", gold]), gold, classes))
    return [[text, gold, classes, classification_score(text, gold, all_classes=classes)] for text, gold, classes in cases]


def python_text():
    generator = random.Random(13)
    texts = [random_text(generator, ODD + list("ab  \n"), 10) for _ in range(200)] + ["ΑΣ", "Σ", "ΑΣ Σ", "ΑΣ.", "Α\u0301Σ"]
    spaces = [code for code in range(0x110000) if chr(code).isspace()]
    return [spaces] + [[text, text.strip(), text.split(), text.lower()] for text in texts]


def gsm8k(folder):
    read = lambda name: [json.loads(line) for line in (folder / "gsm8k" / name).read_text().splitlines()]
    train, test = read("train.jsonl"), read("test.jsonl")
    rows = []
    for count in (4, 5):
        sampler = ContextSampler([dict(row, place=place) for place, row in enumerate(train)])
        sampler.set_rnd(1234)
        draws, digests = [], []
        for document in test:
            drawn = sampler.sample(count)
            shots = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in drawn)
            prompt = f"{shots}Question: {document['question']}\nAnswer:"
            draws.append([row["place"] for row in drawn])
            digests.append(hashlib.sha256(prompt.encode()).hexdigest())
        all_digests = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        rows.append({"count": count, "first": draws[:10], "last": draws[-1], "first_digest": digests[0], "all_digests": all_digests})
    return rows


def main():
    FIXTURES.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    for subject in [python_random, shots, stop_strings, fenced_blocks, patterns, invalid_patterns, regex_filters, exact_matches, contains,
                    token_f1, macro_f1, rouge_l, classification, python_text]:
        write(subject.__name__, subject())
    if len(sys.argv) > 1:
        write("gsm8k", gsm8k(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
