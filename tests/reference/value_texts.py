"""Writes fixtures with the texts of values. The first fixture holds the texts that Jinja renders for JSON
values, in environments that are set up as in lm-evaluation-harness and in transformers. The second fixture
holds the texts that Python prints for the values that pyarrow reads from Parquet columns of every type.

The folder tests/fixtures/values/ gets these files:
- json.json holds values as JSON, and templates. For each environment and template, it also holds a JSON list
  with the text for each value. The list has null where Jinja raises an error.
- types.parquet has a column of every type. types-without-arrow.parquet has the same columns, but not Arrow's
  schema. Not every program writes this schema.
- parquet.json has two lists for each column: the text of each value, and the text of a Python list that holds
  only this value.
"""

import datetime as dt
import json
import uuid
from decimal import Decimal
from pathlib import Path

import jinja2
import numpy as np
import pandas  # noqa: F401, pyarrow returns values with nanoseconds as pandas objects
import pyarrow as pa
import pyarrow.parquet as pq
from transformers.utils.chat_template_utils import _compile_jinja_template

FOLDER = Path(__file__).parent.parent / "fixtures" / "values"

VALUES = r"""
null
true
false
0
-1
7
255
9007199254740993
9223372036854775807
-9223372036854775808
9223372036854775808
18446744073709551615
18446744073709551616
123456789012345678901234567890
170141183460469231731687303715884105728
340282366920938463463374607431768211456
-1234567890123456789012345678901234567890123456789
-0
0.0
-0.0
1.0
3.0
0.1
0.5
2.5
-2.675
0.0001
0.00012345
1e-05
1.5e-7
123456.789
999999999999999.9
1e15
1e16
1.0E+16
12345678901234567.0
6.02e+23
1e22
1e23
1e100
-1e-300
5e-324
1.7976931348623157e308
"plain"
""
"it's"
"say \"x\""
"both ' and \""
"a\\b\n\t\r\u0000\u007f\u0080\u00a0\u00ad\u200b\u2028\ufeff\ue000 水 é 🙂"
" 42 "
"3.7"
"-1e3"
"1_000"
"0x1f"
"inf"
"<b>&'\"</b>"
"straße ǆ ΑΣ don't"
[]
[null, true, false, 1, 1.5, "x"]
[1e-07, 1e+16, 1.0]
[[1e-5, [123456789012345678901234567890]], {"a": [0.1, null]}]
["a", "it's", "say \"x\"", "b\n", "水"]
{}
{"k": "x", "A": 1}
{"b": 1e-06, "a": [1e20, {"c": null, "'": true}], "é": "\u00a0"}
""".strip().split("\n")

