"""The table of the truth: every model of `tests/truth`, our figures beside the published or independently counted ones.

python -m tests.benchmarks.truth > docs/truth.md       from the repository's root, with the three packages installed

Run by hand, some minutes. The page is Markdown; a model that disagrees is shown as such, and the exit code is 1.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

import archscope
from tests.record.snapshots import changed_by_analysis
from tests.sequence import WAYS
from tests.truth import cases, test_observed, test_timm, test_torchvision, test_tutorials
from tests.truth.building import built
from tests.truth.packages import package
from tests.truth.witness import counted, parameters

PACKAGES = ("torch", "torchvision", "timm", "transformers")
HEAD = """\
# The truth

Figures of models that others wrote, beside what archscope says of them, made by `python -m tests.benchmarks.truth`. The
tests of `tests/truth` hold the same models to the same figures; without the packages they are skipped.

* torchvision: parameters and 10⁹ multiply-adds as its `IMAGENET1K_V1` weights entries publish them, equal to every
  printed digit.
* timm and transformers: models without weights, transformers' from small configs. The independent count is torch's
  FlopCounterMode, halved, where it sees everything: attention is taken apart into its two products, fused kernels of
  recurrent layers and encoders are switched off, and products that it does not know (of vectors, of groups, of
  distances, of triangular systems) have a formula by hand. It must be equal exactly; so must the parameters, each
  distinct one once.
* The tutorials: counted by hand.
* Observed models: small ones of the three libraries run under the recorder, in evaluation, in training with the
  backward pass, and under autocast. `operators` says how often the same operators of aten ran as without the recorder,
  in the same order, on the same shapes; `unchanged` how often every tensor (value, version, gradient), every object
  that an argument reaches and every table of a layer was afterwards what it was before.

`≥` stands before multiply-adds where a part has no price; the line below the table says which and why.
"""
KNOWN = {
    "aten._fft_c2c": "a Fourier transform is no matrix product",
}


@dataclass(frozen=True)
class Line:
    """One model: our parameters and multiply-adds, and the other figures as they are to be shown."""

    name: str
    params: int
    macs: int
    other: str
    agrees: bool
    unpriced: frozenset[str] = frozenset()

    def row(self) -> str:
        macs = "≥ " * bool(self.unpriced) + f"{self.macs:,}"
        return f"| {self.name} | {self.params:,} | {macs} | {self.other} | {'yes' if self.agrees else '**no**'} |"


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    package("transformers").logging.set_verbosity_error()
    lines: list[Line] = []
    print(HEAD)
    print("\n".join(versions()))
    for title, other, models in sections():
        found = list(told(models))
        lines += found
        print("\n".join(section(title, other, found)))
    runs = [observe(library) for library in test_observed.LIBRARIES]
    print("\n".join(observed_section(runs)))
    sys.exit(not all(line.agrees for line in lines) or any(run.differing for run in runs))


@dataclass(frozen=True)
class ObservedRuns:
    """The models of a library that were observed. failed: the runs that the model by itself ends with an error.
    differing: the runs with other operators, or after which something had changed.
    """

    library: str
    models: int
    same_operators: int
    unchanged: int
    failed: int
    differing: tuple[str, ...]

    def row(self) -> str:
        cells = (self.library, self.models, self.same_operators, self.unchanged, self.failed, len(self.differing))
        return f"| {' | '.join(map(str, cells))} |"


def observe(library: str) -> ObservedRuns:
    """Return how the models of a library run under the recorder, in every mode."""
    make, names = test_observed.LIBRARIES[library]
    same_operators = unchanged = failed = 0
    differing: list[str] = []
    for name, way in itertools.product(names, WAYS):
        print(f"{library} {name} {way}", file=sys.stderr)
        try:
            same = test_observed.runs_as_alone(partial(make, name), way)
        except (RuntimeError, TypeError, ValueError):
            failed += 1
        else:
            same_operators += same
            differing += [f"{name}, {way}: operators"] * (not same)
        changed = changed_by_analysis(*make(name), way)
        unchanged += not changed
        differing += [f"{name}, {way}: {', '.join(changed)}"] if changed else []
    return ObservedRuns(library, len(names), same_operators, unchanged, failed, tuple(differing))


def observed_section(runs: Iterable[ObservedRuns]) -> Iterator[str]:
    yield "\n## Observed models\n"
    yield "| library | models | operators | unchanged | do not run so by themselves | differ |"
    yield "|---|--:|--:|--:|--:|--:|"
    yield from (run.row() for run in runs)
    yield from (f"\n{text}" for run in runs for text in run.differing)


def versions() -> Iterator[str]:
    named = [f"{name} {importlib.metadata.version(name).partition('+')[0]}" for name in PACKAGES]
    yield f"Made with {', '.join(named)}, on the CPU and the meta device."


def sections() -> Iterator[tuple[str, str, Iterator[Line]]]:
    yield "torchvision", "published parameters and 10⁹", published()
    yield "The tutorials' networks", "by hand", tutorials()
    yield "timm", "independent", timm_models()
    for kind, zoo in cases.KINDS.items():
        yield f"transformers: {kind}", "independent", architectures(zoo)


def told(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        print(line.row(), file=sys.stderr)
        yield line


def section(title: str, other: str, lines: list[Line]) -> Iterator[str]:
    agreed = sum(line.agrees for line in lines)
    yield f"\n## {title}\n\n{agreed} of {len(lines)} agree.\n"
    yield f"| model | parameters | MACs | {other} | agree |\n|---|--:|--:|--:|---|"
    yield from (line.row() for line in lines)
    parts = [(line.name, kernel) for line in lines for kernel in sorted(line.unpriced)]
    if parts:
        yield "\n" + "; ".join(f"{name}: `{kernel}`, {KNOWN.get(kernel, 'not known')}" for name, kernel in parts) + "."


# ------------------------------------------------------------ models
def published() -> Iterator[Line]:
    for one in test_torchvision.ALL:
        total = archscope.summarize(test_torchvision.model(one.model), args=(test_torchvision.image(one.size),)).total
        other = f"{one.params:,} · {one.gmacs:.3f}"
        agrees = total.macs is not None and (total.params, f"{total.known / 1e9:.3f}") == (
            one.params,
            f"{one.gmacs:.3f}",
        )
        yield Line(one.model, total.params, total.known, other, agrees)


def tutorials() -> Iterator[Line]:
    for name, (make, shape, _, params, macs) in test_tutorials.NETWORKS.items():
        total = archscope.summarize(built(make), args=(torch.zeros(shape, device="meta"),)).total
        yield Line(
            name, total.params, total.known, f"{params:,} · {macs:,}", (total.params, total.macs) == (params, macs)
        )


def timm_models() -> Iterator[Line]:
    for name in test_timm.ALL:
        net = test_timm.model(name)
        yield compared(name, net, (test_timm.image(net),), {}, frozenset())


def architectures(zoo: Iterable[cases.Case]) -> Iterator[Line]:
    transformers = package("transformers")
    for case in zoo:
        unknown = cases.UNKNOWN.get(case.name, frozenset())
        yield compared(case.name, case.made(transformers), (), case.given(), unknown)


def compared(
    name: str, net: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], unknown: frozenset[str]
) -> Line:
    report = archscope.summarize(net, args=args, kwargs=kwargs)
    macs, total = counted(net, args, kwargs), report.total
    unpriced = frozenset(report.unpriced)
    agrees = (total.params, total.known, unpriced) == (parameters(net), macs, unknown)
    return Line(name, total.params, total.known, f"{macs:,}", agrees, unpriced)


if __name__ == "__main__":
    main()
