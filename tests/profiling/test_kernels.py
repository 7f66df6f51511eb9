"""The rows of a profiler's kernels: found by the range around their launch, or by their node's sequence number."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.utils.checkpoint import checkpoint

from archscope.devices import backend_of
from archscope.devices.profiler import quiet_profile
from archscope.profiling import rows_cuda
from archscope.profiling.benchmark import prepared_workload
from archscope.profiling.rows_cpu import NO_ROW, CallRowMap
from archscope.profiling.rows_cuda import (
    ENGINE_EVENT_PREFIX,
    LABEL_PREFIX,
    RUN_PREFIX,
    RUNTIME_PREFIXES,
    CallLabels,
    KernelTimes,
    LabelMode,
    NodeCalls,
    find_owner,
    kernel_row_times,
    kernel_times,
    profile_runs,
    split_overlaps,
)
from archscope.profiling.workload import Workload
from tests.devices.fakes import FakeGpu
from tests.profiling.models import MODELS
from tests.profiling.timed import noted, ticks

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

FORWARD, BACKWARD, USER = 0, 1, 7
MAIN, ENGINES = 1, 2
"""The thread that calls the model, and the one that runs the backward pass."""


class Ran(NamedTuple):
    name: str
    duration: float


class Interval(NamedTuple):
    start: float
    end: float

    def elapsed_us(self) -> float:
        return self.end - self.start


NEVER = Interval(0.0, 0.0)


@dataclass
class Event:
    """The attributes of a profiler's event that `rows_cuda.py` reads."""

    name: str
    cpu_parent: Event | None = None
    kernels: Sequence[Ran] = ()
    scope: int = FORWARD
    sequence_nr: int = -1
    thread: int = MAIN
    fwd_thread: int = 0
    device_type: DeviceType = DeviceType.CPU
    id: int = 0
    time_range: Interval = NEVER
    device_index: int = 0
    is_user_annotation: bool = False


def on_gpu(name: str, start: float, end: float, number: int, *, stream: int = 7, device: int = 0) -> Event:
    return Event(
        *(name, None, (), FORWARD, -1, stream, 0, DeviceType.CUDA), number, Interval(start, end), device_index=device
    )


def launch(number: int, parent: Event | None, at: float = 0.0) -> Event:
    """A call of the runtime, whose own sequence number may be an operator's, too."""
    return Event("cudaLaunchKernel", parent, sequence_nr=11, id=number, time_range=Interval(at, at + 1.0))


def a_range(call: int, parent: Event | None = None, kernels: Sequence[Ran] = ()) -> Event:
    name = f"{LABEL_PREFIX}0 {call}"
    return Event(name, parent, (Ran(name, 1000.0), *kernels), USER)


def gpu_range(call: int, thread: int) -> Event:
    """A range as the GPU's own timeline has it."""
    return Event(f"{LABEL_PREFIX}0 {call}", None, (), USER, thread=thread, device_type=DeviceType.CUDA)


def node(name: str, number: int, *, thread: int = MAIN) -> tuple[Event, Event]:
    """The engine's event, and the node's own within it."""
    around = Event(f"{ENGINE_EVENT_PREFIX}{name}", None, (), FORWARD, number, ENGINES, thread)
    return around, Event(name, around, (), BACKWARD, number, ENGINES, thread)


def ran(events: Sequence[Event]) -> list[Event]:
    """Events, and beside each kernel that one has its launch and what the GPU did, one after the other."""
    made, now = list(events), 0.0
    for event in events:
        for kernel in event.kernels:
            number = len(made)
            made += [launch(number, event), on_gpu(kernel.name, now, now + kernel.duration, number)]
            now += kernel.duration
    return made


def found(events: Sequence[Event], spans: Sequence[tuple[int, int]] = ()) -> KernelTimes:
    """The times of one run, which lasts as long as anything does."""
    run = Event(f"{RUN_PREFIX}0", scope=USER, time_range=Interval(-1.0, 1e9))
    calls = max(
        [len(spans), *(int(event.name.split()[-1]) + 1 for event in events if event.name.startswith(LABEL_PREFIX))]
    )
    labels = CallLabels([torch.relu] * calls, list(spans))
    return kernel_times([run, *ran(events)], [labels])[0]


SPANS = [(10, 12), (12, 12), (12, 13), (13, 20)]


