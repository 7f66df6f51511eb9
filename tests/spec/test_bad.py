"""Tests of the bad specs in cases/bad/parse: each is refused with exactly the problems named in its first lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archscope.errors import SpecError
from archscope.spec import load
from tests.badcases import FOLDER, BadCase, bad_cases, read_case

CASES = bad_cases("parse")
FORBIDDEN = re.compile(r"invalid|Traceback|yaml\.|ast\.|<class|NoneType|Error\b")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.stem)
def test_refused_with_its_message(case: BadCase, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(case.path.parent)
    with pytest.raises(SpecError) as caught:
        load(case.path.name)
    case.check(caught.value)


@pytest.mark.law
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.stem)
def test_messages_are_plain_english(case: BadCase):
    with pytest.raises(SpecError) as caught:
        load(str(case.path))
    for problem in caught.value.problems:
        assert not FORBIDDEN.search(problem.message + problem.help)


def test_there_are_cases():
    assert len(CASES) >= 45
    assert {case.path.parent for case in CASES} == {FOLDER / "parse"}


def test_a_case_can_fail(tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text("# expect: 2:1: something else\nlayer: [ReLU]\n")
    with pytest.raises(SpecError) as caught:
        load(str(path))
    with pytest.raises(AssertionError):
        read_case(path).check(caught.value)
