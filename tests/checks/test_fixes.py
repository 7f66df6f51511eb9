"""Tests of fixes: the first of every case is checked, costs what fresh runs say, changes no comment, leaves no
error."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import archscope
from archscope.api import Repair, compile_plan, repair
from archscope.errors import Span
from archscope.fixes.edit_verdict import EditVerdict
from archscope.fixes.fix_search import FixCandidate, search_fixes, select_offered, with_fixes
from archscope.fixes.proposals import Proposal
from archscope.fixes.step_changes import StepChange
from archscope.planned_block import PlannedStep
from archscope.report import Finding, Fix, Report, WalkStep
from archscope.spec.text_diff import unified_diff
from tests.checks.golden import FOLDER, Case, cases, checked, inside
from tests.checks.test_fix_cases import apply_first_fixes

CASES = cases()
WITHOUT = {"residual_layout"}
"""Cases without a fix."""
SEVERAL = {"several_independent", "several_dependent", "norms_told"}
"""Cases that take more than one fix."""


def fixes(case: Case) -> list[Fix]:
    """The first fix of every conflict."""
    return [fix for finding in checked(case) for fix in finding.fixes[:1]]


@cache
def repaired(case: Case) -> Repair:
    with inside(FOLDER):
        (one,) = repair(case.name, texts={case.name: case.spec})
    return one


def cured(case: Case) -> str:
    """The text after the first fixes, whatever they change."""
    with inside(FOLDER):
        return apply_first_fixes(case.name, {case.name: case.spec}).texts[case.name]


def summary(case: Case, text: str) -> Report:
    with inside(FOLDER):
        return archscope.summarize(case.name, texts={case.name: text}, device="meta")


# ------------------------------------------------------------ laws
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_conflict_has_a_checked_fix(case: Case) -> None:
    """A conflict that may follow from an earlier one has no fix until that is gone."""
    conflicts = [finding for finding in checked(case) if finding.cause and not finding.likely]
    assert conflicts
    assert [bool(finding.fixes) for finding in conflicts] == [str(case) not in WITHOUT] * len(conflicts)
    assert all(fix.checked for finding in conflicts for fix in finding.fixes)
    assert [finding.fixes for finding in checked(case) if finding.likely] == [()] * (
        len(checked(case)) - len(conflicts)
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fix_costs_what_fresh_runs_say(case: Case) -> None:
    before = summary(case, case.spec).total
    for finding in checked(case):
        for fix in finding.fixes:
            after = summary(case, fix.text).total
            if fix.params is None:  # other conflicts have changed: the figures would contain assumed sizes
                assert len(checked(case)) > 1
                continue
            assert fix.params == after.params - before.params
            known = None if after.macs is None or before.macs is None else after.macs - before.macs
            assert fix.macs == known


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fix_is_its_edit_and_keeps_the_comments(case: Case) -> None:
    for finding in checked(case):
        for fix in finding.fixes:
            assert fix.file == case.name
            assert fix.edit == unified_diff(case.spec, fix.text, case.name)
            gone = [line[1:] for line in fix.edit.splitlines() if line.startswith("-") and not line.startswith("---")]
            taken_out = "take " in fix.description
            assert re.findall("#.*", fix.text) == [
                comment for comment in re.findall("#.*", case.spec) if not (taken_out and comment in "".join(gone))
            ]


CURED = [case for case in CASES if str(case) not in WITHOUT]


@pytest.mark.parametrize("case", CURED, ids=str)
def test_no_error_is_left_after_the_first_fixes(case: Case) -> None:
    """Nor for the strict compiler; expectations that stand in the file are met."""
    text = cured(case) if str(case) in SEVERAL else fixes(case)[0].text
    assert [finding.message for finding in summary(case, text).findings if finding.level == "error"] == []
    with inside(FOLDER):
        compile_plan(case.name, texts={case.name: text})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alternatives_differ(case: Case) -> None:
    for finding in checked(case):
        assert len({fix.text for fix in finding.fixes}) == len(finding.fixes) <= 3


# ------------------------------------------------------------ which proposals are kept
CONFLICT = Finding("residual-shape", "error", "…", "add", Span("net.yaml", 2, 3), cause="stride")
TEXT = "one\ntwo\nthree\n"
CHANGE = StepChange(
    "coarse.1", "coarse", "Net", False, False, *(PlannedStep("Conv2d", "", None, (), s) for s in (((1, 8),), ((1, 4),)))
)


def proposal(words: str, cause: str = "channels") -> Proposal:
    return Proposal(words, "net.yaml", TEXT.replace("three", words), cause)


def trial(words: str, *, params: int | None = 2, macs: int | None = -10, wrong: int = 0, **more: Any) -> FixCandidate:
    return FixCandidate(proposal(words), EditVerdict(**more), params, macs, wrong)


def tried(*names: str, most: int = 80, **passing: FixCandidate) -> tuple[list[str], list[str]]:
    """The names of those that are tried, and of those that passed, the best first."""
    seen: list[str] = []

    def attempt(one: Proposal) -> FixCandidate | None:
        seen.append(one.description)
        return passing.get(one.description)

    found = search_fixes(map(proposal, names), attempt, most=most)
    return seen, [one.proposal.description for one in found]


def passed(*trials: FixCandidate) -> list[str]:
    """The names of those that passed, the best first, where they are proposed in this order."""
    by_name = {one.proposal.description: one for one in trials}
    return tried(*by_name, **by_name)[1]


def test_what_does_not_pass_is_no_fix() -> None:
    assert tried("broken", "useless") == (["broken", "useless"], [])
    assert with_fixes(CONFLICT, [], lambda file: TEXT) == CONFLICT


def test_the_search_ends_with_three_clean_fixes() -> None:
    names = ["a", "b", "c", "d"]
    assert tried(*names, **{name: trial(name) for name in names}) == (names[:3], names[:3])
    unclean = trial("a", unrelated_changes=(CHANGE,))
    assert tried(*names, a=unclean, **{name: trial(name) for name in names[1:]}) == (names, ["b", "c", "d", "a"])


def test_once_one_has_passed_the_search_ends_at_the_next_that_fails() -> None:
    names = [f"no{n}" for n in range(9)]
    assert tried(*names, "first", "last", first=trial("first"), last=trial("last"))[1] == ["first", "last"]
    assert tried("first", *names, "last", first=trial("first"), last=trial("last")) == (["first", "no0"], ["first"])


def test_what_leaves_something_wrong_lets_the_search_go_on() -> None:
    names = [f"no{n}" for n in range(9)]
    found = {"half": trial("half", left=1), "whole": trial("whole")}
    assert tried("half", *names[:7], "whole", "no8", **found)[1] == ["whole", "half"]
    assert tried("half", *names, "whole", **found) == (["half", *names[:8]], ["half"])


def test_no_more_are_tried_than_allowed() -> None:
    assert tried("a", "b", "c", most=2, c=trial("c")) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (trial("better", outside=True), trial("worse", left=1)),
        (trial("better", outside=True), trial("worse", wrong=1)),
        (trial("better", halves=True), trial("worse", outside=True)),
        (trial("better", unrelated_changes=(CHANGE,)), trial("worse", halves=True)),
        (trial("better", edited=1), trial("worse", unrelated_changes=(CHANGE, CHANGE))),
        (trial("better", params=9), trial("worse", edited=1, params=0)),
    ],
    ids=["errors left", "wrong variants", "outside", "halves", "steps elsewhere", "steps edited"],
)
def test_what_else_changes_ranks_before_nearness_and_cost(better: FixCandidate, worse: FixCandidate) -> None:
    assert passed(worse, better) == passed(better, worse) == ["better", "worse"]


def test_the_nearer_one_comes_first_whatever_it_costs() -> None:
    assert passed(trial("near", params=900), trial("cheap", params=0)) == ["near", "cheap"]


def test_at_one_distance_the_cheaper_one_comes_first() -> None:
    ranked = sorted(
        (trial("a", params=-5), trial("b", params=3, macs=7), trial("c", params=3, macs=6)), key=lambda t: t.rank
    )
    assert [one.proposal.description for one in ranked] == ["c", "b", "a"]


def test_at_most_three_are_offered_and_none_that_leaves_more_wrong() -> None:
    trials = [trial(name) for name in "abcd"]
    assert select_offered(trials, 1000) == trials[:3]
    assert select_offered([trials[0], trial("half", left=1), trial("late", wrong=1), trials[1]], 1000) == trials[:2]
    assert select_offered([], 1000) == []


def test_a_net_of_another_size_is_no_alternative() -> None:
    first, same, much, unknown = (
        trial("a", params=0),
        trial("b", params=-100),
        trial("c", params=101),
        trial("d", params=None),
    )
    assert select_offered([first, much, same, unknown], 1000) == [first, same, unknown]
    assert select_offered([trial("a", params=500), much], 1000)[1:] == [much]


@pytest.mark.parametrize(("params", "macs"), [(None, 90), (12, None), (None, None), (0, 0)])
def test_a_price_that_is_not_known_is_not_zero(params: int | None, macs: int | None) -> None:
    (fix,) = with_fixes(CONFLICT, [trial("one", params=params, macs=macs)], lambda file: TEXT).fixes
    assert (fix.params, fix.macs, fix.checked) == (params, macs, True)


def test_a_fix_tells_what_it_changes_elsewhere() -> None:
    (fix,) = with_fixes(CONFLICT, [trial("one", unrelated_changes=(CHANGE,), outside=True)], lambda file: TEXT).fixes
    assert (fix.changes, fix.outside) == (("coarse.1: 1×8 → 1×4",), True)
    assert (fix.file, fix.text, fix.edit) == ("net.yaml", "one\ntwo\none\n", unified_diff(TEXT, fix.text, "net.yaml"))


def test_the_fix_gives_the_cause_and_leads_the_walk() -> None:
    found = with_fixes(CONFLICT, [trial("one")], lambda file: TEXT)
    assert found.cause == "channels"
    assert [(link.text, link.place) for link in found.walk] == [("one", Span("net.yaml", 3, 1))]


def test_a_step_of_the_walk_that_the_fix_changes_is_moved_to_its_head() -> None:
    steps = tuple(WalkStep(f"{line}", "…", Span("net.yaml", line, 1)) for line in (1, 3))
    found = with_fixes(replace(CONFLICT, walk=steps), [trial("one")], lambda file: TEXT)
    assert found.walk == (steps[1], steps[0])


def test_a_fix_that_leaves_something_wrong_gives_no_cause() -> None:
    found = with_fixes(CONFLICT, [trial("half", left=1)], lambda file: TEXT)
    assert (found.cause, found.walk, len(found.fixes)) == (CONFLICT.cause, CONFLICT.walk, 1)


# ------------------------------------------------------------ files and variants
@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def conflicts(target: str) -> list[Finding]:
    return [finding for one in archscope.check(target) for finding in one.findings if finding.cause]


def test_a_fix_stands_in_the_file_that_is_wrong(folder: Path) -> None:
    blocks = "blocks:\n  Wide:  # wide\n    - residual: Conv2d(2 * in_channels, 1)\n    - ReLU\n"
    (folder / "blocks.yaml").write_text(blocks, encoding="utf-8")
    net = "import: {blocks.yaml: [Wide]}\ninput: [N, 4, 8, 8]\nlayers: [Wide]\n"
    (folder / "net.yaml").write_text(net, encoding="utf-8")
    (finding,) = conflicts("net.yaml")
    assert finding.fixes
    assert {fix.file for fix in finding.fixes} == {"blocks.yaml"}
    (one,) = repair("net.yaml")
    assert list(one.after) == ["blocks.yaml"]
    assert "# wide" in one.after["blocks.yaml"]
    assert one.before == {"blocks.yaml": blocks}
    assert (folder / "blocks.yaml").read_text(encoding="utf-8") == blocks


def test_the_standard_library_is_never_changed(folder: Path) -> None:
    """A block of it that is given what does not fit is cured where it is used, or not at all."""
    net = """\
        import: {std/resnet: [BasicBlock]}
        input: [N, 8, 8, 8]
        layers:
          - residual:
              - BasicBlock(16)   # 8
              - BasicBlock(16)
        """
    Path("net.yaml").write_text(dedent(net), encoding="utf-8")
    found = conflicts("net.yaml")
    assert found
    assert all(fix.file == "net.yaml" for finding in found for fix in finding.fixes)
    (one,) = repair("net.yaml")
    assert list(one.after) == ["net.yaml"]


VARIANTS = """\
input: [N, 8, 8, 8]
params: {width: 8}
variants:
  same: {width: 8}
  wide: {width: 16}
