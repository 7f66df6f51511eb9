"""Tests of finding constructor calls: every notation, and never a line that has not made the layer."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archscope.targets import ConstructorFinder, find_constructor_call, is_torch_layer
from tests.networks import twins
from tests.targets import written

FILE = Path(written.__file__)
MADE = re.compile(r"# makes: (.*)")
NETS: dict[str, Callable[[], nn.Module]] = {
    "lenet": twins.LeNet,
    "mlp": twins.Mlp,
    "cnn3": twins.Cnn3,
    "inception": twins.inception_net,
    "residual": lambda: twins.residual_mnist("conv"),
    "resnet": lambda: twins.resnet(twins.bottleneck, [1, 1, 1, 1], 4, classes=3),
    "unet": lambda: twins.UNet(4, 2),
    "vit": lambda: twins.ViT(32, 8, 2, 2, 16, 10),
    "gpt": lambda: twins.Gpt2(50, 8, 16, 2, 2),
    "llama": lambda: twins.LlamaBlock(16, 4, 2, 32),
    "lstm": lambda: twins.LstmClassifier(50, 8, 8, 2, 2),
    "convnext": lambda: twins.convnext([1, 1, 1, 1], [4, 8, 8, 8], 3),
    **{cls.__name__: cls for cls in (written.Assigned, written.Contained, written.Derived, written.Holding)},
    "replaced": written.replaced,
    "twice": lambda: written.Twice(True, 4),
}


def said(name: str) -> dict[str, int]:
    """Return the path → line pairs in the comments of a class."""
    tree = ast.parse(FILE.read_text())
    (node,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = FILE.read_text().splitlines()
    marks = ((number, MADE.search(lines[number - 1])) for number in range(node.lineno, (node.end_lineno or 0) + 1))
    return {path: number for number, mark in marks if mark for path in mark[1].split()}


@pytest.mark.moves_rng
@pytest.mark.parametrize("cls", [written.Assigned, written.Contained], ids=lambda cls: cls.__name__)
def test_every_way_to_write_it_is_found(cls: type[nn.Module]) -> None:
    model = cls()
    found = ConstructorFinder(model)
    layers = {path: layer for path, layer in model.named_modules() if is_torch_layer(layer)}
    lines = {path: one.place.line for path in layers if (one := found.at(path)) is not None}
    containers = {path for path, layer in layers.items() if len(layer._modules)}
    assert {path: line for path, line in lines.items() if path not in containers} == said(cls.__name__)


@pytest.mark.moves_rng
def test_a_derived_class_has_the_lines_of_its_base() -> None:
    model = written.Derived()
    base = said("Contained")
    found = find_constructor_call(model, "body.2")
    assert found is not None
    assert (found.place.line, found.function) == (base["body.2"], "__init__")
    derived = find_constructor_call(model, "table.b")
    assert derived is not None
    assert derived.place.line == said("Derived")["table.b"]


@pytest.mark.moves_rng
def test_what_another_class_puts_in_has_the_line_of_that_class() -> None:
    model, own = written.Holding(), said("Holding")
    for path in ("right.plain", "right.one"):
        found = find_constructor_call(model, path)
        assert found is not None
        assert found.place.line == own[path]
    left = find_constructor_call(model, "left.plain")
    assert left is None or left.place.line == said("Assigned")["plain"]


@pytest.mark.moves_rng
@pytest.mark.parametrize(
    ("model", "path"),
    [
        (written.replaced, "fc"),
        (lambda: written.Twice(True, 4), "fc"),
        (written.Assigned, "helped"),
        (written.Contained, "collected.1"),
        (written.Assigned, "body.0"),
        (written.Assigned, "nothing.there"),
        (lambda: nn.Sequential(nn.Linear(2, 3)), "0"),
    ],
)
def test_what_cannot_be_told_is_none(model: Callable[[], nn.Module], path: str) -> None:
    assert find_constructor_call(model(), path) is None


def test_a_layer_with_other_values_is_none() -> None:
    with torch.random.fork_rng():
        model = twins.LeNet()
        model.conv1.stride = (2, 2)
        assert find_constructor_call(model, "conv1") is None
        model.conv2 = nn.Conv2d(10, 20, 5, bias=False)
        assert find_constructor_call(model, "conv2") is None
        model.fc = nn.Linear(320, 11)
        assert find_constructor_call(model, "fc") is None


# ------------------------------------------------------------ compared with recorded calls
@contextmanager
def watched() -> Iterator[dict[int, list[tuple[str, int]]]]:
    """Record inside, for every module, the lines of this project's files that its constructor is called from."""
    lines: dict[int, list[tuple[str, int]]] = {}
    plain = nn.Module.__init__

    def noted(module: nn.Module, *args: Any, **kwargs: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None and frame.f_locals.get("self") is module:
            frame = frame.f_back  # type: ignore[assignment]  # somebody has called it
        lines.setdefault(id(module), []).append((frame.f_code.co_filename, frame.f_lineno))
        plain(module, *args, **kwargs)

    nn.Module.__init__ = noted  # type: ignore[method-assign]
    try:
        yield lines
    finally:
        nn.Module.__init__ = plain  # type: ignore[method-assign]


@pytest.mark.moves_rng
@pytest.mark.parametrize("name", NETS)
def test_a_found_line_is_the_one_that_made_the_layer(name: str) -> None:
    with watched() as lines:
        model = NETS[name]()
    found = ConstructorFinder(model)
    for path, layer in model.named_modules():
        one = found.at(path)
        if one is None:
            continue
        file, line = lines[id(layer)][-1]  # earlier entries belong to modules that no longer exist
        first = one.place.line
        assert Path(file).samefile(one.place.file)
        assert first <= line <= first + one.text.count("\n"), path


@pytest.mark.moves_rng
def test_the_other_layers_of_a_call_are_named() -> None:
    model = twins.Gpt2(50, 8, 16, 3, 2)
    found = find_constructor_call(model, "h.1.wide")
    assert found is not None
    assert found.other_paths == ("h.0.wide", "h.2.wide")
    assert find_constructor_call(model, "norm").other_paths == ()  # type: ignore[union-attr]  # it is there
    loop = find_constructor_call(twins.Mlp(), "hidden.0")
    assert loop is not None
    assert loop.repeated
    assert loop.other_paths == ("hidden.1", "hidden.2", "hidden.3")


# ------------------------------------------------------------ arguments
@pytest.mark.moves_rng
def test_arguments_have_torchs_names_and_their_places() -> None:
    found = find_constructor_call(written.Assigned(), "aliased")
    assert found is not None
    assert {name: argument.text for name, argument in found.arguments.items()} == {
        "in_channels": "3",
        "out_channels": "width",
        "kernel_size": "(1, 3)",
    }
    assert all(found.source[a.start : a.end] == a.text for a in found.arguments.values())
    assert found.text == "Conv2d(3, width, kernel_size=(1, 3))"


@pytest.mark.moves_rng
@pytest.mark.parametrize(
    ("path", "texts", "call"),
    [
        ("aliased", {"out_channels": "6"}, "Conv2d(3, 6, kernel_size=(1, 3))"),
        ("aliased", {"stride": "2", "in_channels": "4"}, "Conv2d(4, width, kernel_size=(1, 3), stride=2)"),
        ("long", {"bias": "False"}, "3,\n        bias=False)"),
    ],
)
def test_a_changed_text_changes_only_the_call(path: str, texts: dict[str, str], call: str) -> None:
    found = find_constructor_call(written.Assigned(), path)
    assert found is not None
    text = found.with_arguments(texts)
    assert text is not None
    ast.parse(text)
    assert re.sub(r"\s+", "", call) in re.sub(r"\s+", "", text)
    before, after = found.source.splitlines(), text.splitlines()
    assert before[: found.place.line - 1] == after[: found.place.line - 1]


def test_positions_count_characters_not_bytes(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        '        self.größe, self.b = "äöü", nn.ReLU(True)  # ü\n',
        encoding="utf-8",
    )
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), scope)
    found = find_constructor_call(scope["Net"](), "b")
    assert found is not None
    assert found.text == "nn.ReLU(True)"
    assert '"äöü", nn.ReLU(False)  # ü' in str(found.with_arguments({"inplace": "False"}))


def test_a_file_that_has_changed_since_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    text = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    path.write_text(text + "        self.a = nn.ReLU(True)\n")
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    assert find_constructor_call(scope["Net"](), "a") is not None
    path.write_text(text + "        self.b = 1\n        self.a = nn.ReLU(True)\n")
    assert find_constructor_call(scope["Net"](), "a") is None
