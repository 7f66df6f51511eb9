"""A run leaves nothing changed, and finds operands that do not fit and the place where it failed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archscope.record import Recorder, Recording, record
from archscope.trace import Location
from tests.record.runs import recorded, total, traced

pytestmark = pytest.mark.moves_rng


class Net(nn.Module):
    """Batch statistics, dropout, a frozen part, a cache that each pass writes, and a choice of what goes wrong."""

    def __init__(self, fault: Callable[[torch.Tensor], torch.Tensor] | None = None):
        super().__init__()
        self.conv, self.norm, self.frozen = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.register_buffer("passes", torch.zeros(3))
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += x.sum()
        torch.set_grad_enabled(True)
        x = F.dropout(self.frozen(self.norm(self.conv(x))), 0.5, self.training)
        random.random()
        return self.fault(x) if self.fault else x


def broken(x: torch.Tensor) -> torch.Tensor:
    return x @ x.new_zeros(5, 5)


def stopped(x: torch.Tensor) -> torch.Tensor:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [None, broken, stopped])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_nothing_is_left_behind(mode: str, fault: Any) -> None:
    net = Net(fault).train(mode == "eval")
    net.frozen.eval()
    flags = [module.training for module in net.modules()]
    held = {name: value.clone() for name, value in net.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    try:
        recorded(net, torch.ones(2, 3, 8, 8), train=mode == "train")
    except KeyboardInterrupt:
        assert fault is stopped
    assert [module.training for module in net.modules()] == flags
    assert all(torch.equal(value, held[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), torch.is_grad_enabled()) == states[1:]
    assert all(value.grad_fn is None for value in net.parameters())


def test_a_model_in_the_wanted_mode_keeps_its_frozen_parts() -> None:
    net = Net().train()
    net.frozen.eval()
    seen: list[bool] = []
    net.frozen.register_forward_hook(lambda module, args, output: seen.append(module.training))
    traced(net, torch.ones(2, 3, 8, 8), train=True)
    assert seen == [False]


def test_a_replay_draws_no_random_numbers() -> None:
    class Drawing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.dropout(torch.tensordot(x, x, 1), 0.5, True) + torch.linalg.inv(torch.rand(2, 2))

    torch.manual_seed(0)
    plain = Drawing()(torch.ones(2, 2))
    torch.manual_seed(0)
    assert torch.equal(recorded(Drawing(), torch.ones(2, 2)).outputs, plain)


def step(recorder: Recorder, path: str, run: Callable[[], Any], *, strict: bool = False) -> Any:
    recorder.enter(Location(path, "add", "step", strict=strict))
    out = run()
    recorder.leave()
    return out


def stepped(
    run: Callable[[Recorder, torch.Tensor, torch.Tensor], Any], *shapes: tuple[int, ...], **options: Any
) -> Recording:
    """A run of steps over two inputs a and b, as a compiled spec drives it."""
    a, b = (torch.ones(shape) for shape in shapes)
    given = {"target": "test", "device": "cpu", "dtype": "float32", "mode": "eval", "parameters": ()}
    return record(lambda recorder: run(recorder, a, b), inputs={"a": a, "b": b}, **given, **options)


MISMATCHES = [
    ((2, 64, 8, 8), (2, 32, 4, 4), False, (1, 2, 3)),
    ((2, 64, 8, 8), (2, 64, 8, 7), False, (3,)),
    ((3, 4), (2, 5, 4), False, (1,)),
    ((2, 4), (2, 1), True, (1,)),
    ((2, 4), (4,), True, (0,)),
    ((4,), (2, 4), True, (0,)),
]


@pytest.mark.parametrize(("first", "second", "strict", "axes"), MISMATCHES)
def test_operands_that_do_not_fit_are_noted_and_the_first_goes_on(
    first: Any, second: Any, strict: bool, axes: Any
) -> None:
    def run(recorder: Recorder, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        out = step(recorder, "add", lambda: a + b, strict=strict)
        return step(recorder, "relu", lambda: F.relu(out))

    recording = stepped(run, first, second)
    (mismatch,) = recording.trace.mismatches
    assert recording.error is None
    assert (mismatch.site.path, mismatch.operation, mismatch.axes, mismatch.row) == ("add", "add", axes, 0)
    assert [(operand.source, operand.value.shape) for operand in mismatch.operands] == [("a", first), ("b", second)]
    add, relu = recording.trace.rows
    assert [operand.source for operand in add.inputs] == ["a", "b"]
    assert add.outputs[0].shape == first
    assert add.outputs[0].id not in {operand.value.id for operand in add.inputs}
    assert relu.inputs[0].value == add.outputs[0]


@pytest.mark.parametrize(
    "join",
    [
        lambda a, b: torch.add(a, b),
        lambda a, b: torch.add(a, other=b, alpha=2),
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a.clone().add_(b),
        lambda a, b: a.clone().__iadd__(b),
    ],
)
def test_every_spelling_of_an_addition(join: Callable[..., torch.Tensor]) -> None:
    recording = stepped(lambda recorder, a, b: step(recorder, "0", lambda: join(a, b)), (2, 3), (2, 4))
    assert [mismatch.axes for mismatch in recording.trace.mismatches] == [(1,)]
    assert recording.trace.outputs[0].value.shape == (2, 3)


def test_the_run_goes_on_after_every_mismatch() -> None:
    recording = stepped(lambda recorder, a, b: ((a + b) * 2, a - b, a + a), (2, 3), (2, 4))
    assert [mismatch.row for mismatch in recording.trace.mismatches] == [0, 2]
    assert [row.op for row in recording.trace.rows] == ["add", "mul", "sub", "add"]


UNFIT: list[tuple[str, Callable[..., Any], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
    ("concat", lambda a, b: torch.cat([a, b], 1), (2, 3, 8, 8), (2, 5, 8, 7), (2, 8, 8, 8)),
    ("concat", lambda a, b: torch.cat((a, b), dim=-1), (2, 3), (3, 4), (2, 7)),
    ("concat", lambda a, b: torch.stack([a, b]), (2, 3), (2, 4), (2, 2, 3)),
    ("product", lambda a, b: a @ b, (2, 3, 4), (2, 5, 6), (2, 3, 6)),
    ("product", lambda a, b: torch.mm(a, b), (3, 4), (5, 6), (3, 6)),
    ("attention", lambda a, b: F.scaled_dot_product_attention(a, b, b), (1, 2, 5, 8), (1, 2, 5, 4), (1, 2, 5, 4)),
    ("layer", lambda a, b: F.linear(a, b), (2, 3), (5, 4), (2, 5)),
    ("layer", lambda a, b: F.conv2d(a, b, stride=2, padding=1), (2, 3, 8, 8), (6, 4, 3, 3), (2, 6, 4, 4)),
    ("layer", lambda a, b: F.conv_transpose2d(a, b, stride=2), (2, 3, 8, 8), (4, 6, 2, 2), (2, 6, 16, 16)),
    ("layer", lambda a, b: F.layer_norm(a, (4,), b), (2, 3), (4,), (2, 3)),
    ("layer", lambda a, b: F.batch_norm(a, b, b), (2, 3, 4, 4), (5,), (2, 3, 4, 4)),
    ("view", lambda a, b: a.view(-1, 5), (2, 3), (1,), (2, 5)),
    ("view", lambda a, b: a.reshape(4, 2), (2, 3), (1,), (4, 2)),
]


@pytest.mark.parametrize(("kind", "call", "first", "second", "meant"), UNFIT)
def test_what_does_not_fit_goes_on_with_the_shape_that_was_meant(
    kind: str, call: Callable[..., Any], first: Any, second: Any, meant: Any
) -> None:
    with pytest.raises(RuntimeError):
        call(torch.zeros(first), torch.zeros(second))
    recording = stepped(lambda recorder, a, b: step(recorder, "0", lambda: call(a, b)), first, second)
    assert recording.error is None
    assert [mismatch.kind for mismatch in recording.trace.mismatches] == [kind]
    assert recording.trace.outputs[0].value.shape == meant
    assert recording.trace.mismatches[0].fact


@pytest.mark.parametrize("strict", [False, True])
def test_a_fitting_addition_is_no_mismatch(strict: bool) -> None:
    shapes = ((2, 3), (2, 3)) if strict else ((2, 3), (3,))
    recording = stepped(lambda recorder, a, b: step(recorder, "0", lambda: a + b + 1, strict=strict), *shapes)
    assert recording.trace.mismatches == ()
    assert recording.error is None


@pytest.mark.parametrize(("second", "strict"), [((2, 4), False), ((3,), True)])
def test_a_mismatch_may_be_raised(second: tuple[int, ...], strict: bool) -> None:
    recording = stepped(
        lambda recorder, a, b: step(recorder, "0", lambda: a + b, strict=strict), (2, 3), second, on_mismatch="raise"
    )
    assert isinstance(recording.error, RuntimeError)
    assert recording.trace.mismatches == ()
    failure = recording.trace.failure
    assert failure is not None
    assert (failure.site.path, failure.function) == ("0", "torch.Tensor.add")


def test_an_addition_that_fails_for_another_reason_fails() -> None:
    recording = stepped(lambda recorder, a, b: torch.add(a, b, alpha="x"), (2, 3), (2, 3))
    assert isinstance(recording.error, TypeError)


class Inverter(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x)


def test_a_failure_names_its_place_and_keeps_the_rows_so_far() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.ReLU(), Inverter()))
    recording = recorded(net, torch.zeros(3, 4))
    failure = recording.trace.failure
    assert failure is not None
    assert [row.op for row in recording.trace.rows] == ["Linear", "ReLU"]
    assert (failure.site.path, failure.site.name, failure.function) == ("1.1", "Inverter", "torch.linalg.inv")
    assert [(operand.source, operand.value.shape) for operand in failure.operands] == [("1.0", (3, 5))]
    assert "batches of square matrices" in failure.message
    assert isinstance(recording.error, RuntimeError)
    assert recording.outputs is None


class Thrower(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("needs 3 channels\nand more")


class Careful(nn.Module):
    """Catches what its parts raise."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU(), nn.Linear(7, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.inner(x)
        except RuntimeError:
            return x + 1


