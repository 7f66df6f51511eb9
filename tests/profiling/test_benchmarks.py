"""The benchmarks of times and memory still run: each on a small net, as a user would start them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOOTPRINT = """
import sys
sys.path.insert(0, "tests/benchmarks")
import footprint
for train in (False, True):
    predicted, row, measured = footprint.footprint("specs/tutorials/lenet.yaml", 2, "cpu", train=train)
    print(predicted.working_bytes, measured, row)
"""


def test_predicted_memory_stands_beside_what_is_measured() -> None:
    done = subprocess.run([sys.executable, "-c", FOOTPRINT], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    assert all(0.5 < int(predicted) / int(measured) <= 1.05 for predicted, measured, _ in lines), lines