layers:
  - residual: Conv2d(width, 3, padding=1)
  - ReLU
  - Conv2d(8, 1)
  - Conv2d(8, 8, 1)
"""


def test_a_fix_of_one_variant_leaves_the_others_as_they_are(folder: Path) -> None:
    Path("net.yaml").write_text(VARIANTS, encoding="utf-8")
    (finding,) = conflicts("net.yaml")
    assert finding.fixes
    for fix in finding.fixes:
        found = archscope.check("net.yaml", texts={"net.yaml": fix.text})
        assert [one.findings for one in found if one.errors().findings] == []


DECLARED = """\
input: [N, width, 8, 8]
params: {width: 8}
variants:
  narrow: {width: 8}
  wide: {width: 16}
layers:
  - Conv2d: {in_channels: 8, out_channels: 4, kernel_size: 1}
"""


@pytest.mark.parametrize("narrow", [True, False])
def test_a_fix_that_breaks_a_sound_variant_is_not_offered(folder: Path, narrow: bool) -> None:
    """Sixteen channels would suit `wide`, if `narrow` were not there."""
    text = DECLARED if narrow else DECLARED.replace("  narrow: {width: 8}\n", "")
    Path("net.yaml").write_text(text, encoding="utf-8")
    (finding,) = conflicts("net.yaml")
    assert any("in_channels: 16" in fix.text for fix in finding.fixes) == (not narrow)


EXPECTING = """\
input: [N, 16, 8, 8]
expect: {shape: SHAPE}
layers:
  - residual:
      - Conv2d(16, 3, stride=2, padding=1)
      - ReLU
