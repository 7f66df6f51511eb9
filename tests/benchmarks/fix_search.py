"""How long the search for fixes takes: `check` of a broken spec beside `check` of the spec in order, in one process.

python -m tests.benchmarks.fix_search            from the repository's root; `--only resnet` names some specs

Two tables. The first has a spec of ten lines, with and without one conflict. The second has every spec of the
repository: one variant, broken by the first of its seeded mutations that breaks it. The search is what the check of the
broken variant takes longer. A fix is held against all variants, so the check of all of them, in order, stands beside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

import archscope
from tests.mutations.corpus import ROOT, Origin, specs
from tests.mutations.mutation import mutations
from tests.mutations.oracle import judged

SOUND = """\
input: [N, 8, 32, 32]
blocks:
  C(out, size=3, stride=1):
    - Conv2d(out, size, stride=stride, padding=size // 2)
layers:
  - C(8, stride=2)
  - a: C(16)
  - C(16, stride=2)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
"""
BROKEN = SOUND.replace("C(16, stride=2)", "C(16)")
RUNS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description="How long the search for fixes takes.")
    parser.add_argument("--only", nargs="*", default=[""], help="specs whose name has one of these in it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(small()))
    print()
    print("| spec | broken by | fixes | in order, ms | broken, ms | search, ms | all variants in order, ms |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for origin in specs(ROOT, "specs"):
        if any(part in origin.name for part in options.only):
            print(large(origin))


def seconds(work: Callable[[], object], runs: int) -> float:
    """The median of some runs, after one that is not counted."""
    work()
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def small() -> Iterator[str]:
    """The spec of ten lines; the two are timed in turn, so that a slow moment of the machine strikes both."""
    pairs = [(seconds(lambda: of(SOUND), 3), seconds(lambda: of(BROKEN), 3)) for _ in range(RUNS)]
    sound, broken = (median(times) for times in zip(*pairs, strict=True))
    yield "| a spec of ten lines | ms |"
    yield "|---|--:|"
    yield f"| check, in order | {1e3 * sound:.1f} |"
    yield f"| check, one conflict and its fixes | {1e3 * broken:.1f} |"
    yield f"| ratio | {median(after / before for before, after in pairs):.2f} |"


def of(text: str) -> object:
    return archscope.check("net.yaml", texts={"net.yaml": text})


def large(origin: Origin) -> str:
    """One spec: the variant that a mutation breaks, checked in order and broken."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for mutation in mutations(origin, folder, seed=0):
            verdict = judged(origin.put(folder, mutation.text), most=1, expectations=False)
            if verdict.kind == "broken" and verdict.target:
                break
        else:
            return f"| {origin.name} | by no mutation | | | | | |"
        whole = origin.put(folder)
        sound = seconds(lambda: archscope.check(verdict.target), 1)
        every = seconds(lambda: archscope.check(whole), 1)
        origin.put(folder, mutation.text)
        broken = seconds(lambda: archscope.check(verdict.target), 1)
        fixes = sum(len(finding.fixes) for one in archscope.check(verdict.target) for finding in one.findings)
    times = [f"{1e3 * time:.0f}" for time in (sound, broken, broken - sound, every)]
    return f"| {' | '.join([origin.name, f'{mutation.kind}: {mutation.words}', str(fixes), *times])} |"


if __name__ == "__main__":
    main()
