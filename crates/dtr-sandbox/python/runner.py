"""Runs one job inside the sandbox: a program with a verdict, reference outputs, sanitised texts, or a script.

The job is a JSON object on standard input. The answer is a JSON line on standard output. It repeats the nonce of
the job, so that a program that ends early or prints an answer of its own counts as failed.
"""

import json
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def take_standard_streams():
    """Reads the job, and moves standard input and output to /dev/null. Returns the job and the answer's file."""
    job = sys.stdin.buffer.read()
    answer_fd = os.dup(1)
    os.closerange(answer_fd + 1, 4096)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(null, stream)
    os.close(null)
    return job, answer_fd


def import_from_folder(names):
    """Imports modules beside this file, and hides them and their folder from the program."""
    sys.path.insert(0, FOLDER)
    modules = [__import__(name) for name in names]
    sys.path.remove(FOLDER)
    for name in names:
        del sys.modules[name]
    return modules


def main():
    job_bytes, answer_fd = take_standard_streams()
    job = json.loads(job_bytes)
    write, exit_process = os.write, os._exit
    nonce = job.pop("nonce")
    dumps = json.dumps

    def send(answer):
        line = memoryview((dumps({"nonce": nonce, **answer}) + "\n").encode())
        while line:
            line = line[write(answer_fd, line) :]

    names = ["guarded_execution", "evalplus_oracle", "code_sanitizer", "scoring_script"]
    guarded_execution, evalplus_oracle, code_sanitizer, scoring_script = import_from_folder(names)
    if job["site_packages"]:
        sys.path.append(job["site_packages"])
    kind = job["kind"]
    try:
        if kind == "sanitize":
            send({"ready": True})
            answer = {"texts": [code_sanitizer.sanitize(text, entry) for text, entry in job["texts"]]}
        elif kind == "reference":
            send({"ready": True})
            answer = evalplus_oracle.compute_reference_outputs(job)
        elif kind == "script":
            answer = scoring_script.run_script(job, guarded_execution, lambda: send({"ready": True}))
        elif kind == "plain":
            answer = guarded_execution.run_plain(job, lambda: send({"ready": True}))
        else:
            answer = evalplus_oracle.run_candidate(job, guarded_execution, lambda: send({"ready": True}))
    except BaseException as error:
        answer = {"error": guarded_execution.describe(error)}
    send(answer)
    # Threads and exit handlers of the program do not run on.
    exit_process(0)


main()
