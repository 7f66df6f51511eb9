"""The JSON document `archscope.report/1` of a Report, as plain dicts and lists; unknown figures are None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archscope.errors import Span
from archscope.report.findings import Finding, Fix
from archscope.trace import Value

if TYPE_CHECKING:
    from archscope.report.report import PricedRow, Report, Total

JsonDict = dict[str, Any]
BROKEN_NET_NOTE = "a net that does not run"
"""The value of `of` in the totals where a row fails or the run broke off."""


def report_json(report: Report) -> JsonDict:
    trace, done = report.trace, report.finished
    return {
        "schema": "archscope.report/1",
        "target": trace.target,
        "ok": report.ok,
        "runs": report.runs,
        "device": trace.device,
        "dtype": trace.dtype,
        "mode": trace.mode,
        "inputs": [{"name": operand.source, **value_json(operand.value)} for operand in trace.inputs],
        "asked": report.request.to_dict() if report.request else None,
        "outputs": [{"name": operand.source, **value_json(operand.value)} for operand in trace.outputs]
        if done
        else None,
        "totals": totals_json(report.total) | ({"of": BROKEN_NET_NOTE} if report.broken else {}),
        "rows": [row_json(report, row) | row_state_json(report, row) for row in report.rows],
        "unpriced": unpriced_json(report.unpriced) if trace.ran else None,
        "unread": [param.name for param in report.unread] if done else None,
        "backward": None if report.backward_total is None else backward_json(report, report.backward_total),
        "findings": [finding_json(finding) for finding in report.findings],
        "unjudged": list(report.unjudged),
        "notes": list(trace.notes),
    }


def row_state_json(report: Report, row: PricedRow) -> JsonDict:
    """Return the row's `state`: "fails", "assumed" (its sizes are assumed) or None; {} where the net runs."""
    return {"state": report.soundness.of([row.index]) or None} if report.broken else {}


def unpriced_json(kernels: Mapping[str, Sequence[int]]) -> list[JsonDict]:
    return [{"kernel": kernel, "rows": list(rows)} for kernel, rows in kernels.items()]


def backward_json(report: Report, total: Total) -> JsonDict:
    """Return the backward pass: the loss it started from, its sums, and its rows with the forward rows they belong
    to."""
    return {
        "loss": report.trace.loss,
        "totals": costs_json(total),
        "rows": [
            {**row_json(report, row), "of": row.row.forward_row if row.row.forward_row >= 0 else None}
            for row in report.backward
        ],
        "unpriced": unpriced_json(report.backward_unpriced),
    }


def totals_json(total: Total) -> JsonDict:
    return {
        "params": total.params,
        "trainable_params": total.trainable_params,
        "param_bytes": total.param_bytes,
        **costs_json(total),
    }


def costs_json(total: Total) -> JsonDict:
    least = {"macs_at_least": total.known} if total.partial else {}
    return {
        "macs": total.macs,
        "flops": total.flops,
        "bytes_read": total.bytes_read,
        "bytes_written": total.bytes_written,
        "unpriced": None if total.unrun else total.unpriced,
        **least,
    }


def row_json(report: Report, row: PricedRow) -> JsonDict:
    return {
        "index": row.index,
        "path": row.path or row.op,
        "op": row.op,
        "function": row.row.function,
        "inputs": [
            {"from": operand.source, "shape": list(operand.value.shape)}
            for operand in report.index.activations(row.row)
        ],
        "outputs": [value_json(output) for output in row.row.outputs],
        "params": row.params,
        "macs": row.macs,
        "flops": row.flops,
        "bytes_read": row.cost.read,
        "bytes_written": row.cost.written,
        "place": place_json(row.place),
    }


def value_json(tensor: Value) -> JsonDict:
    return {"shape": list(tensor.shape), "dtype": tensor.dtype}


def place_json(span: Span | None) -> JsonDict | None:
    return asdict(span) if span else None


def finding_json(finding: Finding) -> JsonDict:
    return {
        "rule": finding.rule,
        "level": finding.level,
        "path": finding.path,
        "place": place_json(finding.place),
        "message": finding.message,
        "help": finding.help,
        "details": list(finding.details),
        "cause": finding.cause or finding.rule,
        "sizes": dict(finding.sizes) or None,
        "likely": finding.likely,
        "walk": [{"path": link.path, "text": link.text, "place": place_json(link.place)} for link in finding.walk],
        "also": list(finding.also),
        "fixes": [fix_json(fix) for fix in finding.fixes],
    }


def fix_json(fix: Fix) -> JsonDict:
    """Return a fix without the file's whole new text; `edit` holds the change."""
    kept = ("description", "params", "macs", "checked", "edit", "file", "outside", "leaves")
    return {name: value for name, value in asdict(fix).items() if name in kept} | {"changes": list(fix.changes)}
