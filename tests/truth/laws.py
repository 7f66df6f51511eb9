"""What holds of every report, whoever wrote the model: it shows itself, is JSON, and names what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from torch import nn

import archscope
from archscope.report import Report
from tests.truth.witness import parameters

WIDTH = 100


def report_of(model: nn.Module, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Report:
    """The model's report, with the laws of every report held."""
    report = archscope.summarize(model, args=args, kwargs=kwargs)
    assert report.total.params == parameters(model)
    assert max(map(len, shown(report).splitlines())) <= WIDTH
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    unknown = {row["index"] for row in document["rows"] if row["macs"] is None}
    assert unknown == {index for kernel in document["unpriced"] for index in kernel["rows"]}
    assert (document["totals"]["macs"] is None) == bool(unknown)
    assert None not in (document["totals"][name] for name in ("params", "bytes_read", "bytes_written"))
    return report


def shown(report: Report) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(WIDTH))
        return str(report)