# ------------------------------------------------------------ constructed events
def test_kernels_belong_to_the_range_that_they_were_launched_in() -> None:
    first, second = a_range(0), a_range(1)
    linear = Event("aten::linear", first)
    events = [
        *(first, linear, Event("aten::addmm", linear, [Ran("gemm", 8.0), Ran("bias", 2.0)])),
        *(second, Event("aten::relu", second, [Ran("relu", 4.0)])),
    ]
    assert found(events) == KernelTimes({0: pytest.approx(10e-6), 1: pytest.approx(4e-6)})


def test_the_gpu_event_of_a_range_is_no_kernel() -> None:
    alone = a_range(0)
    assert found([alone]) == KernelTimes()
    assert found([a_range(0, kernels=[Ran("triton", 3.0)])]) == KernelTimes({0: pytest.approx(3e-6)})
    annotated = Event("Optimizer.step", None, [Ran("Optimizer.step", 50.0)], USER)
    assert found([annotated]) == KernelTimes()


def test_a_range_within_a_range_has_its_own() -> None:
    outer = a_range(0)
    inner = a_range(1, outer)
    events = [outer, inner, Event("aten::mm", inner, [Ran("gemm", 5.0)]), Event("aten::add", outer, [Ran("add", 1.0)])]
    assert found(events).forward == {0: pytest.approx(1e-6), 1: pytest.approx(5e-6)}


def test_kernels_that_derive_find_their_call_by_its_numbers() -> None:
    linear, relu, late = node("AddmmBackward0", 11), node("ReluBackward0", 12), node("MulBackward0", 19)
    events = [
        *(a_range(0), a_range(1), a_range(2), a_range(3), *linear, *relu, *late),
        *(Event("aten::mm", linear[1], [Ran("gemm", 6.0)]), Event("aten::mm", linear[1], [Ran("gemm", 7.0)])),
        *(Event("aten::threshold_backward", relu[1], [Ran("relu", 2.0)]), Event("aten::mul", late[1], [Ran("m", 1.0)])),
    ]
    times = found(events, SPANS)
    assert times.forward == {}
    assert {call: ticks(seconds) for call, seconds in times.backward.items()} == {0: 13_000, 2: 2_000, 3: 1_000}


def test_what_the_engine_adds_up_belongs_to_the_node() -> None:
    """A bias's gradient is summed, and gradients of what was read twice are added, beside the node's own event."""
    around, inside = node("AddmmBackward0", 11)
    events = [a_range(0), around, inside, Event("aten::sum", around, [Ran("sum", 3.0)])]
    assert found(events, SPANS).backward == {0: pytest.approx(3e-6)}


def test_numbers_of_another_thread_say_nothing() -> None:
    """A forward pass that a checkpoint runs again is numbered by the thread of the backward pass."""
    around, inside = node("AddmmBackward0", 11, thread=ENGINES)
    events = [a_range(0), gpu_range(0, ENGINES), around, inside, Event("aten::mm", inside, [Ran("gemm", 6.0)])]
    assert found(events, SPANS) == KernelTimes({}, {}, pytest.approx(6e-6))


@pytest.mark.parametrize("number", [9, 20, 10**6])
def test_numbers_that_no_call_gave_out_are_of_no_call(number: int) -> None:
    around, inside = node("Custom", number)
    events = [a_range(0), around, inside, Event("aten::mm", inside, [Ran("gemm", 6.0)])]
    assert found(events, SPANS) == KernelTimes({}, {}, pytest.approx(6e-6))


def test_what_stands_nowhere_is_of_no_call() -> None:
    accumulate = Event("torch::autograd::AccumulateGrad", None, [Ran("add", 2.0)], BACKWARD, -1, ENGINES, MAIN)
    forward = Event("aten::mm", None, [Ran("gemm", 1.0)], FORWARD, 11)
    assert found([accumulate, forward], SPANS) == KernelTimes({}, {}, pytest.approx(3e-6))


def test_nothing_is_lost_and_nothing_counts_twice() -> None:
    first, (around, inside) = a_range(0), node("AddmmBackward0", 11)
    parents = [None, first, around, inside]
    events = [Event(f"aten::op{at}", parent, [Ran("k", 2.0**at)]) for at, parent in enumerate(parents * 3)]
    times = found([first, around, inside, *events], SPANS)
    whole = sum(times.forward.values()) + sum(times.backward.values()) + times.ownerless
    assert whole == pytest.approx((2**12 - 1) * 1e-6)


