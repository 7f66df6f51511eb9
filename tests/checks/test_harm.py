"""Tests of the judge of fixes: given fixes with each kind of harm, and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.report import Finding
from tests.mutations.harm import Case, Judgement

F01 = """\
input: [N, 8, 32, 32]
blocks:
  C(out, size=3, stride=1):
    - Conv2d(out, size, stride=stride, padding=size // 2)
layers:
  - C(8, stride=2)
  - a: C(16)
  - C(16)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
"""
"""The third use should have a stride of 2: the cat at path 4 joins sizes that differ."""
RESIDUAL = """\
input: [N, 8, 16, 16]
layers:
  - a: Conv2d(8, 3, padding=1)
  - b: Conv2d(9, 3, padding=1)
  - c: Conv2d(a.shape[1], 1)(x)
  - a + b
  - prev + c
expect: {shape: [N, 8, 16, 16]}
"""
PAIR = """\
inputs:
  x: [N, 8]
  y: [N, 8]
layers:
  - a: Linear(8)(x)
  - b: Linear(9)(y)
  - sum: a + b
return: {sum: sum, a: a}
"""
SIZES = """\
input: [N, 8, 16, 16]
params: {wide: 8, deep: false}
variants:
  plain: {}
  deep: {deep: true}
layers:
  - a: Conv2d(wide, 3, padding=1)
  - when: not deep
    do: Conv2d(wide, 3, padding=2)
  - prev + a
"""


def edited(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def judge(tmp_path: Path, broken: str, fixed: str, author: str, at: str, *variants: str) -> Judgement:
    path = tmp_path / "net.yaml"
    path.write_text(broken, encoding="utf-8")
    targets = tuple(f"{path}:{variant}" for variant in variants) or (str(path),)
    finding = Finding("add-shape", "error", "as given by hand", path=at)
    return Case(targets, {str(path): author}, {str(path): broken}).judge(finding, str(path), fixed)


def reasons(judgement: Judgement) -> set[str]:
    return {harm.reason for harm in judgement.harms}


F01_MEANT = edited(F01, "- C(16)\n  - int", "- C(16, stride=2)\n  - int")


def test_a_block_edited_for_one_use_is_harm(tmp_path: Path) -> None:
    """`stride=size` fixes the cat, and changes every use of the block."""
    found = judge(tmp_path, F01, edited(F01, "stride=stride", "stride=size"), F01_MEANT, "4")
    assert reasons(found) == {"shared"}
    assert {harm.words.split()[1] for harm in found.harms} == {"0.0", "a.0", "2.0"}
    assert not found.same


def test_a_use_edited_by_itself_is_no_harm(tmp_path: Path) -> None:
    assert judge(tmp_path, F01, F01_MEANT, F01_MEANT, "4") == Judgement(same=True)


def test_the_same_rows_by_another_text_are_no_harm(tmp_path: Path) -> None:
    fixed = edited(F01, "- C(16)\n  - int", "- C(16, 3, 2)\n  - int")
    assert judge(tmp_path, F01, fixed, F01_MEANT, "4") == Judgement(same=True)


def test_another_net_behind_the_edit_is_no_harm_and_not_the_same(tmp_path: Path) -> None:
    fixed = edited(F01, "scale_factor=2", "scale_factor=1")
    assert judge(tmp_path, F01, fixed, F01_MEANT, "4") == Judgement()


def test_a_default_that_cures_one_use_is_harm_to_the_others(tmp_path: Path) -> None:
    found = judge(tmp_path, F01, edited(F01, "stride=1)", "stride=2)"), F01_MEANT, "4")
    assert reasons(found) == {"shared"}


def test_a_block_that_the_mutation_broke_may_be_fixed_for_all_uses(tmp_path: Path) -> None:
    """Outputs that are the author's again are restored, though by other parameters than the author's."""
    author = """\
input: [N, 8, 16, 16]
blocks:
  C: ["Conv2d(8, 3, padding=1)"]
layers:
  - C
  - C
  - x + prev
"""
    broken = edited(author, "8, 3, padding=1", "8, 3, padding=0")
    found = judge(tmp_path, broken, edited(author, "8, 3, padding=1", "8, 1"), author, "2")
    assert found == Judgement()


def test_a_row_that_does_not_lie_behind_the_edit_has_other_shapes(tmp_path: Path) -> None:
    """A size that is read off another value is no edge: `c` reads x, and its channels change with `a`."""
    fixed = edited(RESIDUAL, "a: Conv2d(8, 3", "a: Conv2d(9, 3")
    author = edited(RESIDUAL, "b: Conv2d(9", "b: Conv2d(8")
    found = judge(tmp_path, RESIDUAL, fixed, author, "3")
    assert [str(harm) for harm in found.harms if harm.reason == "elsewhere"] == [
        "elsewhere: net.yaml: c Conv2d outputs 1×8×16×16 → 1×9×16×16"
    ]
    assert reasons(found) == {"elsewhere", "expect"}


def test_an_expectation_that_is_taken_out_is_not_met(tmp_path: Path) -> None:
    author = edited(RESIDUAL, "b: Conv2d(9", "b: Conv2d(8")
    found = judge(tmp_path, RESIDUAL, author.partition("expect")[0], author, "3")
    assert found.same, "the rows are the author's"
    assert reasons(found) == {"expect"}


def test_a_value_that_nothing_uses_any_more_is_harm(tmp_path: Path) -> None:
    author = edited(RESIDUAL, "b: Conv2d(9", "b: Conv2d(8")
    found = judge(tmp_path, RESIDUAL, edited(RESIDUAL, "- a + b", "- a + a"), author, "3")
    assert reasons(found) == {"unused"}
    assert "unused: net.yaml: nothing uses b Conv2d" in map(str, found.harms)


def test_an_input_that_reaches_no_output_any_more_is_harm(tmp_path: Path) -> None:
    author = edited(PAIR, "Linear(9)", "Linear(8)")
    found = judge(tmp_path, PAIR, edited(PAIR, "Linear(9)(y)", "Linear(8)(x)"), author, "sum")
    assert list(map(str, found.harms)) == ["unused: the input y reaches no output"]
    assert found.same, "the rows are the author's"


def test_a_parameter_that_nothing_reads_any_more_is_harm(tmp_path: Path) -> None:
    author = "input: [N, 8]\nlayers:\n  - table: Parameter(8)\n  - x + table\n"
    broken = edited(author, "Parameter(8)", "Parameter(9)")
    found = judge(tmp_path, broken, edited(broken, "x + table", "x + x"), author, "1")
    assert reasons(found) == {"unused"}


def test_an_output_that_is_gone_is_harm(tmp_path: Path) -> None:
    author = edited(PAIR, "Linear(9)", "Linear(8)")
    fixed = edited(author, "return: {sum: sum, a: a}", "return: {sum: sum}")
    found = judge(tmp_path, PAIR, fixed, author, "sum")
    assert reasons(found) == {"output"}


def test_another_variant_that_was_right_may_not_change(tmp_path: Path) -> None:
    """Only `plain` has the conflict; `wide: 4` would fix nothing, and is tried because of `deep`."""
    author = edited(SIZES, "padding=2", "padding=1")
    found = judge(tmp_path, SIZES, edited(author, "wide: 8", "wide: 4"), author, "2", "plain", "deep")
    assert {str(harm) for harm in found.harms} >= {
        "variant: net.yaml:deep: a Conv2d outputs 1×8×16×16 → 1×4×16×16",
    }
    assert reasons(found) == {"variant"}


def test_a_text_that_is_no_spec_is_harm(tmp_path: Path) -> None:
    found = judge(tmp_path, F01, edited(F01, "cat([prev, a], dim=1)", "nowhere"), F01_MEANT, "4")
    assert reasons(found) == {"unread"}


def test_a_step_put_in_moves_the_rows_below_and_changes_none(tmp_path: Path) -> None:
    author = "input: [N, 8, 4, 4]\nlayers:\n  - y: Conv2d(8, 1)(x)\n  - Flatten\n  - Linear(128, 5)\n  - ReLU\n"
    broken = edited(author, "  - Flatten\n", "")
    fixed = edited(author, "  - Flatten\n", "  - flatten(1)\n")
    assert judge(tmp_path, broken, fixed, author, "1") == Judgement()


@pytest.mark.parametrize("turn", ["when: not last", "when: i < 1"])
def test_a_modifier_touches_the_whole_step(tmp_path: Path, turn: str) -> None:
    author = f"""\
input: [N, 8, 16, 16]
layers:
  - repeat: 2
    do:
      - Conv2d(8, 3, padding=1)
      - {turn}
        do: MaxPool2d(2)
  - Flatten
  - Linear(512, 5)
"""
    broken = edited(author, turn, "when: i < 2")
    assert judge(tmp_path, broken, edited(author, turn, "when: first"), author, "2") == Judgement(same=True)
    other = edited(broken, "repeat: 2", "repeat: 1")
    assert judge(tmp_path, broken, other, author, "2") == Judgement()
