"""Tests of `dump`: parse_text(dump(spec)) == spec, for every shipped spec and for one with every feature."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archscope.spec import load, parse_text
from archscope.spec.dump import dump
from archscope.spec.dump import scalar_text as scalar_text
from archscope.spec.spec_types import Constant, Word

ROOT = Path(__file__).parents[2]
SPECS = sorted([*ROOT.glob("specs/**/*.yaml"), *ROOT.glob("archscope/std/*.yaml")])

EVERYTHING = r"""
archscope: 1
name: Everything
note: "two\nlines: and a #"
inputs:
  x: [N, 3, _, 8 * size]
  tokens: {shape: [N, seq], dtype: int64, low: 1, high: vocab}
  flag: bool[N]
params: {size: 8, seq: 4, vocab: 1e3, mode: "no such words", word: 'no', "on": "10", e: .inf, f: -.inf, g: "", h: ~,
         i: [], j: {}, k: [[1, 'true'], {a: 1, b: [x]}], l: "null", m: "1e-3", n: 1e-7,
         o: "é\u00a0\U0001F600", p: " x "}
variants: {a_0.5: {size: 4, expect: {params: 12.4M, macs: {min: 1M, max: 2}}}, b: {}}
matrix: {size: [4, 8]}
import: {std/resnet: [BasicBlock], std/conv: {DoubleConv: Twice}}
python: {Custom: package.module:Class}
blocks:
  Plain: [ReLU]
  Full(out, k=3, act=(ReLU), s='a b', ratio=[1, 2]):
    inputs: {x: [N, C, H, W], skip: }
    let: {half(a): a // 2, none_of(): 3, c: C}
    modules: {pool: MaxPool2d(2), lin: {Linear: [3, bias: false]}}
    layers: [pool]
    return: {a: x, b: [skip, x]}
    expect: {preserves: shape}
    note: yes
let: {double: size * 2, table: [1, x], 'fun(a, b=2)': a + b}
modules: {pool: {MaxPool2d: 2}}
layers:
  - ReLU
  - "'a' + x"
  - true and x
  - - ReLU
    - [GELU]
  - do: []
  - []
  - a: ReLU
  - out, (h, _): LSTM(8)
  - (b,): chunk(1)
  - c: {Conv2d: [8, [3, 3], stride: 2, padding: same, bias: 'no']}
  - d: {do: [ReLU], when: x > 3, note: inner}
    when: y
    else: {e: ReLU}
  - Linear:
  - Linear: {out_features: 010}
  - concat: [prev, [ReLU, GELU], {f: ReLU, repeat: 2}]
    dim: -1
  - add: {l: ReLU, r: , m: [ReLU]}
  - residual: {main: [], shortcut: ReLU, when: true}
  - residual: ReLU
    repeat: 3
    collect: turns
  - for: [p, q]
    in: [[1, x], [2, y]]
    do: ReLU
  - for: w
    in: zip(a, b)
    do: {g: ReLU}
    from: x
    expect: {shape: [N, _, 8, s // 2], preserves: size, params: 10, macs: a * 2}
return: [prev, {a: x}]
tie: {head.weight: c.0.weight}
expect: {shape: [N, 8], params: {max: 5M}}
"""


@pytest.mark.parametrize("path", SPECS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_law_holds_for_every_shipped_spec(path: Path):
    spec = load(str(path)).root
    again = parse_text(dump(spec), str(path))
    assert again == spec
    assert dump(again) == dump(spec)


def test_the_law_holds_for_everything():
    spec = parse_text(EVERYTHING, "everything.yaml")
    assert parse_text(dump(spec), "other.yaml") == spec


def test_the_law_can_fail():
    spec = parse_text(EVERYTHING, "everything.yaml")
    changed = dump(spec).replace("stride: 2", "stride: 3")
    assert changed != dump(spec)
    assert parse_text(changed, "everything.yaml") != spec


@pytest.mark.law
@given(st.text(st.characters(codec="utf-8"), max_size=30))
@example("1" * 25)  # too many digits for a number
def test_any_string_survives(value: str):
    spec = parse_text(f"blocks: {{A: [ReLU]}}\nparams:\n  p: {scalar_text(value)}\n", "p.yaml")
    (param,) = spec.params
    assert not isinstance(param.value, Constant)
    again = parse_text(dump(spec), "p.yaml")
    assert again == spec
    if isinstance(param.value, Word):
        assert param.value.text == value


@pytest.mark.law
@given(st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False), st.booleans(), st.none()))
def test_any_number_survives(value: object):
    spec = parse_text(f"blocks: {{A: [ReLU]}}\nparams:\n  p: {scalar_text(value)}\n", "p.yaml")  # type: ignore[arg-type]
    (param,) = spec.params
    assert isinstance(param.value, Constant)
    assert param.value.value == value
    assert type(param.value.value) is type(value)


def test_a_dump_reads_like_a_spec():
    spec = parse_text("input: [N, 8]\nlayers: [ReLU, {a: 'Linear(8, bias=False)', repeat: 2}]\n", "net.yaml")
    assert dump(spec) == (
        "name: net\ninputs:\n  x:\n    - N\n    - 8\nlayers:\n  - ReLU\n  - repeat: 2\n    a: Linear(8, bias=False)\n"
    )
