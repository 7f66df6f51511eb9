"""`archscope.time` and `time_grid`: what they give, refuse, and leave as it was, however a measurement ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.analysis import measured_timings
from archscope.errors import ForwardError, SpecError, UsageError
from tests.profiling.timing_reports import CEILINGS
from tests.record.side_effects import SIDE_EFFECTS, SideEffect, SideEffectModel, object_state, process_state

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]

LENET = "specs/tutorials/lenet.yaml"
QUICK: dict[str, Any] = {"seconds": 1e-6, "roofline": False}
"""Three rounds, as short as a measurement gets."""

both_modes = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))


def given() -> tuple[torch.Tensor]:
    return (torch.rand(3, 4),)


# ------------------------------------------------------------ what it gives
@both_modes
def test_a_spec_is_timed_as_a_whole_and_row_by_row(train: bool) -> None:
    timing = archscope.time(LENET, train=train, batch=2, **QUICK)
    assert timing.total is not None
    assert timing.total.runs >= 3
    assert timing.seconds == timing.total.median > 0
    assert timing.throughput == pytest.approx(2 / timing.seconds)
    assert [row.index for row in timing.rows] == list(range(len(timing.report.rows)))
    assert all(row.spent.total_seconds is not None for row in timing.rows)
    assert timing.report.trace.mode == ("train" if train else "eval")
    assert (timing.ceilings, timing.least, timing.of_roofline) == (None, None, None)
    assert not timing.measurement.interrupted


def test_a_training_step_has_parts_and_an_optimizer() -> None:
    timing = archscope.time(net(), args=given(), train=True, optimizer="momentum", **QUICK)
    assert [name for name, _ in timing.measurement.parts] == ["forward", "backward", "optimizer"]
    assert dict(timing.options) == {"compile": False, "channels_last": False, "optimizer": "momentum"}
    assert all(row.spent.backward is not None for row in timing.rows)


def test_inference_has_no_parts() -> None:
    timing = archscope.time(net(), args=given(), **QUICK)
    assert timing.measurement.parts == ()
    assert dict(timing.options) == {"compile": False, "channels_last": False}
    assert all(row.spent.backward == 0.0 for row in timing.rows)


def test_rows_may_be_left_out() -> None:
    timing = archscope.time(LENET, rows=False, **QUICK)
    assert timing.measurement.rows is None
    assert timing.accounted is None
    assert {row.spent.total_seconds for row in timing.rows} == {None}


def test_a_python_target_is_timed_too(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("import torch\n\ndef make(width=4):\n    return torch.nn.Linear(4, width)\n")
    timing = archscope.time(f"{tmp_path}/nets.py:make", set={"width": 6}, input=(3, 4), **QUICK)
    assert [row.spent.total_seconds is not None for row in timing.rows] == [True]
    assert timing.report.trace.outputs[0].value.shape == (3, 6)


def test_what_cannot_be_trained_has_no_optimizer() -> None:
    timing = archscope.time(nn.ReLU(), args=given(), train=True, **QUICK)
    assert dict(timing.options)["optimizer"] is None
    assert timing.total is not None


def test_where_no_row_is_seen_nothing_is_accounted_for() -> None:
    """A scripted module runs in C++."""
    timing = archscope.time(torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), args=given(), **QUICK)
    assert timing.total is not None
    assert (timing.measurement.rows, timing.accounted, timing.between_rows) == (None, None, None)


@both_modes
def test_on_meta_memory_is_known_and_time_is_not(train: bool) -> None:
    timing = archscope.time(LENET, device="meta", train=train, **QUICK)
    assert (timing.total, timing.seconds, timing.throughput, timing.accounted, timing.of_roofline) == (None,) * 5
    assert {row.spent.total_seconds for row in timing.rows} == {None}
    assert timing.memory.predicted is not None
    assert timing.memory.measured is None
    assert "meta" in timing.measurement.notes[0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_a_spec_is_timed_in_another_dtype(dtype: str) -> None:
    timing = archscope.time(LENET, dtype=dtype, **QUICK)
    assert (timing.report.trace.dtype, timing.report.trace.inputs[0].value.dtype) == (dtype, dtype)
    assert all(row.spent.total_seconds is not None for row in timing.rows)


def test_threads_are_those_that_were_asked_for() -> None:
    threads = torch.get_num_threads()
    timing = archscope.time(LENET, threads=threads + 1, **QUICK)
    assert timing.measurement.machine.setting("threads") == threads + 1
    assert torch.get_num_threads() == threads


def test_images_may_lie_with_their_channels_last() -> None:
    timing = archscope.time(LENET, channels_last=True, **QUICK)
    assert dict(timing.options)["channels_last"] is True
    assert all(row.spent.total_seconds is not None for row in timing.rows)


def test_the_document_is_json_and_unknown_is_null() -> None:
    data = json.loads(json.dumps(archscope.time(LENET, **QUICK).to_dict(), allow_nan=False))
    assert data["schema"] == "archscope.timing/1"
    assert data["roofline"] is None
    assert {row["bound"] for row in data["rows"]} == {None}


class Deriving(nn.Module):
    """A force is the gradient of an energy, in inference too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.fc(x).square().sum(), x)[0]


