"""Every variant that torchvision publishes a figure for: the summary gives it, and so does the spec's own `expect`.

`published.csv` holds the `num_params` and `_ops` (10⁹ multiply-adds) of its IMAGENET1K_V1 weights: batch 1, eval mode.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

import archscope
from archscope.spec import load
from archscope.spec.spec_types import Check, Constant, Expression, Word

HERE = Path(__file__).resolve().parent
SPECS = HERE.parents[1] / "specs"


@dataclass(frozen=True)
class Published:
    params: int
    macs: float


def published() -> dict[str, Published]:
    with (HERE / "published.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: Published(int(row["params"]), float(row["gmacs"])) for row in csv.DictReader(file)}


def known() -> list[tuple[Path, str, Published]]:
    """(spec, variant, figures) of every variant of ours with a published figure."""
    figures = published()
    variants = [(path, one.name) for path in sorted(SPECS.glob("*.yaml")) for one in load(str(path)).root.variants]
    names = [(path, name, name if name in figures else f"{path.stem}_{name}") for path, name in variants]
    return [(path, name, figures[model]) for path, name, model in names if model in figures]


def written(check: Check) -> str:
    """The figure as the spec's author wrote it."""
    match check.value:
        case Constant(value=value):
            return str(value)
        case Word(text=text) | Expression(text=text):
            return text
    raise AssertionError(f"{check.key} is no figure")


KNOWN = known()
IDS = [f"{path.name}:{name}" for path, name, _ in KNOWN]


def test_we_know_many_published_networks() -> None:
    assert len(KNOWN) >= 29


@pytest.mark.parametrize(("path", "variant", "figures"), KNOWN, ids=IDS)
def test_a_spec_expects_what_is_published(path: Path, variant: str, figures: Published) -> None:
    (found,) = (one for one in load(str(path)).root.variants if one.name == variant)
    expected = {check.key: written(check) for check in found.expect}
    assert expected == {"params": str(figures.params), "macs": f"{figures.macs:.3f}G"}


def test_resnet50_to_the_last_digit() -> None:
    assert archscope.summarize(f"{SPECS}/resnet.yaml:resnet50", device="meta").total.macs == 4_089_184_256


@pytest.mark.law
@pytest.mark.parametrize(("path", "variant", "figures"), KNOWN, ids=IDS)
def test_a_summary_gives_what_is_published(path: Path, variant: str, figures: Published) -> None:
    total = archscope.summarize(f"{path}:{variant}", device="meta").total
    assert (total.params, round(total.macs / 1e9, 3)) == (figures.params, figures.macs)
