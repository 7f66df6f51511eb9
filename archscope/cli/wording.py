"""Messages of the library in the words of the command line: keyword arguments become options.

    input=(1, 3, 224, 224) → --input 1x3x224x224          device="cpu" → --device cpu          train=True → --train

Every message, finding and note that is printed passes through this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archscope.render.table_content import Sheet
    from archscope.report import Checked, Finding, Report


def input_option_text(match: re.Match[str]) -> str:
    return "--input " + "x".join(re.findall(r"\d+", match[1]))


def arg_options_text(match: re.Match[str]) -> str:
    return " ".join(f"--arg {name}=…" for name in re.findall(r"\w+", match[1]))


INPUT_WITH_DTYPE = r"\(\"(\w+)\", (\((?:\d+, )*\d+,?\))(?:, \((\d+), (\d+)\))?\)"
"""An input with its dtype, and its range, in Python's form: `("int64", (1, 12), (0, 100))`."""


def dtype_shape_text(match: re.Match[str]) -> str:
    """Return `int64:1x12:0..100`."""
    dtype, shape, low, high = match.groups()
    sizes = "x".join(re.findall(r"\d+", shape))
    return f"{dtype}:{sizes}" + (f":{low}..{high}" if low else "")


OPTION_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\binput=\(((?:\d+, )*\d+,?)\)"), input_option_text),
    (re.compile(r"\binput=…"), "--input"),
    (re.compile(r"\binput=" + INPUT_WITH_DTYPE), lambda match: f"--input {dtype_shape_text(match)}"),
    (re.compile(INPUT_WITH_DTYPE), dtype_shape_text),
    (re.compile(r"; or name a file and give its text: texts=\{.*?\}"), ""),
    (re.compile(r"\b(device|dtype|optimizer)=\"([\w:]+)\""), r"--\1 \2"),
    (re.compile(r"\bset=\{((?:\"\w+\": …(?:, )?)+)\}"), arg_options_text),
    (re.compile(r"\bset=…"), "--arg name=value"),
    (re.compile(r"\bbatch=(\d+)"), r"--batch \1"),
    (re.compile(r"\btrain=True\b"), "--train"),
    (re.compile(r"\bcompile=True\b"), "--compile"),
    (re.compile(r"\ballow_python=True\b"), "--allow-python"),
    (re.compile(r"\b(seconds|columns)=…"), r"--\1"),
)


def reword(text: str) -> str:
    """Return a message of the library in the words of the command line."""
    for pattern, said in OPTION_PATTERNS:
        text = pattern.sub(said, text)
    return text


def reword_finding(finding: Finding) -> Finding:
    """Return a finding with its help in the words of the command line; quotations of source text are unchanged."""
    return replace(finding, help=reword(finding.help))


def reword_report(report: Report) -> Report:
    notes = tuple(map(reword, report.trace.notes))
    trace = report.trace if notes == report.trace.notes else replace(report.trace, notes=notes)
    return replace(report, trace=trace, findings=tuple(map(reword_finding, report.findings)))


def reword_sheet(page: Sheet) -> Sheet:
    """Return a page with its notes in the words of the command line."""
    return replace(page, notes=tuple(map(reword, page.notes)), help=reword(page.help))


def reword_checked(checked: Iterable[Checked]) -> list[Checked]:
    return [replace(item, findings=tuple(map(reword_finding, item.findings))) for item in checked]