# ------------------------------------------------------------ launches and streams
def test_a_kernel_that_no_operator_launched_belongs_to_the_range_around_its_launch() -> None:
    """Triton from plain Python, or an extension: the profiler links such a kernel to nothing."""
    first = Event(f"{LABEL_PREFIX}0 0", scope=USER, time_range=Interval(0.0, 10.0))
    inner = Event(f"{LABEL_PREFIX}0 1", first, scope=USER, time_range=Interval(4.0, 8.0))
    events = [first, inner, launch(1, None, 5.0), launch(2, None, 9.0), launch(3, None, 12.0)]
    events += [on_gpu(f"triton_{n}", 100.0 * n, 100.0 * n + n, n) for n in (1, 2, 3)]
    times = found(events)
    assert {call: ticks(seconds) for call, seconds in times.forward.items()} == {1: 1_000, 0: 2_000}
    assert times.ownerless == pytest.approx(3e-6), "launched outside of all functions, but in the run"


def test_a_kernel_that_a_nodes_own_code_launches_derives_its_call() -> None:
    around = replace(node("DoublingBackward", 12)[0], time_range=Interval(20.0, 30.0))
    inside = replace(node("DoublingBackward", 12)[1], cpu_parent=around, time_range=Interval(21.0, 29.0))
    first = Event(f"{LABEL_PREFIX}0 0", scope=USER, time_range=Interval(0.0, 10.0))
    events = [first, around, inside, launch(1, None, 25.0), on_gpu("triton", 100.0, 104.0, 1)]
    times = found(events, SPANS)
    assert {call: ticks(seconds) for call, seconds in times.backward.items()} == {2: 4_000}


def test_what_runs_at_once_is_a_union_and_no_sum() -> None:
    """cuDNN's recurrent layers run on several streams."""
    first, second = a_range(0), a_range(1)
    events = [
        *(first, launch(1, first), launch(2, first), on_gpu("a", 0, 10, 1, stream=7), on_gpu("b", 5, 15, 2, stream=8)),
        *(second, launch(3, second), on_gpu("c", 13, 20, 3, stream=9)),
    ]
    times = found(events)
    assert {call: ticks(seconds) for call, seconds in times.forward.items()} == {0: 14_000, 1: 6_000}
    assert times.forward[0] + times.forward[1] == pytest.approx(20e-6)


def test_two_gpus_at_once_do_not_share_a_time() -> None:
    first = a_range(0)
    events = [first, launch(1, first), launch(2, first), on_gpu("a", 0, 10, 1), on_gpu("b", 0, 10, 2, device=1)]
    assert found(events).forward == {0: pytest.approx(20e-6)}


@pytest.mark.parametrize("seed", range(5))
def test_shares_sum_to_the_time_in_which_anything_ran(seed: int) -> None:
    dice = random.Random(seed)
    starts = [dice.uniform(0, 100) for _ in range(40)]
    events = [on_gpu("k", start, start + dice.uniform(0, 9), at) for at, start in enumerate(starts)]
    covered, last = 0.0, 0.0
    for start, end in sorted((e.time_range.start, e.time_range.end) for e in events):
        covered += max(0.0, end - max(start, last))
        last = max(last, end)
    assert sum(seconds for _, seconds in split_overlaps(events)) == pytest.approx(covered * 1e-6)


@pytest.mark.parametrize("end", [6.0, 2.0])
def test_what_took_no_time_takes_none_from_what_runs_later(end: float) -> None:
    """A filling of few bytes may end as it begins; of one that is cut off, the end may be reported before the
    beginning."""
    first = a_range(0)
    events = [first, launch(1, first), launch(2, first), on_gpu("Memset", 6, end, 1), on_gpu("gemm", 5, 15, 2)]
    assert [seconds for _, seconds in split_overlaps(events[3:])] == [0.0, pytest.approx(10e-6)]
    assert found(events).forward == {0: pytest.approx(10e-6)}


def test_a_kernel_without_a_launch_belongs_to_the_operator_that_the_profiler_names() -> None:
    first = a_range(0)
    linear = Event("aten::addmm", first, [Ran("gemm", 8.0)])
    run = Event(f"{RUN_PREFIX}0", scope=USER, time_range=Interval(-1.0, 1e9))
    events = [run, first, linear, on_gpu("gemm", 0.0, 8.0, 99), on_gpu("lost", 10.0, 13.0, 98)]
    (times,) = kernel_times(events, [CallLabels([torch.relu], [(0, 0)])])
    assert times == KernelTimes({0: pytest.approx(8e-6)}, {}, pytest.approx(3e-6))


