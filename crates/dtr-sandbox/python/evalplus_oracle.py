"""Judges solutions of HumanEval+ and MBPP+ as EvalPlus does: its inputs, reference outputs and comparisons."""

import base64
import copy
import json
import math
import pickle
import sys
import time
import zlib

# Entry points of MBPP whose reference output is only whether the output is not None.
NOT_NONE_TASKS = ["check_str", "text_match_three", "text_starta_endb"]
# Entry points of MBPP whose outputs are compared as sets.
SET_TASKS = [
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
]  # fmt: skip
# The default tolerances of `numpy.testing.assert_allclose`, and the tolerance that EvalPlus gives to floats.
RELATIVE_TOLERANCE = 1e-07
FLOAT_TOLERANCE = 1e-6

numpy = None


def to_tuple(value):
    return tuple(value)


def to_tuples(values):
    return [tuple(value) for value in values]


def to_nested_tuple(value):
    return tuple(map(to_nested_tuple, value)) if isinstance(value, list) else value


def to_sets(values):
    return [set(value) if isinstance(value, list) and value else {} for value in values]


def to_tuple_of_tuples(values):
    return tuple(tuple(value) for value in values)


def to_tuple_with_tuples(values):
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def to_values_as_tuples(mapping):
    return {key: tuple(value) for key, value in mapping.items()}


def keep(value):
    return value


def conversions_of_arguments():
    """Maps the numbers of MBPP tasks to conversions of their arguments, since JSON has lists only.

    A conversion alone holds for all arguments. Conversions in a list hold for one argument each.
    """
    groups = [
        (to_tuple, [2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616]),
        (to_tuple, [630, 726, 740, 744, 809]),
        (to_tuples, [63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780]),
        ([to_tuples, keep], [75, 413, 444, 753]),
        ([keep, to_tuple], [106, 750]),
        ([to_sets], [115]),
        ([float, complex], [124]),
        ([to_tuple, keep], [250, 405, 446, 617, 720, 763, 808]),
        (to_tuple_of_tuples, [259, 401, 445]),
        ([to_tuple_with_tuples], [278]),
        ([to_tuple, keep, keep], [307]),
        ([to_values_as_tuples, keep, keep], [722]),
        ([complex], [252]),
    ]
    return {number: conversion for conversion, numbers in groups for number in numbers}


def convert_inputs(task_id, inputs):
    """Returns the inputs of a task with the types that its reference solution expects."""
    dataset, number = task_id.split("/")
    if dataset != "Mbpp":
        return inputs
    if int(number) in (580, 615, 791):
        return [to_nested_tuple(arguments) for arguments in inputs]
    conversion = conversions_of_arguments().get(int(number))
    if conversion is None:
        return inputs
    if callable(conversion):
        return [[conversion(argument) for argument in arguments] for arguments in inputs]
    return [[convert(argument) for convert, argument in zip(conversion, arguments)] for arguments in inputs]


def pack(outputs):
    # The outputs of Mbpp/255 take hundreds of megabytes without compression.
    return base64.b64encode(zlib.compress(pickle.dumps(outputs), 1)).decode()


def unpack(packed):
    return pickle.loads(zlib.decompress(base64.b64decode(packed)))


def compute_reference_outputs(job):
    """Runs the reference solution, and returns its outputs as compressed pickles and the seconds of each call."""
    task = json.loads(job["task"])
    answer = {}
    for name in ("base", "plus"):
        scope = {}
        exec(task["prompt"] + task["canonical_solution"], scope)
        function, outputs, seconds = scope[task["entry_point"]], [], []
        for arguments in convert_inputs(task["task_id"], task[name + "_input"]):
            arguments = copy.deepcopy(arguments)
            start = time.time()
            outputs.append(function(*arguments))
            seconds.append(time.time() - start)
        if task["task_id"].startswith("Mbpp/") and task["entry_point"] in NOT_NONE_TASKS:
            outputs = [output is not None for output in outputs]
        answer[name] = {"outputs": pack(outputs), "seconds": seconds}
    return answer


def are_floats(value):
    if isinstance(value, float):
        return True
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(element, float) for element in value)
    return numpy is not None and isinstance(value, numpy.ndarray) and value.dtype in (numpy.float64, numpy.float32)


