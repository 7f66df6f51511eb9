"""Three independent witnesses beside us: fvcore, torchinfo and torch's FlopCounterMode, on the compiled specs.

Every difference is explained by rows, and nothing is left: what a witness counts plus what it misses is what we count.
Where FlopCounterMode misses fused operators, it agrees once they are taken apart.
"""

from __future__ import annotations

import pytest

import archscope
from tests.networks.test_twins import PAIRS, Pair, own_random_state  # noqa: F401  (the fixture is used by its name)

pytest.importorskip("fvcore.nn")
pytest.importorskip("torchinfo")
pytestmark = pytest.mark.filterwarnings("ignore")  # what the witnesses warn about is theirs

AGREES = ("FlopCounterMode", "FlopCounterMode, unfused")
TWICE = {"gpt2.yaml:small": 97 * 16}
"""Specs with tied weights, which torchinfo counts by both their names: the elements."""


@pytest.mark.law
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.spec)
def test_every_difference_is_explained(pair: Pair) -> None:
    check = archscope.cross_check(pair.target, set=pair.set)
    assert check.report.total == archscope.summarize(pair.target, set=pair.set).total
    found = {account.result.counter: account for account in check.accounts}
    assert {account.result.status for account in check.accounts} == {"counted"}
    assert {name: account.unexplained for name, account in found.items()} == dict.fromkeys(found, 0)
    assert {name: account.params_unexplained or 0 for name, account in found.items()} == dict.fromkeys(found, 0)
    assert (found["fvcore"].params_off, found["torchinfo"].params_off) == (0, TWICE.get(pair.spec, 0))
    assert found[AGREES[len(found) - 3]].macs_off == 0
