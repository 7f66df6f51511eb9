"""Function transforms over a module that writes its own tensors: an analysis, or the refusal that torch has for it.

A wrapper of a transform that is over ends the interpreter when it is touched, so the programs run in a process of
their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.record.transforms import MODES, PROGRAMS


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], dict[str, Any]]:
    """The outcome of each program, up to one that ended the process."""
    run = subprocess.run([sys.executable, "-m", "tests.record.transforms"], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {(name, mode): found for name, mode, found in lines}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_analysed_or_refused_as_torch_refuses_it(
    outcomes: dict[tuple[str, str], dict[str, Any]], name: str, mode: str
) -> None:
    assert (name, mode) in outcomes, "the interpreter has ended"
    found = outcomes[name, mode]
    assert found["same"]
    if found["plain"] is None:
        assert found["ours"] is None
    else:
        assert found["plain"].splitlines()[0] in (found["ours"] or "")
