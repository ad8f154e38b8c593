"""Ways to break a correct program, for the comparison of verdicts.

SUFFIXES follow a correct program and replace its function, which `{entry}` names. The function `mutations` returns
small edits of the program itself.
"""

import io
import tokenize

WRAP = "\n_right = {entry}\ndef {entry}(*arguments):\n    "

SUFFIXES = {
    "correct": "",
    "slow": WRAP + "import time\n    time.sleep(1.5)\n    return _right(*arguments)\n",
    "slow at import": "\nimport time\ntime.sleep(1.5)\n",
    "memory": WRAP + "block = bytearray(8 << 30)\n    return _right(*arguments)\n",
    "memory in small parts": WRAP + "parts = []\n    while True:\n        parts.append(bytearray(1 << 26))\n",
    "text": WRAP + "return str(_right(*arguments))\n",
    "nan": WRAP + "return float('nan')\n",
    "infinity": WRAP + "return float('inf')\n",
    "set": WRAP + "out = _right(*arguments)\n    return set(out) if isinstance(out, (list, tuple, str)) else {{out}}\n",
    "tuple": WRAP + "out = _right(*arguments)\n    return tuple(out) if isinstance(out, list) else [out]\n",
    "list of tuple": WRAP + "out = _right(*arguments)\n    return list(out) if isinstance(out, tuple) else (out,)\n",
    "reversed": WRAP + "out = _right(*arguments)\n    return out[::-1] if isinstance(out, (list, tuple, str)) else out\n",
    "doubled": WRAP + "out = _right(*arguments)\n    return out + out\n",
    "float": WRAP + "out = _right(*arguments)\n    return float(out) if isinstance(out, int) else out\n",
    "integer": WRAP + "out = _right(*arguments)\n    return int(out) if isinstance(out, (bool, float)) else out\n",
    "complex": WRAP + "out = _right(*arguments)\n    return complex(out) if isinstance(out, (int, float)) else out\n",
    "close": WRAP + "out = _right(*arguments)\n    move = lambda x: x + 1e-9 if isinstance(x, float) else x\n"
    "    return type(out)(map(move, out)) if isinstance(out, (list, tuple)) else move(out)\n",
    "nearly close": WRAP + "out = _right(*arguments)\n    move = lambda x: x + 3e-5 if isinstance(x, float) else x\n"
    "    return type(out)(map(move, out)) if isinstance(out, (list, tuple)) else move(out)\n",
    "numbers moved": WRAP + "out = _right(*arguments)\n    return out + 1e-7 if isinstance(out, (int, float)) else out\n",
    "numpy": "\nimport numpy" + WRAP + "return numpy.array(_right(*arguments))\n",
    "numpy scalar": "\nimport numpy" + WRAP + "out = _right(*arguments)\n"
    "    return numpy.float64(out) if isinstance(out, (int, float)) else out\n",
    "none": WRAP + "return None\n",
    "zero": WRAP + "return 0\n",
    "true": WRAP + "return True\n",
    "generator": WRAP + "yield _right(*arguments)\n",
    "equal to all": "\nclass Equal:\n    def __eq__(self, other):\n        return True\n" + WRAP + "return Equal()\n",
    "changes its input": WRAP + "for argument in arguments:\n        if isinstance(argument, list):\n"
    "            argument.clear()\n    return _right(*arguments)\n",
    "changes its input later": WRAP + "out = _right(*arguments)\n    for argument in arguments:\n"
    "        if isinstance(argument, list):\n            argument.clear()\n    return out\n",
    "right once": "\n_count = []" + WRAP + "_count.append(1)\n    return _right(*arguments) if len(_count) < 2 else None\n",
    "sys.exit": WRAP + "import sys\n    sys.exit(0)\n",
    "sys.exit at import": "\nimport sys\nsys.exit(0)\n",
    "exit": WRAP + "exit()\n",
    "os._exit": WRAP + "import os\n    os._exit(0)\n",
    "os._exit at import": "\nimport os\nos._exit(0)\n",
    "os.abort": WRAP + "import os\n    os.abort()\n",
    "crash": WRAP + "import ctypes\n    ctypes.string_at(0)\n",
    "keyboard interrupt": WRAP + "raise KeyboardInterrupt\n",
    "own base exception": "\nclass Stop(BaseException):\n    pass\n" + WRAP + "raise Stop\n",
    "prints": WRAP + "import sys\n    print('x' * 100000)\n    sys.stderr.write('y')\n    return _right(*arguments)\n",
    "prints at import": "\nprint('x' * 100000)\n",
    "reads input": WRAP + "input()\n    return _right(*arguments)\n",
    "reads standard input": WRAP + "import sys\n    sys.stdin.read()\n    return _right(*arguments)\n",
    "writes to descriptor 1": WRAP + "import os\n    os.write(1, b'x')\n    return _right(*arguments)\n",
    "endless": WRAP + "while True:\n        pass\n",
    "endless, catches": WRAP + "while True:\n        try:\n            while True:\n                pass\n"
    "        except Exception:\n            pass\n",
    "catches its time limit": WRAP + "try:\n        while True:\n            pass\n    except Exception:\n"
    "        return _right(*arguments)\n",
    "recursion": WRAP + "return {entry}(*arguments)\n",
    "recursion of 970": "\ndef _down(n):\n    return n and _down(n - 1)\n" + WRAP + "_down(970)\n    return _right(*arguments)\n",
    "recursion of 973": "\ndef _down(n):\n    return n and _down(n - 1)\n" + WRAP + "_down(973)\n    return _right(*arguments)\n",
    "recursion of 975": "\ndef _down(n):\n    return n and _down(n - 1)\n" + WRAP + "_down(975)\n    return _right(*arguments)\n",
    "recursion of 5000": "\nimport sys\nsys.setrecursionlimit(10000)\ndef _down(n):\n    return n and _down(n - 1)\n" + WRAP
    + "_down(5000)\n    return _right(*arguments)\n",
    "opens a file": WRAP + "open('x', 'w')\n    return _right(*arguments)\n",
    "writes a file": WRAP + "import io\n    with io.open('x', 'w') as file:\n        file.write('x')\n    return _right(*arguments)\n",
    "lists files": WRAP + "import os\n    assert os.listdir('.') == []\n    return _right(*arguments)\n",
    "working folder": WRAP + "import os\n    os.getcwd()\n    return _right(*arguments)\n",
    "starts a process": WRAP + "import subprocess\n    subprocess.run(['true'])\n    return _right(*arguments)\n",
    "starts a shell": WRAP + "import os\n    os.system('true')\n    return _right(*arguments)\n",
    "multiprocessing": WRAP + "import multiprocessing\n    multiprocessing.Process(target=print).start()\n    return _right(*arguments)\n",
    "imports multiprocessing": WRAP + "import multiprocessing.pool, concurrent.futures\n    return _right(*arguments)\n",
    "thread": WRAP + "import threading\n    out = []\n    thread = threading.Thread(target=lambda: out.append(_right(*arguments)))\n"
    "    thread.start()\n    thread.join()\n    return out[0]\n",
    "thread that stays": WRAP + "import threading, time\n    threading.Thread(target=time.sleep, args=(2,)).start()\n    return _right(*arguments)\n",
    "asyncio": WRAP + "import asyncio\n    async def work():\n        return _right(*arguments)\n    return asyncio.run(work())\n",
    "imports resource": WRAP + "import resource\n    return _right(*arguments)\n",
    "imports many": "\nimport decimal, fractions, heapq, itertools, typing, dataclasses, statistics, unittest, tempfile, pathlib, random\n",
    "main": "\nif __name__ == '__main__':\n    raise SystemExit(3)\n",
    "name of module": WRAP + "assert __name__ == 'builtins'\n    return _right(*arguments)\n",
    "assertion": "\nassert False\n",
    "syntax error": "\ndef broken(:\n",
    "no function": "\ndel {entry}\n",
    "not a function": "\n{entry} = 3\n",
    "null character": "\nx = 'a\0b'\n",
    "alarm of its own": WRAP + "import signal\n    signal.alarm(0)\n    return _right(*arguments)\n",
    "replaced builtins": "\nimport builtins\nbuiltins.set = builtins.tuple\n",
}

OPERATORS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+", "//": "/",
    "/": "//", "%": "*", "+=": "-=", "-=": "+=", "and": "or", "or": "and", "True": "False", "False": "True",
    "not": "", "in": "not in", "min": "max", "max": "min", "sum": "len", "len": "sum", "set": "list",
    "sorted": "list", "append": "extend", "lower": "upper", "upper": "lower", "break": "continue",
}  # fmt: skip


def mutations(prompt, solution):
    """Returns edits of a solution as (start, end, text), with offsets in characters of prompt + solution."""
    program = prompt + solution
    line_starts = [0]
    for line in program.split("\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
    edits = []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(program).readline))
    except (tokenize.TokenError, IndentationError):
        return edits
    for token in tokens:
        start = line_starts[token.start[0] - 1] + token.start[1]
        end = line_starts[token.end[0] - 1] + token.end[1]
        if start < len(prompt):
            continue
        if token.string in OPERATORS:
            edits.append((start, end, OPERATORS[token.string]))
        elif token.type == tokenize.NUMBER and token.string.isdigit():
            edits.append((start, end, str(int(token.string) + 1)))
        elif token.string == "return":
            edits.append((start, end, "return None and"))
    return edits
