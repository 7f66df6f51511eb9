"""The JSON document `archscope.timing/1` of a Timing, as plain dicts and lists; what is not known is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archscope.profiling.measurement import Samples

if TYPE_CHECKING:
    from archscope.profiling.timing import Footprint, TimedRow, Timing

JsonDict = dict[str, Any]


def timing_document(timing: Timing) -> JsonDict:
    measurement, report = timing.measurement, timing.report.to_dict()
    load = None if measurement.load is None else measurement.load.to_dict()
    cost, replays = timing.cost, measurement.graph_replays
    graph: JsonDict = {"median_s": None} if replays is None else samples_dict(replays)
    repeated = {key: report[key] for key in ("target", "device", "dtype", "mode", "inputs")}
    return {
        "schema": "archscope.timing/1",
        **repeated,
        "batch": timing.report.batch,
        "machine": {**measurement.machine.to_dict(), "load": load},
        "options": dict(timing.options),
        "costs": {"macs": cost.macs, "flops": cost.flops, "bytes": cost.read + cost.written},
        "total": total_dict(timing),
        "parts": {name: samples_dict(samples) for name, samples in measurement.parts},
        "graph": {"refused": measurement.no_graph_reason or None, **graph},
        "compile_s": measurement.compile_seconds,
        "rows": [row_dict(row, timing) for row in timing.rows],
        "rows_by": measurement.rows.method if measurement.rows else None,
        "accounted": timing.accounted,
        "between_s": timing.between_rows,
        "roofline": roofline_dict(timing),
        "memory": memory_dict(timing.memory),
        "interrupted": measurement.interrupted,
        "notes": list(measurement.notes),
    }


def samples_dict(samples: Samples) -> JsonDict:
    return {
        "median_s": samples.median,
        "iqr_s": samples.iqr,
        "runs": samples.runs,
        "runs_per_sample": samples.runs_per_sample,
        "noisy": samples.noisy,
        "samples_s": list(samples.seconds),
    }


def total_dict(timing: Timing) -> JsonDict | None:
    if timing.total is None:
        return None
    return {
        **samples_dict(timing.total),
        "distinct_inputs": timing.measurement.inputs,
        "examples_per_s": timing.throughput if timing.report.batch else None,
        "flops_per_s": timing.flops_per_second,
    }


def row_dict(row: TimedRow, timing: Timing) -> JsonDict:
    spent, known = row.spent, timing.ceilings is not None
    return {
        "index": row.index,
        "path": row.path or row.priced.op,
        "op": row.priced.op,
        "function": row.priced.row.function,
        "device_s": spent.total_seconds,
        "forward_s": spent.seconds,
        "backward_s": spent.backward if timing.report.backward_total is not None else None,
        "share": spent.total_seconds / timing.seconds if spent.total_seconds is not None and timing.seconds else None,
        "flops": spent.flops,
        "bytes": spent.moved,
        "intensity": spent.intensity,
        "flops_per_s": spent.flops_per_second,
        "bytes_per_s": spent.bytes_per_second,
        "bound": spent.bound,
        "least_s": spent.least if known and spent.exact else None,
        "of_roofline": spent.of_roofline,
    }


def roofline_dict(timing: Timing) -> JsonDict | None:
    if timing.ceilings is None:
        return None
    whole = timing.whole_run
    return {
        "least_s": timing.least if whole.exact else None,
        "least_s_at_least": timing.least,
        "of_roofline": timing.of_roofline,
        "held_by": dict(whole.least_by_kind),
        "fusible": [
            {"kind": group.kind, "seconds": group.seconds, "rows": list(group.rows)} for group in timing.fusible
        ],
        "ceilings_measured": timing.ceilings.measured,
    }


def memory_dict(footprint: Footprint) -> JsonDict:
    """Return sizes in bytes, and in `row` the row of the predicted peak, in the backward pass if `backward` is true."""
    predicted = footprint.predicted
    parts: JsonDict = dict.fromkeys(("params", "peak_predicted"))
    if predicted is not None:
        parts = {name.removesuffix("_bytes"): value for name, value in predicted.to_dict().items()}
        parts["peak_predicted"] = parts.pop("peak")
    return {
        **parts,
        "peak_measured": footprint.measured,
        "ratio": footprint.ratio,
        "available": footprint.available,
        "largest_batch": footprint.largest_batch,
    }