def test_a_failure_of_the_authors_own_code() -> None:
    recording = recorded(nn.Sequential(nn.ReLU(), Thrower()), torch.zeros(3))
    failure = recording.trace.failure
    assert failure is not None
    assert (failure.site.path, failure.site.name, failure.function) == ("1", "Thrower", "")
    assert failure.message == "needs 3 channels"


def test_an_exception_that_the_model_catches_is_no_failure() -> None:
    trace = traced(nn.Sequential(Careful(), nn.ReLU()), torch.zeros(2, 3))
    assert trace.failure is None
    assert [(row.path, row.op) for row in trace.rows] == [("0.inner.0", "ReLU"), ("0", "add"), ("1", "ReLU")]


def test_modules_that_the_model_does_not_hold_stand_below_their_caller() -> None:
    class Inline(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.Linear(3, 2)(x)

    trace = traced(nn.Sequential(Inline()), torch.zeros(1, 3))
    row = trace.rows[-1]
    assert (row.path, row.op) == ("0.Linear", "Linear")
    assert total(trace).macs == 6


def test_recording_does_not_import_the_slow_parts_of_torch() -> None:
    """The table of lowerings keeps common networks off the meta device, whose first operator loads sympy."""
    import subprocess

    program = (
        "import sys, torch; from torch import nn; from tests.record.runs import traced, total\n"
        "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(2), nn.LSTM(36, 4))\n"
        "assert total(traced(net, torch.zeros(1, 3, 8, 8))).macs\n"
        "sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@torch.jit.script
def squared(x: torch.Tensor) -> torch.Tensor:
    return (x @ x.t()).relu()


class Scripted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return squared(x) + 1


def test_scripted_graphs_are_seen_by_their_kernels() -> None:
    net = nn.Sequential(torch.jit.trace(nn.Linear(3, 3), torch.zeros(1, 3)), nn.ReLU(), Scripted())
    trace = traced(net, torch.zeros(2, 3))
    assert [(row.path, row.op) for row in trace.rows] == [
        *[("0", "t"), ("0", "addmm"), ("1", "ReLU")],
        *[("2", "t"), ("2", "mm"), ("2", "relu"), ("2", "add")],
    ]
    assert [row.params for row in trace.rows[:2]] == [("0.weight",), ("0.bias",)]
    assert [operand.source for operand in trace.rows[4].inputs] == ["1", "2"]
    assert total(trace).macs == 2 * 3 * 3 + 2 * 3 * 2
    assert not total(trace).unpriced


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_compiled_modules_show_what_they_were_made_of() -> None:
    compiled = torch.compile(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), backend="eager")
    trace = traced(compiled, torch.zeros(2, 3))
    assert [row.op for row in trace.rows] == ["Linear", "ReLU"]
    assert total(trace).macs == 18


def test_what_is_compiled_in_a_run_is_not_compiled() -> None:
    """Also where torch's compiler, which takes a second to import, is not loaded yet."""
    import subprocess

    program = (
        "import sys, torch; from torch import nn; from tests.record.runs import traced, total\n"
        "class Net(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.compile(torch.relu)(torch.compile(dynamic=True)(torch.tanh)(x))\n"
        "plain = torch.compile\n"
        "assert [row.op for row in traced(Net(), torch.zeros(2, 3)).rows] == ['tanh', 'relu']\n"
        "assert torch.compile is plain\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_shows_its_parts_and_their_largest_sizes(layout: torch.layout) -> None:
    nested = torch.nested.nested_tensor([torch.rand(2, 4), torch.rand(3, 4)], layout=layout)
    trace = traced(nn.Linear(4, 5), nested)
    assert [operand.value.shape for operand in (*trace.inputs, *trace.outputs)] == [(2, 3, 4), (2, 3, 5)]
    assert total(trace).macs == 5 * 4 * 5


def test_what_a_generator_would_do_is_not_known() -> None:
    class Lazily(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return (x @ x for _ in range(3))

    trace = traced(Lazily(), torch.zeros(3, 3))
    assert [row.op for row in trace.rows] == ["generator"]
    assert total(trace).macs is None


def outside(out: torch.Tensor) -> torch.Tensor:
    """Memory that is filled without torch's knowledge, as kernels of extensions do."""
    import ctypes

    ctypes.memset(out.data_ptr(), 0, out.numel() * out.element_size())
    return out


FILLED = [
    (lambda x: outside(torch.empty_like(x)) + 1, 1),
    (lambda x: outside(x.new_empty(3, 3)), 1),
    (lambda x: outside(torch.empty(9)).view(3, 3).relu(), 1),
    (lambda x: torch.empty_like(x).copy_(x) + 1, 0),
    (lambda x: torch.empty(3, 3).fill_(2) @ x, 0),
    (lambda x: torch.mm(x, x, out=torch.empty(3, 3)) + 1, 0),
    (lambda x: torch.zeros_like(torch.empty(3, 3)) + x, 0),
    (lambda x: torch.cat([x, torch.empty(0, 3)]), 0),
]


@pytest.mark.parametrize(("forward", "unseen"), FILLED)
def test_memory_that_is_filled_out_of_sight_is_work(forward: Any, unseen: int) -> None:
    class Fills(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return forward(x)

    assert total(traced(Fills(), torch.zeros(3, 3))).unpriced == ("unseen",) * unseen


def test_memory_that_is_filled_part_by_part_is_filled() -> None:
    class Parts(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            out, other = torch.empty(2, 3), torch.empty(2, 3)
            out[0] = x[0]
            out[1] = x[1]
            other[:, 0].copy_(x[0, :2])
            other.narrow(1, 1, 2).fill_(1)
            return out + other

    assert not total(traced(Parts(), torch.zeros(3, 3))).unpriced


def test_a_driven_run_is_looked_at_again_where_work_was_left_unseen() -> None:
    looks: list[Recorder] = []

    def run(recorder: Recorder, a: torch.Tensor, _b: torch.Tensor) -> torch.Tensor:
        looks.append(recorder)
        return outside(torch.empty_like(a)) + 1

    recording = stepped(run, (2, 3), (2, 3))
    assert len(looks) == 2
    assert total(recording.trace).unpriced == ("unseen",)
