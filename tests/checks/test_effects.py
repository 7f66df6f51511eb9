"""Tests of step changes: lines before and after an edit, matched steps, edited steps and those that depend on them."""

from __future__ import annotations

import pytest

from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_session import SpecSession
from archscope.compile import outline_plan
from archscope.errors import Span
from archscope.fixes.step_changes import BlockComparer, LineMap, StepChange, inputs_used, self_joins, ways_to_use
from archscope.planned_block import PlannedBlock
from archscope.spec.target_names import load_target

FILE = "net.yaml"


def lines(before: str, after: str) -> LineMap:
    return LineMap(FILE, before, after)


def origins(before: str, after: str) -> list[int]:
    """Return for each line of the text after the edit its line before."""
    found = lines(before, after)
    return [found.line_before(Span(FILE, n, 1))[1] for n in range(1, after.count("\n") + 1)]


def numbers(found: frozenset[tuple[str, int]]) -> set[int]:
    return {line for _, line in found}


# ------------------------------------------------------------ lines
TEXT = "a\nb\nc\nd\n"


@pytest.mark.parametrize(
    ("after", "origin", "old", "new"),
    [
        (TEXT, [1, 2, 3, 4], set(), set()),
        ("a\nx\nb\nc\nd\n", [1, -2, 2, 3, 4], set(), {2}),
        ("x\ny\na\nb\nc\nd\n", [-1, -2, 1, 2, 3, 4], set(), {1, 2}),
        ("a\nc\nd\n", [1, 3, 4], {2}, set()),
        ("a\nB\nc\nd\n", [1, 2, 3, 4], {2}, {2}),
        ("a\nB\nB2\nc\nd\n", [1, 2, -3, 3, 4], {2}, {2, 3}),
        ("a\nB\nd\n", [1, 2, 4], {2, 3}, {2}),
        ("a\n  b\n  c\nd\n", [1, 2, 3, 4], set(), set()),
        ("a\nmain:\n    b\n    c\nd\n", [1, -2, 2, 3, 4], set(), {2}),
    ],
    ids=[
        "same",
        "inserted",
        "inserted first",
        "removed",
        "changed",
        "two for one",
        "one for two",
        "indented",
        "wrapped",
    ],
)
def test_lines_of_an_edited_text(after: str, origin: list[int], old: set[int], new: set[int]) -> None:
    assert origins(TEXT, after) == origin
    assert (numbers(lines(TEXT, after).old), numbers(lines(TEXT, after).new)) == (old, new)


def test_lines_of_other_files_stay() -> None:
    assert lines(TEXT, "x\n" + TEXT).line_before(Span("blocks.yaml", 3, 1)) == ("blocks.yaml", 3)
    assert lines(TEXT, TEXT).line_before(None) == ("", 0)


# ------------------------------------------------------------ steps
def planned(text: str) -> PlannedBlock:
    return outline_plan(SpecSession(FILE, RunOptions(), load_target(FILE, texts={FILE: text})).plan(FILE))


def changes(before: str, after: str) -> dict[str, StepChange]:
    """Return path → the change there."""
    one, two = planned(before), planned(after)
    found = list(BlockComparer(lines(before, after)).compare(one, two, (False,) * two.inputs).changes())
    assert len({change.path for change in found}) == len(found)
    return {change.path: change for change in found}


CHAIN = """\
input: [N, 4, 16, 16]
layers:
  - a: Conv2d(8, 3, padding=1)
  - Conv2d(8, 3, padding=1)
  - ReLU
  - side: Conv2d(4, 1)(a)
  - Conv2d(2, 1)
"""


def test_an_edit_without_an_effect_changes_nothing() -> None:
    assert changes(CHAIN, CHAIN) == {}
    assert changes(CHAIN, CHAIN.replace("Conv2d(2, 1)", "Conv2d(2, kernel_size=1)")) == {}
    assert changes(CHAIN, CHAIN.replace("input:", "# a net\ninput:")) == {}


def test_a_changed_step_is_edited_and_what_reads_it_lies_behind() -> None:
    found = changes(CHAIN, CHAIN.replace("  - Conv2d(8, 3, padding=1)", "  - Conv2d(8, 3, stride=2, padding=1)"))
    assert {path: (one.edited, one.on_line) for path, one in found.items()} == {"1": (True, True), "2": (False, False)}
    assert [step and step.shapes for step in (found["1"].before, found["1"].after)] == [
        ((1, 8, 16, 16),),
        ((1, 8, 8, 8),),
    ]


def test_a_step_that_reads_another_value_is_edited() -> None:
    """Steps before and after it keep their names, and a step that gives the same as before is no change."""
    found = changes(CHAIN, CHAIN.replace("Conv2d(4, 1)(a)", "Conv2d(4, 1)(prev)"))
    assert list(found) == ["side"]
    assert found["side"].edited
    assert [step and len(step.reads) for step in (found["side"].before, found["side"].after)] == [1, 1]


