"""`again`: a report made anew with the options that its JSON document holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archscope.analysis.report_requests import read_request
from archscope.api.summaries import summarize
from archscope.errors import UsageError
from archscope.report import Report, parse_options


def again(
    document: Report | Mapping[str, Any] | str | os.PathLike[str], *, target: Any = None, **options: Any
) -> Report:
    """Return the report of a JSON document, made anew with the same target, settings, inputs, batch, device, dtype
    and mode.

    document: the document, its file, or the report itself. target: the live module, which no document holds, or
    another target. options: those of `summarize`, in place of the document's. Raises UsageError if the document lacks
    an option, and the errors of `summarize`.
    """
    request = read_request(document)
    missing = [name for name in request["unsaid"] if name not in options and (name != "target" or target is None)]
    if missing:
        needed = ", ".join(f"{name}=…" for name in missing)
        raise UsageError(f"a JSON document does not hold {' and '.join(missing)} of this report", f"again(…, {needed})")
    return summarize(request["target"] if target is None else target, **{**parse_options(request), **options})
