"""State is restored: every tensor, object and table that a run reaches, whatever its forward does to them."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope
from archscope.record.state import tensors
from archscope.record.state.restore_steps import NotGivenBack, run_steps
from archscope.record.state.tensors import TensorBackup
from tests.record.snapshots import RUN_MODES, changed_by_analysis, changes, settled_snapshot
from tests.record.test_model_cases import TABLE

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]


class Holder(nn.Module):
    """Layers, a buffer that is a view, a plain tensor, hooks and a gradient. side_effect: runs before the sum."""

    def __init__(self, side_effect: Callable[[Holder, Tensor, Tensor], object]):
        super().__init__()
        self.fc, self.norm, self.act = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
        self.scale, self.frozen = nn.Parameter(torch.rand(4, 4)), nn.Parameter(torch.rand(3))
        self.frozen.grad = torch.ones(3)
        self.whole, self.plain = torch.zeros(4, 4), torch.rand(4, 4)
        self.register_buffer("part", self.whole[:2])
        self.register_buffer("row", torch.rand(4))
        self.register_buffer("kept", torch.zeros(2, 4))
        self.quantizer = torch.ao.quantization.FakeQuantize()
        self.optimizer = torch.optim.Adam([self.fc.weight])
        self.fc.register_forward_hook(nothing)
        self.scale.register_hook(nothing)
        self._side_effect = side_effect

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.fc(x * 1))
        self._side_effect(self, x, y)
        return y.sum()


def nothing(*_given: Any) -> None:
    return None


SideEffect = Callable[[Holder, Tensor, Tensor], object]


def trains(m: Holder, x: Tensor, y: Tensor) -> None:
    with torch.enable_grad():
        m.fc(x.detach()).sum().backward()
    m.optimizer.step()


def writes_memory(m: Holder, x: Tensor, y: Tensor) -> None:
    m.row.untyped_storage().fill_(0)
    m.plain.detach().numpy()[:] = 3
    m.kept.untyped_storage().resize_(0)


def writes_tables(m: Holder, x: Tensor, y: Tensor) -> None:
    m.norm._buffers["running_mean"] = torch.ones(4)
    m.norm._parameters["weight"] = nn.Parameter(torch.ones(4))
    m.act._modules["0"] = nn.GELU()
    m.fc.__dict__["in_features"] = 9
    m.norm._non_persistent_buffers_set.add("running_mean")
    m.fc._forward_hooks.clear()


def enters_and_stays(m: Holder, x: Tensor, y: Tensor) -> None:
    torch.autograd.graph.save_on_cpu().__enter__()
    torch.autograd.forward_ad.enter_dual_level()
    torch.set_warn_always(True)
    torch.backends.opt_einsum.enabled = False


SIDE_EFFECTS: dict[str, SideEffect] = {
    "a buffer gets a gradient": lambda m, x, y: m.kept.copy_(y),
    "a part of a buffer does": lambda m, x, y: m.kept[:, 0].copy_(y[:, 0]),
    "a view of a tensor does": lambda m, x, y: m.part.copy_(y),
    "what a view looks into does": lambda m, x, y: m.whole[:2].copy_(y),
    "an argument does": lambda m, x, y: x[:, :2].copy_(y[:, :2].detach() * m.frozen[0]),
    "initialises": lambda m, x, y: (nn.init.normal_(m.scale), nn.init.zeros_(m.row), nn.init.orthogonal_(m.plain)),
    "in place by name": lambda m, x, y: (torch.sigmoid_(input=m.row), F.relu_(input=m.plain)),
    "operators by name": lambda m, x, y: torch.ops.aten.copy_(self=m.row, src=torch.zeros(4)),
    "by flag": lambda m, x, y: (F.threshold(m.row, 0.9, 5.0, True), F.dropout(input=m.plain, p=0.5, inplace=True)),
    "many by name": lambda m, x, y: torch._foreach_add_(self=[m.row, m.plain], scalar=1.0),
    "observes": lambda m, x, y: m.quantizer(y.detach()),
    "turns": lambda m, x, y: (m.plain.t_(), m.row.unsqueeze_(0), m.kept.transpose_(0, 1)),
    "sets": lambda m, x, y: (m.row.set_(torch.ones(7)), m.plain.set_()),
    "exchanges": lambda m, x, y: torch._C._swap_tensor_impl(m.row, torch.ones(3)),
    "resizes": lambda m, x, y: (m.row.resize_(0), m.plain.resize_(0)),
    "to double": lambda m, x, y: m.act.double(),
    "to meta": lambda m, x, y: m.act.to("meta"),
    "to half": lambda m, x, y: (m.act.half(), m.quantizer.half()),
    "sets gradients": lambda m, x, y: (setattr(m.scale, "grad", torch.ones(4, 4)), setattr(m.frozen, "grad", None)),
    "writes gradients": lambda m, x, y: m.frozen.grad.mul_(2),
    "clears gradients": lambda m, x, y: m.zero_grad(),
    "clears hooks": lambda m, x, y: m.scale._backward_hooks.clear(),
    "names attributes": lambda m, x, y: (setattr(m.scale, "mark", 1), setattr(x, "mark", 2)),
    **{
        side_effect.__name__.replace("_", " "): side_effect
        for side_effect in (trains, writes_memory, writes_tables, enters_and_stays)
    },
}


def process() -> tuple[object, ...]:
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    level = torch.autograd.forward_ad._current_level
    return hooks, level, torch.is_warn_always_enabled(), torch.backends.opt_einsum.enabled


@pytest.mark.law(keep=len(SIDE_EFFECTS))
@pytest.mark.parametrize("name", SIDE_EFFECTS)
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_everything_is_restored(name: str, train: bool, recwarn: pytest.WarningsRecorder) -> None:
    model, x = Holder(SIDE_EFFECTS[name]), torch.rand(2, 4)
    before, around = settled_snapshot(model, x), process()
    archscope.summarize(model, args=(x,), train=train)
    assert changes(before, settled_snapshot(model, x)) == []
    assert process() == around
    assert not [warning for warning in recwarn if warning.category is NotGivenBack]


CACHED = {"linear of nested rows"}
"""Torch notes in such a tensor what it has compiled for."""


@pytest.mark.law(keep=8)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in TABLE if name not in CACHED])
@pytest.mark.parametrize("mode", RUN_MODES)
def test_every_model_is_restored(name: str, mode: str) -> None:
    model, args = TABLE[name].make()
    assert changed_by_analysis(model, args, {}, mode) == []


@pytest.mark.law(keep=2)
@pytest.mark.parametrize("mode", RUN_MODES)
@pytest.mark.parametrize("variant", ["resnet.yaml:resnet18", "mobilenet_v2.yaml", "lstm_classifier.yaml", "vit.yaml"])
def test_every_built_spec_is_restored(variant: str, mode: str) -> None:
    model = archscope.build(f"specs/{variant}")
    shapes = [value.shape for _, value in archscope.summarize(f"specs/{variant}", device="meta").trace.inputs]
    drawn = [torch.zeros(shape, dtype=torch.int64 if len(shape) < 3 else torch.float32) for shape in shapes]
    assert changed_by_analysis(model, tuple(drawn), {}, mode) == []


@pytest.mark.parametrize("name", SIDE_EFFECTS)
def test_snapshots_show_every_side_effect(name: str) -> None:
    if name == "enters and stays":
        pytest.skip("nothing of the model's changes")
    model, x = Holder(SIDE_EFFECTS[name]), torch.rand(2, 4)
    before = settled_snapshot(model, x)
    with torch.set_grad_enabled(name not in ("initialises", "in place by name")):
        model(x)
    assert changes(before, settled_snapshot(model, x))


class Cache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("kept", torch.zeros(2, 4))

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        self.kept.copy_(self.fc(x))
        out[:, 0] = self.kept[:, 0]
        return out.sum()


def test_values_written_with_gradients_cost_what_they_do() -> None:
    model, x, out = Cache(), torch.rand(2, 4), torch.zeros(2, 4)
    before = settled_snapshot(model, x, out)
    for _ in range(2):
        report = archscope.summarize(model, args=(x, out), train=True)
        assert (report.total.macs, report.backward_total.macs) == (32, 32)
        del report
        assert changes(before, settled_snapshot(model, x, out)) == []


# ------------------------------------------------------------ graphs from before
class Held(nn.Module):
    """Holds a value with its graph. derives: its forward has a backward pass of its own through that graph."""

    def __init__(self, derives: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 4))
        self.value = torch.tanh(self.weight @ self.weight)
        self.derives = derives

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.value
        if self.derives:
            torch.autograd.grad(y.sum(), self.weight)
            y = x @ self.value
        return y


def test_a_graph_that_the_model_held_is_neither_used_up_nor_counted() -> None:
    model, x = Held(), torch.rand(2, 4)
    before = settled_snapshot(model, x)
    for _ in range(2):
        report = archscope.summarize(model, args=(x,), train=True)
        assert (report.total.macs, report.backward_total.macs) == (32, 32)
        del report
    assert changes(before, settled_snapshot(model, x)) == []
    model.value.sum().backward()
    assert model.weight.grad is not None


def test_a_graph_that_the_model_derives_itself_is_not_used_up() -> None:
    model = Held(derives=True)
    for _ in range(2):
        archscope.summarize(model, args=(torch.rand(2, 4),), train=True)
    model.value.sum().backward()


def test_values_written_over_a_graph_get_it_back() -> None:
    class Writes(Held):
        def forward(self, x: Tensor) -> Tensor:
            self.value.mul_(x.sum())
            return x @ self.value

    model, x = Writes(), torch.rand(2, 4)
    before = settled_snapshot(model, x)
    archscope.summarize(model, args=(x,), train=True)
    assert changes(before, settled_snapshot(model, x)) == []
    model.value.sum().backward()


def test_a_view_that_is_met_after_its_base_was_written_keeps_no_later_count() -> None:
    class Hidden:
        """A place that is not searched for tensors before the run."""

        def __init__(self, view: Tensor):
            self.give = lambda: view

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 4))
            self.hidden = Hidden(self.weight.detach().t())

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.weight.clamp_(-1, 1)
            return x @ self.hidden.give()

    model, x = Views(), torch.rand(2, 4)
    loss = (x @ model.weight).square().sum()
    written = model.weight._version
    for train in (False, True):
        archscope.summarize(model, args=(x,), train=train)
        assert (model.weight._version, model.hidden.give()._version) == (written, written)
    loss.backward()


# ------------------------------------------------------------ objects
class Graph:
    """Gives what stands in its table as its attributes."""

    def __init__(self, **values: Any):
        self.__dict__["store"] = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["store"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.store[name] = value


class Slots:
    __slots__ = ("x",)

    def __init__(self, x: Tensor):
        self.x = x


class Mapped(dict):  # type: ignore[type-arg]
    """Its keys are its attributes, and it refuses what a dict offers."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__

    def clear(self) -> None:
        raise TypeError

    def update(self, *given: Any, **named: Any) -> None:
        raise TypeError


