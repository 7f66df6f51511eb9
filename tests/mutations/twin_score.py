"""How good the diagnosis of a network in Python is: its source, broken → PyTorch raises → check → Score.

Whether it is broken, and whether a fix cures it, is asked of PyTorch on the meta device. What cannot even be made, or
what a name is missing from, is no case: it has no shapes to explain.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import archscope
from archscope.errors import ArchscopeError
from archscope.report import Finding, Fix
from tests.mutations import twins
from tests.mutations.changes import Change
from tests.mutations.harm import Harm, Run, is_within
from tests.mutations.mutation import Mutation
from tests.mutations.oracle import Verdict
from tests.mutations.score import Bench, Sample, Score, Wish, scored
from tests.mutations.twins import Network

REFUSED = (RuntimeError, ValueError, IndexError)
"""What PyTorch raises where shapes do not fit. A TypeError is a name of the wrong sort."""


@dataclass(frozen=True)
class TwinBench(Bench):
    """A network's module, each mutation of it in a folder of its own."""

    network: Network

    @property
    def target(self) -> str:
        return f"{self.file}:network"

    def judge(self, mutation: Mutation, *, expectations: bool) -> Verdict:
        return forward_verdict(mutation.text, self.network)

    def score(self, mutation: Mutation, verdict: Verdict, **options: Any) -> Score:
        with TemporaryDirectory() as name:
            bench = replace(self, folder=Path(name).resolve())
            at = replace(verdict, target=bench.target)
            return Bench.score(bench, mutation, at, input=self.network.input, device="cpu")

    def read(self, score: Score, finding: Finding, findings: Any) -> Score:
        """As for a spec; and a path of a layer that the mutation has changed is as good as its line."""
        score = Bench.read(self, score, finding, findings)
        paths = changed_layers(self.origin.text, score.mutation.text)
        named = [finding.path, *(link.path for link in finding.walk)]
        told = any(is_within(path, one) for path in named if path for one in paths)
        return replace(score, placed=score.placed or told or any(self.names(f, score, paths) for f in finding.fixes))

    def names(self, fix: Fix, score: Score, paths: list[str]) -> bool:
        """Whether a fix changes the mutated line, or says the path of a mutated layer."""
        lines = Change(score.mutation.text, fix.text).old if fix.text else set[int]()
        return bool(lines.intersection(score.mutation.lines)) or any(path in fix.description.split() for path in paths)

    def judge_fixes(self, score: Score, findings: Any, mutation: Mutation) -> Score:
        fixes = [fix for finding in findings for fix in finding.fixes if fix.checked and fix.text]
        refused = [fix for fix in fixes if forward_verdict(fix.text, self.network).kind != "valid"]
        return replace(
            score,
            offered=len(fixes),
            same=sum(self.table(fix.text) == self.table(self.origin.text) for fix in fixes if fix not in refused),
            harmful=len(refused),
            harms=tuple(Harm("unread", f"[{fix.description}] PyTorch refuses the mended source") for fix in refused),
        )

    def tried(self, score: Score, fix: Fix, net: str) -> Score:
        if not fix.text:
            return replace(score, checked=fix.checked)
        runs = forward_verdict(fix.text, self.network).kind == "valid"
        original = runs and self.table(fix.text) == self.table(self.origin.text)
        return replace(score, checked=fix.checked, runs=runs, cured=runs, original=original)

    def table(self, text: str) -> Any:
        """What two runs are compared by; nothing where one cannot run."""
        return row_table(text, self.network)

    @cached_property
    def fault(self) -> str:
        """What is wrong with the author's own network."""
        verdict = forward_verdict(self.origin.text, self.network)
        return "" if verdict.kind == "valid" else f"{verdict.kind}: {verdict.words}"


def forward_verdict(text: str, network: Network) -> Verdict:
    """What PyTorch says of a module's `network()` on the meta device."""
    try:
        model = network_of(text)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no network
        return Verdict("unread", words=f"{type(error).__name__}: {error}")
    dtype = torch.int64 if network.vocab else torch.float32
    try:
        with torch.no_grad(), torch.device("meta"), warnings.catch_warnings(action="ignore"):
            model.eval()(torch.zeros(network.shape, dtype=dtype))
    except REFUSED as error:
        return Verdict("broken", words=(str(error).splitlines() or [""])[0], witness="PyTorch alone")
    except Exception as error:  # noqa: BLE001 - a name that is not there
        return Verdict("unread", words=f"{type(error).__name__}: {error}")
    return Verdict("valid")


def network_of(text: str) -> torch.nn.Module:
    """A module's `network()`, on the meta device."""
    names: dict[str, Any] = {"__name__": "net"}
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        exec(compile(text, "net.py", "exec"), names)
        return names["network"]()


def changed_layers(text: str, other: str) -> list[str]:
    """The paths of layers that two modules have in different form."""
    one, two = layer_texts(text), layer_texts(other)
    return [path for path in {**one, **two} if one.get(path) != two.get(path)]


def layer_texts(text: str) -> dict[str, str]:
    """Path of a layer → what it is."""
    layers = network_of(text).named_modules()
    return {path: str(layer) for path, layer in layers if path and not any(layer.children())}


def row_table(text: str, network: Network) -> Any:
    with TemporaryDirectory() as name:
        path = Path(name) / "net.py"
        path.write_text(text, encoding="utf-8")
        try:
            return Run(archscope.summarize(f"{path}:network", input=network.input, device="cpu"), {}).table
        except ArchscopeError:
            return None


def twin_sample(network: Network, wish: Wish) -> Sample:
    """Scores of a network's mutations, each kind in its turn."""
    bench = TwinBench(network.origin(), Path(), network)
    if bench.fault:
        return Sample(bench.origin, fault=bench.fault)
    return Sample(bench.origin, tuple(twin_scores(bench, wish)))


def twin_scores(bench: TwinBench, wish: Wish) -> Iterator[Score]:
    yield from scored(bench, twins.mutations(bench.origin, seed=wish.seed, kinds=wish.kinds), wish)