@both_modes
def test_a_model_that_derives_in_its_forward_pass_is_timed_with_gradients(train: bool) -> None:
    timing = archscope.time(Deriving(), args=given(), train=train, **QUICK)
    assert timing.measurement.rows is not None
    assert [row.spent.seconds for row in timing.rows if row.priced.row.short_name == "grad"] != [None]
    assert torch.is_grad_enabled()


# ------------------------------------------------------------ with ceilings, compiled
@both_modes
def test_rows_stand_beside_the_least_that_the_device_allows(train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ceilings_of(device: str, **how: Any) -> Any:
        asked.append((device, how["threads"]))
        return CEILINGS

    monkeypatch.setattr(measured_timings, "device_ceilings", ceilings_of)
    timing = archscope.time(LENET, train=train, threads=1, seconds=1e-6)
    assert asked == [("cpu", 1)]
    assert timing.ceilings is CEILINGS
    assert {row.spent.bound for row in timing.rows if not row.priced.row.view} <= {"compute", "memory", "launch"}
    assert timing.least == pytest.approx(sum(row.spent.least for row in timing.rows) + timing.optimizer_least)
    assert (timing.optimizer_least > 0) is train
    assert timing.of_roofline is not None


def test_a_compiled_module_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[nn.Module] = []

    def compiling(module: nn.Module) -> Callable[..., Any]:
        def compiled(*args: Any) -> Any:
            called.append(module)
            return module(*args)

        return compiled

    monkeypatch.setattr(torch, "compile", compiling)
    timing = archscope.time(LENET, compile=True, **QUICK)
    assert timing.total is not None
    assert called
    assert (timing.measurement.rows, timing.accounted) == (None, None)
    assert timing.measurement.compile_seconds is not None
    assert timing.measurement.compile_seconds > 0
    assert dict(timing.options)["compile"] is True


def test_whoever_asks_is_told_what_is_done() -> None:
    told: list[float] = []
    archscope.time(LENET, ask=told.append, **QUICK)
    assert told
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1


# ------------------------------------------------------------ what it refuses
@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        (LENET, {"threads": 0}, "0 threads"),
        (LENET, {"seconds": 0}, "a budget of 0 seconds"),
        (LENET, {"seconds": -1.0}, "a budget of -1.0 seconds"),
        (LENET, {"seconds": math.nan}, "a budget of nan seconds"),
        (LENET, {"train": True, "optimizer": "adamm"}, "unknown optimizer 'adamm'"),
        (LENET, {"train": True, "optimizer": "adamm", "device": "meta"}, "unknown optimizer 'adamm'"),
        (LENET, {"optimizer": "", "train": True}, "unknown optimizer ''"),
        (LENET, {"optimizer": "sgd"}, "an optimizer steps in training only"),
        (LENET, {"seconds": "1"}, "a budget of '1' seconds"),
        (LENET, {"threads": 10**6}, "1000000 threads on"),
        (LENET, {"tf32": True, "device": "cpu"}, "TF32 is for GPUs"),
        (LENET, {"args": (1,)}, "a spec's inputs are shapes"),
        (LENET, {"dtype": "float31"}, "float31"),
        (nn.Linear(4, 4), {"args": (torch.rand(3, 4),), "channels_last": True}, "measured as it is"),
    ],
)
def test_what_makes_no_sense_is_refused(target: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        archscope.time(target, **{**QUICK, **options})


def test_an_option_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(TypeError, match="time has no argument 'second'"):
        archscope.time(LENET, second=1)


def test_a_spec_whose_shapes_do_not_fit_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("input: [4]\nnet:\n  - Linear(4, 8)\n  - Linear(9, 2)\n")
    with pytest.raises(SpecError):
        archscope.time(str(spec), **QUICK)


def test_a_module_whose_shapes_do_not_fit_is_refused() -> None:
    with pytest.raises(ForwardError):
        archscope.time(nn.Sequential(nn.Linear(4, 8), nn.Linear(9, 2)), args=given(), **QUICK)


# ------------------------------------------------------------ a grid
def test_a_grid_has_every_batch_size_of_every_dtype() -> None:
    told: list[float] = []
    grid = archscope.time_grid(LENET, batch=[1, 2], dtype=["float32", "bfloat16"], ask=told.append, **QUICK)
    assert [(one.report.trace.dtype, one.report.batch) for one in grid.timings] == [
        ("float32", 1),
        ("float32", 2),
        ("bfloat16", 1),
        ("bfloat16", 2),
    ]
    assert (grid.planned, grid.interrupted) == (4, False)
    assert all(one.measurement.rows is None for one in grid.timings)
    assert told == sorted(told)
    assert told[-1] <= 1


def test_a_grid_of_one_is_the_target_as_it_is() -> None:
    grid = archscope.time_grid(LENET, rows=True, **QUICK)
    assert len(grid.timings) == grid.planned == 1
    assert grid.timings[0].measurement.rows is not None


@pytest.mark.parametrize("nothing", [{"batch": []}, {"dtype": []}])
def test_a_grid_of_nothing_is_refused(nothing: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no batch size, or no dtype"):
        archscope.time_grid(LENET, **nothing, **QUICK)


class Impatient:
    """Breaks off when it is asked for the nth time."""

    def __init__(self, patience: int):
        self.left = patience

    def __call__(self, _share: float) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


def test_what_is_measured_of_a_grid_stays() -> None:
    grid = archscope.time_grid(LENET, batch=[1, 2, 3], ask=Impatient(5), **QUICK)
    assert (len(grid.timings), grid.planned, grid.interrupted) == (2, 3, True)
    assert grid.timings[1].measurement.interrupted


def test_an_interrupt_leaves_what_is_measured_so_far() -> None:
    timing = archscope.time(LENET, ask=Impatient(2), **QUICK)
    assert timing.total is not None
    assert (timing.total.runs, timing.measurement.interrupted) == (2, True)
    assert timing.to_dict()["interrupted"] is True
    assert timing.memory.measured is None
    assert timing.memory.largest_batch is None


def test_an_interrupt_before_anything_is_measured_goes_on() -> None:
    model = SideEffectModel(late(lambda m, x: None, KeyboardInterrupt())).eval()
    with pytest.raises(KeyboardInterrupt):
        archscope.time(model, args=given(), **QUICK)


# ------------------------------------------------------------ what stays as it was
def late(side_effect: SideEffect, error: BaseException) -> SideEffect:
    """The side effect, and from the third call on the error: the recorded run is over then."""
    calls = count(1)

    def done(model: SideEffectModel, x: torch.Tensor) -> None:
        side_effect(model, x)
        if next(calls) >= 3:
            raise error

    return done


def test_a_model_that_fails_later_than_in_the_recorded_run_is_told_so() -> None:
    with pytest.raises(ForwardError, match="while it was timed: ValueError: no") as raised:
        archscope.time(SideEffectModel(late(lambda m, x: None, ValueError("no"))), args=given(), **QUICK)
    assert raised.value.report is not None
    assert isinstance(raised.value.__cause__, ValueError)


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in before | after if before.get(name, before) != after.get(name, after)]


ENDS: dict[str, tuple[Callable[[SideEffect], SideEffect], Callable[[], Any]]] = {
    "returns": (lambda side_effect: side_effect, lambda: None),
    "fails": (lambda side_effect: late(side_effect, ValueError("no")), lambda: None),
    "exits": (lambda side_effect: late(side_effect, SystemExit(3)), lambda: None),
    "is interrupted": (lambda side_effect: late(side_effect, KeyboardInterrupt()), lambda: None),
    "is broken off": (lambda side_effect: side_effect, lambda: Impatient(1)),
}


@pytest.mark.law(keep=len(SIDE_EFFECTS))
@both_modes
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_a_live_module_stays_as_it_is(name: str, end: str, train: bool) -> None:
    """Whatever it does in runs that nobody watches; some side effects cannot even be done twice."""
    how, ask = ENDS[end]
    model, x = SideEffectModel(how(SIDE_EFFECTS[name])), torch.ones(3, 4)
    model.fc.bias.grad = torch.full((4,), 2.0)
    model.norm.eval()
    before, around = object_state(model, x), process_state()
    asked = {"ask": ask()} if ask() else {}
    with suppress(Exception, KeyboardInterrupt, SystemExit):
        archscope.time(model, args=(x,), train=train, **QUICK, **asked)
    assert changes(around, process_state()) == []
    assert changes(before, object_state(model, x)) == []


@pytest.mark.law(keep=4)
@both_modes
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
def test_parameters_and_gradients_are_the_same_to_the_bit(optimizer: str, train: bool) -> None:
    model, (x,) = net(), given()
    model(x).sum().backward()
    model[0].weight.requires_grad_(False)
    model[1].eval()
    gradients = [parameter.grad for parameter in model.parameters()]
    before, around = object_state(model, x), process_state()
    timing = archscope.time(model, args=(x,), train=train, optimizer=optimizer if train else None, **QUICK)
    assert timing.total is not None
    assert all(now.grad is then for now, then in zip(model.parameters(), gradients, strict=True))
    assert [part.training for part in model] == [True, False, True, True, True]
    assert changes(before, object_state(model, x)) == []
    assert changes(around, process_state()) == []


@both_modes
def test_gradients_that_are_no_numbers_reach_nothing(train: bool) -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.full((3, 4), math.nan)
    before = object_state(model)
    archscope.time(model, args=(x,), train=train, **QUICK)
    assert changes(before, object_state(model)) == []
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_the_gradient_of_an_input_stays() -> None:
    model, x = net(), torch.rand(3, 4, requires_grad=True)
    x.grad = gradient = torch.ones(3, 4)
    before = object_state(model, x)
    archscope.time(model, args=(x,), train=True, **QUICK)
    assert x.grad is gradient
    assert changes(before, object_state(model, x)) == []


def test_a_dropped_model_is_timed_by_nobody_else() -> None:
    """A timing holds no module and no tensor, so that it can be kept and written down."""
    model = net()
    timing = archscope.time(model, args=given(), train=True, **QUICK)
    assert not tensors_in(timing)


def tensors_in(thing: Any, met: set[int] | None = None) -> list[object]:
    met = set() if met is None else met
    if id(thing) in met or isinstance(thing, (str, int, float, bool, type(None), type)) or callable(thing):
        return []
    met.add(id(thing))
    if isinstance(thing, (torch.Tensor, nn.Module)):
        return [thing]
    below = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
    own = vars(thing).values() if getattr(thing, "__dict__", None) else ()
    return [found for part in (*below, *own) for found in tensors_in(part, met)]
