"""Tests of verdicts on edits: each objection with a net and an edit, and what a good edit changes."""

from __future__ import annotations

import pytest

from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_runs import summarize_plan
from archscope.analysis.spec_session import SpecSession
from archscope.fixes.edit_verdict import ConflictScope, EditVerdict, judge_edit, mismatch_scope
from archscope.fixes.expected_figures import compiled_net
from archscope.fixes.spec_fixes import edited_blocks
from archscope.fixes.step_changes import LineMap
from archscope.spec.editable_spec import EditableSpec
from archscope.spec.target_names import load_target

FILE = "net.yaml"
Edit = tuple[str, str]


def judged(text: str, *edits: Edit) -> EditVerdict:
    """Return the verdict on an edited text, for its first conflict."""
    after = text
    for old, new in edits:
        assert after.count(old) == 1, f"{old!r} stands {after.count(old)} times"
        after = after.replace(old, new)
    session = SpecSession(FILE, RunOptions(), load_target(FILE, texts={FILE: text}))
    plan = session.plan(FILE)
    before, fixed = compiled_net(plan), compiled_net(session.plan(FILE, edit=(FILE, after)))
    lines = LineMap(FILE, text, after)
    return judge_edit(
        before, fixed, scope(session), lines, edited_blocks(EditableSpec(text, session.library.root), lines)
    )


def scope(session: SpecSession) -> ConflictScope:
    """Return the scope of the mismatches at the place of the first one."""
    report = summarize_plan(session.plan(FILE), RunOptions(device="meta"))
    found = report.trace.mismatches
    return mismatch_scope(report.index, [one for one in found if one.site.place == found[0].site.place])


NET = """\
inputs: {x: [N, 8, 16, 16], y: [N, 8, 16, 16]}
layers:
  - a: Conv2d(8, 3, padding=1)(x)
  - b: Conv2d(8, 3, padding=1)(y)
  - c: Conv2d(8, 3, stride=2, padding=1)(b)
  - m: cat([a, c], dim=1)
  - side: Conv2d(4, 1)(x)
  - out: Conv2d(8, 1)(m)
return: [out, side]
"""
STRIDE = ("Conv2d(8, 3, stride=2, padding=1)", "Conv2d(8, 3, stride=1, padding=1)")


def test_nothing_is_against_a_fix() -> None:
    assert judged(NET, STRIDE) == EditVerdict(others_unchanged=True)


@pytest.mark.parametrize(
    ("edits", "against"),
    [
        ([("return: [out, side]", "return: {out: out, side: side}")], "the outputs are others"),
        ([STRIDE, ("return: [out, side]", "return: [out]")], "the outputs are others"),
        ([("(b)", "(x)"), ("stride=2, ", "")], "an input is not used any more"),
        ([("cat([a, c], dim=1)", "cat([a, a], dim=1)"), ("[out, side]", "[out, side, c]")], "the outputs are others"),
        ([("cat([a, c], dim=1)", "cat([a, a, b], dim=1)")], "a value is joined with itself"),
        ([("cat([a, c], dim=1)", "cat([a, b], dim=1)")], "a value or a param is not used any more"),
        ([("Conv2d(8, 3, padding=1)(x)", "Conv2d(6, 3, padding=1)(x)")], "the conflict is still there"),
        ([("cat([a, c], dim=1)", "cat([a, c], dim=0)")], "the conflict is still there"),
        ([STRIDE, ("Conv2d(8, 1)(m)", "Conv2d(9, 8, 1)(m)")], "something else does not fit"),
        ([STRIDE, ("side: Conv2d(4, 1)", "side: Conv2d(5, 1)")], "a step that does not lead to the conflict is edited"),
        ([STRIDE, ("out: Conv2d(8, 1)", "out: Conv2d(9, 1)")], ""),
    ],
)
def test_each_reason_against_an_edit(edits: list[Edit], against: str) -> None:
    assert judged(NET, *edits).objection == against


LAYER_GONE = """\
input: [N, 8, 16, 16]
layers:
  - a: Conv2d(8, 3, padding=1)
  - Conv2d(8, 3, stride=2, padding=1)
  - cat([prev, a], dim=1)
"""


def test_a_layer_that_is_gone() -> None:
    assert judged(LAYER_GONE, ("  - Conv2d(8, 3, stride=2, padding=1)\n", "  - ReLU\n")).objection == "a layer is gone"


def test_a_step_without_parameters_may_go() -> None:
    text = LAYER_GONE.replace("Conv2d(8, 3, stride=2, padding=1)", "ReLU\n  - MaxPool2d(2)")
    assert judged(text, ("  - MaxPool2d(2)\n", "")).objection == ""


# ------------------------------------------------------------ shared blocks
SHARED = """\
input: [N, 8, 32, 32]
blocks:
  C(out, stride=1):
    - Conv2d(out, 3, stride=stride, padding=1)
    - ReLU
layers:
  - C(8, stride=2)
  - a: C(16)
  - C(16)   # here
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
"""
BLOCK = ("    - ReLU\n", "    - ReLU\n    - MaxPool2d(2)\n")


