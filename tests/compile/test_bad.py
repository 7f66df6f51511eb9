"""Every bad spec under cases/bad/compile is readable, and refused by the compiler with the problems it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archscope.api import compile_plan, load
from archscope.errors import SpecError
from tests.badcases import BadCase, bad_cases, read_case

CASES = bad_cases("compile")
PYTHON_INTERNALS = re.compile(r"Traceback|__init__|<class|NoneType|\bfx\b|\w+Error\b|object at 0x")


def problems_of(path: Path) -> SpecError:
    with pytest.raises(SpecError) as caught:
        compile_plan(str(path))
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.stem)
def test_the_compiler_refuses_it_with_its_message(case: BadCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.path.parent)
    load(case.path.name)
    case.check(problems_of(Path(case.path.name)))


@pytest.mark.law
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.stem)
def test_its_message_has_no_python_internals(case: BadCase) -> None:
    assert not PYTHON_INTERNALS.search(str(problems_of(case.path)))


def test_there_are_cases() -> None:
    assert len(CASES) >= 50


def test_a_case_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text("# expect: 4:5: something else\ninput: [N, 3]\nlayers:\n  - Linear\n")
    with pytest.raises(AssertionError):
        read_case(path).check(problems_of(path))