"""


@pytest.mark.parametrize(
    ("shape", "line"),
    [("[N, 16, 4, 4]", "- Conv2d(16, 1, stride=2)"), ("[N, 16, 8, 8]", "- Conv2d(16, 3, stride=1, padding=1)")],
)
def test_what_is_expected_chooses_the_fix(folder: Path, shape: str, line: str) -> None:
    Path("net.yaml").write_text(EXPECTING.replace("SHAPE", shape), encoding="utf-8")
    (one,) = repair("net.yaml")
    assert line in one.after["net.yaml"]
    assert [finding for item in one.checked for finding in item.errors().findings] == []


def test_repairs_go_on_until_no_conflict_is_left(folder: Path) -> None:
    case = next(case for case in CASES if str(case) == "several_independent")
    one = repaired(case)
    assert len(one.fixes) == 3
    assert one.after[case.name] == one.fixes[-1].text
    assert one.diff == unified_diff(case.spec, one.after[case.name], case.name)


@pytest.mark.moves_rng
def test_nothing_is_written_for_a_python_model() -> None:
    from torch import nn

    (one,) = repair(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(4, 8, 3)), input=(1, 3, 8, 8))
    assert (one.fixes, dict(one.after), one.diff) == ((), {}, "")
    fixes = [fix for item in one.checked for finding in item.findings for fix in finding.fixes]
    assert [(fix.file, fix.text, fix.edit) for fix in fixes] == [("", "", "")] * len(fixes)


# ------------------------------------------------------------ inputs
TWO_SLIPS = """\
input: [N, 16, 32, 32]
blocks:
  C(out, size=3):
    - Conv2d(out, size, stride=size, padding=1)
    - ReLU
