"""What broke when a stranger timed things: work that is lost, graphs that are eaten, gradients that stay, paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from torch import nn
from torch.utils.checkpoint import checkpoint

import archscope
from archscope.analysis import batch_capacity
from archscope.errors import ForwardError, UsageError
from archscope.profiling.measurement import Samples
from tests import commands

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]
LENET = str(Path(__file__).parent.parent / "specs/tutorials/lenet.yaml")
QUICK: dict[str, Any] = {"seconds": 0.01, "roofline": False}


def run(*arguments: str) -> Result:
    return commands.run("time", *arguments, "--seconds", "0.01", "--no-roofline", "--device", "cpu")


class Again(nn.Module):
    """A part that a reentrant checkpoint runs again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.second, self.first(x), use_reentrant=True)


@pytest.mark.parametrize("had", [False, True])
@pytest.mark.parametrize("look", ["summarize", "time"])
def test_a_reentrant_checkpoint_leaves_no_gradients(look: str, had: bool) -> None:
    model = Again()
    if had:
        model(torch.ones(2, 4)).sum().backward()
    before = [(p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    more = QUICK if look == "time" else {}
    getattr(archscope, look)(model, input=(2, 4), train=True, **more)
    for parameter, (gradient, value) in zip(model.parameters(), before, strict=True):
        assert parameter.grad is gradient
        assert value is None or torch.equal(gradient, value)


@pytest.mark.parametrize("look", ["summarize", "time"])
def test_the_graph_behind_an_input_is_not_used_up(look: str) -> None:
    encoder, model = nn.Linear(3, 4), nn.Linear(4, 2)
    x = encoder(torch.ones(2, 3))
    more = QUICK if look == "time" else {}
    getattr(archscope, look)(model, args=(x,), train=True, **more)
    x.sum().backward()
    assert encoder.weight.grad is not None


def test_an_input_that_somebody_computed_may_be_written_in_place() -> None:
    x = nn.Linear(3, 4)(torch.ones(2, 3))
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2))
    before = x.detach().clone()
    report = archscope.summarize(model, args=(x,), train=True)
    assert report.backward_total is not None
    assert torch.equal(x, before)


def test_in_inference_mode_a_step_is_timed_all_the_same() -> None:
    with torch.inference_mode():
        timing = archscope.time(LENET, train=True, **QUICK)
        assert torch.is_inference_mode_enabled()
    assert [name for name, _ in timing.measurement.parts] == ["forward", "backward", "optimizer"]


# ------------------------------------------------------------ nothing is lost
def test_a_grid_keeps_what_it_has_and_names_what_failed() -> None:
    result = run(LENET, "--batch", "1,1000000000,2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[3:5]] == ["1", "2"]
    assert "batch 1000000000: " in result.stdout
    assert run(LENET, "--batch", "1000000000,1").exit_code == 0


def test_where_nothing_of_a_grid_runs_it_is_refused() -> None:
    result = run(LENET, "--batch", "1000000000,2000000000")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_dtype_that_is_none_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from archscope.api import timings

    monkeypatch.setattr(timings, "time", lambda *_given, **_how: pytest.fail("it was measured"))
    with pytest.raises(UsageError, match="unknown dtype 'foo'"):
        archscope.time_grid(LENET, dtype=("float32", "foo"))


def test_ctrl_c_while_the_largest_batch_is_looked_for_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_capacity, "find_fitting_batch", broken)
    timing = archscope.time(LENET, **QUICK)
    assert timing.measurement.interrupted
    assert (timing.memory.largest_batch, timing.seconds is None, timing.memory.measured is None) == (None, False, False)


@pytest.mark.parametrize("option", ["-o", "--picture"])
def test_a_folder_that_is_not_there_is_refused_before_anything_is_measured(option: str, tmp_path: Path) -> None:
    result = run(LENET, option, str(tmp_path / "none" / "roof.svg"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"there is no folder {tmp_path / 'none'}" in result.stderr


def test_what_does_not_fit_is_refused_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from archscope import targets

    monkeypatch.setattr(targets.device_options, "free_bytes", lambda _: 40 * 1024**2)
    monkeypatch.setattr(targets, "free_bytes", lambda _: 40 * 1024**2)
    with pytest.raises(UsageError, match="free"):
        archscope.time(LENET, batch=2000, device="cpu", train=True, **QUICK)


class Leaves(nn.Module):
    """Ends the program when it is called for the third time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 2:
            raise SystemExit(7)
        return x + 1


def test_a_model_that_ends_the_program_is_a_failure() -> None:
    with pytest.raises(ForwardError, match="while it was timed: SystemExit: 7"):
        archscope.time(Leaves(), input=(2, 4), **QUICK)


# ------------------------------------------------------------ figures
@pytest.mark.parametrize("train", [False, True])
def test_the_largest_batch_fits_by_prediction(train: bool) -> None:
    timing = archscope.time(LENET, train=train, device="cpu", **QUICK)
    found, available = timing.memory.largest_batch, timing.memory.available
    assert found is not None
    assert available is not None

    def needed(batch: int) -> int:
        memory = archscope.time(LENET, batch=batch, train=train, device="meta").memory.predicted
        assert memory is not None
        return memory.peak

    assert needed(found) <= 1.02 * available
    assert needed(2 * found) > available


@pytest.mark.parametrize(
    ("seconds", "drift"),
    [
        ((1.0,) * 9, 0.0),
        ((1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 2.0, 2.0, 2.0), 1.0),
        ((2.0, 1.0), 0.0),
        ((4.0,) * 5 + (2.0,) * 4, -0.5),
    ],
)
def test_runs_that_become_slower_or_faster(seconds: tuple[float, ...], drift: float) -> None:
    assert Samples(seconds).drift == drift


FITTING = """\
name: Fitting
input: [N, 8]
layers:
  - Linear(8)
  - reshape(4, 8)
"""


def test_a_batch_that_a_spec_refuses_leaves_the_others(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(FITTING, encoding="utf-8")
    grid = archscope.time_grid(str(spec), batch=(4, 5), device="cpu", **QUICK)
    assert [timing.report.batch for timing in grid.timings] == [4]
    assert len(grid.refused) == 1
    assert "batch 5" in grid.refused[0]
