"""All measurements of one workload, which is then as before: modes, flags, gradients, also after exceptions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from torch import nn

from archscope.devices.cpu import CpuBackend
from archscope.profiling import benchmark
from archscope.profiling.benchmark import measure_workload, prepared_workload
from archscope.profiling.measurement import Measurement
from archscope.profiling.workload import StepError, Workload, make_optimizer
from archscope.record.state.tensors import preserved_tensors
from tests.devices.fakes import pretending
from tests.profiling.timed import noted

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]

SHORT = 1e-6
"""A budget that is spent at once: three rounds."""

both_modes = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))


def job(module: nn.Module, *, train: bool = False, turns: int = 1, optimizer: str = "adamw") -> Workload:
    calls = [((torch.rand(3, 4),), {}) for _ in range(turns)]
    return Workload(module, module, calls, "cpu", train, make_optimizer(optimizer, module) if train else None)


def measure(work: Workload, *, rows: bool = True, ask: Callable[[float], object] = lambda _: None) -> Measurement:
    trace, tally = noted(work.eager_module, work.calls[0][0], train=work.train)
    with prepared_workload(work, live=True):
        return measure_workload(work, tally if rows else None, len(trace.rows), seconds=SHORT, on_round=ask)


# ------------------------------------------------------------ what is measured
@both_modes
def test_all_of_it_is_measured(train: bool) -> None:
    found = measure(job(net(), train=train, turns=2))
    assert found.whole_run is not None
    assert found.whole_run.runs >= 3
    assert found.machine.device == "cpu"
    assert found.rows is not None
    assert None not in found.rows.forward
    assert len(found.rows.forward) == 4
    assert len(found.rows.backward) == (4 if train else 0)
    assert found.rows.method.startswith("clocks around each function")
    assert (found.graph_replays, found.no_graph_reason) == (None, "a CUDA graph needs a GPU")
    assert found.peak is not None
    assert found.held is not None
    assert found.peak > 0
    assert (found.inputs, found.compile_seconds, found.interrupted) == (2, None, False)
    assert found.load is not None


def test_parts_are_those_of_the_runs_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one at each mark: start, the step's four, end."""

    class Counting:
        min_seconds, mark = 0.0, staticmethod(count().__next__)

        def synchronize(self) -> None: ...

        def seconds_between(self, first: int, second: int) -> float:
            return float(second - first)

    monkeypatch.setattr(CpuBackend, "clock", lambda self: Counting())
    found = measure(job(net(), train=True), rows=False)
    assert found.whole_run is not None
    assert set(found.whole_run.seconds) == {5.0}
    assert [name for name, _ in found.parts] == ["forward", "backward", "optimizer"]
    assert {samples.seconds for _, samples in found.parts} == {(1.0,) * found.whole_run.runs}


def test_without_an_optimizer_a_step_has_two_parts() -> None:
    found = measure(job(net().requires_grad_(False), train=True), rows=False)
    assert [name for name, _ in found.parts] == ["forward", "backward"]


def test_inference_has_no_parts() -> None:
    assert measure(job(net()), rows=False).parts == ()


def test_rows_are_timed_only_where_they_were_noted() -> None:
    assert measure(job(net()), rows=False).rows is None


def test_held_counts_what_the_optimizer_keeps() -> None:
    parameters = sum(parameter.nbytes for parameter in net().parameters())
    without, momentum = (measure(job(net(), train=True, optimizer=name)).held for name in ("sgd", "momentum"))
    assert without is not None
    assert momentum == without + parameters


def test_inputs_take_turns_in_every_case() -> None:
    met: list[int] = []

    class Meeting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            met.append(x.data_ptr())
            return x * 2

    work = job(Meeting(), turns=3)
    measure(work)
    assert set(met) == {args[0].data_ptr() for args, _ in work.calls}


# ------------------------------------------------------------ interrupted
def after(calls: int, error: BaseException) -> Callable[..., None]:
    left = count(1)

    def act(*_given: Any) -> None:
        if next(left) > calls:
            raise error

    return act


@both_modes
def test_an_interrupt_leaves_what_is_measured(train: bool) -> None:
    found = measure(job(net(), train=train), ask=after(1, KeyboardInterrupt()))
    assert found.interrupted
    assert found.whole_run is not None
    assert found.whole_run.runs == 2
    assert found.rows is not None
    assert (found.peak, found.held) == (None, None)


def test_an_interrupt_before_the_first_round_leaves_no_time() -> None:
    module = net()
    trace, tally = noted(module, (torch.rand(3, 4),))
    module[0].register_forward_hook(after(1, KeyboardInterrupt()))
    work = job(module)
    with prepared_workload(work, live=True):
        found = measure_workload(work, tally, len(trace.rows), seconds=SHORT, on_round=lambda _: None)
    assert (found.whole_run, found.rows, found.peak, found.interrupted) == (None, None, None, True)


