"""The formats of output: names, file suffixes, and the functions of `archscope.render` that write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Format:
    """One format.

    suffixes: ends of file names that select it. sheet: the function of `archscope.render` that writes a Sheet (report,
    comparison, times) in it, as `module.function`. checked: the one that writes the results of `check`. per_target:
    True if the results of `check` hold every target, also one that cannot be read.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    sheet: str = ""
    checked: str = ""
    per_target: bool = False


FORMATS: tuple[Format, ...] = (
    Format("table"),
    Format("markdown", (".md",), sheet="markdown.format_markdown", checked="pull_request.format_pull_request"),
    Format("csv", (".csv",)),
    Format("json", (".json",), per_target=True),
    Format("html", (".html", ".htm"), sheet="html.format_html"),
    Format("lines", checked="annotations.format_lines", per_target=True),
    Format("github", checked="annotations.format_github", per_target=True),
    Format("sarif", (".sarif",), checked="sarif.format_sarif", per_target=True),
)
"""All formats. A table fits its terminal, CSV and JSON are made from the data of each kind of output; the commands do
that. Every other format is one line here."""

FORMATS_BY_NAME: Mapping[str, Format] = {format.name: format for format in FORMATS}
FORMAT_BY_SUFFIX: Mapping[str, str] = {suffix: format.name for format in FORMATS for suffix in format.suffixes}
"""The suffix of an output file → its format if none is asked for."""
REPORT_FORMATS = tuple(format.name for format in FORMATS if format.sheet or format.name in ("table", "csv", "json"))
CHECK_FORMATS = tuple(format.name for format in FORMATS if format.checked or format.name in ("table", "json"))
MACHINE_FORMATS = tuple(format.name for format in FORMATS if format.per_target)
"""Formats that contain every target, also one that cannot be read."""


def render_function(name: str) -> Callable[..., Any]:
    """Return a function of `archscope.render`, given as `module.function`."""
    module, _, function = name.partition(".")
    return getattr(import_module(f"archscope.render.{module}"), function)
