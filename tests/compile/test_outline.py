"""Outlines of compiled specs: the steps, sizes and parameters that a recorded run has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

import archscope
from archscope.compile import outline_plan
from archscope.planned_block import PlannedBlock, PlannedStep
from archscope.trace import Shape, Trace
from tests.compile.written import plan

SPECS = Path(__file__).parents[2] / "specs"
BLOCKS = """\
input: [N, 4, 16, 16]
blocks:
  Unit(out, stride=1):
    - Conv2d(out, 3, stride=stride, padding=1)
    - ReLU
  Pair(out):
    - Unit(out)
    - a: Unit(out)
layers:
  - Pair(4)
  - wide: Unit(8, stride=2)
  - again: Pair(8)
  - Pair(8)
  - cat([prev, wide], dim=1)
"""
SAMPLE = {
    "blocks": BLOCKS,
    "residual": 'input: [N, 4, 8, 8]\nlayers:\n  - residual: ["Conv2d(4, 3, padding=1)", ReLU]\n',
    "views": "input: [N, 4, 6]\nlayers:\n  - a, b: chunk(2, dim=-1)\n  - a.transpose(1, 2) @ b\n  - softmax(dim=-1)\n",
    "repeat": "input: [N, 4]\nlayers:\n  - repeat: 3\n    do: [Linear(4), ReLU]\n  - Linear(2)\n",
    **{name: (SPECS / f"{name}.yaml").read_text(encoding="utf-8") for name in ("resnet", "llama_block", "unet")},
}


def drawn(text: str) -> PlannedBlock:
    return outline_plan(plan(text))


def ran(text: str) -> Trace:
    return archscope.summarize("net.yaml", texts={"net.yaml": text}, device="meta").trace


def steps(block: PlannedBlock, prefix: str = "") -> Iterator[tuple[str, PlannedStep]]:
    """Yield every step of every use, with its absolute path."""
    for step in block.steps:
        path = ".".join(filter(None, (prefix, step.path)))
        yield path, step
        if step.block is not None:
            yield from steps(step.block, path)


def functions(text: str) -> Iterator[tuple[str, PlannedStep]]:
    """Yield the steps that compute something: not inputs, parameters, uses of blocks or sizes."""
    for path, step in steps(drawn(text)):
        if step.block is None and step.shapes and step.name not in ("input", "parameter"):
            yield path, step


@pytest.mark.parametrize("name", SAMPLE)
def test_every_row_of_the_trace_agrees_with_the_outline(name: str) -> None:
    """A layer may have several rows; its step has the output of the last of them."""
    found: dict[str, set[tuple[Shape, ...]]] = {}
    for path, step in functions(SAMPLE[name]):
        found.setdefault(path, set()).add(step.shapes)
    last = {row.path: tuple(value.shape for value in row.outputs) for row in ran(SAMPLE[name]).rows}
    assert set(last) == set(found)
    assert {path: shapes for path, shapes in last.items() if shapes not in found[path]} == {}


@pytest.mark.parametrize("name", SAMPLE)
def test_the_parameters_are_those_of_the_net(name: str) -> None:
    found = Counter(shape for _, step in steps(drawn(SAMPLE[name])) for shape in step.params)
    params = Counter(param.shape for param in ran(SAMPLE[name]).params)
    assert found == params
    assert sum(prod(shape) * count for shape, count in found.items()) == plan(SAMPLE[name]).parameter_count


@pytest.mark.parametrize("name", SAMPLE)
def test_operands_are_steps_before(name: str) -> None:
    block = drawn(SAMPLE[name])
    for part in [block, *{id(inner): inner for _, inner in block.walk_blocks()}.values()]:
        assert all(0 <= read < index for index, step in enumerate(part.steps) for read in step.reads)
        assert [step.name for step in part.steps[: part.inputs]] == ["input"] * part.inputs
        assert all(0 <= index < len(part.steps) for _, index in part.outputs)


def test_equal_uses_are_one_block() -> None:
    block = drawn(BLOCKS)
    pairs = [step.block for step in block.steps if step.name == "Pair"]
    assert len(pairs) == 3
    assert pairs[1] is pairs[2]
    assert pairs[0] is not pairs[1]


def test_uses_are_listed_once_for_each_distinct_block() -> None:
    """Two of Pair in their four uses of Unit, three of Pair and part of Unit in the net."""
    found = Counter(inner.name for _, inner in drawn(BLOCKS).walk_blocks())
    assert found == {"Pair": 3, "Unit": 5}


def test_outputs_have_their_names() -> None:
    text = "input: [N, 4]\nlayers:\n  - a: Linear(3)\n  - Linear(2)\nreturn: RETURN\n"
    listed, named = (drawn(text.replace("RETURN", what)) for what in ("[a, prev]", "{small: prev, large: a}"))
    sizes = [{name: block.steps[index].shapes[0][1] for name, index in block.outputs} for block in (listed, named)]
    assert sizes == [{"0": 3, "1": 2}, {"small": 2, "large": 3}]


def test_an_argument_that_occurs_twice_is_read_twice() -> None:
    (step,) = (step for _, step in functions("input: [N, 4]\nlayers:\n  - cat([x, x], dim=1)\n"))
    assert step.reads == (0, 0)


def test_a_broken_net_has_an_outline() -> None:
    """Steps behind a conflict have the sizes that the run goes on with."""
    text = "input: [N, 4, 8, 8]\nlayers:\n  - a: Conv2d(4, 3)\n  - cat([x, a], dim=1)\n  - Conv2d(2, 1)\n"
    broken = plan(text, strict=False)
    assert len(broken.mismatches) == 1
    found = dict(steps(outline_plan(broken)))
    last = {row.path: row.outputs[0].shape for row in ran(text).rows}
    assert {path: found[path].shapes for path in ("a", "1", "2")} == {path: (last[path],) for path in ("a", "1", "2")}