@pytest.mark.parametrize("name", ["with_rows", "step_peak", "with_graph"])
def test_an_interrupt_after_the_rounds_leaves_their_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, name, lambda *_given, **_how: after(0, KeyboardInterrupt())())
    found = measure(job(net()))
    assert found.interrupted
    assert found.whole_run is not None
    assert (found.rows is None) is (name == "with_rows")
    assert (found.peak is None) is (name != "with_graph")


@pytest.mark.parametrize("calls", [0, 1, 2, 4])
def test_what_the_model_raises_goes_on(calls: int) -> None:
    module = net()
    trace, tally = noted(module, (torch.rand(3, 4),))
    module[0].register_forward_hook(after(calls, ValueError("of the model's own")))
    work = job(module)
    with prepared_workload(work, live=True), pytest.raises(StepError) as raised:
        measure_workload(work, tally, len(trace.rows), seconds=SHORT, on_round=lambda _: None)
    assert str(raised.value.__cause__) == "of the model's own"


# ------------------------------------------------------------ restored
@both_modes
@pytest.mark.parametrize("live", [False, True])
def test_inside_a_module_is_in_its_mode(train: bool, live: bool) -> None:
    module = net().train(not train)
    with prepared_workload(job(module, train=train), live=live):
        assert [part.training for part in module.modules()] == [train] * 5
        assert torch.is_grad_enabled() is train
    assert [part.training for part in module.modules()] == [not train] * 5


@pytest.mark.parametrize("live", [False, True])
def test_a_frozen_norm_stays_frozen(live: bool) -> None:
    module = net().train()
    module[1].eval()
    with prepared_workload(job(module, train=True), live=live):
        assert [part.training for part in module] == [True, False, True, True]
    assert [part.training for part in module] == [True, False, True, True]


def test_inside_nothing_has_a_gradient_and_afterwards_each_has_its_own() -> None:
    module = net()
    module(torch.rand(3, 4)).sum().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    values = [gradient.clone() for gradient in gradients if gradient is not None]
    work = job(module, train=True)
    with prepared_workload(work, live=True):
        assert [parameter.grad for parameter in module.parameters()] == [None] * 6
        work.step()
    assert all(now.grad is then for now, then in zip(module.parameters(), gradients, strict=True))
    assert all(torch.equal(now.grad, then) for now, then in zip(module.parameters(), values, strict=True))


def test_batch_statistics_are_restored() -> None:
    module = net().train()
    before = {name: value.clone() for name, value in module.named_buffers()}
    work = job(module, train=True)
    with prepared_workload(work, live=True):
        work.step()
        assert module[1].num_batches_tracked == 1
        assert not torch.equal(module[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in module.named_buffers())


def test_a_module_of_our_own_holds_no_gradients_afterwards() -> None:
    module = net()
    work = job(module, train=True)
    with prepared_workload(work, live=False):
        work.step()
    assert [parameter.grad for parameter in module.parameters()] == [None] * 6


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_everything_is_restored_after_an_exception(error: BaseException) -> None:
    module = net().train()
    module[1].eval()
    weight, threads, dtype = module[0].weight.detach().clone(), torch.get_num_threads(), torch.get_default_dtype()

    def change_settings() -> None:
        with prepared_workload(job(module), live=True):
            module[0].weight.data.zero_()
            module[0].extra = 1
            torch.set_num_threads(threads + 1)
            torch.set_default_dtype(torch.float64)
            raise error

    with pytest.raises(type(error)):
        change_settings()
    assert torch.equal(module[0].weight, weight)
    assert not hasattr(module[0], "extra")
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert [part.training for part in module] == [True, False, True, True]


@pytest.mark.parametrize(("free", "home"), [(10**6, None), (300, "cpu")])
def test_copies_of_a_large_model_do_not_lie_on_the_gpu(
    free: int, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = [torch.zeros(20), torch.zeros(5)]
    with pretending(monkeypatch, "cpu") as gpu:
        monkeypatch.setattr(gpu, "free", free)
        assert benchmark.backup_device(tensors, "cpu") == home
    assert benchmark.backup_device(tensors, "cpu") is None, "a processor has no other memory"


def test_values_on_another_device_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, view = torch.arange(6.0), torch.ones(2, 3)
    with preserved_tensors([tensor, view], aside="cpu"):
        tensor.mul_(3)
        view.t_().add_(1)
        monkeypatch.setattr(torch, "equal", refuse_two_devices)
    assert torch.Tensor.eq(tensor, torch.arange(6.0)).all()
    assert view.shape == (2, 3)
    assert view.eq(1).all()


def refuse_two_devices(*_given: Any) -> bool:
    return False
