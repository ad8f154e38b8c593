"""Small tasks in EvalPlus' form, and solutions of them, for tests that need no published data.

The task numbers of MBPP decide how inputs are converted, and the names of functions decide which outputs count as
equal.
"""


def task(task_id, entry_point, parameters, body, base_input, plus_input, atol=0):
    """Returns a row as JSON text. The inputs are texts, since JSON of other languages has no NaN."""
    prompt = f"def {entry_point}({parameters}):\n"
    fields = f'"task_id": "{task_id}", "prompt": {quote(prompt)}, "entry_point": "{entry_point}"'
    return (
        f'{{{fields}, "canonical_solution": {quote(body)}, "base_input": {base_input}, '
        f'"plus_input": {plus_input}, "atol": {atol}}}'
    )


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


OWN_TASKS = [
    task("HumanEval/0", "halve", "x", "    return x / 2\n", "[[3.0], [1]]", "[[1e300], [123456789012345678901]]"),
    task("HumanEval/1", "pairs", "xs", "    return list(zip(xs, xs[1:]))\n", "[[[1, 2, 3]]]", "[[[]], [[1, 1]]]"),
    task("HumanEval/2", "find_zero", "xs", "    return -xs[0] / xs[1]\n", "[[[1, 2]]]", "[[[-6, 3]]]", "1e-4"),
    task("HumanEval/3", "big", "n", "    return 7 ** n\n", "[[2]]", "[[900]]"),
    task("Mbpp/404", "minimum", "a, b", "    return min(a, b)\n", "[[1, 2]]", "[[Infinity, -Infinity], [NaN, 3.0]]"),
    task("Mbpp/2", "similar_elements", "a, b", "    return tuple(set(a) & set(b))\n", "[[[3, 4], [4, 5]]]", "[[[], []], [[1], [1]]]"),
    task("Mbpp/295", "sum_div", "n", "    return n + 1\n", "[[3]]", "[[4], [5]]"),
    task("Mbpp/581", "surface_Area", "b, s", "    return 2 * b * s + b * b\n", "[[3, 4]]", "[[4, 5]]"),
    task("Mbpp/558", "digit_distance_nums", "a, b", "    return 2\n", "[[1, 3]]", "[[23, 3]]"),
    task("Mbpp/115", "kinds", "xs", "    return [type(x).__name__ for x in xs]\n", "[[[[1], []]]]", "[[[[2, 2]]]]"),
    task("Mbpp/124", "angle", "a, b", "    import cmath\n    return cmath.phase(a + b)\n", '[["0", "1j"]]', '[["2", "1j"]]'),
    task("Mbpp/580", "depth", "t", "    return t\n", "[[[1, [2, [3]]]]]", "[[[[]]]]"),
    task("Mbpp/722", "keep", "d, a, b", "    return {k: (v, a, b) for k, v in d.items()}\n", '[[{"x": [1, 2]}, 1, 2]]', "[[{}, 1, 2]]"),
    task("Mbpp/794", "text_starta_endb", "s", "    import re\n    return re.search('a.*b$', s)\n", '[["aab"]]', '[["x"]]'),
    task("Mbpp/800", "floats", "n", "    return [i / 3 for i in range(n)]\n", "[[3]]", "[[4], [0]]"),
]

