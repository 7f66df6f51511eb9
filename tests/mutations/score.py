"""How good a diagnosis is: a broken network → check → Score: found, placed, cause, cured.

Mutation, Verdict → check of the broken variant → its first conflict → the first fix applied → every variant again
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import archscope
from archscope.errors import Span, SpecError
from archscope.report import Finding, Fix
from archscope.spec import Spec, load
from tests.mutations.corpus import Origin
from tests.mutations.edit import KINDS
from tests.mutations.harm import Case, Harm
from tests.mutations.mutation import Mutation, mutations
from tests.mutations.oracle import MOST_VARIANTS, Figures, Verdict, chosen, clean, figures, judged


@dataclass(frozen=True)
class Score:
    """What the diagnosis said of one mutation, and whether it is right.

    at, first: the mutated line is the finding's own place, or that of the first step of its walk. runs: with the first
    fix the network has no conflict left; cured: nor an expectation that is not met; original: it is the author's.
    others: errors elsewhere that are not marked likely, expectations apart. told: the finding and its fixes, in words.
    crash: what went wrong in the check itself. offered: the fixes called checked, of all findings; same: those that
    give the author's net or one with the same rows; harmful: those that do harm, and harms: what each does, in words.
    """

    mutation: Mutation
    verdict: Verdict
    seconds: float = 0.0
    found: bool = False
    at: bool = False
    first: bool = False
    placed: bool = False
    cause: bool = False
    checked: bool = False
    runs: bool = False
    cured: bool = False
    original: bool = False
    others: int = 0
    told: tuple[str, ...] = ()
    crash: str = ""
    offered: int = 0
    same: int = 0
    harmful: int = 0
    harms: tuple[Harm, ...] = ()


@dataclass(frozen=True)
class Bench:
    """One file's author's text in a folder of its own, to be broken there."""

    origin: Origin
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / self.origin.path

    def net(self, text: str | None = None) -> str:
        return self.origin.put(self.folder, text)

    def judge(self, mutation: Mutation, *, expectations: bool) -> Verdict:
        return judged(self.net(mutation.text), expectations=expectations)

    def score(self, mutation: Mutation, verdict: Verdict, **options: Any) -> Score:
        """Checks the broken variant as a user would, then tries what the first finding proposes, and judges every fix
        that is called checked. `options` are those of the check."""
        net = self.net(mutation.text)
        begun = time.perf_counter()
        findings, crash = checked(verdict.target, **options)
        score = Score(mutation, verdict, seconds=time.perf_counter() - begun)
        if not findings:
            return replace(score, told=(crash or "nothing",), crash=crash)
        first = next((f for f in findings if not expectation(f)), findings[0])
        score = self.judge_fixes(self.read(score, first, findings), findings, mutation)
        return self.tried(score, first.fixes[0], net) if first.fixes else score

    def judge_fixes(self, score: Score, findings: Sequence[Finding], mutation: Mutation) -> Score:
        """Every fix that is called checked, judged by what it does to the rows of the net and of its variants."""
        verdict = score.verdict
        others = [one for one in chosen(self.net(), MOST_VARIANTS) if one != verdict.target]
        self.net(mutation.text)
        case = Case((verdict.target, *others), self.texts(), self.texts(mutation.text))
        fixes = [(finding, fix) for finding in findings for fix in finding.fixes if fix.checked and fix.text]
        found = [(fix, case.judge(finding, fix.file, fix.text)) for finding, fix in fixes]
        return replace(
            score,
            offered=len(found),
            same=sum(judgement.same for _, judgement in found),
            harmful=sum(bool(judgement.harms) for _, judgement in found),
            harms=tuple(Harm(h.reason, f"[{fix.description}] {h.words}") for fix, j in found for h in j.harms),
        )

    def texts(self, text: str | None = None) -> dict[str, str]:
        """The folder's files with the author's text of the broken one, or with another."""
        beside = {str(self.folder / path): content for path, content in self.origin.beside.items()}
        return {**beside, str(self.file): self.origin.text if text is None else text}

    def read(self, score: Score, finding: Finding, findings: Sequence[Finding]) -> Score:
        mutation, walk = score.mutation, [link.place for link in finding.walk]
        at, first = self.meets(finding.place, mutation), self.meets(next(iter(walk), None), mutation)
        return replace(
            score,
            found=True,
            at=at,
            first=first,
            placed=at or any(self.meets(place, mutation) for place in walk),
            cause=finding.cause in mutation.causes,
            others=sum(self.elsewhere(other, mutation) for other in findings if other is not finding),
            told=tuple(telling(finding, self.folder)),
        )

    def meets(self, place: Span | None, mutation: Mutation) -> bool:
        return place is not None and Path(place.file) == self.file and place.line in mutation.lines

    def elsewhere(self, finding: Finding, mutation: Mutation) -> bool:
        places = (finding.place, *(link.place for link in finding.walk))
        return not (finding.likely or expectation(finding) or any(self.meets(place, mutation) for place in places))

    def tried(self, score: Score, fix: Fix, net: str) -> Score:
        """The first fix applied, and judged without believing what it says of itself."""
        if not fix.text or not Path(fix.file).resolve().is_relative_to(self.folder.resolve()):
            return replace(score, checked=fix.checked)
        before = Path(fix.file).read_text(encoding="utf-8")
        Path(fix.file).write_text(fix.text, encoding="utf-8")
        try:
            runs, cured, original = self.outcome(net)
        finally:
            Path(fix.file).write_text(before, encoding="utf-8")
        return replace(score, checked=fix.checked, runs=runs, cured=cured, original=original)

    def outcome(self, net: str) -> tuple[bool, bool, bool]:
        """(runs, cured, original) of what lies in the folder now."""
        try:
            if load(net).files == self.author:
                return True, True, True
            runs, cured = clean(net)
            return runs, runs and cured, runs and figures(net) == self.figures
        except SpecError:
            return False, False, False

    @cached_property
    def author(self) -> dict[str, Spec]:
        """The specs as their author wrote them; equal ones differ in layout alone."""
        with TemporaryDirectory() as folder:
            files = load(self.origin.put(Path(folder))).files
        return {name.replace(folder, str(self.folder)): spec for name, spec in files.items()}

    @cached_property
    def figures(self) -> tuple[Figures, ...]:
        with TemporaryDirectory() as folder:
            return figures(self.origin.put(Path(folder)))


def checked(target: str, **options: Any) -> tuple[list[Finding], str]:
    """The errors of one variant in their order; what went wrong, where the check itself did."""
    try:
        return [finding for one in archscope.check(target, **options) for finding in one.errors().findings], ""
    except Exception as error:  # noqa: BLE001 - a check that crashes has found nothing, and the table says so
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return [], f"the check crashed: {type(error).__name__}: {error} ({where} in {last.name})"


def expectation(finding: Finding) -> bool:
    return finding.rule.startswith("expect-")


def telling(finding: Finding, folder: Path) -> Iterator[str]:
    """The finding in a few lines."""

    def place(span: Span | None) -> str:
        return str(span).replace(f"{folder}/", "") if span else "no place"

    likely = " (likely)" * finding.likely
    yield f"{place(finding.place)}: {finding.rule}{likely}, cause {finding.cause or 'none'}: {finding.message}"
    yield from (f"  walk {place(link.place) if link.place else link.path}: {link.text}" for link in finding.walk)
    for fix in finding.fixes:
        yield f"  fix{' checked' * fix.checked}: {fix.description}"
        yield from (f"    {line}" for line in fix.edit.splitlines() if re.match(r"[+-](?![+-]{2})", line))


# ------------------------------------------------------------ samples
@dataclass(frozen=True)
class Sample:
    """The scores of one file; fault: what is wrong with it as its author wrote it, and then there are none."""

    origin: Origin
    scores: tuple[Score, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class Wish:
    """How many broken mutations of a file are wanted, at most how many of one kind, and how many that an expectation
    alone sees. patience: a kind is left after so many of its mutations, one after the other, that broke nothing."""

    broken: int
    of_kind: int = 3
    unmet: int = 0
    seed: int = 0
    kinds: tuple[str, ...] = KINDS
    patience: int = 5


def sample(origin: Origin, wish: Wish) -> Sample:
    """Scores of a file's mutations, each kind in its turn."""
    with TemporaryDirectory() as name:
        bench = Bench(origin, Path(name).resolve())
        own = judged(bench.net())
        if own.kind != "valid":
            return Sample(origin, fault=f"{own.kind}: {own.words}")
        found = mutations(origin, bench.folder, seed=wish.seed, kinds=wish.kinds)
        return Sample(origin, tuple(scored(bench, found, wish)))


def scored(bench: Bench, wanted: Iterable[Mutation], wish: Wish) -> Iterator[Score]:
    left, useless = {"broken": wish.broken, "unmet": wish.unmet}, dict.fromkeys(KINDS, 0)
    room = dict.fromkeys(KINDS, wish.of_kind)
    for mutation in wanted:
        if not left["broken"]:
            return
        if useless[mutation.kind] >= wish.patience or not room[mutation.kind]:
            continue
        verdict = bench.judge(mutation, expectations=left["unmet"] > 0)
        useless[mutation.kind] = 0 if verdict.kind == "broken" else useless[mutation.kind] + 1
        if left.get(verdict.kind, 0):
            left[verdict.kind] -= 1
            room[mutation.kind] -= verdict.kind == "broken"
            yield bench.score(mutation, verdict)
