"""An analysis leaves nothing behind, whatever the model does and however it ends; and keeps nothing alive."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.hooks import RemovableHandle

import archscope
from archscope.errors import ForwardError
from archscope.record.state.objects import remove_new_hooks
from archscope.record.state.process import preserved_state
from archscope.report import Report
from tests.record.side_effects import SIDE_EFFECTS, Scripted, SideEffect, SideEffectModel, object_state, process_state

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]

ENDS: dict[str, Callable[[], BaseException | None]] = {
    "returns": lambda: None,
    "fails": lambda: ValueError("no"),
    "is interrupted": KeyboardInterrupt,
    "exits": lambda: SystemExit(3),
}


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in before | after if before.get(name, before) != after.get(name, after)]


def analysed(model: nn.Module, *args: Any, **options: Any) -> None:
    with suppress(ForwardError, KeyboardInterrupt, SystemExit):
        archscope.summarize(model, args=args, **options)


@pytest.mark.law(keep=2 * len(SIDE_EFFECTS))
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_nothing_is_left_behind(name: str, end: str, train: bool) -> None:
    model, x = SideEffectModel(SIDE_EFFECTS[name], ENDS[end]()), torch.ones(3, 4)
    model.fc.bias.grad = torch.full((4,), 2.0)
    model.norm.eval()
    before, around = object_state(model, x), process_state()
    analysed(model, x, train=train)
    assert changes(around, process_state()) == []
    assert changes(before, object_state(model, x)) == []


def test_other_threads_neither_see_an_analysis_nor_are_seen() -> None:
    model, x = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(50)]), torch.ones(3, 4)
    other, over, passes = SideEffectModel(SIDE_EFFECTS["counts"]).eval(), threading.Event(), [0]

    def work() -> None:
        while not over.is_set():
            other(x)
            passes[0] += 1

    before, counted, thread = process_state(), SideEffectModel.passes, threading.Thread(target=work)
    thread.start()
    try:
        traces = [archscope.summarize(model, args=(x,)).trace for _ in range(5)]
    finally:
        over.set()
        thread.join()
    assert {(len(trace.calls), len(trace.rows)) for trace in traces} == {(151, 100)}
    assert (other.count, SideEffectModel.passes) == (passes[0], counted + passes[0])
    SideEffectModel.passes = counted
    assert changes(before, process_state()) == []


def test_analyses_of_several_threads_wait_for_each_other() -> None:
    model, x = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(50)]), torch.ones(3, 4)
    before, call = process_state(), nn.Module.__call__
    with ThreadPoolExecutor(2) as pool:
        traces = list(pool.map(lambda _: archscope.summarize(model, args=(x,)).trace, range(8)))
    assert {(len(trace.calls), len(trace.rows)) for trace in traces} == {(151, 100)}
    assert nn.Module.__call__ is call
    assert changes(before, process_state()) == []


@pytest.mark.law(keep=len(SIDE_EFFECTS))
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_nothing_is_left_behind_where_lazy_layers_are_made(name: str, end: str) -> None:
    model, x = SideEffectModel(SIDE_EFFECTS[name], ENDS[end]()), torch.ones(3, 4)
    before, around = object_state(model, x), process_state()
    analysed(nn.Sequential(model, nn.LazyLinear(2)), x)
    assert changes(around, process_state()) == []
    assert changes(before, object_state(model, x)) == []


@contextmanager
def cleaned() -> Iterator[None]:
    """Protects the tests that follow, by what is under test."""
    first = RemovableHandle.next_id
    with preserved_state(grad=True):
        yield
    remove_new_hooks([], first)


@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_the_compared_state_shows_every_side_effect(name: str) -> None:
    model, x = SideEffectModel(), torch.ones(3, 4)
    before, around = object_state(model, x), process_state()
    with cleaned():
        SIDE_EFFECTS[name](model, x)
        assert changes(before, object_state(model, x)) + changes(around, process_state())


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_scripted_modules_forget_what_they_counted(train: bool) -> None:
    model = torch.jit.script(Scripted())
    mean = model.norm.running_mean.clone()
    archscope.summarize(nn.Sequential(model), args=(torch.rand(3, 4),), train=train)
    assert (model.count, model.kept, model.training) == (0, [], True)
    assert torch.equal(model.norm.running_mean, mean)


def test_modules_that_a_closure_holds_stay_as_they_are() -> None:
    hidden = SideEffectModel(SIDE_EFFECTS["counts"])
    norm = nn.BatchNorm1d(4)

    class Around(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return norm(hidden(x))

    before = object_state(hidden, norm)
    archscope.summarize(Around(), args=(torch.rand(3, 4),), train=True)
    assert changes(before, object_state(hidden, norm)) == []


def test_arguments_stay_as_they_are() -> None:
    class PopsItems(nn.Module):
        def forward(self, batch: dict[str, Any], cache: list[torch.Tensor]) -> torch.Tensor:
            x = batch.pop("x")
            cache.append(x.add_(1))
            return x

    batch, cache = {"x": torch.zeros(3), "y": [1]}, [torch.zeros(2)]
    before = object_state(batch, cache)
    report = archscope.summarize(PopsItems(), args=(batch, cache))
    assert [row.op for row in report.trace.rows] == ["add_"]
    assert changes(before, object_state(batch, cache)) == []


# ------------------------------------------------------------ what is pending
def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class Writes(nn.Module):
    """Writes into a table, a buffer and a weight before it uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc = nn.Embedding(6, 4, max_norm=0.5), nn.Linear(4, 2)
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.fc.weight.clamp_(-1, 1)
            self.scale.add_(1)
        return self.fc((self.table(x.argmax(-1)) + x).tanh() * self.scale)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("make", [normed, Writes])
