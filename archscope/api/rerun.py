"""`again`: a report made anew with the options that its JSON document holds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archscope.api.spec_loading import as_shapes, split_target
from archscope.errors import UsageError
from archscope.plain_files import read_plain_file
from archscope.report import Report, make_request, parse_options
from archscope.units import short_repr

MAX_DOCUMENT_BYTES = 1 << 28
REQUEST_OPTIONS = (
    "set",
    "input",
    "args",
    "kwargs",
    "batch",
    "device",
    "dtype",
    "train",
    "backward",
    "seed",
    "allow_python",
)
"""The options of `summarize` that a report's figures depend on; the variant is part of the target."""


def with_request(report: Report, target: Any, options: Mapping[str, Any]) -> Report:
    """Return the report with the target and options that it was made with."""
    values = {name: options.get(name) for name in (*REQUEST_OPTIONS, "texts")}
    live, python = not isinstance(target, str | os.PathLike), split_target(target) is None
    if not python:
        values["input"] = as_shapes(values["input"])
    return replace(report, request=make_request(report.target, values, python=python, live=live))


def again(
    document: Report | Mapping[str, Any] | str | os.PathLike[str], *, target: Any = None, **options: Any
) -> Report:
    """Return the report of a JSON document, made anew with the same target, settings, inputs, batch, device, dtype
    and mode.

    document: the document, its file, or the report itself. target: the live module, which no document holds, or
    another target. options: those of `summarize`, in place of the document's. Raises UsageError if the document lacks
    an option, and the errors of `summarize`.
    """
    from archscope.api.summaries import summarize

    request = read_request(document)
    missing = [name for name in request["unsaid"] if name not in options and (name != "target" or target is None)]
    if missing:
        needed = ", ".join(f"{name}=…" for name in missing)
        raise UsageError(f"a JSON document does not hold {' and '.join(missing)} of this report", f"again(…, {needed})")
    return summarize(request["target"] if target is None else target, **{**parse_options(request), **options})


def read_request(document: Report | Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the target and options in a document. Raises UsageError."""
    suggestion = "archscope summary TARGET --format json -o report.json makes one"
    if isinstance(document, Report):
        document = {} if document.request is None else {"asked": document.request.to_dict()}
    if not isinstance(document, Mapping | str | os.PathLike):
        raise UsageError(
            f"a document is a report, its JSON or the file that holds it, not {short_repr(document)}", suggestion
        )
    if not isinstance(document, Mapping):
        try:
            document = json.loads(read_plain_file(document, most=MAX_DOCUMENT_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{document} holds no report: {error}", suggestion) from None
    request = document.get("asked") if isinstance(document, Mapping) else None
    if not isinstance(request, Mapping) or "target" not in request or "unsaid" not in request:
        raise UsageError("this document does not say how its report was asked for", suggestion)
    return request
