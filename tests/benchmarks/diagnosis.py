"""How good the diagnosis is, by mutation: every spec and every twin in Python broken in many seeded ways → what `check`
says → tables.

python -m tests.benchmarks.diagnosis --failures failures.txt       from the repository's root; `--help` tells the rest
python -m tests.benchmarks.diagnosis specs --kinds use,join        specs alone, of these kinds; `python` for the twins

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
from tests.mutations.twin_score import twin_sample
from tests.mutations.twins import NETWORKS, Network

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
MOST_HARMS = 8
"""How many harms are told of one mutation."""
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
    samples: list[Sample] = []
    for title, subjects in asked(options).items():
        found = []
        for one in measured(subjects, wish, options.few, options.jobs):
            found.append(one)
            print(f"{time.perf_counter() - begun:4.0f} s  {one.origin.name}: {len(one.scores)}", file=sys.stderr)
        if found:
            print(f"\n{title}\n")
            print("\n".join(report(found, [score for one in found for score in one.scores])))
        samples += found
    print(f"\nseed {wish.seed}, {wish.broken} for each file at most, {time.perf_counter() - begun:.0f} s")
    if options.failures:
        lines = failures(score for one in samples for score in one.scores)
        Path(options.failures).write_text("\n".join(lines) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How good the diagnosis is, by mutation.")
    parser.add_argument("what", nargs="?", choices=["all", "specs", "python"], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-spec", type=int, default=15, help="broken mutations of each file")
    parser.add_argument("--of-kind", type=int, default=3, help="of these, at most so many of one kind")
    parser.add_argument("--few", type=int, default=5, help="broken mutations of each large and slow file")
    parser.add_argument("--unmet", type=int, default=2, help="mutations of each file that only an expectation sees")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--more", default="", help="another folder of specs")
    parser.add_argument("--only", nargs="*", default=[""], help="files whose name has one of these in it")
    parser.add_argument("--skip", nargs="*", default=[], help="files whose name has none of these in it")
    parser.add_argument("--patience", type=int, default=5, help="harmless mutations in a row before a kind is left")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--failures", help="a file for what was not found, placed or cured, and what was said")
    return parser.parse_args()


def asked(options: argparse.Namespace) -> dict[str, list[Origin | Network]]:
    """What is broken, by title."""

    def wanted(name: str) -> bool:
        return any(part in name for part in options.only) and not any(part in name for part in options.skip)

    specs = [one for one in corpus(more=options.more) if wanted(one.name)] if options.what != "python" else []
    twins = [one for one in NETWORKS if wanted(f"python/{one.name}")] if options.what != "specs" else []
    return {"Specs": [*specs], "Python": [*twins]}


def measured(subjects: Sequence[Origin | Network], wish: Wish, few: int, jobs: int) -> Iterator[Sample]:
    torch.set_num_threads(1)
    wishes = [replace(wish, broken=min(few, wish.broken) if is_slow(one) else wish.broken) for one in subjects]
    if jobs == 1:
        yield from map(sampled, subjects, wishes)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(sampled, subjects, wishes)


def is_slow(subject: Origin | Network) -> bool:
    return subject.slow if isinstance(subject, Network) else any(part in subject.name for part in SLOW)


def sampled(subject: Origin | Network, wish: Wish) -> Sample:
    return twin_sample(subject, wish) if isinstance(subject, Network) else sample(subject, wish)


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
    reasons = Counter(harm.reason for score in broken for harm in score.harms)
    yield "harm: " + (", ".join(f"{name} {n}" for name, n in reasons.most_common()) or "none")
    yield from (f"not in order as its author wrote it: {s.origin.name}: {s.fault}" for s in samples if s.fault)


def table(what: str, rows: Iterable[tuple[str, list[Score]]], everything: list[Score]) -> Iterator[str]:
    yield f"| {what} | n | {' | '.join(MEASURES)} | others | fixes | rows | harm | crash | s |"
    yield "|---" * (len(MEASURES) + 8) + "|"
    yield from (line(name, scores) for name, scores in (*rows, ("**all**", everything)) if scores)


def line(name: str, scores: list[Score]) -> str:
    shares = [f"{100 * sum(map(measure, scores)) / len(scores):.0f} %" for measure in MEASURES.values()]
    others, offered, same = (sum(vars(score)[key] for score in scores) for key in ("others", "offered", "same"))
    harm, crash = sum(score.harmful for score in scores), sum(bool(score.crash) for score in scores)
    rows = f"{100 * same / offered:.0f} %" if offered else "–"
    seconds = sorted(score.seconds for score in scores)[len(scores) // 2]
    counts = f"{others} | {offered} | {rows} | {harm} | {crash} | {seconds:.2f}"
    return f"| {name} | {len(scores)} | {' | '.join(shares)} | {counts} |"


def failures(scores: Iterable[Score]) -> Iterator[str]:
    """Everything that could be better, the worst first in each line's words."""
    for score in scores:
        lacks = [name for name in NEEDED if not MEASURES[name](score)] if score.verdict.kind == "broken" else []
        if lacks or not score.found or score.others or score.harms or score.same < score.offered:
            yield from failure(score, lacks)


def failure(score: Score, lacks: list[str]) -> Iterator[str]:
    mutation, other_rows = score.mutation, score.offered - score.same
    words = [
        f"not {', '.join(lacks)}" if lacks else "" if score.found else "not found",
        f"{score.others} other errors" if score.others else "",
        f"{score.harmful} of {score.offered} fixes do harm" if score.harmful else "",
        f"{other_rows} of {score.offered} fixes give other rows" if other_rows else "",
    ]
    yield f"{mutation}"
    yield "  " + "; ".join(filter(None, words))
    yield f"  - {mutation.before}"
    yield f"  + {mutation.after}"
    yield f"  broken: {score.verdict.target.rpartition('/')[2]}: {score.verdict.words}"
    yield from (f"  said: {line}" for line in score.told)
    yield from (f"  harm: {harm}" for harm in score.harms[:MOST_HARMS])
    if len(score.harms) > MOST_HARMS:
        yield f"  harm: and {len(score.harms) - MOST_HARMS} more"
    yield ""


if __name__ == "__main__":
    main()
