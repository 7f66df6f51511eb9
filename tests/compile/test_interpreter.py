"""The plain interpreter: against hand-written PyTorch, and against built nets at the sizes they are built for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archscope.spec import load
from tests.compile.agreement import build_subject, build_written_subject, disagreement, evaluated, same_structure
from tests.compile.interpreter import run
from tests.compile.written import example, plan
from tests.docs.pages import ROOT, Block, blocks

IMAGE = (2, 4, 8, 8)
SEQUENCE = (2, 5, 4)
STEPS = [
    ("relu", lambda x: x.relu()),
    ("flatten(1)", lambda x: x.flatten(1)),
    ("reshape(N, 2, -1)", lambda x: x.reshape(2, 2, -1)),
    ("x * sqrt(x.shape[2] / 3) - log2(x.size(3))", lambda x: x * math.sqrt(8 / 3) - 3.0),
    (
        "tanh(x) * tanh(0.5) + exp(x) * sin(1) - cos(x)",
        lambda x: x.tanh() * math.tanh(0.5) + x.exp() * math.sin(1) - x.cos(),
    ),
    ("prev[:, :, : x.shape[2] // 3, -1]", lambda x: x[:, :, :2, -1]),
    ("x + (7 if x.shape[0] > 1 else 5) * pi", lambda x: x + 7 * math.pi),
    ("softmax(prev, -1) + max(x.shape[1], 3)", lambda x: F.softmax(x, -1) + 4),
    ("x ** 2 + max(x.shape[1], 3)", lambda x: x**2 + 4),
    ("interpolate(size=(2 * x.shape[2], 3))", lambda x: F.interpolate(x, size=(16, 3))),
    ("x + linspace(0, 1, x.shape[3])", lambda x: x + torch.linspace(0, 1, 8)),
    ("x @ eye(8) + len(x.shape)", lambda x: x @ torch.eye(8) + 4),
    ("maximum(prev, -x) + round(2.5) + sum([1, 2])", lambda x: torch.maximum(x, -x) + 2 + 3),
    ("x * int(1 < x.shape[1] <= 4 and not x.shape[0] == 1)", lambda x: x * 1),
    ("x.permute(0, *[3, 2, 1]).mean((1, 2))", lambda x: x.permute(0, 3, 2, 1).mean((1, 2))),
]


def interpreted(text: str, *inputs: torch.Tensor, net: nn.Module | None = None) -> Any:
    """Return the output of a spec; a spec without weights needs no built net."""
    return run(load("net.yaml", text=text), net or nn.Module(), inputs).value


@pytest.mark.parametrize(("step", "wanted"), STEPS, ids=[step for step, _ in STEPS])
def test_an_expression_is_what_pytorch_makes_of_it(step: str, wanted: Any) -> None:
    x = example(IMAGE)
    assert torch.equal(interpreted(f"input: [N, 4, 8, 8]\nlayers:\n  - '{step}'\n", x), wanted(x))


RECURRENCE = """
input: [N, T, D]
params: {T: 7, D: 4}
let: {half(n): n // 2}
modules: {cell: GRUCell(4)}
blocks:
  Mix(k, by):
    - by
    - prev * k
layers:
  - for: t
    in: x.unbind(1)
    from: zeros(N, D)
    do:
      - cell(t, prev)
      - when: first
        do: Mix(T, cell2)
    collect: all
  - s: stack(all, dim=1)
  - for: [n, a]
    in: enumerate(reversed(all))
    from: zeros(N, D)
    do: prev + n * a
  - prev + s[:, half(T)]
"""


def recurrence(x: torch.Tensor, cell: nn.GRUCell, linear: nn.Linear) -> torch.Tensor:
    h, found = torch.zeros(x.shape[0], x.shape[2]), []
    for number, t in enumerate(x.unbind(1)):
        h = cell(t, h)
        h = linear(h) * x.shape[1] if number == 0 else h
        found.append(h)
    total = torch.zeros(x.shape[0], x.shape[2])
    for number, a in enumerate(reversed(found)):
        total = total + number * a
    return total + torch.stack(found, dim=1)[:, x.shape[1] // 2]


@pytest.mark.moves_rng
@pytest.mark.parametrize("length", [1, 2, 7])
def test_loops_and_shared_modules_run_as_in_python(length: int) -> None:
    net = nn.Module()
    net.cell, net.cell2 = nn.GRUCell(4, 4), nn.Linear(4, 4)
    text = RECURRENCE.replace("{cell: GRUCell(4)}", "{cell: GRUCell(4), cell2: Linear(4)}")
    x = example((3, length, 4))
    assert torch.equal(interpreted(text, x, net=net), recurrence(x, net.cell, net.cell2))


@pytest.mark.moves_rng
def test_a_layer_of_another_width_is_not_run() -> None:
    net = nn.Module()
    net.add_module("0", nn.Linear(8, 3))
    text = "input: [N, D]\nlayers:\n  - Linear(D)\n"
    with pytest.raises(RuntimeError, match="0 is not Linear"):
        interpreted(text, example((2, 8)), net=net)
    net.add_module("0", nn.Linear(8, 8))
    assert interpreted(text, example((2, 8)), net=net).shape == (2, 8)


BUILT = {
    "paths": """
input: [N, 4, 8]
blocks:
  B(k):
    modules: {lin: Linear(k)}
    layers: [lin, ReLU]
  R:
    - residual: [ReLU, Linear(8)]
    - ReLU
  Bl(act=GELU):
    - act
    - B(8)
modules: {shared: Linear(8), blk: B(8)}
layers:
  - Linear(8)(x) + Linear(8)(relu(x)) + Parameter(4, 8)
  - a: prev * Parameter(8)
  - b: prev + Parameter(8) * Parameter(4, 1)
  - type: Linear(8)
  - shared
  - c: shared
  - blk
  - [Linear(8), ReLU]
  - g:
      - Linear(8)
      - sub: ReLU
  - h: Linear(8)
    repeat: 2
  - h2: [Linear(8), ReLU]
    repeat: 2
  - R
  - r: {residual: {main: Linear(8), shortcut: Linear(8)}}
  - concat: [Linear(8), prev, [Linear(8), ReLU]]
    dim: 2
  - q, (w, _): LSTM(8, batch_first=True)
  - Bl()(q)
  - f: relu(B(8)(prev))
  - when: false
    w2: Linear(8)
    else: [Linear(8), ReLU]
  - residual: Linear(8)
  - d, _: MultiheadAttention(2, batch_first=True)(prev, prev, prev)
  - e: Linear(8)(Linear(6)(d)) + g.sub
  - m: {multiply: {left: Linear(8), right: [Linear(8), sigmoid]}}
  - prev + m.left
return: {out: prev, all: [r, h2]}
""",
    "words": """
input: [N, 4, size, size]
params: {size: 8, mode: bilinear, Act: GELU, padding: reflect}
variants: {small: {mode: bilinear}, large: {mode: bicubic}}
matrix: {Act: [GELU, ReLU]}
blocks:
  C(out, act=Act):
    input: [N, C, H, W]
    layers:
      - Conv2d: {out_channels: out, kernel_size: 3, padding: 1, padding_mode: padding}
      - act
    expect: {shape: [N, out, H, W]}
layers:
  - Upsample(scale_factor=2, mode=mode)
  - C(6)
  - first: C(6, act=Tanh)
  - C(8)(first)
""",
}

TWO_INPUTS = """
inputs:
  x: [N, T, 6]
  other: [N, S, 6]
params: {T: 3, S: 4}
import:
  std/transformer: [CrossAttention]
modules: {in_: Linear(8)}
layers:
  - in_
  - a: GELU
  - in_(other)
  - b: CrossAttention(2)(a, memory=prev)
  - head: Linear(8, bias=False)(x)
  - linear(x, in_.weight) * Parameter(T, 8) + head
return: {last: prev, first: b}
tie: {head.weight: in_.weight}
"""
IMPORTED = """
input: [N, 3, 32, 32]
import:
  resnet.yaml: [ResNet]
layers:
  - features: "ResNet(variant='resnet50', blocks_per_stage=[1, 1, 1, 1], num_classes=4)"
  - Linear(2)
"""


def test_several_inputs_tied_weights_and_what_is_returned() -> None:
    subject = build_written_subject(TWO_INPUTS, [example((2, 3, 6)), example((2, 4, 6))])
    for lengths in ((3, 4), (3, 9)):
        wrong = disagreement(subject, [example((3, length, 6)) for length in lengths])
        assert not wrong


def test_a_net_of_another_file_as_a_block(tmp_path: Path) -> None:
    (tmp_path / "resnet.yaml").write_text((ROOT / "specs" / "resnet.yaml").read_text())
    (tmp_path / "net.yaml").write_text(IMPORTED)
    subject = build_subject(str(tmp_path / "net.yaml"), [example((2, 3, 32, 32))])
    assert subject.interpreted(subject.first).value.shape == (2, 2)
    wrong = disagreement(subject, subject.first)
    assert not wrong


@pytest.mark.parametrize("name", BUILT)
def test_a_built_net_does_the_same(name: str) -> None:
    shape = (2, 4, 8, 8) if name == "words" else (2, 4, 8)
    subject = build_written_subject(BUILT[name], [example(shape)])
    wrong = disagreement(subject, subject.first)
    assert not wrong
    assert same_structure(subject, subject.first)


def is_whole(block: Block) -> bool:
    """Return whether a block of a page is a net that compiles."""
    return block.language == "yaml" and not block.is_marked("bad") and "steps" not in block.info


PAGE = [block for block in blocks(ROOT / "docs" / "language.md") if is_whole(block)]


@pytest.mark.parametrize("block", PAGE, ids=lambda block: block.id)
def test_the_specs_of_the_language_page(block: Block) -> None:
    shapes = [(entry.shape, entry.dtype) for entry in plan(block.text, batch=2).inputs]
    inputs = [example(shape).abs().to(dtype) for shape, dtype in shapes]
    subject = build_written_subject(block.text, inputs)
    wrong = disagreement(subject, subject.first)
    assert not wrong
    assert evaluated(subject.net, subject.first)
