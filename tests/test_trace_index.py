"""Tests of the index of a trace against brute force, on specs, modules and random traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from random import Random

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.trace import Operand, Row, Trace
from archscope.trace_index import TraceIndex, is_in_place
from tests.counting import calls_of
from tests.record.runs import traced
from tests.sketches import Sketch, awkward, conv, residual, same, trained

pytestmark = pytest.mark.moves_rng


# ------------------------------------------------------------ traces
class Mixed(nn.Module):
    """Two inputs, a value read twice by one row, writing in place, a constant, work that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a = self.left(x)
        b = self.right(y)
        a.relu_()
        self.right(b).sigmoid()
        lost = torch.zeros(2, 4)
        lost[0] = b[0]
        doubled = a * a
        return doubled + torch.ones(4).exp(), b.add_(1)


class Nested(nn.Module):
    """Calls in calls: one module runs twice, one runs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Identity(), nn.Dropout(0.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.body(x).tanh()) + x


def mixed() -> Trace:
    return traced(Mixed(), torch.zeros(2, 4), torch.zeros(2, 4))


SPECS = (
    "specs/resnet.yaml:resnet18",
    "specs/unet.yaml",
    "specs/gpt2.yaml",
    "specs/lstm_classifier.yaml",
    "specs/densenet.yaml",
)
DRAWN: dict[str, Callable[[], Trace]] = {
    "mixed": mixed,
    "nested": lambda: traced(Nested(), torch.zeros(2, 4)),
    "awkward": lambda: awkward().trace,
    "trained": lambda: trained().trace,
}


@cache
def index_of(name: str) -> TraceIndex:
    if name in DRAWN:
        return TraceIndex(DRAWN[name]())
    target = name if ":" in name else archscope.variants(name)[0]
    return archscope.summarize(target, device="meta").index


every = pytest.mark.parametrize("name", [*SPECS, *DRAWN])


# ------------------------------------------------------------ brute force
def edges(trace: Trace) -> Iterator[tuple[Row, Row]]:
    """(maker, reader) for every value that a row makes and a row reads."""
    for maker in trace.rows:
        ids = {value.id for value in maker.outputs}
        yield from ((maker, row) for row in trace.rows if any(operand.value.id in ids for operand in row.inputs))


def ancestor_rows(trace: Trace) -> dict[int, set[int]]:
    """Row → the rows that it depends on, itself included."""
    found = {row.index: {row.index} for row in trace.rows}
    for maker, reader in sorted(edges(trace), key=lambda edge: edge[1].index):
        found[reader.index] |= found[maker.index]
    return found


def makers_of(index: TraceIndex, ids: set[int] | frozenset[int]) -> set[int]:
    return {row.index for row in index.trace.rows if any(value.id in ids for value in row.outputs)}


# ------------------------------------------------------------ values
@every
def test_makers_and_readers_are_the_edges(name: str) -> None:
    index = index_of(name)
    rows = index.trace.rows
    told = [
        (maker.index, reader.index)
        for maker in rows
        for reader in {r.index: r for value in maker.outputs for r in index.readers(value.id)}.values()
    ]
    assert sorted(told) == sorted((maker.index, reader.index) for maker, reader in edges(index.trace))
    for row in rows:
        assert all(index.makers[value.id] is row and index.maker_index(value.id) == row.index for value in row.outputs)
        assert all(row in index.readers(operand.value.id) for operand in row.inputs)


@every
def test_readers_are_unique_and_in_the_order_of_the_run(name: str) -> None:
    index = index_of(name)
    for value in {operand.value.id for row in index.trace.rows for operand in row.inputs}:
        found = [row.index for row in index.readers(value)]
        assert found == sorted(set(found))


def test_unread_values_have_no_reader_and_inputs_no_maker() -> None:
    index = index_of("mixed")
    (x, _), (total, _) = index.trace.inputs, index.trace.outputs
    assert (list(index.readers(total.value.id)), index.maker(x), index.maker_index(x.value.id)) == ([], None, -1)


def test_a_value_read_twice_by_one_row_has_one_reader() -> None:
    index = index_of("mixed")
    (squared,) = (row for row in index.trace.rows if row.short_name == "mul")
    assert len(squared.inputs) == 2
    assert [row.index for row in index.readers(squared.inputs[0].value.id)] == [squared.index]


@every
def test_operands_are_activations_or_parameters(name: str) -> None:
    index = index_of(name)
    made = {value.id for row in (*index.trace.rows, *index.trace.backward) for value in row.outputs}
    assert index.activation_ids == made | {operand.value.id for operand in index.trace.inputs}
    for row in (*index.trace.rows, *index.trace.backward):
        flows = index.activations(row)
        held = [operand for operand in row.inputs if operand not in flows]
        assert not {operand.value.id for operand in held} & index.activation_ids
        assert index.reads_params(row) is any(operand.source in index.params for operand in held)


def test_a_value_whose_maker_has_the_name_of_a_parameter_is_none() -> None:
    net = Sketch("net.yaml", x=(1, 4))
    y = net.row("scale", "mul", [net["x"]], (1, 4), params=[net.param("scale", (4,))])
    index = TraceIndex(net.trace([net.row("relu", "relu", [y], (1, 4))]))
    assert list(map(index.reads_params, index.trace.rows)) == [True, False]


# ------------------------------------------------------------ what depends on what
@every
def test_descendants_are_the_rows_that_depend_on_a_row(name: str) -> None:
    index = index_of(name)
    depends = ancestor_rows(index.trace)
    dice = Random(name)
    for row in dice.sample(index.trace.rows, min(len(index.trace.rows), 25)):
        assert index.descendants([row.index]) == {below for below, rows in depends.items() if row.index in rows}


@every
def test_descendants_of_several_rows_are_those_of_each(name: str) -> None:
    index, dice = index_of(name), Random(name)
    several = [row.index for row in dice.sample(index.trace.rows, 3)]
    assert index.descendants(several) == frozenset[int]().union(*(index.descendants([row]) for row in several))
    assert index.descendants(index.descendants(several)) == index.descendants(several)
    assert index.descendants([]) == frozenset()


@every
def test_ancestors_are_the_rows_that_a_value_comes_from(name: str) -> None:
    index = index_of(name)
    depends = ancestor_rows(index.trace)
    for row in Random(name).sample(index.trace.rows, min(len(index.trace.rows), 25)):
        found = index.ancestors(Operand(row.path, row.outputs[0]))
        assert set(found.values()) - {-1} == depends[row.index]
        assert {value for value, maker in found.items() if maker < 0} <= index.inputs


@every
def test_dependent_values_have_an_input_among_their_ancestors(name: str) -> None:
    index = index_of(name)
    for row in index.trace.rows:
        for value in row.outputs:
            assert (value.id in index.input_dependent) is bool(index.inputs & {*index.ancestors(Operand("", value))})


@every
def test_needed_rows_lead_to_results_and_alive_rows_also_to_writes_in_place(name: str) -> None:
    index = index_of(name)
    depends = ancestor_rows(index.trace)
    results = makers_of(index, index.output_ids)
    written = {row.index for row in index.trace.rows if is_in_place(row)}
    assert index.needed_rows == set().union(*(depends[row] for row in results))
    assert index.live_rows == set().union(*(depends[row] for row in results | written))


def test_only_rows_that_lead_to_a_result_are_needed_and_writes_in_place_are_alive() -> None:
    index = index_of("mixed")
    named = {row.short_name: row.index for row in index.trace.rows}
    assert named["sigmoid"] not in index.live_rows
    assert named["setitem"] in index.live_rows - index.needed_rows
    assert {named["relu_"], named["mul"], named["exp"], named["add_"]} <= index.needed_rows


def test_what_is_read_after_a_write_in_place_depends_on_it() -> None:
    index = index_of("mixed")
    named = {row.short_name: row.index for row in index.trace.rows}
    assert index.descendants([named["relu_"]]) == {named["relu_"], named["mul"], named["add"]}


def test_of_two_inputs_each_reaches_its_own_side() -> None:
    index = index_of("mixed")
    (x, y), (total, moved) = index.trace.inputs, index.trace.outputs
    left, right = (index.reachable_values([operand.value.id]) for operand in (x, y))
    assert (total.value.id in left, moved.value.id in left) == (True, False)
    assert (total.value.id in right, moved.value.id in right) == (False, True)
    assert left | right == index.input_dependent
    (constant,) = (row for row in index.trace.rows if row.short_name == "exp")
    assert constant.outputs[0].id not in index.input_dependent


@every
def test_without_other_rows_only_the_start_is_reached(name: str) -> None:
    index = index_of(name)
    assert index.reachable_values(index.inputs, without=range(len(index.trace.rows))) == index.inputs


def test_a_path_around_a_row_is_found() -> None:
    net = Sketch("net.yaml", x=(1, 4, 8, 8))
    y = residual(net, "0", net["x"], 4)
    index = TraceIndex(net.trace([y]))
    main, _, _, added, _ = (row.index for row in index.trace.rows)
    assert y.value.id in index.reachable_values(index.inputs, without=[main])
    assert y.value.id not in index.reachable_values(index.inputs, without=[added])


# ------------------------------------------------------------ calls
@every
def test_rows_within_a_call_are_those_of_its_nested_calls_too(name: str) -> None:
    index = index_of(name)
    around = {row.index: {call.index for call in index.calls_around(row.call)} for row in index.trace.rows}
    for call in index.trace.calls:
        assert [row.index for row in index.rows_within(call)] == [
            at for at, calls in around.items() if call.index in calls
        ]


@every
def test_calls_around_a_row_go_outwards_to_the_top(name: str) -> None:
    index = index_of(name)
    for row in index.trace.rows:
        calls = list(index.calls_around(row.call))
        assert [call.index for call in calls] == ([row.call] if row.call >= 0 else []) + [c.parent for c in calls[:-1]]
        assert not calls or calls[-1].parent == -1
        assert index.blocks(row) == [call for call in calls[:-1] if call.site.kind == "block"]


def test_the_text_of_a_layer_has_its_arguments_and_that_of_a_function_its_name() -> None:
    net = Sketch("net.yaml", x=(1, 4, 8, 8))
    y = same(net, "1", "ReLU", conv(net, "0", net["x"], 8, 3))
    y = net.row("2", "tanh", [net.step("add", "add", "prev + prev", [y, y], y.value.shape)], y.value.shape)
    index = TraceIndex(net.trace([y]))
    assert [index.layer_text(row) for row in index.trace.rows] == ["Conv2d 8, 3×3", "ReLU", "add", "tanh"]
    assert [site and site.name for site in map(index.layer, index.trace.rows)] == ["Conv2d", "ReLU", None, None]


# ------------------------------------------------------------ work
def chain(rows: int) -> Trace:
    net = Sketch("net.yaml", x=(1, 4))
    y = net["x"]
    for at in range(rows):
        y = same(net, f"{at}", "ReLU", y)
    return net.trace([y])


def nest(depth: int) -> Trace:
    """A row in so many calls, of which each has a row beside it."""
    net = Sketch("net.yaml", x=(1, 4))

    def inside(y: Operand, left: int) -> Operand:
        if not left:
            return y
        with net.call(f"{left}", "Block"):
            return inside(same(net, f"{left}.0", "ReLU", y), left - 1)

    return net.trace([inside(net["x"], depth)])


def everything(trace: Trace) -> None:
    index = TraceIndex(trace)
    assert len(index.makers) == len(index.activation_ids) - 1
    assert index.needed_rows == index.live_rows == index.descendants([0])
    assert len(index.input_dependent) == len(index.ancestors(trace.outputs[0]))
    assert index.readers(trace.inputs[0].value.id)
    assert index.rows_within(trace.calls[0])


@pytest.mark.parametrize("made", [chain, nest])
def test_twice_the_trace_is_twice_the_work(made: Callable[[int], Trace]) -> None:
    small, large = (calls_of(partial(everything, made(size))) for size in (100, 200))
    assert large <= 2.05 * small


def test_a_summary_makes_no_index_that_it_does_not_show() -> None:
    report = archscope.summarize("specs/resnet.yaml:resnet18", device="meta")
    assert not vars(report.index).keys() - {"trace", "params"}
    assert str(report)
    assert not vars(report.index).keys() & {"dependent", "needed", "alive"}
    assert report.index is report.index
