"""A recorded run calls the same aten operators as a run alone, in the same order, on the same shapes."""

from __future__ import annotations

import pytest

from tests.record.model_cases import MODEL_CASES
from tests.record.programs import PROGRAMS
from tests.sequence import WAYS, Made, alone, in_one_way, observed

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

APART = ("exported", "scripted", "traced", "flex_attention")
"""Prefixes of the names of models whose graphs are recorded as they were written, not as torch's executor rewrites
them; or that torch compiles."""

TABLE = {name: case for name, case in (MODEL_CASES | PROGRAMS).items() if not name.startswith(APART)}


def made(name: str) -> Made:
    model, args = TABLE[name].make()
    return model, args, {}


@pytest.mark.law
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_a_recorded_model_runs_the_same_operators(name: str, way: str) -> None:
    try:
        in_one_way(alone, lambda: made(name), way)  # torch and models keep some of what a first run works out
        by_itself = in_one_way(alone, lambda: made(name), way)
    except (RuntimeError, TypeError) as error:
        pytest.skip(f"does not run so: {error}")
    assert in_one_way(observed, lambda: made(name), way) == by_itself
