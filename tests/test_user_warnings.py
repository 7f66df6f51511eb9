"""Warnings of what we run: told at the author's line, once, and by the user's filters."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import archscope
from archscope.checks.lint import lint
from archscope.errors import ForwardError

pytestmark = pytest.mark.moves_rng
HERE = Path(__file__).name
SPEC = "inputs: {x: [N, 4], t: [N]}\nlayers:\n  - Linear(1)(x)\n  - softmax(prev)\n  - mse_loss(prev, t)\n"
FILE = """
import warnings
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        warnings.warn("made", stacklevel=2)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = nn.functional.softmax(self.layer(x))
        warnings.warn("run")
        return nn.functional.mse_loss(y, x[:, :1])
"""


class Net(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.softmax(x)


class Loss(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(x, x[:, :1])


def heard(run: object, *args: object, action: str = "default", **options: object) -> list[tuple[str, int, str]]:
    """File, line and first word of what is told while something runs."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        run(*args, **options)  # type: ignore[operator]
    return [(Path(one.filename).name, one.lineno, str(one.message).split()[0]) for one in found]


def test_a_warning_of_torch_is_told_at_the_authors_line_once() -> None:
    line = Net.forward.__code__.co_firstlineno + 1
    assert heard(archscope.summarize, Net(), input=(2, 3)) == [(HERE, line, "Implicit")]
    assert heard(archscope.summarize, Net(), input=(2, 3), train=True, backward=True) == [(HERE, line, "Implicit")]


def test_a_step_of_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(SPEC, encoding="utf-8")
    assert heard(archscope.summarize, str(file)) == [("net.yaml", 4, "Implicit")]
    assert heard(archscope.summarize, str(file), device="meta") == [("net.yaml", 4, "Implicit")]
    assert heard(archscope.build, str(file)) == [("net.yaml", 4, "Implicit")]
    assert heard(archscope.time, str(file), seconds=0.01, roofline=False) == [("net.yaml", 4, "Implicit")]


def test_a_loss_that_broadcasts_is_left_to_the_finding() -> None:
    assert heard(archscope.summarize, Loss(), input=(4, 3), action="always") == []
    assert heard(archscope.summarize, Loss(), input=(4, 3), action="error") == []
    assert [found.rule for found in lint(archscope.summarize(Loss(), input=(4, 3)))] == ["silent-broadcast"]


def test_filters_of_the_user_hold() -> None:
    assert heard(archscope.summarize, Net(), input=(2, 3), action="ignore") == []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module=rf"{Net.__module__}\Z")
        archscope.summarize(Net(), input=(2, 3))
    assert not found


def test_a_warning_that_is_an_error_ends_the_run_at_the_authors_line() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ForwardError, match="Implicit dimension choice") as caught:
            archscope.summarize(Net(), input=(2, 3))
    place = caught.value.problem.span
    assert (Path(place.file).name, place.line) == (HERE, Net.forward.__code__.co_firstlineno + 1)


def test_filters_and_showwarning_are_as_before() -> None:
    before, show = list(warnings.filters), warnings.showwarning
    heard(archscope.summarize, Net(), input=(2, 3))
    assert (list(warnings.filters), warnings.showwarning) == (before, show)


class Own(nn.Module):
    """Catches what it does not want to be told."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            warnings.warn("inside", stacklevel=1)
        return x * len(found)


def test_what_the_author_catches_stays_there() -> None:
    assert heard(archscope.summarize, Own(), input=(2, 3), action="always") == []


@pytest.mark.parametrize("options", [(), ("-W", "error")])
@pytest.mark.parametrize("command", ["summary", "check"])
def test_the_program(command: str, options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    own = str(Path(archscope.__file__).parent)
    for target in (["net.py:Net", "--input", "3x4"], ["net.yaml"]):
        done = subprocess.run(
            [sys.executable, *options, "-m", "archscope", command, *target],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.path.dirname(own)},
        )
        said = done.stdout + done.stderr
        assert own not in said
        assert "Traceback" not in said
        assert "target size" not in said
        if options:
            assert done.returncode in (1, 2)
        else:
            assert done.returncode == 0
            assert done.stderr.count("UserWarning: ") == (3 if "net.py:Net" in target else 1)
