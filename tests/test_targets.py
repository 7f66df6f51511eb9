"""What an analysis runs on: Python targets, devices, and inputs that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import UsageError

NET = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn
from beside import WIDTH

@dataclass
class Config:
    width: int = WIDTH

class Net(nn.Module):
    def __init__(self, width=None):
        super().__init__()
        self.fc = nn.Linear(4, width or Config().width)

    def forward(self, x):
        return self.fc(x)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    return tmp_path


@pytest.mark.parametrize(("arguments", "params"), [({}, 15), ({"width": 2}, 10)])
def test_a_python_file_is_run_as_python_would(folder: Path, arguments: dict, params: int) -> None:
    before = torch.get_rng_state()
    report = archscope.summarize(f"{folder}/net.py:Net", input=(2, 4), set=arguments)
    assert (report.total.params, report.total.macs) == (params, 2 * (params - params // 5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("net.py:Nett", {}, "there is no 'Nett'"),
        ("net.py:Net", {"set": {"widht": 2}}, "cannot be made"),
        ("nowhere.py:Net", {}, "there is no file"),
        ("no.such.package:Net", {}, "cannot be imported"),
        ("net.py:WIDTH", {}, "takes no|no class or function|gives"),
        ("plain", {}, "neither a spec nor a Python target"),
    ],
)
def test_wrong_targets_are_wrong_use(folder: Path, target: str, options: dict, message: str) -> None:
    named = target if target == "plain" or "package" in target else f"{folder}/{target}"
    with pytest.raises(UsageError, match=message):
        archscope.summarize(named, input=(1, 4), **options)


@pytest.mark.moves_rng
@pytest.mark.parametrize("shape", ["1x4", 4, {"x": "1x4"}])
def test_an_input_is_a_shape(shape: object) -> None:
    with pytest.raises(UsageError, match="an input is a shape"):
        archscope.summarize(nn.Linear(4, 3), input=shape)


@pytest.mark.moves_rng
def test_a_list_of_numbers_is_one_shape() -> None:
    assert archscope.summarize(nn.Linear(4, 3), input=[2, 4]).total.macs == 24


@pytest.mark.moves_rng
def test_a_pending_backward_survives_a_summary() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(4))
            self.fc = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x * self.scale)

    model = Scaled()
    loss = model(torch.ones(2, 4, requires_grad=True)).sum()
    archscope.summarize(model, args=(torch.ones(2, 4),))
    loss.backward()
    assert model.fc.weight.grad is not None
