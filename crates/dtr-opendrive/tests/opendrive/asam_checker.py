"""Runs ASAM's own checker of OpenDRIVE on maps and prints its findings. Exits with 1 if there are any.

Needs the PyPI package asam-qc-opendrive. Usage: python asam_checker.py MAP.xodr...
"""
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Config>
    <Param name="InputFile" value="{map}"/>
    <CheckerBundle application="xodrBundle"><Param name="resultFile" value="{result}"/></CheckerBundle>
</Config>
"""


def findings(path: Path, folder: Path) -> tuple[list[str], int]:
    """The descriptions of the issues of one map, and the number of checks that ran."""
    config, result = folder / "config.xml", folder / "result.xqar"
    config.write_text(CONFIG.format(map=path.resolve(), result=result))
    program = Path(sys.executable).parent / "qc_opendrive"
    subprocess.run([program, "-c", config], check=True, capture_output=True, cwd=folder)
    checkers = list(ET.parse(result).getroot().iter("Checker"))
    issues = [
        f"{checker.get('checkerId')}: {issue.get('description')}"
        for checker in checkers
        for issue in checker.iter("Issue")
    ]
    return issues, sum(checker.get("status") == "completed" for checker in checkers)


def main() -> None:
    total = 0
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            issues, checks = findings(Path(name), Path(folder))
        print(f"{name}: {checks} checks, {len(issues)} issues")
        print("".join(f"  {issue}\n" for issue in issues), end="")
        total += len(issues)
    sys.exit(total > 0)


main()
