"""The document of a timing: its keys, what is null, and that it is JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archscope.machine import MachineLoad
from archscope.profiling.measurement import Samples
from archscope.profiling.predicted_memory import PredictedMemory
from archscope.profiling.timing import Footprint
from archscope.report import Report
from tests.profiling.timing_reports import CEILINGS, Net, measured, timing

MEMORY = PredictedMemory(400, 8, 80, 400, 800, 160, 2000, 1, backward=False)


def report() -> Report:
    """A product, a view and a function without a price."""
    net = Net(x=(2, 5))
    y = net.op("mm", [net["x"]], (2, 5), macs=1000)
    y = net.op("view", [y], (10,), view=True)
    return net.report([net.op("mystery", [y], (10,), unpriced="aten.mystery")])


def trained() -> Report:
    net = Net(x=(2, 5))
    y = net.op("mm", [net["x"]], (2, 5), macs=1000)
    net.derive(0, macs=500)
    return net.report([net.op("relu", [y], (2, 5))])


def data(rows: Any, drawn: Report, **more: Any) -> dict[str, Any]:
    """The document, once through JSON."""
    return json.loads(json.dumps(timing(rows, drawn, **more).to_dict(), allow_nan=False))


def test_the_keys_that_others_read() -> None:
    """As the interface names them: whoever reads a document finds these."""
    found = data([8.0, 0.5, 1.0], report(), ceilings=CEILINGS, memory=Footprint(MEMORY, 2500, 10**6, 64))
    assert found["schema"] == "archscope.timing/1"
    assert {"median_s", "iqr_s", "runs", "samples_s"} <= found["total"].keys()
    named = {"index", "path", "device_s", "share", "flops_per_s", "bytes_per_s", "bound", "of_roofline"}
    assert all(named <= row.keys() for row in found["rows"])
    assert {"params", "peak_predicted", "peak_measured"} <= found["memory"].keys()
    assert found["accounted"] == pytest.approx(0.95)


def test_all_keys() -> None:
    found = data([8.0, 0.5, 1.0], report(), ceilings=CEILINGS)
    head = ["schema", "target", "device", "dtype", "mode", "inputs", "batch", "machine", "options", "costs"]
    body = ["total", "parts", "graph", "compile_s", "rows", "rows_by", "accounted", "between_s", "roofline", "memory"]
    assert list(found) == [*head, *body, "interrupted", "notes"]


def test_figures_by_hand() -> None:
    whole = (9.0, 10.0, 10.0, 11.0)
    found = data([8.0, 0.5, 1.0], report(), whole=whole, ceilings=CEILINGS, inputs=3)
    assert found["total"] == {
        "median_s": 10.0,
        "iqr_s": 0.5,
        "runs": 4,
        "runs_per_sample": 1,
        "noisy": False,
        "samples_s": list(whole),
        "distinct_inputs": 3,
        "examples_per_s": 0.2,
        "flops_per_s": None,
    }
    assert found["rows"][0] == {
        "index": 0,
        "path": "0",
        "op": "mm",
        "function": "torch.nn.functional.mm",
        "device_s": 8.0,
        "forward_s": 8.0,
        "backward_s": None,
        "share": 0.8,
        "flops": 2000,
        "bytes": 80,
        "intensity": 25.0,
        "flops_per_s": 250.0,
        "bytes_per_s": 10.0,
        "bound": "compute",
        "least_s": 2.0,
        "of_roofline": 0.25,
    }
    assert found["costs"] == {"macs": None, "flops": None, "bytes": 160}
    assert (found["between_s"], found["rows_by"], found["batch"]) == (0.5, "by hand", 2)


def test_what_is_not_known_is_null_and_never_zero() -> None:
    found = data([8.0, 0.5, 1.0], report(), ceilings=CEILINGS)
    view, mystery = found["rows"][1:]
    assert (view["bound"], view["of_roofline"], view["intensity"]) == (None, None, None)
    assert (view["device_s"], view["flops"], view["bytes"]) == (0.5, 0, 0)
    assert [mystery[name] for name in ("flops", "flops_per_s", "intensity", "least_s", "of_roofline")] == [None] * 5
    assert mystery["bound"] == "unknown"
    assert found["roofline"]["least_s"] is None
    assert found["roofline"]["least_s_at_least"] == pytest.approx(2.8)
    assert found["roofline"]["of_roofline"] is None


def test_rows_that_were_not_timed_are_null() -> None:
    for rows in (None, [None] * 3):
        found = data(rows, report(), ceilings=CEILINGS)
        for row in found["rows"]:
            names = ("device_s", "forward_s", "share", "flops_per_s", "bytes_per_s", "of_roofline")
            assert [row[name] for name in names] == [None] * 6
    found = data(None, report())
    assert (found["accounted"], found["between_s"], found["rows_by"], found["roofline"]) == (None,) * 4


def test_without_ceilings_bounds_are_null() -> None:
    for row in data([8.0, 0.5, 1.0], report())["rows"]:
        assert [row[name] for name in ("bound", "least_s", "of_roofline")] == [None] * 3


def test_without_a_whole_its_shares_are_null() -> None:
    found = data([8.0, 0.5, 1.0], report(), whole=None, interrupted=True)
    assert (found["total"], found["accounted"], found["between_s"], found["interrupted"]) == (None, None, None, True)
    assert [row["share"] for row in found["rows"]] == [None] * 3


def test_both_passes_stand_apart_and_together() -> None:
    found = data([8.0, 1.0], trained(), backward=[4.0, 0.0])
    assert [(row["device_s"], row["forward_s"], row["backward_s"]) for row in found["rows"]] == [
        (12.0, 8.0, 4.0),
        (1.0, 1.0, 0.0),
    ]
    assert found["costs"] == {"macs": 1500, "flops": 3000, "bytes": 208}


def test_parts_graphs_and_load() -> None:
    parts = (("forward", Samples((1.0, 2.0, 3.0))), ("backward", Samples((4.0,))))
    more = {
        "parts": parts,
        "graph_replays": Samples((5.0,) * 4),
        "load": MachineLoad(0.5, None),
        "compile_seconds": 7.0,
    }
    found = data([8.0, 1.0], trained(), **more, notes=("a note",), options=(("optimizer", "sgd"),))
    assert list(found["parts"]) == ["forward", "backward"]
    assert found["parts"]["forward"]["samples_s"] == [1.0, 2.0, 3.0]
    assert (found["graph"]["median_s"], found["graph"]["runs"], found["graph"]["refused"]) == (5.0, 4, None)
    assert found["machine"]["load"] == {"cores": 0.5, "bytes": None}
    assert (found["compile_s"], found["notes"], found["options"]) == (7.0, ["a note"], {"optimizer": "sgd"})
    found = data([8.0, 1.0], trained(), no_graph_reason="it waits")
    assert found["graph"] == {"refused": "it waits", "median_s": None}
    assert (found["machine"]["load"], found["compile_s"], found["parts"]) == (None, None, {})


def test_memory_is_null_where_it_is_not_known() -> None:
    found = data([8.0, 1.0], trained())["memory"]
    assert set(found.values()) == {None}


def test_memory_stands_beside_what_was_measured() -> None:
    found = data([8.0, 1.0], trained(), memory=Footprint(MEMORY, 2500, 10**6, 64))["memory"]
    assert (found["params"], found["peak_predicted"], found["peak_measured"], found["ratio"]) == (400, 2000, 2500, 0.8)
    assert (found["available"], found["largest_batch"]) == (10**6, 64)


@pytest.mark.parametrize(
    ("footprint", "ratio"),
    [(Footprint(), None), (Footprint(MEMORY), None), (Footprint(None, 100), None), (Footprint(MEMORY, 1000), 2.0)],
)
def test_a_ratio_needs_both(footprint: Footprint, ratio: float | None) -> None:
    assert footprint.ratio == ratio


def test_a_timing_says_what_it_is() -> None:
    assert repr(timing(None, report())) == "<Timing net.yaml: 10.0 s on cpu>"
    assert measured(None).whole_run == Samples((10.0,) * 4)