OWN_SOLUTIONS = [
    ("HumanEval/0", "def halve(x): return x / 2\n"),
    ("HumanEval/0", "def halve(x): return x / 2 + 1e-7\n"),
    ("HumanEval/0", "def halve(x): return x // 2\n"),
    ("HumanEval/0", "def halve(x): return str(x / 2)\n"),
    ("HumanEval/0", "import os\nos._exit(0)\n"),
    ("HumanEval/0", "import sys\nsys.exit(0)\n"),
    ("HumanEval/0", "def halve(x):\n    while True: pass\n"),
    ("HumanEval/0", "def halve(x): return halve(x)\n"),
    ("HumanEval/0", "def halve(x): return float('nan')\n"),
    ("HumanEval/0", "def halve(x): return bytearray(8 << 30)\n"),
    ("HumanEval/0", "def halve(x):\n    print(x)\n    return x / 2\n"),
    ("HumanEval/0", "def halve(x):\n    input()\n    return x / 2\n"),
    ("HumanEval/1", "def pairs(xs): return [(a, b) for a, b in zip(xs, xs[1:])]\n"),
    ("HumanEval/1", "def pairs(xs): return [[a, b] for a, b in zip(xs, xs[1:])]\n"),
    ("HumanEval/1", "def pairs(xs): return tuple(zip(xs, xs[1:]))\n"),
    ("HumanEval/2", "def find_zero(xs): return -xs[0] / xs[1] + 1e-5\n"),
    ("HumanEval/2", "def find_zero(xs): return -xs[0] / xs[1] + 1e-3\n"),
    ("HumanEval/2", "def find_zero(xs): return str(-xs[0] / xs[1])\n"),
    ("HumanEval/3", "def big(n): return pow(7, n)\n"),
    ("HumanEval/3", "def big(n): return 7.0 ** n\n"),
    ("Mbpp/404", "def minimum(a, b): return min(a, b)\n"),
    ("Mbpp/404", "def minimum(a, b): return a if a < b else b\n"),
    ("Mbpp/2", "def similar_elements(a, b): return list(set(a) & set(b))\n"),
    ("Mbpp/2", "def similar_elements(a, b): return [x for x in a for y in (1, 2) if x in b]\n"),
    ("Mbpp/2", "def similar_elements(a, b): return a\n"),
    ("Mbpp/2", "def similar_elements(a, b): return tuple(set(a + b) - (set(a) ^ set(b)))\n"),
    ("Mbpp/295", "def sum_div(n): return 0\n"),
    ("Mbpp/295", "def sum_div(n): return n\n"),
    ("Mbpp/581", "def surface_Area(b, h):\n    return round(b * b + 2 * b * ((b / 2) ** 2 + h * h) ** 0.5)\n"),
    ("Mbpp/581", "def surface_Area(b, h): return 1\n"),
    ("Mbpp/558", "def digit_distance_nums(a, b): return 2\n"),
    ("Mbpp/558", "def digit_distance_nums(a, b): return abs(a - b) // 10 or 2\n"),
    ("Mbpp/115", "def kinds(xs): return [type(x).__name__ for x in xs]\n"),
    ("Mbpp/115", "def kinds(xs): return ['set' for x in xs]\n"),
    ("Mbpp/124", "import cmath\ndef angle(a, b): return cmath.phase(complex(a.real, b.imag))\n"),
    ("Mbpp/124", "def angle(a, b): return 0.46364761\n"),
    ("Mbpp/580", "def depth(t): return tuple(t)\n"),
    ("Mbpp/580", "def depth(t): return list(t)\n"),
    ("Mbpp/722", "def keep(d, a, b): return dict((k, (d[k], a, b)) for k in d)\n"),
    ("Mbpp/722", "def keep(d, a, b): return {k: (list(d[k]), a, b) for k in d}\n"),
    ("Mbpp/794", "def text_starta_endb(s): return s[0] == 'a' and s[-1] == 'b'\n"),
    ("Mbpp/794", "def text_starta_endb(s): return 'Found' if s[0] == 'a' else None\n"),
    ("Mbpp/794", "def text_starta_endb(s): return 'Found' if s[0] == 'a' else 'Not found'\n"),
    ("Mbpp/800", "def floats(n): return [i * (1 / 3) for i in range(n)]\n"),
    ("Mbpp/800", "def floats(n): return [i / 3 + 1e-5 for i in range(n)]\n"),
    ("Mbpp/800", "def floats(n): return tuple(i / 3 for i in range(n))\n"),
    ("Mbpp/800", "def floats(n): return [i / 3 for i in range(n - 1)]\n"),
    ("Mbpp/800", "def other(n): return 1\n"),
    ("Mbpp/800", "def floats(n:\n"),
]
