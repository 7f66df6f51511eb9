"""The lifetime of memory: which kernel allocates it, in which row, when it is freed; recording it changes nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any
from weakref import ref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archscope.record import Recorder, record
from archscope.record.memory_tracker import MemoryTracker
from archscope.record.state.tensors import TensorBackup
from archscope.trace import Allocation, KernelEvent, Trace
from tests.record.runs import Holds, recorded, traced

pytestmark = pytest.mark.moves_rng
A = 4 * 8 * 4
"""The bytes of a batch of four examples with eight features."""


def batch() -> torch.Tensor:
    return torch.zeros(4, 8)


def lives(forward: Any, *, backward: bool = False, **held: Any) -> Trace:
    return traced(Holds(forward, **held), batch(), track_memory=True, backward=backward)


def made(trace: Trace) -> list[tuple[int, int | None, int | None]]:
    """Of what the run made: bytes, the row that made it, the row without it."""
    rows = [moment.row for moment in trace.kernel_events]
    return [
        (life.bytes, rows[life.created], life.freed if life.freed is None else [*rows, len(trace.rows)][life.freed])
        for life in trace.allocations
        if life.created >= 0
    ]


def test_nothing_is_recorded_unless_it_is_requested() -> None:
    trace = traced(nn.ReLU(), batch())
    assert (trace.kernel_events, trace.allocations) == ((), ())


def test_a_result_is_freed_when_nothing_refers_to_it() -> None:
    trace = lives(lambda m, x: x.exp().sin().cos())
    assert made(trace) == [(A, 0, 2), (A, 1, 3), (A, 2, None)]


def test_what_composite_functions_make_inside_is_seen() -> None:
    trace = lives(lambda m, x: F.mse_loss(x, x) + F.cosine_similarity(x, x).sum())
    assert len(made(trace)) > len(trace.rows)


@pytest.mark.parametrize(
    "view",
    [
        lambda m, x: x.exp().view(8, 4).t()[1:].unsqueeze(0).expand(5, 3, 8),
        lambda m, x: x.exp().mul_(2).add_(1).clamp_(0),
        lambda m, x: (y := x.exp(), torch.sin(x, out=y))[1],
        lambda m, x: (y := x.exp(), y.__setitem__(0, 3.0))[0],
    ],
)
def test_views_and_writing_in_place_make_nothing(view: Any) -> None:
    assert [size for size, _, _ in made(lives(view)) if size > 4] == [A]


def test_memory_that_grows_is_other_memory() -> None:
    trace = lives(lambda m, x: x.exp().resize_(8, 8))
    assert made(trace) == [(A, 0, 1), (2 * A, 1, None)]


def test_tensors_from_before_the_run_have_a_kind_and_count_once() -> None:
    weight = nn.Parameter(torch.zeros(8))
    model = Holds(lambda m, x: x * m.one + m.two + m.mean, one=weight, two=weight, mean=nn.Buffer(torch.zeros(8)))
    known = [life for life in traced(model, batch(), track_memory=True).allocations if life.created < 0]
    assert known == [
        Allocation(32, -1, None, "parameter"),
        Allocation(32, -1, None, "buffer"),
        Allocation(A, -1, None, "input"),
    ]


def test_saved_tensors_live_until_their_node_has_run() -> None:
    """exp keeps its result, sin and cos what they are given; both are gone when the node before has its turn."""
    trace = traced(
        Holds(lambda m, x: (x * m.one).exp().sin().cos(), one=nn.Parameter(batch())),
        batch(),
        track_memory=True,
        backward=True,
    )
    start = next(index for index, moment in enumerate(trace.kernel_events) if moment.backward)
    saved = [
        life for life in trace.allocations if 0 <= life.created < start and (life.freed is None or life.freed > start)
    ]
    assert [life.bytes for life in saved] == [A, A, A]
    derived = [
        trace.backward[trace.kernel_events[life.freed].row].short_name for life in saved if life.freed is not None
    ]
    assert derived == ["mul", "sin"]


def test_gradients_live_to_the_end() -> None:
    trace = traced(nn.Linear(8, 8), batch(), track_memory=True, backward=True)
    assert [life for life in trace.allocations if life.kind == "gradient"] == [
        life._replace(freed=None) for life in trace.allocations if life.kind == "gradient"
    ]
    assert sorted(life.bytes for life in trace.allocations if life.kind == "gradient") == [32, 256]


def test_every_kernel_event_has_its_row() -> None:
    trace = traced(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), batch(), track_memory=True, backward=True)
    forward = [trace.rows[moment.row].short_name for moment in trace.kernel_events if not moment.backward]
    derived = [
        trace.backward[moment.row].short_name for moment in trace.kernel_events if moment.backward and moment.row >= 0
    ]
    assert list(dict.fromkeys(forward)) == ["linear", "relu"]
    assert list(dict.fromkeys(derived)) == ["relu", "linear"]


def test_what_has_no_storage_makes_all_of_it_unknown() -> None:
    trace = lives(lambda m, x: x.to_sparse().to_dense())
    assert (trace.kernel_events, trace.allocations) == ((), ())


def test_backups_of_tensors_are_no_memory_of_the_run() -> None:
    """A norm in training writes its statistics, which are copied before."""
    trace = traced(nn.BatchNorm1d(8), batch(), track_memory=True, train=True)
    assert [size for size, _, _ in made(trace)] == [A, 32, 32]


def test_a_replay_on_meta_is_no_memory_of_the_run() -> None:
    """The kernels of a function without a rule are found on meta copies, while the run is there as well."""
    x = torch.zeros(4, 8, device="meta")
    trace = traced(Holds(lambda m, x: torch.autograd.functional.vjp(torch.sin, x, x)[1]), x, track_memory=True)
    plain = traced(Holds(lambda m, x: torch.autograd.functional.vjp(torch.sin, x, x)[1]), batch(), track_memory=True)
    assert [life.bytes for life in trace.allocations] == [life.bytes for life in plain.allocations]


def test_only_the_last_recording_counts() -> None:
    """Work that no function shows needs a second run, by kernels; its events have its rows."""

    def run(recorder: Recorder) -> Any:
        with torch._C.DisableTorchFunction():
            return x.exp().sin()

    x = batch()
    recording = record(
        run, target="t", device="cpu", dtype="float32", mode="eval", inputs={"x": x}, parameters=(), track_memory=True
    )
    assert [row.short_name for row in recording.trace.rows] == ["exp", "sin"]
    assert recording.trace.kernel_events == (KernelEvent(0, False), KernelEvent(1, False))
    assert made(recording.trace) == [(A, 0, 2), (A, 1, None)]


def test_a_function_that_fails_and_is_caught_leaves_its_kernel_event() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        try:
            return x.exp() @ x
        except RuntimeError:
            return x.exp()

    trace = lives(forward)
    assert [life.bytes for life in trace.allocations if life.created >= 0 and life.freed is None][-1] == A


@pytest.mark.parametrize("backward", [False, True])
def test_a_recording_is_the_same_with_it_and_without(backward: bool) -> None:
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.GELU(), nn.Linear(8, 3)),
        torch.randn(4, 8),
    )
    with_, without = (recorded(model, x, train=True, backward=backward, track_memory=lives) for lives in (True, False))
    assert torch.equal(with_.outputs, without.outputs)
    assert with_.trace.rows == without.trace.rows
    assert with_.trace.backward == without.trace.backward


def test_the_tracker_keeps_nothing_alive() -> None:
    recording = recorded(nn.Linear(8, 8), batch(), track_memory=True)
    output = ref(recording.outputs.untyped_storage())
    del recording
    gc.collect()
    assert output() is None


class FixedPeak:
    """An allocator peak with given values."""

    def __init__(self) -> None:
        self.readings = iter([5, 7])
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def scratch_bytes(self) -> int:
        return next(self.readings)


def test_the_allocator_peak_is_started_before_every_kernel_and_read_after_it() -> None:
    recorder, scale = Recorder(on_mismatch="raise", originals=TensorBackup(())), FixedPeak()
    tracker = MemoryTracker(recorder, {}, scale)  # type: ignore[arg-type]
    with recorder, tracker:
        batch_ = torch.zeros(4)
        batch_.exp()
    assert [moment.scratch for moment in tracker.finish(())[0]] == [5, 7]
    assert scale.started == 2


def test_kernels_are_recorded_without_torchs_compiler() -> None:
    """Which takes a second to load, and while it loads keeps what is alive."""
    program = """
import sys, torch
from tests.record.runs import traced
trace = traced(torch.nn.Linear(2, 2), torch.zeros(1, 2), track_memory=True, backward=True)
sys.exit("torch._dynamo" in sys.modules or not trace.backward)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