def test_a_pending_backward_gives_the_same_gradients(make: Callable[[], nn.Module], train: bool) -> None:
    x = torch.rand(3, 4)
    plain = gradients(make, x, lambda _: None)
    assert gradients(make, x, lambda model: archscope.summarize(model, args=(x,), train=train)) == plain


def gradients(make: Callable[[], nn.Module], x: torch.Tensor, between: Callable[[nn.Module], object]) -> list[Any]:
    """The gradients of a training step that something comes in between."""
    torch.manual_seed(0)
    model = make()
    loss = model(x).square().sum()
    between(model)
    loss.backward()
    return [parameter.grad.tolist() for parameter in model.parameters() if parameter.grad is not None]


def test_weights_that_autocast_has_cast_keep_their_gradients() -> None:
    model, x = nn.Linear(4, 2), torch.rand(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        archscope.summarize(model, args=(x,))
        model(x).sum().backward()
    assert model.weight.grad is not None


@pytest.mark.parametrize("end", ["returns", "fails"])
def test_an_inference_analysis_within_a_default_device(end: str) -> None:
    model = SideEffectModel(SIDE_EFFECTS["enters modes"], ENDS[end]())
    torch.set_default_device("cpu")
    try:
        around = process_state()
        analysed(model, torch.ones(3, 4))
        assert changes(around, process_state()) == []
    finally:
        torch.set_default_device(None)


# ------------------------------------------------------------ backward
class RaisesInBackward(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 1

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not this way")


class Fails(nn.Module):
    """Cannot be derived."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.fc(RaisesInBackward.apply(self.fc(x))))


@pytest.mark.parametrize("held", [False, True])
def test_nothing_is_left_where_the_backward_pass_fails(held: bool) -> None:
    model, x = Fails(), torch.rand(3, 4)
    if held:
        model.fc.bias.grad = torch.full((4,), 2.0)
    before, around = object_state(model, x), process_state()
    with pytest.raises(ForwardError, match="not this way"):
        archscope.summarize(model, args=(x,), train=True)
    assert changes(before, object_state(model, x)) == []
    assert changes(around, process_state()) == []


# ------------------------------------------------------------ what is kept alive
def made(side_effect: SideEffect | None = None, end: BaseException | None = None) -> tuple[nn.Module, torch.Tensor]:
    return SideEffectModel(side_effect, end), torch.ones(3, 4)


def analysed_and_dropped(train: bool, end: str) -> tuple[list[weakref.ref[Any]], Report]:
    model, x = made(SIDE_EFFECTS["collects"], ENDS[end]())
    watched: list[weakref.ref[Any]] = [weakref.ref(thing) for thing in (x, *model.modules(), *model.parameters())]
    try:
        report = archscope.summarize(model, args=(x,), train=train)
    except ForwardError as error:
        report = error.report
    return watched, report


@pytest.mark.law(keep=2)
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("end", ["returns", "fails"])
def test_a_dropped_model_is_gone_and_its_report_holds_no_tensor(train: bool, end: str) -> None:
    watched, report = analysed_and_dropped(train, end)
    gc.collect()
    assert [watch() for watch in watched if watch() is not None] == []
    assert report.trace.rows
    assert [
        thing for thing in reached(report) if isinstance(thing, (torch.Tensor, nn.Module, torch.nn.Parameter))
    ] == []


def reached(root: object) -> Iterator[object]:
    """All that an object holds, without the code that it is made of."""
    visited, pending = {id(root)}, [root]
    while pending:
        thing = pending.pop()
        yield thing
        for inner in gc.get_referents(thing):
            if id(inner) not in visited and not isinstance(inner, type) and not callable(inner):
                visited.add(id(inner))
                pending.append(inner)


def test_a_plain_model_is_gone_without_the_cycle_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        watched = [weakref.ref(part) for part in model.modules()]
        archscope.summarize(model, args=(torch.ones(3, 4),))
        del model
        assert [watch() for watch in watched if watch() is not None] == []
    finally:
        gc.enable()


def test_memory_does_not_grow() -> None:
    """Of two stretches the one that grows less: a leak grows in both, an interpreter that warms up in one."""
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), torch.ones(2, 3, 8, 8)

    def rounds(count: int) -> int:
        for _ in range(count):
            archscope.summarize(model, args=(x,), train=True)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        settled = rounds(5)
        once = rounds(50)
        assert min(once - settled, rounds(50) - once) < 50_000
    finally:
        tracemalloc.stop()


def test_a_model_that_analyses_a_part_of_itself() -> None:
    class Reflects(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(archscope.summarize(self.fc, args=(x.detach(),)).total.macs)
            return F.relu(self.fc(x))

    seen: list[int | None] = []
    model, around = Reflects(), process_state()
    archscope.summarize(model, args=(torch.ones(3, 4),))
    assert (seen, changes(around, process_state())) == ([48], [])
