"""What does not fit in memory is refused before it is asked for, with what it needs, what is free, and the help."""

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
from archscope.cli import cli
from archscope.devices import cpu
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
    monkeypatch.setattr(cpu, "free_bytes", lambda: FREE)
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


CALLS: dict[str, Callable[[], torch.Tensor]] = {
    "arange": lambda: torch.arange(200_000_000, dtype=torch.float32),
    "arange with a step": lambda: torch.arange(0, 1e8, 0.5),
    "linspace": lambda: torch.linspace(0, 1, 200_000_000),
    "eye": lambda: torch.eye(20_000),
    "repeat": lambda: torch.zeros(1000).repeat(200, 1000),
    "tile": lambda: torch.zeros(1000).tile((200, 1000)),
    "an outer product": lambda: torch.zeros(5000, 1) * torch.zeros(1, 5000),
}


@pytest.mark.parametrize("call", CALLS)
def test_whatever_makes_a_tensor_is_refused(call: str) -> None:
    class Makes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("made", CALLS[call]())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    assert "that Makes makes needs at least" in refused(lambda: archscope.summarize(Makes, (1, 2)))


def test_a_default_device_that_was_set_and_unset_is_no_hindrance() -> None:
    """Before torch 2.9 torch.get_default_device() raises then."""
    torch.set_default_device("cpu")
    torch.set_default_device(None)
    assert archscope.summarize(nn.Flatten, (1, 2)).ok


class Many(nn.Module):
    """40 tensors of 4 MB each, of which `kept` live at once."""

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.layers = nn.ParameterList()
        for number in range(40):
            made = nn.Parameter(torch.empty(1000, 1000))
            if number < kept:
                self.layers.append(made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_small_tensors_add_up_as_far_as_they_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archscope.targets.user_code_limits.UNCHECKED_BYTES", 2**20)
    text = refused(lambda: archscope.summarize(Many, (1, 2), set={"kept": 40}))
    assert "all that Many makes needs at least 49.6 MiB" in text
    assert archscope.summarize(Many, (1, 2), set={"kept": 5}).ok


class Grows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**40, 1000) + x


class MakesTooMuch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = torch.Tensor.new_empty(torch.empty(1), (2**40, 1000))


@pytest.mark.parametrize(("model", "said"), [(Grows, "Grows: cpu is out of"), (MakesTooMuch, "cannot be made")])
def test_what_torch_cannot_have_is_said_in_our_words(model: type[nn.Module], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        archscope.summarize(model, (1, 1), device="cpu")
    text = str(caught.value)
    assert said in text
    assert "a tensor of 3.91 PiB was asked for" in text
    assert 'device="meta"' in text
    assert "enforce fail" not in text


def test_an_input_of_a_model_is_refused() -> None:
    assert "the input of 100×1000×1000 needs at least 381 MiB" in refused(
        lambda: archscope.summarize(nn.Identity(), (100, 1000, 1000))
    )


def test_a_net_is_not_built_without_room_for_it() -> None:
    Path("net.yaml").write_text("input: [N, 100]\nlayers:\n  - Linear(1000000)\n", encoding="utf-8")
    refused(lambda: archscope.build("net.yaml"))


def test_what_fits_is_not_refused() -> None:
    assert archscope.summarize(nn.Linear(1000, 1000), (4, 1000)).ok
