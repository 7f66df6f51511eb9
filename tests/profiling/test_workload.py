"""A step of a workload: what it changes and what it does not, and the inputs that take turns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from archscope.errors import UsageError
from archscope.profiling.cuda_graph import make_capturable
from archscope.profiling.predicted_memory import OPTIMIZERS
from archscope.profiling.workload import (
    OPTIMIZER_MAKERS,
    StepError,
    Workload,
    calls_in_turn,
    compile_module,
    make_optimizer,
    time_first_call,
    to_channels_last,
)

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))


def call(*shape: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (torch.rand(*(shape or (2, 3, 5, 5))),), {}


def work(module: nn.Module, *calls: Any, optimizer: str = "", train: bool = True) -> Workload:
    chosen = make_optimizer(optimizer, module) if optimizer else None
    return Workload(module, module, calls or [call()], "cpu", train, chosen)


# ------------------------------------------------------------ a step
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_step_changes_no_parameter(optimizer: str) -> None:
    module = net()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    job = work(module, optimizer=optimizer)
    for turn in range(3):
        job.step(turn)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
    assert all(torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_does_its_whole_work(optimizer: str) -> None:
    """The same step with a learning rate does change all, so that it costs what a step costs."""
    module = net()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    job = work(module, optimizer=optimizer)
    assert job.optimizer is not None
    job.optimizer.param_groups[0]["lr"] = 0.1
    job.step()
    changed = [not torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True)]
    assert all(changed[:1] + changed[-2:])
    states = {"sgd": 0, "momentum": 1, "adam": 3, "adamw": 3}[optimizer]
    kept = [state for state in job.optimizer.state.values() if any(value is not None for value in state.values())]
    assert [len(state) for state in kept] == [states] * (len(before) if states else 0)


def test_a_training_step_marks_its_parts() -> None:
    module, calls = net(), list[tuple[bool, bool]]()
    job = work(module, optimizer="adam")
    assert job.optimizer is not None
    optimizer = job.optimizer

    def mark() -> None:
        calls.append((module[0].weight.grad is not None, bool(optimizer.state)))

    job.step(mark=mark)
    assert calls == [(False, False), (True, False)]
    assert optimizer.state


def test_gradients_do_not_add_up_from_step_to_step() -> None:
    module = nn.Linear(4, 1)
    job = work(module, ((torch.ones(1, 4),), {}))
    for _ in range(3):
        job.step()
        assert torch.equal(module.weight.grad, torch.ones(1, 4))


def test_inference_is_the_forward_pass_alone() -> None:
    module = net()
    calls: list[None] = []
    work(module, train=False).step(mark=lambda: calls.append(None))
    assert calls == []
    assert all(parameter.grad is None for parameter in module.parameters())


def test_what_nothing_derives_is_a_step_all_the_same() -> None:
    work(nn.ReLU(), optimizer="adamw").step()


def test_another_module_may_be_called_in_its_place() -> None:
    plain, other = nn.Identity(), nn.Tanh()
    job = Workload(other, plain, [call(2, 4)], "cpu")
    (x,), _ = job.calls[0]
    assert torch.equal(job.forward(), x.tanh())
    assert job.forward(module=plain) is x


def test_calls_take_turns() -> None:
    calls = [((torch.full((1,), float(index)),), {}) for index in range(3)]
    job = Workload(nn.Identity(), nn.Identity(), calls, "cpu")
    assert [job.forward(turn).item() for turn in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_names_go_along() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor, *, factor: float) -> torch.Tensor:
            return x * factor

    job = Workload(Named(), Named(), [((torch.ones(2),), {"factor": 3.0})], "cpu")
    assert job.forward().tolist() == [3.0, 3.0]


# ------------------------------------------------------------ optimizers
def test_what_an_optimizer_keeps_is_predicted_for_each() -> None:
    assert OPTIMIZERS.keys() == OPTIMIZER_MAKERS.keys()


def test_only_what_may_be_trained_is() -> None:
    module = net()
    module[0].requires_grad_(False)
    optimizer = make_optimizer("sgd", module)
    assert optimizer is not None
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert [id(one) for one in trained] == [id(one) for part in (module[1], module[4]) for one in part.parameters()]


@pytest.mark.parametrize("module", [nn.ReLU(), nn.Linear(2, 2).requires_grad_(False)])
def test_where_nothing_can_be_trained_there_is_no_optimizer(module: nn.Module) -> None:
    assert make_optimizer("adamw", module) is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_torchs_own_until_a_graph_is_to_hold_it(name: str) -> None:
    module = nn.Linear(2, 2)
    optimizer = make_optimizer(name, module)
    assert optimizer is not None
    assert optimizer.defaults == OPTIMIZER_MAKERS[name](nn.Linear(2, 2).parameters(), lr=0.0).defaults
    job = Workload(module, module, [((torch.ones(1, 2),), {})], "cpu", True, optimizer)
    job.step()
    make_capturable(job)
    assert [group.get("capturable") for group in optimizer.param_groups] == [True if name.startswith("adam") else None]


# ------------------------------------------------------------ inputs
@pytest.mark.law
@given(st.integers(1, 50), st.integers(1, 20_000), st.integers(1, 64))
def test_turns_fill_twice_the_cache(elements: int, cache: int, most: int) -> None:
    first = ((torch.zeros(elements),), {})
    found = calls_in_turn(first, cache, most=most)
    assert found[0] is first
    sizes = [args[0].numel() * 4 for args, _ in found]
    assert set(sizes) == {elements * 4}
    assert len(found) <= max(1, most)
    assert sum(sizes) >= 2 * cache or len(found) == most
    assert sum(sizes[:-1]) < 2 * cache


def test_each_turn_has_memory_of_its_own() -> None:
    x, deep = torch.rand(2, 3), torch.rand(4)
    first = ((x, [deep, (x, 3)]), {"mask": {"inner": torch.ones(5, dtype=torch.bool)}, "flag": True})
    found = calls_in_turn(first, 1000, most=8)
    assert len(found) == 8
    pointers = [
        pointer
        for args, kwargs in found
        for pointer in (args[0].data_ptr(), args[1][0].data_ptr(), kwargs["mask"]["inner"].data_ptr())
    ]
    assert len(set(pointers)) == len(pointers)
    for args, kwargs in found:
        assert torch.equal(args[0], x)
        assert torch.equal(args[1][0], deep)
        assert (args[1][1][1], kwargs["flag"]) == (3, True)
        assert type(args[1][1]) is tuple
        assert kwargs["mask"]["inner"].all()


def test_turns_are_laid_out_and_derived_alike() -> None:
    x = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = calls_in_turn(((x,), {}), 2000, most=4)
    assert len(found) == 4
    assert [args[0].stride() for args, _ in found] == [x.stride()] * 4
    assert [args[0].requires_grad for args, _ in found] == [True] * 4
    assert all(args[0].is_leaf for args, _ in found)


@pytest.mark.parametrize("cache", [None, 0])
def test_without_a_known_cache_there_is_one_turn(cache: int | None) -> None:
    first = call()
    assert calls_in_turn(first, cache) == [first]


def test_without_tensors_there_is_one_turn() -> None:
    assert len(calls_in_turn(((1, "a"), {"flag": True}), 1000)) == 1
    assert len(calls_in_turn(((torch.zeros(0),), {}), 1000)) == 1


def test_volumes_have_their_channels_last_too() -> None:
    module = nn.Sequential(nn.Conv3d(3, 4, 1), nn.Conv3d(4, 4, 1)).requires_grad_(True)
    volume, image = torch.rand(2, 3, 4, 4, 4), torch.rand(2, 3, 4, 4)
    moved, (args, _) = to_channels_last(module, ((volume, image), {}))
    assert moved is module
    assert args[0].is_contiguous(memory_format=torch.channels_last_3d)
    assert args[1].is_contiguous(memory_format=torch.channels_last)
    assert module[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert module[1].weight.requires_grad
    assert torch.equal(args[0], volume)


def test_images_have_their_channels_last_and_all_else_stays() -> None:
    module, image, vector = net(), torch.rand(2, 3, 5, 5), torch.rand(2, 3)
    before, weights = module(image), module[4].weight
    moved, (args, kwargs) = to_channels_last(module, ((image, vector), {"more": [image]}))
    last = torch.channels_last
    assert args[0].is_contiguous(memory_format=last)
    assert kwargs["more"][0].is_contiguous(memory_format=last)
    assert args[1] is vector
    assert torch.equal(args[0], image)
    assert moved[0].weight.is_contiguous(memory_format=last)
    assert moved[4].weight is weights
    assert torch.allclose(moved(args[0]), before, atol=1e-5)


# ------------------------------------------------------------ what is held
def test_held_is_the_sum_of_all_that_is_there() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    given = call(2, 4)
    parameters, buffers, inputs = 4 * (32 + 8 + 8 + 8), 4 * (8 + 8) + 8, 4 * 8
    assert work(module, given, train=False).held_bytes == parameters + buffers + inputs
    job = work(module, given, given, optimizer="momentum")
    assert job.held_bytes == parameters + buffers + inputs
    job.step()
    assert job.held_bytes == 2 * parameters + buffers + inputs


def test_shared_memory_is_held_once() -> None:
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    x = torch.rand(8, 4)
    assert work(tied, ((x,), {}), train=False).held_bytes == 4 * 16 + 4 * 32
    assert work(tied, ((x, x), {"view": x[:2], "again": [x.t()]}), train=False).held_bytes == 4 * 16 + 4 * 32
    assert work(tied, ((x[:1],), {}), train=False).held_bytes == 4 * 16 + 4 * 32
    assert work(tied, ((tied[0].weight,), {}), train=False).held_bytes == 4 * 16


# ------------------------------------------------------------ torch.compile
def test_a_python_that_cannot_compile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_module: nn.Module) -> None:
        raise RuntimeError("torch.compile is not supported on Python 3.99\nand more")

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.raises(UsageError, match=r"not supported on Python 3\.99") as raised:
        compile_module(net())
    assert "leave compile=True out" in str(raised.value)
    assert "and more" not in str(raised.value)


class Raising(nn.Module):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


def test_what_the_compiler_cannot_do_is_said_in_a_line() -> None:
    error = torch._dynamo.exc.BackendCompilerFailed("inductor", RuntimeError("no compiler"), None)
    with pytest.raises(UsageError, match=r"torch\.compile: "):
        time_first_call(work(Raising(error), call(2, 2), train=False))


def test_what_the_model_raises_goes_on() -> None:
    with pytest.raises(StepError):
        time_first_call(work(Raising(ValueError("of the model's own")), call(2, 2), train=False))


def test_the_first_call_is_timed() -> None:
    module = net()
    assert time_first_call(work(module)) > 0
    assert module[0].weight.grad is not None


class Once(nn.Module):
    """Raises when it is called again."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight, self.error, self.calls = nn.Parameter(torch.ones(2)), error, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 1:
            raise self.error
        return x * self.weight


def test_an_error_of_a_step_is_distinguished_from_ours() -> None:
    error = ValueError("no")
    module = Once(error)
    job = Workload(module, module, [((torch.ones(2),), {})], "cpu")
    job.forward()
    with pytest.raises(StepError) as raised:
        job.step()
    assert raised.value.__cause__ is error


def test_one_tensor_in_two_places_is_one_in_every_turn() -> None:
    x, y = torch.ones(2), torch.ones(2)
    for args, kwargs in calls_in_turn(((x, [x, y]), {"z": x}), 100, most=4):
        assert args[0] is args[1][0] is kwargs["z"]
        assert args[1][1] is not args[0]


def test_a_tensor_in_an_object_takes_no_turns() -> None:
    class Batch:
        def __init__(self) -> None:
            self.x = torch.ones(2)

    assert len(calls_in_turn(((Batch(),), {}), 1 << 20)) == 1
    assert len(calls_in_turn(((torch.ones(2), Batch()), {}), 1 << 20)) == 1
    assert len(calls_in_turn(((torch.ones(2),), {}), 1 << 20)) == 64
