"""Fixes: the first of every case is checked, costs what fresh runs say, changes no comment, and leaves no error."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

import archscope
from archscope.api import Repair, plan_of, repair
from archscope.checks.fixes import Outcome, Trials, fixed
from archscope.checks.remedies import Remedy
from archscope.errors import Span
from archscope.report import Finding, Fix, Report
from archscope.spec.edits import diff
from tests.checks.golden import FOLDER, Case, cases, checked, inside

CASES = cases()
WITHOUT = {"residual_layout"}
"""Cases that nothing cures."""
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


def summary(case: Case, text: str) -> Report:
    with inside(FOLDER):
        return archscope.summarize(case.name, texts={case.name: text}, device="meta")


# ------------------------------------------------------------ laws
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_conflict_has_a_checked_fix(case: Case) -> None:
    conflicts = [finding for finding in checked(case) if finding.cause]
    assert conflicts
    assert [bool(finding.fixes) for finding in conflicts] == [str(case) not in WITHOUT] * len(conflicts)
    assert all(fix.checked for finding in conflicts for fix in finding.fixes)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fix_costs_what_fresh_runs_say(case: Case) -> None:
    before = summary(case, case.spec).total
    for finding in checked(case):
        for fix in finding.fixes:
            after = summary(case, fix.text).total
            if fix.params is None:  # other conflicts are gone or told otherwise: made-up sizes would be in the price
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
            assert fix.edit == diff(case.spec, fix.text, case.name)
            gone = [line[1:] for line in fix.edit.splitlines() if line.startswith("-") and not line.startswith("---")]
            taken_out = "take " in fix.description
            assert re.findall("#.*", fix.text) == [
                comment for comment in re.findall("#.*", case.spec) if not (taken_out and comment in "".join(gone))
            ]


CURED = [case for case in CASES if str(case) not in WITHOUT]


@pytest.mark.parametrize("case", CURED, ids=str)
def test_no_error_is_left_after_the_first_fixes(case: Case) -> None:
    """Nor for the strict compiler; expectations that stand in the file are met."""
    text = repaired(case).after[case.name] if str(case) in SEVERAL else fixes(case)[0].text
    assert [finding.message for finding in summary(case, text).findings if finding.level == "error"] == []
    with inside(FOLDER):
        plan_of(case.name, texts={case.name: text})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alternatives_differ(case: Case) -> None:
    for finding in checked(case):
        assert len({fix.text for fix in finding.fixes}) == len(finding.fixes) <= 2


# ------------------------------------------------------------ which remedies are kept
CONFLICT = Finding("residual-shape", "error", "…", "add", Span("net.yaml", 2, 3), cause="stride")
TEXT = "one\ntwo\nthree\n"
OWN, OTHER = ("residual-shape", "add"), ("concat-shape", "cat")


def remedy(words: str, cause: str = "channels") -> Remedy:
    return Remedy(words, "net.yaml", TEXT.replace("three", words), cause)


def tried(
    outcomes: dict[str, Outcome | None], *, before: set = frozenset({OWN}), elsewhere: dict | None = None
) -> Finding:
    """The conflict after remedies with these outcomes were tried in this order."""
    trials = Trials(
        before=Outcome(frozenset(before), 10, 100),
        attempt=lambda one, _: outcomes[one.description],
        elsewhere=lambda one: (elsewhere or {}).get(one.description, 0),
        source=lambda file: TEXT,
    )
    return fixed(CONFLICT, map(remedy, outcomes), trials)


def descriptions(finding: Finding) -> list[str]:
    return [fix.description for fix in finding.fixes]


def outcome(*errors: tuple[str, str], params: int | None = 12, macs: int | None = 90) -> Outcome:
    return Outcome(frozenset(errors), params, macs)


def test_what_cannot_be_compiled_or_leaves_the_conflict_is_no_fix() -> None:
    assert tried({"broken": None, "useless": outcome(OWN)}) == CONFLICT


def test_what_breaks_something_else_is_no_fix() -> None:
    assert tried({"harmful": outcome(OTHER)}) == CONFLICT
    assert tried({"unexpected": outcome(("expect-shape", "head"))}) == CONFLICT


def test_what_breaks_another_variant_is_no_fix() -> None:
    assert tried({"harmful": outcome()}, elsewhere={"harmful": None}) == CONFLICT


def test_a_fix_that_leaves_fewer_errors_comes_first_and_alone() -> None:
    both = {OWN, OTHER}
    found = tried({"half": outcome(OTHER), "whole": outcome()}, before=both)
    assert descriptions(found) == ["whole"]
    assert descriptions(tried({"half": outcome(OTHER), "too": outcome(OTHER)}, before=both)) == ["half", "too"]
    assert descriptions(tried({"here": outcome(), "everywhere": outcome()}, elsewhere={"here": 1})) == ["everywhere"]


def test_two_fixes_are_enough() -> None:
    outcomes: dict[str, Outcome | None] = {name: outcome() for name in ("first", "second", "third")}
    assert descriptions(tried(outcomes)) == ["first", "second"]


def test_after_the_first_a_few_more_are_tried() -> None:
    useless: dict[str, Outcome | None] = {f"useless {n}": None for n in range(9)}
    assert descriptions(tried({**useless, "first": outcome(), "second": outcome()})) == ["first", "second"]
    assert descriptions(tried({"first": outcome(), **useless, "second": outcome()})) == ["first"]


def test_other_figures_than_expected_are_told_and_not_checked() -> None:
    found = tried({"heavier": outcome(("expect-params", ""))})
    (fix,) = found.fixes
    assert (fix.checked, fix.description) == (False, "heavier (the expected figures are others then)")
    assert descriptions(tried({"heavier": outcome(("expect-macs", "")), "right": outcome()})) == ["right"]
    assert (found.cause, found.walk) == (CONFLICT.cause, CONFLICT.walk)


@pytest.mark.parametrize(("params", "macs"), [(None, 90), (12, None), (None, None), (10, 100)])
def test_a_price_that_is_not_known_is_not_zero(params: int | None, macs: int | None) -> None:
    (fix,) = tried({"one": outcome(params=params, macs=macs)}).fixes
    assert fix.params == (None if params is None else params - 10)
    assert fix.macs == (None if macs is None else macs - 100)


def test_the_fix_gives_the_cause_and_leads_the_walk() -> None:
    found = tried({"one": outcome()})
    assert found.cause == "channels"
    assert [(link.text, link.place) for link in found.walk] == [("one", Span("net.yaml", 3, 1))]


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


TOLD = """\
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
    text = TOLD if narrow else TOLD.replace("  narrow: {width: 8}\n", "")
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
    assert one.diff == diff(case.spec, one.after[case.name], case.name)


@pytest.mark.moves_rng
def test_a_python_model_has_no_fixes() -> None:
    from torch import nn

    (one,) = repair(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(4, 8, 3)), input=(1, 3, 8, 8))
    assert (one.fixes, dict(one.after), one.diff) == ((), {}, "")
    assert [finding.fixes for item in one.checked for finding in item.findings if finding.cause] == [()]
