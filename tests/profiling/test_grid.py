"""Timings of one target side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archscope.profiling.grid import Grid
from archscope.report import ReportViews
from tests.profiling.timing_reports import Net, timing


def cell(batch: int, **more: Any) -> Any:
    net = Net(x=(batch, 5))
    return timing(None, net.report([net.op("relu", [net["x"]], (batch, 5))]), **more)


def test_its_document_holds_those_of_all_in_order() -> None:
    timings = (cell(1), cell(8))
    grid = Grid(timings, 2)
    data = json.loads(json.dumps(grid.to_dict(), allow_nan=False))
    assert {**data, "timings": []} == {
        "schema": "archscope.timings/1",
        "target": "net.yaml",
        "planned": 2,
        "refused": [],
        "timings": [],
    }
    assert data["timings"] == [json.loads(json.dumps(one.to_dict())) for one in timings]
    assert [one["batch"] for one in data["timings"]] == [1, 8]


@pytest.mark.parametrize(
    ("timings", "planned", "interrupted"),
    [
        ([cell(1)], 1, False),
        ([cell(1), cell(8)], 2, False),
        ([cell(1), cell(8)], 3, True),
        ([cell(1), cell(8, interrupted=True)], 2, True),
    ],
)
def test_a_grid_knows_whether_it_was_interrupted(timings: list[Any], planned: int, interrupted: bool) -> None:
    assert Grid(tuple(timings), planned).interrupted is interrupted


def test_a_grid_shows_itself_as_it_was_told() -> None:
    grid = Grid((cell(1),), 1, (), ReportViews(lambda grid: f"{grid.target}!", lambda _: "<table>"))
    assert (str(grid), grid._repr_html_()) == ("net.yaml!", "<table>")
    assert repr(grid) == "<Grid net.yaml: 1 timings>"
    assert Grid((cell(1),), 1)._repr_html_() is None


def test_a_refused_timing_is_reported_and_is_no_interruption() -> None:
    grid = Grid((cell(1),), 2, ("float32 batch 8: no memory",))
    assert not grid.interrupted
    assert grid.to_dict()["refused"] == ["float32 batch 8: no memory"]
