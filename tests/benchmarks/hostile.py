"""Seconds to an answer for every spec of tests/fuzz/test_hostile.py, after torch is imported, beside the goal.

`python tests/benchmarks/hostile.py`; exit 1 if a spec is refused later than the goal.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.run import GOAL, Answer, answers
from tests.fuzz.test_hostile import LARGE, texts

SHOWN = 10


def print_slowest(title: str, found: dict[str, Answer]) -> None:
    """Print how many were answered within the goal, and the slowest."""
    in_time = sum(answer.code >= 0 and answer.seconds <= GOAL for answer in found.values())
    print(f"{title}: {in_time} of {len(found)} answered within {GOAL:g} s")
    for name, answer in sorted(found.items(), key=lambda pair: -pair[1].seconds)[:SHOWN]:
        print(f"  {answer.seconds:6.2f} s  {name}")


def main() -> int:
    """Return 1 if a spec that is refused takes longer than the goal."""
    specs = {name: text for name, (text, _) in texts().items()} | {name: text for name, (text, _) in LARGE.items()}
    wanted = [{"kind": "spec", "command": "check", "text": text} for text in specs.values()]
    found = dict(zip(specs, answers(wanted), strict=True))
    refused = {name: answer for name, answer in found.items() if name not in LARGE}
    print_slowest("too much, or of the wrong kind", refused)
    print_slowest("large, and allowed", {name: found[name] for name in LARGE})
    return int(any(answer.code < 0 or answer.seconds > GOAL for answer in refused.values()))


if __name__ == "__main__":
    sys.exit(main())
