"""Runs a user's script that scores an answer, and reads the score from what the script prints."""

import io
import json
import sys
import traceback
import types


def run_script(job, guarded_execution, report_ready):
    """Runs the script as the module `__main__`, with the answer in JSON on standard input."""
    guarded_execution.limit_memory(job["memory_bytes"])
    script = compile(job["source"], job["name"], "exec")
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [job["name"], *job["arguments"]]
    output = io.BytesIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(job["input"].encode()), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(output, encoding="utf-8", write_through=True)
    report_ready()
    try:
        exec(script, module.__dict__)
    except SystemExit as end:
        if end.code not in (None, 0):
            return {"error": f"it exited with {end.code!r}"[: guarded_execution.MAX_CAUSE_CHARS]}
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == job["name"]]
        place = f"line {lines[-1]}: " if lines else ""
        return {"error": place + guarded_execution.describe(error)}
    return read_score(output.getvalue().decode(errors="replace"))


def read_score(text):
    lines = text.split("\n")
    printed = next((line.strip() for line in reversed(lines) if line.strip()), "")
    try:
        # Python prints booleans in another way than JSON.
        score = {"True": True, "False": False}[printed] if printed in ("True", "False") else json.loads(printed)
    except ValueError:
        score = None
    if not isinstance(score, (bool, int, float)) or not 0 <= score <= 1:
        return {"error": f"it printed `{printed[:100]}`, and not a number from 0 to 1, `true` or `false`"}
    return {"score": float(score)}
