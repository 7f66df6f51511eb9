"""The fuzzer: cases by seed → children with limits of time and memory → what came of them, counted.

`python -m tests.fuzz.run --examples 100000 --workers 2` prints the figures and every case that fell; exit 1 with one.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from tests.fuzz.changes import changed_spec
from tests.fuzz.strategies import drawn

GOAL = 2.0
"""Seconds of the processor within which a case is answered, once torch is imported."""
LIMIT = 10 * GOAL
"""Seconds of the processor after which a child is ended."""
WAIT = 3
"""How many times as long its parent waits, on a machine that others use too."""
START = 120.0
"""Seconds that a child may take until torch is imported."""
COMMANDS = (
    *(("check", ()), ("check", ())),
    *(("summary", ("--device", "meta")), ("flops", ("--device", "meta", "--format", "json"))),
)
PART = 250
"""How many cases are drawn from one seed, and asked of one child."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What came of a case. code: the exit code, -1 of a traceback, -2 where the child was ended or died. text: what was
    printed, on one line."""

    case: Any
    code: int
    place: str
    seconds: float
    text: str = ""

    @property
    def fell(self) -> bool:
        return self.code < 0


def cases(count: int, seed: int) -> list[dict[str, Any]]:
    """Half of them drawn specs, a quarter changed specs, a quarter live models."""
    dice, texts = Random(seed), drawn(count - count // 2, by=seed)
    made: list[dict[str, Any]] = [{"kind": "spec", "text": text} for text in texts]
    made += [{"kind": "spec", "text": changed_spec(seed * 1_000_003 + i)} for i in range(count // 4)]
    made += [{"kind": "model", "seed": seed * 1_000_003 + i} for i in range(count - len(made))]
    for case in made:
        command, options = dice.choice(COMMANDS)
        case.update({} if case["kind"] == "model" else {"command": command, "options": options})
    dice.shuffle(made)
    return made


def answers(wanted: Sequence[Any], *, limit: float = LIMIT) -> Iterator[Answer]:
    """Each case with its answer; a child that is ended, or dies, is followed by another one."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = list(wanted)
        while waiting:
            with started(Path(folder) / "net.yaml", limit) as child:
                try:
                    while waiting:
                        answer = asked(child, waiting.pop(0), limit)
                        yield answer
                        if answer.code == -2:
                            break
                finally:
                    child.kill()


def started(file: Path, limit: float) -> subprocess.Popen[str]:
    """A child that has imported torch."""
    command = [sys.executable, "-m", "tests.fuzz.child", str(file), str(limit)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=nowhere, text=True, bufsize=1)
    if line_of(child, START) != "ready\n":
        child.kill()
        raise RuntimeError("the child does not start")
    return child


def asked(child: subprocess.Popen[str], case: Any, limit: float) -> Answer:
    assert child.stdin is not None
    child.stdin.write(json.dumps(case) + "\n")
    child.stdin.flush()
    began = time.perf_counter()
    line = line_of(child, WAIT * limit)
    if not line:
        return Answer(case, -2, f"no answer in {limit:g} s of the processor", time.perf_counter() - began)
    told = json.loads(line)
    return Answer(case, told["code"], told["place"], told["seconds"], told["text"])


def line_of(child: subprocess.Popen[str], seconds: float) -> str:
    """The next line of a child; empty where none comes in that time."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], seconds)
    return child.stdout.readline() if ready else ""


def figures(found: Sequence[Answer]) -> str:
    """What is told of a run."""
    codes = Counter(answer.code for answer in found)
    slow = [answer for answer in found if answer.seconds > GOAL and not answer.fell]
    late = [answer for answer in slow if answer.code == 2]
    times = sorted(answer.seconds for answer in found)
    return "\n".join(
        [
            f"{len(found):,} cases: {codes[0]:,} fine, {codes[1]:,} with findings, {codes[2]:,} refused",
            f"{codes[-1]:,} tracebacks, {codes[-2]:,} without an answer in {LIMIT:g} s",
            f"{len(slow):,} answered later than {GOAL:g} s, {len(late):,} of them refused",
            f"median {times[len(times) // 2]:.3f} s, longest {times[-1]:.1f} s",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--save", type=Path, help="a folder for the cases that fell or were slow")
    options = parser.parse_args()
    sizes = [min(PART, options.examples - at) for at in range(0, options.examples, PART)]
    found: list[Answer] = []
    alone = Lock()  # hypothesis draws in one thread at a time

    def part(at: int) -> list[Answer]:
        with alone:
            wanted = cases(sizes[at], options.seed + at)
        return list(answers(wanted))

    with ThreadPoolExecutor(options.workers) as pool:
        for done in pool.map(part, range(len(sizes))):
            found += done
            tell(done, options.save)
            sys.stderr.write(f"{len(found):,} of {options.examples:,}\n")
    sys.stdout.write(figures(found) + "\n")
    return int(any(answer.fell for answer in found))


def tell(done: Sequence[Answer], folder: Path | None) -> None:
    """Names what fell or was slow, and keeps it."""
    for answer in done:
        if answer.fell or answer.seconds > GOAL:
            name = f"{abs(hash(json.dumps(answer.case))):x}"
            sys.stdout.write(f"{answer.seconds:6.1f} s  {answer.place or 'slow'}  {answer.case.get('seed', name)}\n")
            sys.stdout.flush()
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                told = f"# {answer.place} {answer.seconds} {answer.case.get('command')}\n{answer.case.get('text', '')}"
                (folder / f"{name}.yaml").write_text(told, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