def test_a_new_step_renames_none_of_the_old_ones() -> None:
    found = changes(CHAIN, CHAIN.replace("  - ReLU\n", "  - ReLU\n  - MaxPool2d(2)\n"))
    new = [one for one in found.values() if one.before is None]
    assert [(one.after and one.after.name, one.edited, one.on_line) for one in new] == [("MaxPool2d", True, True)]
    assert all(
        one.after is not None and one.before is not None and one.before.name == one.after.name
        for one in found.values()
        if one not in new
    )


def test_a_step_that_is_gone() -> None:
    found = changes(CHAIN, CHAIN.replace("  - ReLU\n", ""))
    (gone,) = (one for one in found.values() if one.after is None)
    assert (gone.path, gone.edited, gone.before and gone.before.name) == ("2", True, "ReLU")


def test_a_param_edits_the_steps_that_use_it() -> None:
    """Not on their own lines."""
    text = CHAIN.replace("layers:", "params: {width: 8}\nlayers:").replace(
        "Conv2d(8, 3, padding=1)\n  - ReLU", "Conv2d(width, 3, padding=1)\n  - ReLU"
    )
    found = changes(text, text.replace("width: 8", "width: 6"))
    assert (found["1"].edited, found["1"].on_line) == (True, False)
    assert (found["2"].edited, found["2"].on_line) == (False, False)
    assert "side" not in found


BLOCKS = """\
input: [N, 4, 16, 16]
blocks:
  Unit(out, stride=1):
    - Conv2d(out, 3, stride=stride, padding=1)
    - ReLU
layers:
  - first: Unit(4)
  - second: Unit(4)
  - Conv2d(2, 1)
"""


def test_an_edited_block_changes_in_all_its_uses() -> None:
    found = changes(BLOCKS, BLOCKS.replace("padding=1)", "padding=0)"))
    own = {path: one.use for path, one in found.items() if one.on_line}
    assert own == {"first.0": "first", "second.0": "second"}
    assert {one.block for one in found.values() if one.on_line} == {"Unit"}
    assert found["first.0"].edited
    assert not found["first.1"].edited


def test_an_edited_call_changes_its_use_and_what_lies_behind() -> None:
    found = changes(BLOCKS, BLOCKS.replace("second: Unit(4)", "second: Unit(4, stride=2)"))
    assert set(found) >= {"second.0", "second.1"}
    assert not any(path.startswith("first") for path in found)
    assert found["second.0"].edited
    assert not found["second.0"].on_line
    assert not found["second.1"].edited


@pytest.mark.parametrize(("text", "count"), [(BLOCKS, 2), (BLOCKS.replace("  - second: Unit(4)\n", ""), 1), (CHAIN, 0)])
def test_places_where_a_block_is_used(text: str, count: int) -> None:
    assert ways_to_use(planned(text))["Unit"] == count


def test_a_repeated_block_is_used_at_one_place() -> None:
    text = BLOCKS.replace("  - first: Unit(4)\n  - second: Unit(4)\n", "  - repeat: 3\n    do: Unit(4)\n")
    assert ways_to_use(planned(text))["Unit"] == 1


# ------------------------------------------------------------ what is in use
def spec(*steps: str, head: str = "") -> str:
    inputs = "inputs: {a: [N, 4], b: [N, 4], c: [N, 4]}\n"
    return inputs + head + "layers:\n" + "".join(f"  - {step}\n" for step in steps)


PAIR = "blocks:\n  First:\n    inputs: {x: [N, C], y: [N, C]}\n    layers: [relu(x)]\n"


@pytest.mark.parametrize(
    ("text", "used"),
    [
        (spec("a + b + c"), {0, 1, 2}),
        (spec("a + c"), {0, 2}),
        (spec("u: a + b", "c * 2"), {2}),
        (spec("a.view(b.shape[0], 4)"), {0}),
        (spec("First()(a, b)", head=PAIR), {0}),
        (spec("First()(b, a)", head=PAIR), {1}),
    ],
)
def test_inputs_that_flow_into_an_output(text: str, used: set[int]) -> None:
    assert inputs_used(planned(text)) == used


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        (("cat([a, b], dim=1)",), 0),
        (("cat([a, a], dim=1)",), 1),
        (("u: a + b", "cat([prev, u], dim=1)"), 1),
        (("u: a + b", "u * u", "cat([prev, c], dim=1)"), 1),
        (("u: relu(a)", "v: relu(a)", "u + v"), 0),
        (("a.view(a.shape[0], a.shape[1])",), 0),
    ],
)
def test_values_joined_with_themselves(steps: tuple[str, ...], count: int) -> None:
    assert self_joins(planned(spec(*steps))) == count


def test_a_join_in_a_shared_block_counts_once() -> None:
    block = "blocks:\n  Twice:\n    - x + x\n"
    assert self_joins(planned(spec("Twice()(a)", "Twice()(prev)", head=block))) == 1
