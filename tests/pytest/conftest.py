"""Inner runs of pytest in this process: whatever they could import is imported before."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import archscope

NET = """\
name: Net
input: [N, 4, 8, 8]
params: {width: 4}
variants:
  narrow: {width: 4, expect: {params: 148}}
  wide: {width: 8}
layers:
  - body:
      - Conv2d(width, 3, padding=1)
      - ReLU
    expect: {shape: [N, 4, 8, 8], macs: 9_216}
expect: {shape: [N, width, 8, 8]}
"""
"""148 = 4·4·3·3 + 4 parameters, 9,216 = 4·4·3·3 · 8·8 MACs. In `wide` the body has another shape and other MACs."""

UNFIT = """\
input: [N, 4, 8, 8]
layers:
  - residual: Conv2d(8, 3, padding=1)
expect: {params: 296}
"""


@pytest.fixture(scope="session", autouse=True)
def everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An inner run forgets the modules that it imported; torch's cannot be imported twice."""
    for module in pkgutil.walk_packages(archscope.__path__, "archscope."):
        if module.name != "archscope.__main__":
            importlib.import_module(module.name)
    importlib.import_module("torch._dynamo")  # which functions on meta import when they first run
    for number, text in enumerate((NET, UNFIT)):
        path = tmp_path_factory.mktemp("warm") / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        archscope.check(path)


@pytest.fixture
def nets(pytester: pytest.Pytester) -> Path:
    """A project with one spec in `nets/`, which nothing names yet."""
    folder = pytester.mkdir("nets")
    (folder / "net.yaml").write_text(NET, encoding="utf-8")
    return folder