def test_runs_of_one_session_are_distinguished() -> None:
    events, spans = [], [[(10, 12)], [(20, 22)], [(30, 32)]]
    for number in range(3):
        start, first = 100.0 * number, 10 * number
        call = Event(f"{LABEL_PREFIX}{number} 0", scope=USER, time_range=Interval(start, start + 5.0))
        around, inside = node("AddmmBackward0", first + 11)
        events += [
            Event(f"{RUN_PREFIX}{number}", scope=USER, time_range=Interval(start, start + 50.0)),
            *(call, around, inside),
            *(launch(first + 1, call), launch(first + 2, inside), launch(first + 3, None, start + 20)),
            on_gpu("f", start, start + 1 + number, first + 1),
            on_gpu("b", start + 10, start + 12, first + 2),
            on_gpu("x", start + 20, start + 23, first + 3),
        ]
    times = kernel_times(events, [CallLabels([torch.relu], span) for span in spans])
    assert [ticks(one.forward[0]) for one in times] == [1_000, 2_000, 3_000]
    assert [(ticks(one.backward[0]), ticks(one.ownerless)) for one in times] == [(2_000, 3_000)] * 3


def test_one_session_serves_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, began = [], []

    @contextmanager
    def session(**how: Any) -> Iterator[Any]:
        sessions.append(how)
        with quiet_profile(**how) as profiler:
            yield profiler

    monkeypatch.setattr(rows_cuda, "quiet_profile", session)
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.rand(3, 4)
    runs = profile_runs(lambda: model(x), None, FakeGpu(), before=lambda: began.append(1), times=4)
    assert (len(sessions), len(began)) == (1, 4)
    assert [labels.functions for labels, _ in runs] == [[F.linear, F.relu]] * 4


# ------------------------------------------------------------ runs → rows
class Notes(CallRowMap):
    def __init__(self, *calls: tuple[Any, int]):
        self.functions, self.rows = [func for func, _ in calls], [row for _, row in calls]


TALLY = Notes((torch.add, 0), (torch.relu, NO_ROW), (torch.mm, 2))
CALLED = CallLabels([torch.add, torch.relu, torch.mm], [])


def test_rows_are_the_median_of_the_runs() -> None:
    runs = [(CALLED, KernelTimes({0: forward, 1: 9.0, 2: 1.0}, {0: 2.0}, 4.0)) for forward in (5.0, 3.0, 900.0)]
    times = kernel_row_times(runs, TALLY, 3, backward=True)
    assert times is not None
    assert (times.forward, times.backward) == ((5.0, None, 1.0), (2.0, None, 0.0))
    assert (times.unattributed, times.runs, times.known_seconds) == (4.0, 3, 12.0)


def test_inference_derives_nothing() -> None:
    times = kernel_row_times([(CALLED, KernelTimes({0: 1.0}))], TALLY, 3, backward=False)
    assert times is not None
    assert times.backward == ()


def test_runs_that_went_another_way_do_not_count() -> None:
    other = CallLabels([torch.add], [])
    runs = [(CALLED, KernelTimes({0: 1.0})), (other, KernelTimes({0: 100.0})), (CALLED, KernelTimes({0: 3.0}))]
    times = kernel_row_times(runs, TALLY, 3, backward=False)
    assert times is not None
    assert (times.forward[0], times.runs) == (2.0, 2)


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(CALLED, KernelTimes())],
        [(CALLED, KernelTimes({}, {0: 1.0}, 5.0))],
        [(CallLabels([torch.mm], []), KernelTimes({0: 1.0}))],
    ],
)
def test_where_no_kernel_was_seen_or_another_run_there_are_no_times(runs: Any) -> None:
    assert kernel_row_times(runs, TALLY, 3, backward=True) is None


# ------------------------------------------------------------ the events of this torch's profiler
class Recomputing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        return checkpoint(lambda value: self.second(value).tanh(), y.relu() + y, use_reentrant=True)


def watched(model: nn.Module, args: tuple[Any, ...]) -> tuple[CallLabels, list[Any]]:
    """One step under the CPU's profiler, with a range around every call."""
    labels = CallLabels()
    with quiet_profile(activities=[ProfilerActivity.CPU]) as profiler:
        with LabelMode(labels):
            out = model(*args)
        torch.autograd.backward(out, torch.ones_like(out))
    return labels, list(profiler.events() or ())


