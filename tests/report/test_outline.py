"""Tests of the outline: names, sources, folding, levels; sums stay the same when lines are folded or cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archscope.graph import outline
from archscope.graph.outline import breakdown, full_outline
from archscope.graph.outline_lines import OutlineLine, leaf_lines
from archscope.report import Report, Total
from tests.sketches import Sketch, awkward, conv, residual, residual_mnist, same, stages, trained

REPORTS = {"mnist": residual_mnist(), "stages": stages(), "awkward": awkward(), "trained": trained()}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())


def summed(lines: tuple[OutlineLine, ...]) -> Total:
    return Total.of(line.total for _, line in leaf_lines(lines))


def derived(lines: Iterable[OutlineLine]) -> Total:
    return Total.of(line.backward for line in lines)


def walk(lines: tuple[OutlineLine, ...], level: int = 0) -> Iterator[tuple[int, OutlineLine]]:
    for line in lines:
        yield level, line
        yield from walk(line.children, level + 1)


def drawn(lines: tuple[OutlineLine, ...]) -> list[str]:
    return [f"{'  ' * level}{line.label}{f' ×{line.times}' * (line.times > 1)}" for level, line in walk(lines)]


# ------------------------------------------------------------ sums
@every_report
@pytest.mark.parametrize("depth", [None, 1, 2, 3, 9])
@pytest.mark.parametrize("expand", [False, True])
def test_lines_sum_to_the_total_at_any_depth(report: Report, depth: int | None, expand: bool) -> None:
    lines = outline(report, expand=expand, depth=depth)
    assert summed(lines) == report.total
    assert Total.of(line.total for line in lines) == report.total
    whole = report.backward_total or Total()
    assert derived(lines) == derived(line for _, line in leaf_lines(lines)) == whole


@every_report
@pytest.mark.parametrize("expand", [False, True])
def test_every_row_is_in_one_leaf(report: Report, expand: bool) -> None:
    rows = [index for _, line in leaf_lines(outline(report, expand=expand)) for index in line.rows]
    assert sorted(rows) == list(range(len(report.rows)))


@every_report
def test_a_line_is_the_sum_of_the_lines_below_it(report: Report) -> None:
    for _, line in walk(outline(report)):
        if line.children:
            assert Total.of(child.total for child in line.children) == line.total
            assert derived(line.children) == line.backward


@every_report
@pytest.mark.parametrize("by", ["module", "type", "depth"])
def test_breakdowns_sum_to_the_total(report: Report, by: str) -> None:
    lines = breakdown(report, by)
    assert Total.of(line.total for line in lines) == report.total
    assert derived(lines) == (report.backward_total or Total())


@pytest.mark.law
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 2))
def test_folding_never_changes_a_sum(repeats: list[int], batch: int) -> None:
    report = stages(repeats, batch)
    assert summed(outline(report)) == summed(full_outline(report)) == report.total
    turns = [line.times for line in outline(report) if line.name == "BasicBlock"]
    assert turns == repeats


# ------------------------------------------------------------ names and sources
def test_labels_are_relative_to_the_block_and_repeats_fold() -> None:
    inside = ["  main.0", "  main.1", "  main.2", "  add", "  1"]
    assert drawn(outline(stages())) == [
        *["stem", "  0", "  1", "down1", "layer1.0-1 ×2", *inside],
        *["down2", "layer2.0-2 ×3", *inside, "flatten", "fc"],
    ]


def test_expand_shows_every_repeat() -> None:
    tops = [text for text in drawn(outline(stages(), expand=True, depth=2)) if text.startswith(("layer", "  "))]
    assert tops == ["  0", "  1", "layer1", "  0", "  1", "layer2", "  0", "  1", "  2"]


def test_sources_have_their_names_within_the_block() -> None:
    sources = {line.path: line.sources for _, line in walk(outline(residual_mnist()))}
    assert sources["0"] == ("x",)
    assert sources["3"] == ("2",)
    assert sources["3.main.0"] == ("x",)
    assert sources["3.main.1"] == ("main.0",)
    assert sources["3.add"] == ("main.2", "x")
    assert sources["3.1"] == ("add",)
    assert sources["4"] == ("3",)


def test_a_second_input_is_shown_by_its_name() -> None:
    sources = {line.path: line.sources for _, line in walk(outline(awkward()))}
    assert sources["cross"] == ("rnn", "memory")
    assert sources["cross.pool"] == ("query",)
    assert sources["cross.add"] == ("att", "memory")


def test_a_written_step_is_one_line_and_expand_shows_its_rows() -> None:
    step = next(line for line in outline(awkward()) if line.path == "4")
    assert (step.rows, step.children) == ((5, 6), ())
    opened = next(line for line in outline(awkward(), expand=True) if line.path == "4")
    assert [child.name for child in opened.children] == ["view", "relu"]


def test_outputs_are_what_others_read() -> None:
    lines = {line.path: line for line in outline(awkward())}
    assert [value.shape for value in lines["rnn"].outputs] == [(2, 7, 32), (1, 2, 32), (1, 2, 32)]
    assert [value.shape for value in lines["4"].outputs] == [(2, 112)]


def test_unread_parameters_have_a_line_and_parameters_read_again_are_shared() -> None:
    lines = outline(awkward())
    assert (lines[-1].kind, lines[-1].total.params) == ("unread", 5)
    assert {line.path: line.shared for line in lines} | {"head": True} == {
        **dict.fromkeys(["embed", "rnn", "cross", "4", "unread"], False),
        "head": True,
    }


def test_a_layer_that_ran_nothing_still_has_its_line() -> None:
    net = Sketch("net.yaml", x=(1, 3))
    y = same(net, "0", "ReLU", net["x"])
    with net.call("1", "Identity", kind="layer"):
        pass
    lines = outline(net.report([same(net, "2", "ReLU", y)]))
    assert [line.label for line in lines] == ["0", "1", "2"]
    assert (lines[1].rows, lines[1].outputs, lines[2].sources) == ((), (), ("0",))


def test_the_call_of_the_whole_net_has_no_line() -> None:
    net = Sketch("net.py:Net", x=(1, 3, 8, 8))
    with net.call("", "Net"):
        y = conv(net, "conv", net["x"], 4, 3)
        y = net.row("relu", "relu", [y], y.value.shape)
    assert [(line.label, line.kind) for line in outline(net.report([y]))] == [("conv", "layer"), ("relu", "row")]


# ------------------------------------------------------------ what does not fold
def chain(*channels: int, shortcut: bool = False) -> Report:
    net = Sketch("net.yaml", x=(1, 8, 8, 8))
    x, first = net["x"], net["x"]
    for turn, size in enumerate(channels):
        x = residual(net, f"block.{turn}", first if shortcut and turn else x, size)
    return net.report([x])


def test_different_repeats_are_not_folded() -> None:
    assert drawn(outline(chain(8, 8, 16, 16, 16), depth=2)) == ["block", "  0-1 ×2", "  2", "  3-4 ×2"]


def test_repeats_with_other_sources_are_not_folded() -> None:
    net = Sketch("net.yaml", x=(1, 8, 8, 8))
    a = same(net, "a.0", "ReLU", net["x"])
    b = same(net, "a.1", "ReLU", a)
    c = same(net, "a.2", "ReLU", a)
    assert drawn(outline(net.report([b, c]))) == ["a", "  0-1 ×2", "  2"]


def test_parallel_repeats_of_one_input_are_folded() -> None:
    net = Sketch("net.yaml", x=(1, 8, 8, 8))
    heads = [conv(net, f"heads.{turn}", net["x"], 4, 1) for turn in range(3)]
    assert drawn(outline(net.report(heads))) == ["heads.0-2 ×3"]


def test_a_repeat_of_several_steps_folds_as_a_group() -> None:
    net = Sketch("net.yaml", x=(1, 8, 8, 8))
    x = same(net, "stem", "ReLU", net["x"])
    for turn in range(3):
        x = same(net, f"body.{turn}.1", "ReLU", conv(net, f"body.{turn}.0", x, 8, 3, pad=1))
    assert drawn(outline(net.report([x]))) == ["stem", "body.0-2 ×3", "  0", "  1"]


def test_two_calls_of_one_module_count_its_parameters_once() -> None:
    net = Sketch("net.yaml", x=(1, 8))
    net.param("fc.weight", (8, 8))
    x = net["x"]
    for _ in range(2):
        with net.call("fc", "Linear", "8", "layer"):
            x = net.row("fc", "Linear", [x], (1, 8), params=["fc.weight"], macs=64)
    lines = outline(net.report([x]))
    assert [(line.label, line.total.params, line.shared) for line in lines] == [("fc", 64, False), ("fc", 0, True)]


def test_breakdowns_by_type_and_depth() -> None:
    kinds = {line.label: (line.times, line.total.macs) for line in breakdown(stages(), "type")}
    assert kinds["Conv2d"] == (13, 110_297_088)
    assert kinds["add"] == (5, 0)
    assert [line.label for line in breakdown(stages(), "depth")] == ["level 1", "level 2", "level 3"]
    assert [line.label for line in breakdown(stages(), "module")][:2] == ["stem", "down1"]


# ------------------------------------------------------------ the backward pass
def test_a_line_has_the_backward_costs_of_its_rows() -> None:
    lines = {line.label: line for line in outline(trained())}
    assert [lines[label].backward.known for label in ("stem", "layer.0-1", "head")] == [1_769_472, 75_497_472, 320]
    assert (lines["fft"].backward.macs, lines["fft"].backward.unpriced) == (None, 1)


def test_backward_rows_without_a_forward_row_have_their_own_line() -> None:
    *_, last = full_outline(trained())
    assert (last.label, last.kind, last.rows, last.backward.known) == ("ScaleBackward", "backward", (), 1280)


def test_repeats_with_other_backward_costs_are_not_folded() -> None:
    def net(*backward: int) -> Report:
        net = Sketch("net.py:Net", x=(1, 8))
        x = net["x"]
        for turn in range(3):
            x = net.layer(str(turn), "Linear", "8", [x], (1, 8), params=(8, 8), macs=64)
        for index, macs in enumerate(backward):
            net.derive(index, macs=macs)
        return net.report([x])

    assert drawn(outline(net(128, 128, 128))) == ["0-2 ×3"]
    assert drawn(outline(net(64, 128, 128))) == ["0", "1-2 ×2"]
