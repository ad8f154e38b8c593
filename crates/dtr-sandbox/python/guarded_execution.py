"""Executes programs as the published executors do: limits, disabled functions, swallowed streams and timers.

HF `code_eval` and EvalPlus share this procedure (`reliability_guard`, `swallow_io`, `time_limit`). It makes the
verdicts equal to theirs. It protects nothing: the sandbox around this process does.
"""

import builtins
import contextlib
import faulthandler
import io
import os
import resource
import shutil
import signal
import subprocess
import sys

MAX_CAUSE_CHARS = 300

# Functions of these modules that both executors replace by None. EvalPlus also disables `open`.
DISABLED = {
    builtins: ["exit", "quit", "help"],
    os: [
        "kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty",
        "killpg", "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown",
        "chroot", "lchflags", "lchmod", "lchown", "getcwd", "chdir",
    ],
    shutil: ["rmtree", "move", "chown"],
    subprocess: ["Popen"],
}  # fmt: skip
# Modules that a program cannot import.
BLOCKED_MODULES = ["ipdb", "joblib", "resource", "psutil", "tkinter"]
# Modules that the executors have loaded, and that cannot be loaded once the functions above are None.
PRELOADED_MODULES = ["multiprocessing", "tempfile", "asyncio", "concurrent.futures", "typing", "threading"]


class TimeoutException(Exception):
    """Ends a call at its time limit. The name is that of the executors, since a program may see it."""


class WriteOnlyStream(io.StringIO):
    """Takes what a program prints, and fails when the program reads it."""

    def read(self, *args, **kwargs):
        raise OSError

    readline = readlines = read

    def readable(self, *args, **kwargs):
        return False


class redirect_stdin(contextlib._RedirectStream):
    _stream = "stdin"


@contextlib.contextmanager
def swallow_io():
    stream = WriteOnlyStream()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream), redirect_stdin(stream):
        yield


@contextlib.contextmanager
def time_limit(seconds):
    def raise_timeout(signal_number, frame):
        raise TimeoutException("Timed out!")

    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.signal(signal.SIGALRM, raise_timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory(num_bytes):
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK):
        hard = resource.getrlimit(limit)[1]
        lowest = num_bytes if hard == resource.RLIM_INFINITY else min(num_bytes, hard)
        resource.setrlimit(limit, (lowest, lowest))


def disable_functions():
    faulthandler.disable()
    os.environ["OMP_NUM_THREADS"] = "1"
    for module, names in DISABLED.items():
        for name in names:
            setattr(module, name, None)
    for name in BLOCKED_MODULES:
        sys.modules[name] = None


def prepare(job):
    """Loads what the executors have loaded, limits the memory and disables functions."""
    for name in PRELOADED_MODULES:
        with contextlib.suppress(ImportError):
            __import__(name)
    if job["loads_numpy"]:
        with contextlib.suppress(ImportError):
            __import__("numpy")
    limit_memory(job["memory_bytes"])
    disable_functions()
    if job["kind"] == "evalplus":
        builtins.open = None


def call_at_depth(depth, function):
    """Calls `function` so that its frame is the frame number `depth` of the stack.

    The recursion limit counts all frames. The executors run programs in frames this deep.
    """
    frame, num_frames = sys._getframe(), 0
    while frame:
        frame, num_frames = frame.f_back, num_frames + 1
    return nest(depth - num_frames - 2, function)


def nest(num_frames, function):
    return nest(num_frames - 1, function) if num_frames > 0 else function()


def describe(error):
    try:
        text = str(error)
    except BaseException:
        text = ""
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:MAX_CAUSE_CHARS]


def failure(error, time_is_reference_timeout):
    """Returns the answer for an exception that ended the program."""
    # The frames of the traceback hold the program's objects, perhaps all memory that there is.
    error.__traceback__ = None
    is_timeout = isinstance(error, TimeoutException)
    status = "timeout" if is_timeout else "memory" if isinstance(error, MemoryError) else "fail"
    reference = "timeout" if is_timeout and time_is_reference_timeout else "fail"
    return {"status": status, "reference_status": reference, "cause": describe(error)}


def run_plain(job, report_ready):
    """Runs a program that passes if it ends without an exception, as `code_eval` does."""

    def execute():
        try:
            with swallow_io():
                with time_limit(job["seconds"]):
                    exec(job["program"], {})
        except BaseException as error:
            return failure(error, time_is_reference_timeout=True)
        return {"status": "pass", "reference_status": "pass", "cause": None}

    prepare(job)
    report_ready()
    return call_at_depth(job["stack_depth"], execute)