TEMPLATES = r"""
{{ v }}
{{ [v] }}
{{ [[v], (v,), (v, 1)] }}
{{ {'k': v, 1: 2.0} }}
{{ v|string }}
{{ v ~ '' }}
{{ 'a' ~ v ~ 'b' ~ 1e-7 }}
{{ v ~ v }}
{{ 1 ~ 2.0 * 3 ~ (v ~ none) }}
{{ 'x' + ('' ~ v) }}
{{ (v ~ '')|length }}
{{ [v, 1e16]|join(', ') }}
{{ [v, 1e16]|join }}
{{ [v]|join(v) }}
{{ [{'x': v}]|join('-', attribute='x') }}
{{ [v]|map('string')|join('|') }}
{{ v|upper }}
{{ v|lower }}
{{ v|title }}
{{ v|capitalize }}
{{ v|trim }}
{{ v|trim('1n') }}
{{ v|replace('1', 1e-9) }}
{{ v|replace('e', '', 1) }}
{{ v|e }}
{{ v|int }}
{{ v|int(9) }}
{{ v|int(default=-1, base=16) }}
{{ v|float }}
{{ v|float(0.25) }}
{{ v|round }}
{{ v|round(2) }}
{{ v|round(1, 'ceil') }}
{{ v|round(-1, 'floor') }}
{{ v|round(method='ceil') }}
{{ v|abs }}
{{ '%s'|format(v) }}
{{ '%s and %s'|format(v, [v]) }}
{{ '%d'|format(v) }}
{{ '%.2f'|format(v) }}
{{ '%5.1e'|format(v) }}
{{ '%g'|format(v) }}
{{ '{}'.format(v) }}
{{ '{0} {0}'.format(v) }}
{{ '{:.3f}'.format(v) }}
{{ '{:,}'.format(v) }}
{{ '{a}'.format(a=[v]) }}
{{ v|tojson }}
{{ [v, {'x': v}]|tojson }}
{{ [v]|tojson(indent=2) }}
{{ v|length }}
{{ v + 1 }}
{{ v - 0.5 }}
{{ v * 2 }}
{{ v / 2 }}
{{ v // 2 }}
{{ v % 7 }}
{{ v ** 2 }}
{{ -v }}
{% set x = v %}{{ x }}{% set y %}{{ v }}{% endset %}{{ y ~ 1e-5 }}
{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(v) ~ v }}{{ f([v]) }}
{% for x in [v, [v]] %}{{ loop.index }}{{ x }}{% endfor %}
{% filter upper %}{{ v }}{% endfilter %}
{{ v == 1 }} {{ v != v }} {{ v in [v] }}
{{ v is number }} {{ v is integer }} {{ v is float }} {{ v is string }} {{ v is boolean }} {{ v is none }}
{{ v is mapping }} {{ v is sequence }} {{ v is iterable }} {{ v is defined }}
{{ v > 1 }}
{{ [v][0:1] }} {{ [v] + [1e16] }} {{ [v] * 2 }} {{ [v]|list }}
{{ [v]|first }} {{ [v, 1]|last }} {{ [v]|reverse|list }}
{{ v|default('d') }} {{ 'yes' if v else 'no' }} {{ v or 'o' }} {{ v and 'a' }} {{ not v }}
{{ [v]|sum }}
{{ v|list }}
{{ v.items()|list }}
{{ v['a'] }}
{{ v|pprint }}
{{ '~' ~ "~" }}{# a ~ b #}{{ {'a': {'b': v}} ~ '' }}{% raw %}{{ v ~ 1 }}{% endraw %}
{{ [v, 'x']|unique|list }}
{{ ', '.join([v|string, 'b']) }}
{{ ', '.join([v]) }}
{{ v.upper() }}
{{ '%r|%i|%5s|%%'|format(v, v, v) if v is number else v }}
{{ (v|string).startswith('1') }}
{{ range(3)|list }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** -1 }} {{ 1e3 }} {{ 1.0 }} {{ 10 ** 20 }} {{ true }} {{ none }}
""".strip().split("\n")



def rendered(template, value):
    try:
        return template.render(v=value)
    except Exception:
        return None


def json_fixture():
    harness = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    parsed = [json.loads(value) for value in VALUES]
    environments = {"harness": harness.from_string, "transformers": _compile_jinja_template}
    # For each environment and template, a string: the JSON list of the texts of all values.
    texts = {
        name: [json.dumps([rendered(compiled(template), value) for value in parsed]) for template in TEMPLATES]
        for name, compiled in environments.items()
    }
    write("json.json", {"values": VALUES, "templates": TEMPLATES, **texts})


