"""The call that made a report, kept in the report and in its JSON document, so that it can be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archscope.analysis.run_options import RunOptions, as_shapes
from archscope.errors import UsageError
from archscope.plain_files import read_plain_file
from archscope.report import Report, make_request
from archscope.spec.target_names import split_target
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
    "texts",
)
"""The options that a report's figures depend on; the variant is part of the target."""


def with_request(report: Report, target: Any, options: RunOptions) -> Report:
    """Return the report with the target and options that it was made with."""
    values = {name: getattr(options, name) for name in REQUEST_OPTIONS}
    live, python = not isinstance(target, str | os.PathLike), split_target(target) is None
    if not python:
        values["input"] = as_shapes(values["input"])
    return replace(report, request=make_request(report.target, values, python=python, live=live))


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