class Sequenced(list):  # type: ignore[type-arg]
    def clear(self) -> None:
        raise TypeError


MADE = types.new_class("Made", (Graph,), exec_body=lambda names: names.update(__module__="abc"))
DATACLASS = dataclasses.make_dataclass("Dataclass", [("x", Tensor)])
SLOTTED = dataclasses.make_dataclass("Slotted", [("x", Tensor)], slots=True)

OBJECTS: dict[str, Callable[[Tensor], Any]] = {
    "attributes from a table": lambda x: Graph(x=x),
    "a class made meanwhile": lambda x: MADE(x=x),
    "Namespace": lambda x: argparse.Namespace(x=x),
    "SimpleNamespace": lambda x: types.SimpleNamespace(x=x),
    "slots": Slots,
    "make_dataclass": DATACLASS,
    "a dataclass with slots": SLOTTED,
    "UserDict": lambda x: collections.UserDict(x=x),
    "UserList": lambda x: collections.UserList([x]),
    "ChainMap": lambda x: collections.ChainMap({}, {"x": x}),
    "a mapping of its own": lambda x: Mapped(x=x),
    "a list of its own": lambda x: Sequenced([x]),
    "a queue": lambda x: collections.deque([x], maxlen=1),
}


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, batch: Any) -> Tensor:
        if isinstance(batch, (collections.UserDict, collections.ChainMap)):
            batch["x"] = self.fc(batch["x"])
            return batch["x"]
        if isinstance(batch, (list, collections.UserList, collections.deque)):
            batch[0] = self.fc(batch[0])
            return batch[0]
        batch.x = self.fc(batch.x)
        return batch.x


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_restored_and_their_tensors_named(name: str, train: bool) -> None:
    model, batch = Reads(), OBJECTS[name](torch.rand(3, 4))
    before = settled_snapshot(model, batch)
    report = archscope.summarize(model, kwargs={"batch": batch}, train=train)
    assert report.total.macs == 60
    assert [operand.source for operand in report.trace.inputs] in (["batch.x"], ["batch.0"])
    del report
    assert changes(before, settled_snapshot(model, batch)) == []