def test_a_block_is_not_edited_for_one_use() -> None:
    """Though all sizes fit with either edit of it."""
    assert judged(SHARED, BLOCK).objection == "a step that does not lead to the conflict is edited"
    wider = ("stride=stride, padding=1", "stride=max(stride, out // 8), padding=1")
    assert judged(SHARED, wider).objection == "a block is edited that other places use"
    assert judged(SHARED, ("C(16)   # here", "C(16, stride=2)   # here")) == EditVerdict(halves=True)


USES = """\
input: [N, 8, 8, 8]
blocks:
  Unit(out):
    - residual:
        - Conv2d(out, 3)
        - ReLU
layers:
  - Unit(8)
  - ReLU
  - Unit(8)
"""


def test_a_block_is_edited_where_each_of_its_uses_is_in_conflict() -> None:
    found = judged(USES, ("Conv2d(out, 3)", "Conv2d(out, 3, padding=1)"))
    assert (found.objection, found.left, found.edited) == ("", 0, 0)


def test_a_block_with_a_sound_use_is_not_edited() -> None:
    text = (
        USES.replace("  Unit(out):\n", "  Unit(out, k=3):\n")
        .replace("(out, 3)", "(out, k)")
        .replace("- ReLU\n  - Unit(8)", "- Unit(8, k=1)")
    )
    text = text.replace("  - Unit(8)\n  - Unit(8, k=1)", "  - Unit(8, k=1)\n  - Unit(8)")
    assert judged(text, ("Conv2d(out, k)", "Conv2d(out, k, padding=1)")).objection
    assert judged(text, ("Conv2d(out, k)", "Conv2d(out, k, padding=k // 2)")).objection == ""


def test_a_block_that_is_used_once_may_be_edited() -> None:
    text = USES.replace("  - ReLU\n  - Unit(8)\n", "  - ReLU\n")
    assert judged(text, ("Conv2d(out, 3)", "Conv2d(out, 3, padding=1)")).objection == ""


# ------------------------------------------------------------ what a fix changes
TWO_ENDS = """\
input: [N, 8, 32, 32]
layers:
  - fine: Conv2d(8, 3, padding=1)
  - down: Conv2d(16, 3, stride=2, padding=1)
  - low: Conv2d(16, 3, padding=1)
  - coarse: Conv2d(4, 1)(low)
  - up: interpolate(low, scale_factor=4)
  - cat([up, fine], dim=1)
return: [prev, coarse]
"""


def test_steps_that_change_beside_the_conflict_are_told() -> None:
    found = judged(TWO_ENDS, ("low: Conv2d(16, 3, padding=1)", "low: Conv2d(16, 3, stride=2, padding=1)"))
    assert found.objection == ""
    assert [change.path for change in found.unrelated_changes] == ["coarse"]
    assert judged(TWO_ENDS, ("scale_factor=4", "scale_factor=2")).unrelated_changes == ()


def test_a_map_that_is_halved() -> None:
    text = TWO_ENDS.replace("  - coarse: Conv2d(4, 1)(low)\n", "").replace(", coarse]", "]")
    assert judged(text, ("low: Conv2d(16, 3, padding=1)", "low: Conv2d(16, 3, stride=2, padding=1)")).halves
    assert not judged(text, ("fine: Conv2d(8, 3, padding=1)", "fine: interpolate(scale_factor=2)")).halves


def test_an_edit_of_the_input_lies_outside_and_changes_nothing_elsewhere() -> None:
    steps = ("a: Conv2d(4, 1)", "MaxPool2d(2)", "interpolate(scale_factor=2)", "cat([prev, a], dim=1)")
    text = "input: [N, 3, 9, 9]\nlayers:\n" + "".join(f"  - {step}\n" for step in steps)
    found = judged(text, ("9, 9]", "10, 10]"))
    assert (found.objection, found.outside, found.unrelated_changes) == ("", True, ())


def test_conflicts_that_are_left_are_counted() -> None:
    text = NET.replace("return:", "  - more: cat([x, c], dim=1)\nreturn:").replace("[out, side]", "[out, side, more]")
    found = judged(text, ("cat([a, c], dim=1)", "cat([a, interpolate(c, scale_factor=2)], dim=1)"))
    assert (found.objection, found.left, found.others_unchanged) == ("", 1, True)
    whole = judged(text, STRIDE)
    assert (whole.objection, whole.left, whole.others_unchanged) == ("", 0, False)


def test_a_value_that_comes_into_use() -> None:
    text = NET.replace("cat([a, c], dim=1)", "cat([a, a.flatten(2)], dim=1)")
    text = text.replace("  - c: Conv2d(8, 3, stride=2, padding=1)(b)\n", "")
    assert judged(text, ("cat([a, a.flatten(2)], dim=1)", "cat([a, b], dim=1)")).frees_value
    assert not judged(NET, STRIDE).frees_value