def are_close(output, expected, tolerance):
    """Does what `numpy.allclose` does, on numbers and on equally nested lists of numbers if numpy is missing."""
    if numpy is not None:
        return numpy.allclose(output, expected, rtol=RELATIVE_TOLERANCE, atol=tolerance)
    if isinstance(expected, (list, tuple)):
        if len(output) != len(expected):
            raise ValueError("the shapes differ")
        return all(are_close(one, other, tolerance) for one, other in zip(output, expected))
    for number in (output, expected):
        # numpy compares neither other types nor integers that exceed its own.
        if not isinstance(number, (int, float, complex)) or isinstance(number, int) and abs(number) >= 1 << 63:
            raise TypeError("the values are not numbers")
    if output == expected:
        return True
    difference = abs(output - expected)
    return math.isfinite(abs(expected)) and difference <= tolerance + RELATIVE_TOLERANCE * abs(expected)


def polynomial(coefficients, x):
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def surface_of_pyramid(base, height):
    slant = math.sqrt((base / 2) ** 2 + height**2)
    return round(base**2 + 4 * (base * slant) / 2)


def sum_of_digit_distances(first, second):
    first, second = str(first), str(second)
    length = max(len(first), len(second))
    return sum(abs(int(a) - int(b)) for a, b in zip(first.zfill(length), second.zfill(length)))


def is_match(entry_point, arguments, output, expected, tolerance):
    """Compares an output of an MBPP task with the reference output, and applies the rules of single tasks."""
    is_equal = output == expected
    if entry_point == "are_equivalent":
        return is_equal or True
    if entry_point == "sum_div":
        return is_equal or output == 0
    if entry_point == "surface_Area":
        return is_equal or abs(output - surface_of_pyramid(*arguments)) <= tolerance
    if entry_point == "digit_distance_nums":
        return is_equal or output == sum_of_digit_distances(*arguments)
    if entry_point in SET_TASKS:
        return set(output) == set(expected)
    if entry_point in NOT_NONE_TASKS:
        return output == expected if isinstance(output, bool) else expected == (output is not None)
    return is_equal


class OutputMismatch(AssertionError):
    """The output differs from the reference output."""


class Comparison:
    """Compares the outputs of one solution in order. The tolerance of a float holds for all later outputs."""

    def __init__(self, task):
        self.is_mbpp = task["task_id"].startswith("Mbpp/")
        self.entry_point = task["entry_point"]
        self.tolerance = task["atol"]

    def check(self, arguments, output, expected):
        """Raises an exception unless the output is correct."""
        if self.is_mbpp:
            matches = is_match(self.entry_point, arguments, output, expected, self.tolerance)
        else:
            matches = output == expected
            if self.entry_point == "find_zero":
                require(abs(polynomial(*arguments, output)) <= self.tolerance)
                return
        if self.tolerance == 0 and are_floats(expected):
            self.tolerance = FLOAT_TOLERANCE
        if not matches and self.tolerance != 0:
            require(type(output) == type(expected))
            if isinstance(expected, (list, tuple)):
                require(len(output) == len(expected))
            require(are_close(output, expected, self.tolerance))
        else:
            require(matches)


def require(condition):
    if not condition:
        raise OutputMismatch("the output differs from the reference output")


def needs_numpy(task, solution, expected):
    return task["atol"] != 0 or "numpy" in solution or any(map(are_floats, expected))


def run_candidate(job, guarded_execution, report_ready):
    """Runs a solution on the base or plus inputs, and stops at the first input that it fails."""
    global numpy
    task = json.loads(job["task"])
    inputs = convert_inputs(task["task_id"], task[job["input_set"] + "_input"])
    expected = unpack(job.pop("outputs"))
    job["loads_numpy"] = needs_numpy(task, job["solution"], expected)
    guarded_execution.prepare(job)
    numpy = sys.modules.get("numpy")
    comparison = Comparison(task)

    def execute():
        scope, position = {}, None
        try:
            with guarded_execution.swallow_io():
                exec(job["solution"], scope)
                function = scope[comparison.entry_point]
            for position, arguments in enumerate(inputs):
                with guarded_execution.time_limit(job["input_seconds"][position]):
                    with guarded_execution.swallow_io():
                        output = function(*arguments)
                comparison.check(arguments, output, expected[position])
        except BaseException as error:
            # EvalPlus calls a solution that exceeds the limit of one input failed.
            answer = guarded_execution.failure(error, time_is_reference_timeout=False)
            return {**answer, "failed_input": position}
        return {"status": "pass", "reference_status": "pass", "cause": None}

    report_ready()
    return guarded_execution.call_at_depth(job["stack_depth"], execute)
