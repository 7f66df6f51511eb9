"""What does not fit in memory is refused before it is asked for, with what it needs, what is free, and the cure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope.backends import processor
from archscope.cli import cli
from archscope.errors import UsageError

pytestmark = pytest.mark.moves_rng
FREE = 50_000_000
SPECS = {
    "an input": ("[N, 3, 4096, 4096]", "Conv2d(4, 3)"),
    "weights": ("[N, 100]", "Linear(1000000)"),
    "a result": ("[N, 3, 512, 512]", "Conv2d(640, 1)"),
}


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "free_bytes", lambda: FREE)
    monkeypatch.chdir(tmp_path)


class Empty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(20_000, 20_000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Zeros(Empty):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.register_buffer("b", torch.zeros((10_000, 10_000), dtype=torch.float64))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20_000, 20_000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    text = str(caught.value)
    assert "cpu has 47.7 MiB free" in text
    assert 'device="meta"' in text
    return text


@pytest.mark.parametrize("what", SPECS)
def test_a_spec_is_refused_and_analysed_on_meta(what: str) -> None:
    shape, step = SPECS[what]
    Path("net.yaml").write_text(f"input: {shape}\nlayers:\n  - {step}\n", encoding="utf-8")
    assert re.search(r"net\.yaml needs at least \d+ MiB", refused(lambda: archscope.summarize("net.yaml")))
    assert archscope.summarize("net.yaml", device="meta").ok
    result = CliRunner().invoke(cli, ["summary", "net.yaml"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--device meta" in result.stderr


@pytest.mark.parametrize(
    ("model", "shape", "size"),
    [(Empty, (1, 2), "1.49 GiB"), (Zeros, (1, 2), "763 MiB"), (Layer, (1, 20_000), "1.49 GiB")],
)
def test_a_model_is_refused_while_it_is_made(model: type[nn.Module], shape: tuple[int, ...], size: str) -> None:
    text = refused(lambda: archscope.summarize(model, shape))
    assert f"that {model.__name__} makes needs at least {size}" in text
    assert archscope.summarize(model, shape, device="meta").ok


def test_an_input_of_a_model_is_refused() -> None:
    assert "the input of 100×1000×1000 needs at least 381 MiB" in refused(
        lambda: archscope.summarize(nn.Identity(), (100, 1000, 1000))
    )


def test_a_net_is_not_built_without_room_for_it() -> None:
    Path("net.yaml").write_text("input: [N, 100]\nlayers:\n  - Linear(1000000)\n", encoding="utf-8")
    refused(lambda: archscope.build("net.yaml"))


def test_what_fits_is_not_refused() -> None:
    assert archscope.summarize(nn.Linear(1000, 1000), (4, 1000)).ok