def columns():
    utc = dt.timezone.utc
    moment = dt.datetime(2020, 1, 2, 3, 4, 5)
    summer = dt.datetime(2020, 7, 2, 3, 4, 5, 1)
    zoned = [moment.replace(tzinfo=utc), None, summer.replace(tzinfo=utc)]
    days = [dt.date(2020, 1, 2), None, dt.date(1, 1, 1), dt.date(9999, 12, 31)]
    nanoseconds = [1577934245000000006, None, 1577934245000000000, -1]
    return {
        "int8": pa.array([-128, None, 127], pa.int8()),
        "int16": pa.array([-32768, None, 5], pa.int16()),
        "int32": pa.array([-(2**31), None, 5], pa.int32()),
        "int64": pa.array([-(2**63), None, 2**63 - 1], pa.int64()),
        "uint8": pa.array([255, None, 0], pa.uint8()),
        "uint16": pa.array([65535, None, 0], pa.uint16()),
        "uint32": pa.array([2**32 - 1, None, 0], pa.uint32()),
        "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
        "float16": pa.array([np.float16(0.1), None, np.float16(65504)], pa.float16()),
        "float32": pa.array([0.1, None, 1e-7], pa.float32()),
        "float64": pa.array([0.1, None, 1e16, float("nan"), float("-inf"), -0.0], pa.float64()),
        "bool": pa.array([True, None, False]),
        "string": pa.array(["it's", None, 'a "b"\n\xa0\u200b水🙂\x00']),
        "large_string": pa.array(["a", None, "b"], pa.large_string()),
        "string_view": pa.array(["a long string that is not inlined", None, "b"], pa.string_view()),
        "category": pa.array(["a", None, "b"]).dictionary_encode(),
        "category_int8": pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), pa.array(["x", "y"])),
        "category_of_ints": pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), pa.array([10, 20])),
        "category_of_dates": pa.array([days[0], None, days[0]], pa.date32()).dictionary_encode(),
        "list": pa.array([[1, 2], None, []], pa.list_(pa.int16())),
        "list_of_strings": pa.array([["a", None], None, []], pa.list_(pa.string())),
        "large_list": pa.array([[0.5], None, [1e-5]], pa.large_list(pa.float64())),
        "fixed_size_list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2)),
        "fixed_size_list_of_lists": pa.array([[[1], []], None, [None, [2.5]]], pa.list_(pa.list_(pa.float32()), 2)),
        "list_of_lists": pa.array([[[1], []], None, [None]], pa.list_(pa.list_(pa.int8()))),
        "list_of_categories": pa.array([["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}], pa.struct([("a", pa.int8()), ("b", pa.string())])),
        "image": pa.array(
            [{"bytes": b"\x89PNG\r\n\x1a\n", "path": None}, None, {"bytes": b"it's", "path": "a.png"}],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "list_of_structs": pa.array([[{"a": 1}], None, [{"a": None}, None]], pa.list_(pa.struct([("a", pa.float32())]))),
        "struct_of_lists": pa.array(
            [{"text": ["a"], "label": [1]}, None, {"text": [], "label": None}],
            pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.int64()))]),
        ),
        "date32": pa.array(days, pa.date32()),
        "date64": pa.array([dt.date(2020, 1, 2), None, dt.date(1969, 12, 31)], pa.date64()),
        "timestamp_s": pa.array([moment, None, dt.datetime(1969, 12, 31)], pa.timestamp("s")),
        "timestamp_ms": pa.array([moment.replace(microsecond=6000), None, dt.datetime(9999, 12, 31)], pa.timestamp("ms")),
        "timestamp_us": pa.array([summer, None, dt.datetime(1, 1, 1)], pa.timestamp("us")),
        "timestamp_ns": pa.array(nanoseconds, pa.timestamp("ns")),
        "timestamp_utc": pa.array(zoned, pa.timestamp("us", "UTC")),
        "timestamp_ns_utc": pa.array(nanoseconds, pa.timestamp("ns", "UTC")),
        "timestamp_ns_berlin": pa.array(nanoseconds, pa.timestamp("ns", "Europe/Berlin")),
        "timestamp_berlin": pa.array(zoned, pa.timestamp("ms", "Europe/Berlin")),
        "timestamp_offset": pa.array(zoned, pa.timestamp("us", "-07:30")),
        "time_s": pa.array([dt.time(1, 2, 3), None, dt.time(0, 0)], pa.time32("s")),
        "time_ms": pa.array([dt.time(1, 2, 3, 4000), None, dt.time(0, 0)], pa.time32("ms")),
        "time_us": pa.array([dt.time(1, 2, 3, 4), None, dt.time(23, 59, 59, 999999)], pa.time64("us")),
        "time_ns": pa.array([3723000004000, None, 3723000000000], pa.time64("ns")),
        "duration_s": pa.array([dt.timedelta(1, 3), None, dt.timedelta(-1)], pa.duration("s")),
        "duration_ms": pa.array([dt.timedelta(2, 3, 4000), None, dt.timedelta(0)], pa.duration("ms")),
        "duration_us": pa.array([dt.timedelta(0, 3, 4), None, -dt.timedelta(0, 0, 1)], pa.duration("us")),
        "duration_ns": pa.array([90061000000007, None, -5, 0], pa.duration("ns")),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-0.01"), Decimal("0.00")], pa.decimal128(10, 2)),
        "decimal_of_integers": pa.array([Decimal("150"), None, Decimal("0")], pa.decimal128(38, 0)),
        "decimal_of_small": pa.array([Decimal("0.0000000001"), None, Decimal("0"), Decimal("0.0000012345")], pa.decimal128(20, 10)),
        "decimal32": pa.array([Decimal("1.5"), None, Decimal("0")], pa.decimal32(5, 2)),
        "decimal64": pa.array([Decimal("1.5"), None, Decimal("0")], pa.decimal64(15, 3)),
        "decimal256": pa.array([Decimal("12345678901234567890123456789012345678901234567890.12"), None, Decimal("-1")], pa.decimal256(60, 2)),
        "binary": pa.array([b"a'b\"\x00\xff\n", None, b""], pa.binary()),
        "large_binary": pa.array([b"ab", None, b"it's"], pa.large_binary()),
        "binary_view": pa.array([b"ab", None, b""], pa.binary_view()),
        "fixed_size_binary": pa.array([b"abc", None, b"\x00\x01\x02"], pa.binary(3)),
        "map": pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int32())),
        "null": pa.nulls(3),
        "uuid": pa.array([uuid.UUID(int=5).bytes, None, uuid.UUID(int=2**127).bytes], pa.uuid()),
        "list_of_dates": pa.array([[dt.date(2020, 1, 2)], None, []], pa.list_(pa.date32())),
        "list_of_timestamps": pa.array([[summer], None, [moment]], pa.list_(pa.timestamp("us"))),
        "list_of_decimals": pa.array([[Decimal("1.5")], None, []], pa.list_(pa.decimal128(5, 2))),
        "list_of_times": pa.array([[dt.time(1, 2)], None, [dt.time(1, 2, 3, 4)]], pa.list_(pa.time64("us"))),
        "list_of_durations": pa.array([[dt.timedelta(1, 2, 3)], None, [dt.timedelta(0)]], pa.list_(pa.duration("us"))),
        "list_of_binaries": pa.array([[b"a\xff"], None, []], pa.list_(pa.binary())),
        "struct_of_maps": pa.array(
            [{"d": dt.date(2020, 1, 2), "m": [("k", Decimal("1.0"))]}, None, None],
            pa.struct([("d", pa.date32()), ("m", pa.map_(pa.string(), pa.decimal128(3, 1)))]),
        ),
    }


def parquet_fixture():
    arrays = columns()
    length = max(len(array) for array in arrays.values())
    padded = {
        name: pa.concat_arrays([array, pa.nulls(length - len(array), array.type)]) for name, array in arrays.items()
    }
    files = {"types.parquet": True, "types-without-arrow.parquet": False}
    write("parquet.json", {name: texts_of(name, pa.table(padded), store_schema=kept) for name, kept in files.items()})


def texts_of(name, table, **options):
    pq.write_table(table, FOLDER / name, row_group_size=2, **options)
    table = pq.read_table(FOLDER / name)
    values = {name: table.column(name).to_pylist() for name in table.column_names}
    return {name: json.dumps([[str(v) for v in column], [str([v]) for v in column]]) for name, column in values.items()}


def write(name, content):
    content = {"jinja2": jinja2.__version__, "pyarrow": pa.__version__, **content}
    (FOLDER / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    json_fixture()
    parquet_fixture()
