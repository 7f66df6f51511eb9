"""Costs of a plan: what a run of the whole net costs, with every distinct block run once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import archscope
from archscope.analysis.plan_costs import PlanCosts, plan_costs
from archscope.api import compile_plan
from archscope.report import Report

SPECS = Path(__file__).parents[1] / "specs"
REPEATED = """\
input: [N, 4, 16, 16]
blocks:
  Unit(out, stride=1):
    - Conv2d(out, 3, stride=stride, padding=1)
    - BatchNorm2d
    - ReLU
  Stage(out, n):
    - Unit(out, stride=2)
    - repeat: n
      do: Unit(out)
layers:
  - s1: Stage(8, 3)
  - s2: Stage(8, 3)
  - s3: Stage(16, 2)
  - mean([-2, -1])
  - head: Linear(10)
"""
CALLED_TWICE = """\
inputs: {a: [N, 12], b: [N, 12]}
blocks:
  Tower(out): [Linear(16), ReLU, Linear(out)]
modules:
  shared: Tower(8)
  last: Linear(8)
layers:
  - u: last(shared(a))
  - v: last(shared(b))
  - u @ v.transpose(0, 1)
"""
TIED = """\
input: {shape: [N, 6], dtype: int64, high: 20}
layers:
  - emb: Embedding(20, 8)
  - Linear(8)
  - head: Linear(20, bias=False)
tie: {head.weight: emb.weight}
"""
NESTED = """\
input: [N, 6, 8]
blocks:
  Inner: [Linear(16), GELU, Linear(8)]
  Outer:
    - residual: [LayerNorm, Inner]
    - residual: [LayerNorm, Inner]
layers:
  - repeat: 4
    do: Outer
  - x @ prev.transpose(1, 2)
"""
SAMPLE = {"repeated": REPEATED, "called twice": CALLED_TWICE, "tied": TIED, "nested": NESTED}
FILES = ("convnext", "gpt2", "lstm_classifier", "mobilenet_v2", "resnet", "unet", "vit")


@cache
def costs(text: str, *, train: bool = False) -> PlanCosts:
    found = plan_costs(compile_plan("net.yaml", texts={"net.yaml": text}, train=train), train=train)
    assert found is not None
    return found


@cache
def summary(text: str, *, train: bool = False) -> Report:
    return archscope.summarize("net.yaml", texts={"net.yaml": text}, device="meta", train=train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", SAMPLE)
def test_a_net_costs_what_its_run_costs(name: str, train: bool) -> None:
    total = summary(SAMPLE[name], train=train).total.macs
    assert total
    assert costs(SAMPLE[name], train=train).macs() == total


@pytest.mark.parametrize("name", FILES)
def test_a_spec_costs_what_its_run_costs(name: str) -> None:
    text = (SPECS / f"{name}.yaml").read_text(encoding="utf-8")
    assert costs(text).macs() == summary(text).total.macs


def below(report: Report, path: str) -> int:
    """Return the MACs of the rows in one use of a block."""
    return sum(row.macs or 0 for row in report.rows if row.path.startswith(f"{path}."))


@pytest.mark.parametrize("path", ["s1", "s2", "s3", "s1.0", "s1.1.0", "s1.1.2", "s3.1.1"])
def test_a_block_costs_what_its_rows_cost(path: str) -> None:
    expected = below(summary(REPEATED), path)
    assert expected
    assert costs(REPEATED).macs(path) == expected


def test_the_blocks_of_a_net_and_its_own_steps_are_all() -> None:
    found = [costs(REPEATED).macs(path) for path in ("s1", "s2", "s3")]
    assert None not in found
    assert sum(part or 0 for part in found) + 16 * 10 == costs(REPEATED).macs()


@pytest.mark.parametrize("path", ["head", "s9", "s1.7"])
def test_what_is_no_block_has_no_costs(path: str) -> None:
    assert costs(REPEATED).macs(path) is None


BROKEN_CORE = (
    "inputs: {q: [N, 2, 4, 8], k: [N, 2, 6, 8], v: [N, 2, 5, 8]}\nlayers:\n  - scaled_dot_product_attention(q, k, v)\n"
)


def test_what_has_no_price_is_not_zero() -> None:
    """Attention over keys and values of two lengths."""
    plan = compile_plan("net.yaml", texts={"net.yaml": BROKEN_CORE}, strict=False)
    found = plan_costs(plan)
    assert found is None or found.macs() is None
    assert summary(BROKEN_CORE).total.macs is None


def test_a_plan_can_be_priced_again() -> None:
    plan = compile_plan("net.yaml", texts={"net.yaml": NESTED})
    first, second = plan_costs(plan), plan_costs(plan)
    assert first is not None
    assert second is not None
    assert first.macs() == first.macs() == second.macs()