layers:
  - residual:
      - C(16)
      - C(16, size=1)
"""


def test_a_net_is_not_given_an_input_of_another_order() -> None:
    """Main and shortcut have one size at 4×4 alone: no fix of a net for 32×32."""
    (one,) = archscope.check("net.yaml", texts={"net.yaml": TWO_SLIPS})
    (finding,) = one.errors().findings
    assert finding.fixes == ()
    assert "no stride of a projection" in finding.help


JOINED = """\
input: [N, 8, 16, 16]
blocks:
  Up(out):
    - Conv2d(8, out, 3, padding=1)
layers:
  - skip: Conv2d(8, 3, padding=1)
  - cat([prev, skip], dim=1)
  - Up(8)
  - a: Conv2d(8, 1)
"""


def test_images_are_not_joined_along_their_height_because_a_layer_was_told_other_channels(folder: Path) -> None:
    Path("net.yaml").write_text(JOINED, encoding="utf-8")
    (finding,) = conflicts("net.yaml")
    assert finding.fixes
    assert [fix.description for fix in finding.fixes if "dimension of cat" in fix.description] == []


def test_an_alternative_costs_about_as_much() -> None:
    first, dear, fair = trial("a", params=0, macs=10), trial("b", params=0, macs=90_000), trial("c", params=0, macs=90)
    assert select_offered([first, dear, fair], 1000, 1000) == [first, fair]
