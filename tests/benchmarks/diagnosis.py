"""How good the diagnosis is, by mutation: every spec broken in many seeded ways → what `check` says → tables.

python -m tests.benchmarks.diagnosis --failures failures.txt       from the repository's root; `--help` tells the rest

Run by hand. The tables are Markdown, for docs/measurements.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from tests.mutations.corpus import Origin, corpus
from tests.mutations.edit import KINDS
from tests.mutations.score import Sample, Score, Wish, sample

MEASURES: dict[str, Callable[[Score], bool]] = {
    "found": lambda score: score.found,
    "placed": lambda score: score.placed,
    "at": lambda score: score.at,
    "first": lambda score: score.first,
    "cause": lambda score: score.cause,
    "checked": lambda score: score.checked,
    "runs": lambda score: score.runs,
    "cured": lambda score: score.cured,
    "original": lambda score: score.original,
}
SLOW = ("convnext", "densenet", "efficientnet", "gpt2", "llama3", "lstm", "mobilenet", "specs/resnet", "vit")
"""Files whose nets take a second or more for each run: fewer mutations do."""
NEEDED = ("found", "placed", "cause", "checked", "runs", "cured")


def main() -> None:
    options = parsed()
    wish = Wish(
        options.per_spec,
        of_kind=options.of_kind,
        unmet=options.unmet,
        seed=options.seed,
        kinds=tuple(options.kinds.split(",")),
        patience=options.patience,
    )
    begun = time.perf_counter()
    samples = []
    for one in measured(asked(options), wish, options.few, options.jobs):
        samples.append(one)
        print(f"{time.perf_counter() - begun:4.0f} s  {one.origin.name}: {len(one.scores)}", file=sys.stderr)
    scores = [score for one in samples for score in one.scores]
    print("\n".join(report(samples, scores)))
    print(f"\nseed {wish.seed}, {wish.broken} for each file at most, {time.perf_counter() - begun:.0f} s")
    if options.failures:
        Path(options.failures).write_text("\n".join(failures(scores)) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How good the diagnosis is, by mutation.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-spec", type=int, default=15, help="broken mutations of each file")
    parser.add_argument("--of-kind", type=int, default=3, help="of these, at most so many of one kind")
    parser.add_argument("--few", type=int, default=5, help="broken mutations of each large and slow file")
    parser.add_argument("--unmet", type=int, default=2, help="mutations of each file that only an expectation sees")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--only", nargs="*", default=[""], help="files whose name has one of these in it")
    parser.add_argument("--skip", nargs="*", default=[], help="files whose name has none of these in it")
    parser.add_argument("--patience", type=int, default=5, help="harmless mutations in a row before a kind is left")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--failures", help="a file for what was not found, placed or cured, and what was said")
    return parser.parse_args()


def asked(options: argparse.Namespace) -> list[Origin]:
    def named(origin: Origin, parts: Sequence[str]) -> bool:
        return any(part in origin.name for part in parts)

    return [one for one in corpus() if named(one, options.only) and not named(one, options.skip)]


def measured(origins: Sequence[Origin], wish: Wish, few: int, jobs: int) -> Iterator[Sample]:
    torch.set_num_threads(1)
    slow = [any(part in origin.name for part in SLOW) for origin in origins]
    wishes = [replace(wish, broken=min(few, wish.broken) if one else wish.broken) for one in slow]
    if jobs == 1:
        yield from map(sample, origins, wishes)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(sample, origins, wishes)


# ------------------------------------------------------------ tables
def report(samples: Sequence[Sample], scores: Sequence[Score]) -> Iterator[str]:
    broken = [score for score in scores if score.verdict.kind == "broken"]
    yield from table("kind", ((kind, [s for s in broken if s.mutation.kind == kind]) for kind in KINDS), broken)
    yield ""
    yield from table("file", ((s.origin.name, [x for x in s.scores if x in broken]) for s in samples), broken)
    unmet = [score for score in scores if score.verdict.kind == "unmet"]
    yield f"\nseen only by an expectation: {len(unmet)}, of which {sum(s.found for s in unmet)} found"
    witnesses = Counter(score.verdict.witness for score in broken)
    yield "broken, says beside the compiler: " + ", ".join(f"{name} {n}" for name, n in witnesses.most_common())
    yield from (f"not in order as its author wrote it: {s.origin.name}: {s.fault}" for s in samples if s.fault)


def table(what: str, rows: Iterable[tuple[str, list[Score]]], everything: list[Score]) -> Iterator[str]:
    yield f"| {what} | n | {' | '.join(MEASURES)} | others | fixes | rows | harm | crash | s |"
    yield "|---" * (len(MEASURES) + 8) + "|"
    yield from (line(name, scores) for name, scores in (*rows, ("**all**", everything)) if scores)


def line(name: str, scores: list[Score]) -> str:
    shares = [f"{100 * sum(map(measure, scores)) / len(scores):.0f} %" for measure in MEASURES.values()]
    others, offered, same = (sum(vars(score)[key] for score in scores) for key in ("others", "offered", "same"))
    harm, crash = harmful(scores), sum(bool(score.crash) for score in scores)
    rows = f"{100 * same / offered:.0f} %" if offered else "–"
    seconds = sorted(score.seconds for score in scores)[len(scores) // 2]
    counts = f"{others} | {offered} | {rows} | {harm} | {crash} | {seconds:.2f}"
    return f"| {name} | {len(scores)} | {' | '.join(shares)} | {counts} |"


def harmful(scores: Iterable[Score]) -> int:
    """How many fixes do harm."""
    return sum(score.harmful for score in scores)


def failures(scores: Iterable[Score]) -> Iterator[str]:
    """Everything that could be better, the worst first in each line's words."""
    for score in scores:
        lacks = [name for name in NEEDED if not MEASURES[name](score)] if score.verdict.kind == "broken" else []
        if lacks or not score.found or score.others:
            yield from failure(score, lacks)


def failure(score: Score, lacks: list[str]) -> Iterator[str]:
    mutation = score.mutation
    others = f"; {score.others} other errors" if score.others else ""
    yield f"{mutation}"
    yield f"  not {', '.join(lacks)}{others}" if lacks else f"  {others.removeprefix('; ') or 'not found'}"
    yield f"  - {mutation.before}"
    yield f"  + {mutation.after}"
    yield f"  broken: {score.verdict.target.rpartition('/')[2]}: {score.verdict.words}"
    yield from (f"  said: {line}" for line in score.told)
    yield ""


if __name__ == "__main__":
    main()
