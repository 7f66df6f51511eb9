"""A step that is a parameter is a row of its own, with its shape and count, without kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

import archscope

TEXT = """
input: [N, 4, 8]
layers:
  - q: Parameter(1, 4, 8)
  - k: Parameter(8, init=0.5)
  - x + q * k
  - prev * Parameter(8)
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(TEXT, encoding="utf-8")
    return archscope.summarize("net.yaml")


def test_it_has_a_row_with_its_shape_and_count(report) -> None:  # type: ignore[no-untyped-def]
    rows = {row.path: row for row in report.rows if row.op == "Parameter"}
    assert {path: (row.params, row.row.outputs[0].shape) for path, row in rows.items()} == {
        "q": (32, (1, 4, 8)),
        "k": (8, (8,)),
    }
    for row in rows.values():
        assert (row.macs, row.cost.read, row.cost.written, row.row.is_executed) == (0, 0, 0, False)
    assert report.total.params == 48


def test_inside_an_expression_it_stays_in_that_row(report) -> None:  # type: ignore[no-untyped-def]
    assert [row.params for row in report.rows if row.path == "3"] == [8]


def test_the_table_names_it_and_who_reads_it(report) -> None:  # type: ignore[no-untyped-def]
    lines = str(report).splitlines()
    assert any(line.split()[:3] == ["q", "Parameter", "1×4×8"] for line in lines)
    assert any(line.split()[:4] == ["k", "Parameter", "8,", "init"] for line in lines)
    assert any("x, q, k" in line or "q, k, x" in line for line in lines)
