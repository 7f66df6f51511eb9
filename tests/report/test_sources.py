"""Tests of the names of sources, which a reader can find in the table: spec or module → summarize → {path: sources}."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

import archscope
from archscope.graph import outline
from archscope.graph.outline import full_outline
from archscope.graph.outline_lines import OutlineLine, walk_lines
from archscope.render.json_csv import summary_csv
from archscope.report import Report

SPECS = Path(__file__).parents[2] / "specs"


def summary(written: str, folder: Path) -> Report:
    """Return the report of a spec given as text."""
    (folder / "net.yaml").write_text(dedent(written), encoding="utf-8")
    return archscope.summarize(folder / "net.yaml")


def sources(report: Report, *, expand: bool = False) -> dict[str, tuple[str, ...]]:
    return {
        line.path: line.sources
        for _, line in walk_lines(outline(report, expand=True) if expand else full_outline(report))
    }


FUSE = """
inputs: {image: [N, 4, 8, 8], t: [N, 16]}
blocks:
  Fuse(out):
    inputs: {a: [N, C, H, W], b: [N, E]}
    layers:
      - h: Conv2d(out, 3, padding=1)
      - e: Linear(out)(silu(b))
      - h + e.view(N, out, 1, 1)
layers:
  - emb: Linear(32)(t)
  - Fuse(4)(image, emb)
  - Fuse(4)(prev, emb)
"""
PAIRS = """
input: [N, 4]
blocks:
  Pair:
    inputs: [x, total]
    layers: [{a: relu(x)}, {b: total + tanh(a)}]
    return: [a, b]
layers:
  - start: Linear(4)
  - loop: Pair()(*prev)
    from: "[start, zeros(N, 4)]"
    repeat: 2
  - _, t: prev
return: t * 2
"""
LISTS = """
name: Lists
input: [N, 8]
layers:
  - Linear(8)
  - ReLU
  - residual: [Linear(8), ReLU]
  - residual: [Linear(8), ReLU]
  - stem:
      - Linear(8)
      - ReLU
      - inner: [Linear(8), Tanh]
  - concat: {a: Linear(4), b: [Linear(8), ReLU]}
  - repeat: 2
    do:
      - Linear(16)
      - residual: [Linear(16), ReLU]
"""
NAMES = """
input: [N, 4, 8]
blocks:
  Add:
    inputs: [w]
    layers: [Linear(8), w + prev]
layers:
  - q: Parameter(1, 4, 8)
  - x + q
  - side: Linear(8)
    from: relu(x) + q
  - k: Add()(q)
  - x: tanh
  - g:
      - relu(prev + x)
      - x: sigmoid
      - prev + x + side