def ancestors(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


@pytest.mark.parametrize("name", ["sequential", "functional", "residual in place", "normed", "borrowing", "mapped"])
def test_every_operator_of_a_step_finds_its_call(name: str) -> None:
    """On CPU there are no kernels, but ranges, scopes, threads and numbers are the same."""
    model, args = MODELS[name]()
    labels, events = watched(model.train(), args)
    nodes = NodeCalls(labels.spans, {event.thread for event in events if event.name.startswith(LABEL_PREFIX)})
    owners = {id(event): find_owner(event, nodes) for event in events}
    ranges = {int(event.name.split()[-1]) for event in events if event.name.startswith(LABEL_PREFIX)}
    assert ranges == set(range(len(labels.functions)))
    for event in events:
        if event.name.startswith(RUNTIME_PREFIXES):
            continue
        call, derived = owners[id(event)]
        parents = {parent.name for parent in ancestors(event)}
        inside = any(parent.startswith(ENGINE_EVENT_PREFIX) for parent in parents)
        if any("AccumulateGrad" in parent for parent in parents) or parents <= {"aten::ones_like", event.name}:
            continue
        assert call is not None or not inside, event.name
        assert derived is inside, event.name


def test_the_engine_sums_a_bias_beside_its_node() -> None:
    labels, events = watched(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (torch.rand(3, 4),))
    nodes = NodeCalls(labels.spans, {event.thread for event in events if event.name.startswith(LABEL_PREFIX)})
    summed = [event for event in events if event.name == "aten::sum"]
    assert [parent.name for parent in ancestors(summed[0])][1:] == [f"{ENGINE_EVENT_PREFIX}AddmmBackward0"]
    assert [find_owner(event, nodes) for event in summed] == [(0, True)]


def test_a_pass_that_is_run_again_is_of_no_call() -> None:
    labels, events = watched(Recomputing(), (torch.rand(3, 4),))
    nodes = NodeCalls(labels.spans, {event.thread for event in events if event.name.startswith(LABEL_PREFIX)})
    again = [event for event in events if event.name == "TanhBackward0"]
    assert [find_owner(event, nodes) for event in again] == [(None, True)]
    before = [event for event in events if event.name == "ReluBackward0"]
    assert [find_owner(event, nodes)[1] for event in before] == [True]
    assert find_owner(before[0], nodes)[0] is not None


def test_labels_know_their_functions_and_numbers() -> None:
    labels, _ = watched(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), (torch.rand(3, 4),))
    assert labels.functions == [F.linear, F.relu, F.linear]
    assert all(start < end for start, end in labels.spans)
    assert all(before[1] <= after[0] for before, after in pairwise(labels.spans))


# ------------------------------------------------------------ on a GPU
def busy(width: int = 2048) -> nn.Module:
    layers = [(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width)) for _ in range(4)]
    return nn.Sequential(*[layer for block in layers for layer in block]).cuda()


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_rows_sum_to_what_the_profiler_sees(train: bool) -> None:
    model, given, labels = busy(), torch.rand(4096, 2048, device="cuda"), CallLabels()
    with torch.set_grad_enabled(train):
        model(given)
        kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        with quiet_profile(activities=kinds) as profiler:
            with LabelMode(labels):
                out = model(given)
            if train:
                out.sum().backward()
            torch.cuda.synchronize()
    events = list(profiler.events() or ())
    on_gpu = [event for event in events if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
    whole = sum(event.time_range.elapsed_us() for event in on_gpu) * 1e-6
    (times,) = kernel_times(events, [labels])
    known = sum(times.forward.values()) + sum(times.backward.values())
    assert known + times.ownerless == pytest.approx(whole, rel=0.03)
    assert known >= 0.9 * whole
    assert set(times.forward) == set(range(len(labels.functions)))
    if train:
        assert set(times.backward) == set(range(len(labels.functions)))


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_rows_account_for_a_busy_model(train: bool) -> None:
    model, args = busy(), (torch.rand(4096, 2048, device="cuda"),)
    trace, tally = noted(model, args, train=train)
    work = Workload(model, model, [(args, {})], "cuda", train)
    with prepared_workload(work, live=True):
        work.step()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        out = work.forward()
        if train:
            work.backward(out)
        end.record()
        torch.cuda.synchronize()
        work.drop_gradients()
        run: Callable[[Any], object] | None = work.backward if train else None
        times = kernel_row_times(
            profile_runs(work.forward, run, backend_of("cuda"), times=3)[1:], tally, len(trace.rows), backward=train
        )
    assert times is not None
    assert None not in times.forward
    assert times.known_seconds >= 0.9 * start.elapsed_time(end) / 1000
