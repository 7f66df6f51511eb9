"""Saved baselines: JSON → Baseline (totals and rows of each target) → findings where a Report differs.

    report.json → documents archscope.report/1 → SavedTarget → change beyond the tolerance → the layer that changed

A baseline is the output of `archscope summary TARGET --format json`, or a list of such documents. Unknown figures are
never compared as 0.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from archscope import units
from archscope.checks.baseline_diff import diff_parts
from archscope.errors import Span, UsageError, did_you_mean
from archscope.plain_files import read_plain_file
from archscope.report import CostFigures, Finding, Report

REPORT_SCHEMA = "archscope.report/1"
QUANTITY_NAMES = {"params": "parameters", "macs": "MACs"}
UNREAD_PATH = "(unread)"
MAX_BASELINE_BYTES = 1 << 28
PACKAGED_SPEC = re.compile(r"^(specs:[^:]+?)\.ya?ml(?=:|$)")
"""A bundled network named by its file, as in older baselines."""


@dataclass(frozen=True)
class SavedTarget:
    """One target in the baseline. figures: of the whole. parts: of each row, in order; figures are None where
    unknown."""

    target: str
    figures: CostFigures
    parts: tuple[tuple[str, CostFigures], ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """The saved figures of targets. file: the name of its file, for messages."""

    file: str
    saved: tuple[SavedTarget, ...]

    def of(self, target: str) -> SavedTarget | None:
        """Return the saved target, however its file is spelled; None if there is none.

        An absolute and a relative path are the same if one ends with the other.
        """
        wanted = normalize_target(target)
        same = [saved for saved in self.saved if normalize_target(saved.target) == wanted]
        near = [saved for saved in self.saved if is_path_suffix(normalize_target(saved.target), wanted)]
        found = same or near
        return found[0] if len(found) == 1 else None


def normalize_target(target: str) -> str:
    """Return the target with one spelling of its file.

    `./specs/a.yaml:small` and `specs\\\\a.yaml:small` → `specs/a.yaml:small`; bundled, `specs:a.yaml:small` →
    `specs:a:small`.
    """
    plain = posixpath.normpath(target.replace("\\", "/"))
    return PACKAGED_SPEC.sub(r"\1", plain)


def is_path_suffix(first: str, second: str) -> bool:
    short, long = sorted((first, second), key=len)
    return long.endswith("/" + short) and posixpath.isabs(long)


# ------------------------------------------------------------ reading
def read_baseline(file: str | os.PathLike[str]) -> Baseline:
    """Return the baseline in a file, or from a pipe. Raises UsageError if it cannot be read or is not a baseline."""
    name = os.fspath(file)
    renew = f"archscope check TARGET… --save-baseline {name} writes one"
    try:
        text = read_plain_file(name, most=MAX_BASELINE_BYTES, pipes=True)
    except UnicodeDecodeError:
        raise UsageError("not UTF-8, so not a baseline", renew, Span(name, 0, 0)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the baseline cannot be read: {reason}", renew, Span(name, 0, 0)) from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also from int, which limits the number of digits
        at = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (0, 0)
        raise UsageError("not valid JSON, so not a baseline", renew, Span(name, *at)) from None
    try:
        return parse_baseline(document, name)
    except ValueError as error:
        raise UsageError(str(error), renew, Span(name, 0, 0)) from None


def parse_baseline(document: Any, file: str) -> Baseline:
    """Return the baseline in a JSON document. Raises ValueError with what is wrong."""
    documents = document if isinstance(document, list) else [document]
    saved = tuple(parse_target(entry) for entry in documents)
    named = Counter(normalize_target(entry.target) for entry in saved)
    twice = next((entry.target for entry in saved if named[normalize_target(entry.target)] > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is in it twice")
    return Baseline(file, saved)


def parse_target(document: Any) -> SavedTarget:
    if not isinstance(document, Mapping) or document.get("schema") != REPORT_SCHEMA:
        schema = document.get("schema") if isinstance(document, Mapping) else None
        raise ValueError(f"schema {units.short_repr(schema)} is not {REPORT_SCHEMA!r}, so this is not a baseline")
    try:
        return SavedTarget(
            parse_string(document["target"]),
            parse_figures(document["totals"]),
            tuple(
                (parse_string(row["path"]) or parse_string(row["op"]), parse_figures(row)) for row in document["rows"]
            ),
            tuple(units.format_shape(operand["shape"]) for operand in document["inputs"]),
        )
    except (KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else "a value has the wrong type"
        raise ValueError(f"not a complete {REPORT_SCHEMA} document: {what}") from None


def parse_figures(data: Mapping[str, Any]) -> CostFigures:
    return CostFigures(parse_count(data["params"]), parse_count(data["macs"]))


def parse_count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < units.MAX_FIGURE):
        return value
    raise TypeError


def parse_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


# ------------------------------------------------------------ comparing
def compare_to_baseline(report: Report, baseline: Baseline, *, tolerance: Decimal = Decimal(0)) -> tuple[Finding, ...]:
    """Return findings where the report differs from its baseline by more than the tolerance, in either direction."""
    saved = baseline.of(report.target)
    if saved is None:
        near = did_you_mean(report.target, [entry.target for entry in baseline.saved])
        help = f"{near} {renewal_help(baseline.file)}".strip()
        fact = f"the baseline {baseline.file} does not hold {report.target}"
        return (Finding("baseline-target", "warning", fact, help=help),)
    comparison = BaselineComparison(report, saved, baseline.file, tolerance)
    return tuple(finding for quantity in QUANTITY_NAMES if (finding := comparison.check_quantity(quantity)))


def renewal_help(file: str) -> str:
    return f"renew the baseline with --save-baseline {file}"


@dataclass(frozen=True)
class BaselineComparison:
    """One report next to its saved target."""

    report: Report
    saved: SavedTarget
    file: str
    tolerance: Decimal

    def check_quantity(self, quantity: str) -> Finding | None:
        was, now = getattr(self.saved.figures, quantity), getattr(self.report.total, quantity)
        if was is None or now is None:
            return None if self.report.trace.failure else self.unknown_finding(quantity, was, now)
        return self.drift_finding(quantity, was, now) if abs(now - was) > self.tolerance * was else None

    def unknown_finding(self, quantity: str, was: int | None, now: int | None) -> Finding:
        """Return an error if the figure was known in the baseline and is unknown now, else a warning."""
        name, level = QUANTITY_NAMES[quantity], "warning"
        if was is not None:
            level = "error"
            fact = f"the {name} are not known, so they cannot be compared with the baseline's {units.format_count(was)}"
        else:
            now_known = "are not known now" if now is None else f"are {units.format_count(now)} now"
            fact = f"the {name} were not known in the baseline, and {now_known}"
        return Finding(f"baseline-{quantity}", level, fact, help=renewal_help(self.file))

    def drift_finding(self, quantity: str, was: int, now: int) -> Finding:
        culprit = diff_parts(self.parts_before(quantity), self.parts_after(quantity))
        fact = f"{units.format_count(now)} {QUANTITY_NAMES[quantity]}, {difference_text(was, now)}"
        beyond = f" (tolerance {(100 * self.tolerance).normalize():f} %)" * bool(self.tolerance)
        return Finding(
            rule=f"baseline-{quantity}",
            level="error",
            message=fact + beyond + (f"; {culprit.clause}" if culprit else ""),
            path=culprit.path if culprit else "",
            place=find_place(self.report, culprit.path) if culprit else None,
            help=f"if that is meant, {renewal_help(self.file)}",
            details=(*(culprit.lines if culprit else ()), *self.changed_inputs()),
        )

    def parts_before(self, quantity: str) -> Iterator[tuple[str, int]]:
        parts = [(path, getattr(figures, quantity)) for path, figures in self.saved.parts]
        return with_unread(parts, getattr(self.saved.figures, quantity))

    def parts_after(self, quantity: str) -> Iterator[tuple[str, int]]:
        parts = [(row.path or row.op, getattr(row, quantity)) for row in self.report.rows]
        return with_unread(parts, getattr(self.report.total, quantity))

    def changed_inputs(self) -> Iterator[str]:
        now = tuple(units.format_shape(operand.value.shape) for operand in self.report.trace.inputs)
        if now != self.saved.inputs:
            yield f"the baseline ran with {', '.join(self.saved.inputs)}, this run with {', '.join(now)}"


def with_unread(parts: Sequence[tuple[str, int | None]], whole: int) -> Iterator[tuple[str, int]]:
    """Yield the parts that are known, and the rest of the whole: parameters that no row reads."""
    known = [(path, number) for path, number in parts if number is not None]
    rest = whole - sum(number for _, number in known)
    yield from known
    if rest:
        yield UNREAD_PATH, rest


def difference_text(was: int, now: int) -> str:
    """Return `2,049,000 (8.7 %) more than the baseline's 23,508,032`."""
    change, word = abs(now - was), "more" if now > was else "fewer"
    percent = f" ({units.format_share(change, was)})" if was else ""
    return f"{units.format_count(change)}{percent} {word} than the baseline's {units.format_count(was)}"


def find_place(report: Report, path: str) -> Span | None:
    """Return the place in the source of the call or row at a path."""
    called = (call.site.place for call in report.trace.calls if path and call.site.path == path)
    below = (row.place for row in report.rows if path and (row.path == path or row.path.startswith(f"{path}.")))
    return next((place for place in (*called, *below) if place), None)
