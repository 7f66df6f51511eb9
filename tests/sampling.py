"""Laws and their samples: the cases of a law → those that `make test` runs; the reports of a run → seconds of each law.

A law is a parametrised test that is marked `law`: many cases of one statement. A sample takes one case of each of
equal stretches of the cases, drawn by the law's name, so that it is spread evenly and the same in every process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import pytest

FEW = 12
"""A law with no more cases is run whole."""
ONE_IN = 6


def sample(law: str, count: int, keep: int | None = None) -> list[int]:
    """The positions of the cases that are kept, in ascending order.

    law: the name that the draw depends on. keep: how many, at most all; by default a sixth, but at least `FEW`.
    """
    kept = min(count, max(FEW, count // ONE_IN) if keep is None else keep)
    dice = Random(law)
    return [dice.randrange(part * count // kept, (part + 1) * count // kept) for part in range(kept)]


def law_of(nodeid: str) -> str:
    """The test function of a case: its node id without the parameters."""
    return nodeid.partition("[")[0]


def split(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that stay and those that are left out, each in its order; a test that is no law stays."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("law"):
            cases[law_of(item.nodeid)].append(item)
    out = {item for law, found in cases.items() for item in left_out(law, found)}
    return [item for item in items if item not in out], [item for item in items if item in out]


def left_out(law: str, cases: Sequence[pytest.Item]) -> set[pytest.Item]:
    mark = cases[0].get_closest_marker("law")
    kept = sample(law, len(cases), **(mark.kwargs if mark else {}))
    return set(cases) - {cases[position] for position in kept}


@dataclass
class Spent:
    """Seconds that the cases of a law took, with their setup and teardown."""

    seconds: float = 0.0
    cases: int = 0


def times(reports: Iterable[pytest.TestReport]) -> dict[str, Spent]:
    """What each law took, the longest first."""
    found: dict[str, Spent] = defaultdict(Spent)
    for report in reports:
        if "law" in report.keywords:
            spent = found[law_of(report.nodeid)]
            spent.seconds += report.duration
            spent.cases += report.when == "call"
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))
