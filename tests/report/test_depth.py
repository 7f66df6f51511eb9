"""Tests of deep and long nets: no recursion over their nesting, and twice the net is at most twice the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from archscope.checks.lint import lint
from archscope.graph import outline
from archscope.graph.outline import breakdown, full_outline
from archscope.graph.outline_lines import leaf_lines, walk_lines
from archscope.render import table, table_content
from archscope.report import Report, Total
from tests.counting import calls_of
from tests.sketches import Sketch


def nested_blocks(depth: int) -> Report:
    """Return the report of nested blocks, each with a layer before the next block."""
    net = Sketch("tower.py:Tower", title="Tower", x=(1, 8))
    x, path = net["x"], ""
    with ExitStack() as stack:
        stack.enter_context(net.call("", "Tower"))
        for _ in range(depth):
            x = net.layer(f"{path}layer", "Linear", "8", [x], (1, 8), params=(8, 8), macs=64)
            stack.enter_context(net.call(f"{path}in", "Tower"))
            path += "in."
    return net.report([x])


def chain(length: int) -> Report:
    """Return the report of a chain of equal layers."""
    net = Sketch("chain.py:Chain", title="Chain", x=(1, 8))
    x = net["x"]
    with net.call("", "Chain"):
        for number in range(length):
            x = net.layer(str(number), "Linear", "8", [x], (1, 8), params=(8, 8), macs=64)
    return net.report([x])


WORK: dict[str, Callable[[Report], object]] = {
    "outline": outline,
    "expanded": lambda report: outline(report, expand=True),
    "two levels": lambda report: outline(report, depth=2),
    "by type": lambda report: breakdown(report, "type"),
    "by depth": lambda report: breakdown(report, "depth"),
    "total": lambda report: report.total,
    "document": lambda report: report.to_dict(),
    "table": lambda report: table_content.summary_sheet(report),
    "flops": lambda report: table_content.flops_sheet(report),
    "lint": lint,
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_nesting_deeper_than_the_stack(work: Callable[[Report], object]) -> None:
    work(nested_blocks(sys.getrecursionlimit() + 100))


def test_every_level_of_nested_blocks_is_the_sum_of_its_children() -> None:
    report = nested_blocks(60)
    blocks = [line.total.known for _, line in walk_lines(full_outline(report)) if line.kind == "block"]
    assert blocks == [64 * below for below in range(59, -1, -1)]
    assert Total.of(line.total for _, line in leaf_lines(outline(report))) == report.total


def test_nested_blocks_are_printed_with_their_depth() -> None:
    lines = table.format_table(table_content.summary_sheet(nested_blocks(3)), width=100).splitlines()
    layers = [line[: line.index("layer")] for line in lines if " Linear" in line]
    assert layers == ["", "  ", "    "]


@pytest.mark.parametrize("shape", [nested_blocks, chain])
@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_twice_the_net_is_at_most_twice_the_work(
    work: Callable[[Report], object], shape: Callable[[int], Report]
) -> None:
    small, large = (calls_of(partial(work, shape(size))) for size in (100, 200))
    assert large <= 2.05 * small