"""
WRITTEN = [
    (FUSE, "1", ("image", "emb")),
    (FUSE, "1.h", ("a",)),
    (FUSE, "1.e", ("b",)),
    (FUSE, "1.2", ("e", "h")),
    (FUSE, "2", ("1", "emb")),
    (FUSE, "2.e", ("b",)),
    (PAIRS, "loop", ("start",)),
    (PAIRS, "loop.from", ()),
    (PAIRS, "loop.0", ("start", "from")),
    (PAIRS, "loop.0.b", ("a", "total")),
    (PAIRS, "loop.1", ("0",)),
    (PAIRS, "loop.1.a", ("x",)),
    (PAIRS, "return", ("loop",)),
    (LISTS, "2", ("1",)),
    (LISTS, "2.main.0", ("Lists.1",)),
    (LISTS, "2.main.1", ("0",)),
    (LISTS, "2.add", ("main", "Lists.1")),
    (LISTS, "stem.0", ("Lists.3",)),
    (LISTS, "stem.inner", ("1",)),
    (LISTS, "stem.inner.0", ("stem.1",)),
    (LISTS, "5.a", ("stem",)),
    (LISTS, "5.b.0", ("stem",)),
    (LISTS, "5.cat", ("a", "b")),
    (LISTS, "6.0.main.0", ("6.0.0",)),
    (LISTS, "6.1", ("0",)),
    (LISTS, "6.1.0", ("6.0",)),
    (NAMES, "1", ("x", "q")),
    (NAMES, "side.from", ("x", "q")),
    (NAMES, "side", ("side.from",)),
    (NAMES, "k.0", ("w",)),
    (NAMES, "k.1", ("w", "0")),
    (NAMES, "x", ("k",)),
    (NAMES, "g.0", ("net.x",)),
    (NAMES, "g.2", ("x", "side")),
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    return {text: summary(text, tmp_path_factory.mktemp("net")) for text in (FUSE, PAIRS, LISTS, NAMES)}


@pytest.mark.parametrize(("written", "path", "names"), WRITTEN)
def test_sources_have_their_names_in_the_block_or_list(
    reports: dict[str, Report], written: str, path: str, names: tuple[str, ...]
) -> None:
    assert sources(reports[written])[path] == names


def test_sources_of_the_rows_of_a_step_have_their_names_in_its_list(reports: dict[str, Report]) -> None:
    lines = {line.path: line for _, line in walk_lines(outline(reports[FUSE], expand=True)) if line.kind == "step"}
    assert [(row.label, row.sources) for row in lines["1.2"].children] == [("view", ("e",)), ("add", ("h", "view"))]
    assert [(row.label, row.sources) for row in lines["1.e"].children] == [("silu", ("b",)), ("Linear", ("silu",))]


def test_equal_uses_with_other_sources_are_folded(reports: dict[str, Report]) -> None:
    assert [(line.label, line.times, line.sources) for line in outline(reports[FUSE])] == [
        ("emb", 1, ("t",)),
        ("1-2", 2, ("image", "emb")),
    ]


def test_two_lines_of_one_label_are_two_sources(tmp_path: Path) -> None:
    report = summary(
        """
        input: [N, 4]
        modules: {f: Linear(4), g: Linear(4)}
        layers: ["f(x) + g(tanh(x))"]
        """,
        tmp_path,
    )
    (step,) = outline(report, expand=True)
    assert step.children[-1].sources == ("Linear", "Linear")


# ------------------------------------------------------------ every source is in the table
def missing_sources(report: Report) -> list[tuple[str, str]]:
    """Return every source that is no input of its block or net, no line of its list, no labelled line of a list
    around that, and no line by its path from the net on."""
    inputs = {call.site.path: {operand.source for operand in call.inputs} for call in report.trace.calls}
    net = report.trace.calls[0].site.name
    lines = outline(report, expand=True)
    paths = {line.path for _, line in walk_lines(lines)} | {f"{net}.{line.label}" for line in lines}
    found: list[tuple[str, str]] = []

    def look(siblings: tuple[OutlineLine, ...], own: set[str], around: set[str]) -> None:
        labels = {line.label for line in siblings}
        dotted = {path for path in paths if "." in path}
        for line in siblings:
            found.extend((line.path, name) for name in set(line.sources) - labels - own - around - dotted)
            block = line.kind == "block"
            named = {label for label in labels | around if not label[0].isdigit()}
            look(line.children, inputs.get(line.path, set()) if block else own, set() if block else named)

    look(lines, {operand.source for operand in report.trace.inputs}, set())
    return found


@pytest.mark.parametrize("written", [FUSE, PAIRS, LISTS, NAMES])
def test_every_source_can_be_found(reports: dict[str, Report], written: str) -> None:
    assert missing_sources(reports[written]) == []


@pytest.mark.parametrize("name", ["resnet", "densenet", "gpt2", "unet", "llama_block", "mobilenet_v2", "vit"])
def test_every_source_of_a_known_net_can_be_found(name: str) -> None:
    assert missing_sources(archscope.summarize(SPECS / f"{name}.yaml")) == []


# ------------------------------------------------------------ modules written in Python
class Merge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, features: torch.Tensor, skips: list[torch.Tensor], *, scale: torch.Tensor) -> torch.Tensor:
        return self.conv(features) * scale + torch.cat(skips, 1).mean(1, keepdim=True)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.merge = Merge()
        self.head = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = self.merge(x, [-x, image], scale=x.mean())
        x = x.flatten(2).transpose(1, 2)
        return self.head(x, x, x)[0]


def test_inputs_of_a_module_have_the_names_of_its_forward_arguments() -> None:
    with torch.device("meta"):
        report = archscope.summarize(Net(), input=(2, 3, 8, 8))
    found = {(line.path, line.label): line.sources for _, line in walk_lines(full_outline(report))}
    assert found == {
        ("stem", "stem"): ("image",),
        ("stem.0", "0"): ("input",),
        ("stem.1", "1"): ("0",),
        ("neg", "neg"): ("stem",),
        ("mean", "mean"): ("stem",),
        ("merge", "merge"): ("stem", "mean", "neg", "image"),
        ("merge.conv", "conv"): ("features",),
        ("merge", "mul"): ("conv", "scale"),
        ("merge", "cat"): ("skips",),
        ("merge", "mean"): ("cat",),
        ("merge", "add"): ("mul", "mean"),
        ("flatten", "flatten"): ("merge",),
        ("transpose", "transpose"): ("flatten",),
        ("head", "head"): ("transpose",),
    }


def test_variadic_inputs_of_a_forward_share_one_name() -> None:
    class Any(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, *values: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
            return self.act(values[0]) + values[1] + more["bias"]

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Any()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x, x + 1, bias=x + 2)

    lines = [line for _, line in walk_lines(full_outline(archscope.summarize(Outer(), input=(2, 4))))]
    assert [(line.path, line.sources) for line in lines] == [
        ("add", ("x",)),
        ("add", ("x",)),
        ("inner", ("x", "add", "add")),
        ("inner.act", ("values",)),
        ("inner", ("act", "values")),
        ("inner", ("add", "bias")),
    ]


# ------------------------------------------------------------ no path is empty
@pytest.mark.parametrize("written", [FUSE, PAIRS, LISTS, NAMES])
def test_no_path_is_empty(reports: dict[str, Report], written: str) -> None:
    assert all(row["path"] for row in csv.DictReader(io.StringIO(summary_csv(reports[written]))))
    assert all(row["path"] for row in reports[written].to_dict()["rows"])


def test_no_path_of_a_module_is_empty() -> None:
    with torch.device("meta"):
        module = Net()
        module.register_parameter("lost", nn.Parameter(torch.zeros(3)))
    report = archscope.summarize(module, input=(2, 3, 8, 8), device="meta", train=True)
    rows = list(csv.DictReader(io.StringIO(summary_csv(report))))
    assert all(row["path"] for row in rows)
    assert rows[-1]["path"] == "unread"
    assert all(row["path"] for row in [*report.to_dict()["rows"], *report.to_dict()["backward"]["rows"]])


PASSED = """
input: [N, 4]
blocks:
  B:
    layers:
      - a: Linear(4)
      - b: relu
      - c: tanh(a)
    return: [b, c, a * 2 + 1, x]
layers:
  - cls: Linear(4)
  - box, k, _, n: B
return: {logits: cls, boxes: sigmoid(box) * 2, all: cls + k, x: x, n: n}
"""


def test_a_return_names_the_values_that_it_returns_unchanged(tmp_path: Path) -> None:
    report = summary(PASSED, tmp_path)
    lines = sources(report)
    assert lines["box.return"] == ("a", "b", "c", "x")
    assert set(lines["return"]) == {"box", "cls", "x"}
    inner = [
        (line.name, line.sources) for _, line in walk_lines(outline(report, expand=True)) if line.label != "return"
    ]
    assert inner[-3:] == [("sigmoid", ("box",)), ("mul", ("sigmoid",)), ("add", ("cls", "box"))]


def test_a_return_that_computes_nothing_has_no_line(tmp_path: Path) -> None:
    lines = sources(summary("input: [N, 4]\nlayers:\n  - a: Linear(4)\n  - b: relu\nreturn: [a, b]\n", tmp_path))
    assert lines == {"a": ("x",), "b": ("a",)}
