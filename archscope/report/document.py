"""Report → the JSON document `archscope.report/1`, as plain dicts and lists; what is not known is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archscope.errors import Span
from archscope.report.findings import Finding, Fix
from archscope.trace import Operand, Value

if TYPE_CHECKING:
    from archscope.report.model import PricedRow, Report, Total

Data = dict[str, Any]
NO_NET = "a net that does not run"
"""What the totals are of, where a row fails or the run broke off."""


def document(report: Report) -> Data:
    trace, done = report.trace, report.finished
    return {
        "schema": "archscope.report/1",
        "target": trace.target,
        "ok": report.ok,
        "runs": report.runs,
        "device": trace.device,
        "dtype": trace.dtype,
        "mode": trace.mode,
        "inputs": [{"name": operand.source, **value(operand.value)} for operand in trace.inputs],
        "asked": report.request.to_dict() if report.request else None,
        "outputs": [{"name": operand.source, **value(operand.value)} for operand in trace.outputs] if done else None,
        "totals": totals(report.total) | ({"of": NO_NET} if report.broken else {}),
        "rows": [row_data(report, row) | state(report, row) for row in report.rows],
        "unpriced": unpriced(report.unpriced) if trace.ran else None,
        "unread": [param.name for param in report.unread] if done else None,
        "backward": None if report.backward_total is None else backward(report, report.backward_total),
        "findings": [finding_data(finding) for finding in report.findings],
        "unjudged": list(report.unjudged),
        "notes": list(trace.notes),
    }


def state(report: Report, row: PricedRow) -> Data:
    """Whether a row `fails` or has `assumed` sizes; None where it is as it is written. Nothing of a net that runs."""
    return {"state": report.soundness.of([row.index]) or None} if report.broken else {}


def unpriced(kernels: Mapping[str, Sequence[int]]) -> list[Data]:
    return [{"kernel": kernel, "rows": list(rows)} for kernel, rows in kernels.items()]


def backward(report: Report, total: Total) -> Data:
    """The backward pass: what it started from, its sums and its rows, each with the forward row that it derives."""
    return {
        "loss": report.trace.loss,
        "totals": costs(total),
        "rows": [backward_row(report, row) for row in report.backward],
        "unpriced": unpriced(report.backward_unpriced),
    }


def backward_row(report: Report, row: PricedRow) -> Data:
    """As a forward row; `of` is the index of that which it derives, None where there is none."""
    of = row.row.of
    return {**row_data(report, row), "of": of if of >= 0 else None}


def totals(total: Total) -> Data:
    return {
        "params": total.params,
        "trainable_params": total.trainable_params,
        "param_bytes": total.param_bytes,
        **costs(total),
    }


def costs(total: Total) -> Data:
    least = {"macs_at_least": total.known} if total.partial else {}
    return {
        "macs": total.macs,
        "flops": total.flops,
        "bytes_read": total.bytes_read,
        "bytes_written": total.bytes_written,
        "unpriced": None if total.unrun else total.unpriced,
        **least,
    }


def row_data(report: Report, row: PricedRow) -> Data:
    return {
        "index": row.index,
        "path": row.path or row.op,
        "op": row.op,
        "function": row.row.function,
        "inputs": [operand_data(operand) for operand in report.index.activations(row.row)],
        "outputs": [value(output) for output in row.row.outputs],
        "params": row.params,
        "macs": row.macs,
        "flops": row.flops,
        "bytes_read": row.cost.read,
        "bytes_written": row.cost.written,
        "place": place(row.place),
    }


def operand_data(operand: Operand) -> Data:
    return {"from": operand.source, "shape": list(operand.value.shape)}


def value(tensor: Value) -> Data:
    return {"shape": list(tensor.shape), "dtype": tensor.dtype}


def place(span: Span | None) -> Data | None:
    return asdict(span) if span else None


def finding_data(finding: Finding) -> Data:
    return {
        "rule": finding.rule,
        "level": finding.level,
        "path": finding.path,
        "place": place(finding.place),
        "message": finding.message,
        "help": finding.help,
        "details": list(finding.details),
        "cause": finding.cause or finding.rule,
        "sizes": dict(finding.sizes) or None,
        "likely": finding.likely,
        "walk": [{"path": link.path, "text": link.text, "place": place(link.place)} for link in finding.walk],
        "also": list(finding.also),
        "fixes": [fix_data(fix) for fix in finding.fixes],
    }


def fix_data(fix: Fix) -> Data:
    """A fix without the whole text that it leads to: `edit` is the change."""
    kept = ("description", "params", "macs", "checked", "edit", "file", "outside", "leaves")
    return {name: value for name, value in asdict(fix).items() if name in kept} | {"changes": list(fix.changes)}