# ------------------------------------------------------------ what cannot be restored
def test_every_step_runs_and_failures_are_reported() -> None:
    done: list[int] = []

    def step(number: int) -> None:
        if number == 1:
            raise TypeError("not this one")
        done.append(number)

    with pytest.warns(NotGivenBack, match="int: not this one"):
        run_steps((step, (number,)) for number in range(3))
    assert done == [0, 2]


def test_a_container_that_refuses_does_not_keep_others_from_being_restored() -> None:

    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.array, self.last = [1], memory, [2]

        def forward(self, x: Tensor) -> Tensor:
            self.first.append(3)
            self.last.append(4)
            self.array.append(5)
            exports.append(memoryview(self.array))
            return x

    memory, exports = bytearray(b"a"), []
    model = Breaks()
    with pytest.warns(NotGivenBack, match="bytearray"):
        archscope.summarize(model, args=(torch.rand(2),))
    assert (model.first, model.last) == ([1], [2])


def test_a_write_that_no_function_shows_is_reported() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            with torch._C.DisableTorchFunction():
                self.seen.add_(1)
            return x + 1

    with pytest.warns(NotGivenBack, match=r"Tensor of .*4.* no function shows"):
        archscope.summarize(Hidden(), args=(torch.rand(2),))


def test_a_step_of_training_copies_nothing_that_the_model_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Tensor] = []
    real = tensors.save_tensor
    monkeypatch.setattr(tensors, "save_tensor", lambda held, **how: copied.append(held) or real(held, **how))
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
    archscope.summarize(model, input=(2, 3, 4), train=True, backward=True)
    assert not copied
    norm = nn.BatchNorm1d(3)
    archscope.summarize(nn.Sequential(model, norm), input=(2, 3, 4), train=True, backward=True)
    ours = {id(held) for held in (*norm.parameters(), *norm.buffers())}
    assert {id(norm.running_mean), id(norm.running_var)} <= {id(held) for held in copied} <= ours


def test_originals_keep_nothing_alive() -> None:
    tensor = torch.rand(3)
    originals = TensorBackup([tensor])
    del tensor
    assert [mark.tensor() for mark in originals._states.values()] == [None]
