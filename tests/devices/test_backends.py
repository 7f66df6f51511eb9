"""Backends: the leading device, what remains after out-of-memory errors, which devices are initialized."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope import devices, targets
from archscope.cli import cli
from archscope.devices.cuda import CudaBackend
from archscope.errors import UsageError
from archscope.profiling import benchmark
from archscope.profiling.benchmark import measure_workload, prepared_workload
from archscope.profiling.rows_cuda import CallLabels, KernelTimes
from archscope.profiling.workload import Workload, make_optimizer
from archscope.record import record_module
from tests.devices.fakes import FakeGpu, pretending

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]
QUICK: dict[str, Any] = {"seconds": 0.01, "roofline": False}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeGpu]]:
    """The CPU is treated as a GPU."""
    with pretending(monkeypatch, "cpu") as found:
        yield found


# ------------------------------------------------------------ which device
def test_a_module_without_tensors_is_timed_where_its_inputs_are() -> None:
    timing = archscope.time(nn.GELU(), args=(torch.empty(2, 3, device="meta"),), **QUICK)
    assert (timing.measurement.machine.device, timing.report.trace.device) == ("meta", "meta")


@pytest.mark.parametrize(
    ("model", "device", "works"),
    [
        (nn.GELU(), "meta", "meta"),
        (nn.Linear(3, 3), "cpu + meta", "meta"),
        (nn.Linear(3, 3, device="meta"), "meta", "meta"),
        (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, device="meta")), "cpu + meta", "meta"),
    ],
)
def test_a_gpu_among_parameters_and_inputs_sets_the_pace(
    model: nn.Module, device: str, works: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretending(monkeypatch, "meta"):
        found = targets.with_input_devices(targets.resolve_target(model, {}), (torch.empty(2, 3, device="meta"),), {})
        assert (found.device, found.main_device) == (device, works)


def test_a_processors_input_makes_no_second_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretending(monkeypatch, "meta"):
        model = nn.Linear(3, 3, device="meta")
        found = targets.with_input_devices(targets.resolve_target(model, {}), (), {"mask": torch.zeros(3)})
        assert found.device == "meta"


def test_a_model_on_two_devices_is_recorded_with_the_memory_of_the_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.here, self.there = nn.Linear(4, 4), nn.Linear(4, 8, device="meta")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.there(torch.empty_like(self.here(x), device="meta"))

    model, x = Split(), torch.ones(2, 4)
    with pretending(monkeypatch, "meta"):
        trace = record_module(
            model, (x,), {}, target="Split", device="cpu + meta", dtype="float32", inputs={"x": x}, track_memory=True
        ).trace
    made = [life.bytes for life in trace.allocations if life.created >= 0]
    assert made == [2 * 4 * 4, 2 * 8 * 4], "of two linear layers, the first one's result is in other memory"
    assert trace.traits.allocator_granule == 512
    assert {moment.scratch for moment in trace.kernel_events} == {100}


def test_the_pace_of_one_device_is_its_own() -> None:
    assert [devices.leading_device([one]) for one in ("cpu", "meta", "cuda:1")] == ["cpu", "meta", "cuda:1"]
    assert devices.leading_device(["cpu", "cuda:1", "cuda:0"]) == "cuda:1"
    assert devices.split_devices("cuda:0 + cpu") == ["cuda:0", "cpu"]


# ------------------------------------------------------------ out of memory
MADE: WeakSet[torch.Tensor] = WeakSet()
BEGAN: list[tuple[int, int]] = []


class FailsAboveFour(nn.Module):
    """Notes how much of earlier passes is there, and fails with more than four examples."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_meta:
            BEGAN.append((x.shape[0], len(MADE)))
        held = [self.fc(x), torch.zeros(100)]
        if x.shape[0] > 4 and not x.is_meta:
            MADE.add(held[1])
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return held[0]


def fails_above_four() -> nn.Module:
    return FailsAboveFour()


def test_what_a_pass_without_memory_has_made_is_gone_when_the_next_one_begins() -> None:
    MADE.clear()
    BEGAN.clear()
    grid = archscope.time_grid(fails_above_four, input=(1, 4), batch=(1, 64, 2), device="cpu", **QUICK)
    assert len(grid.timings) == 2
    assert [size for size, _ in BEGAN].count(64) == 1, "no second look"
    assert {there for size, there in BEGAN if size == 2} == {0}
    assert "out of memory" in grid.refused[0]
    assert "a smaller batch needs less memory" in grid.refused[0]


@pytest.mark.parametrize("look", [archscope.summarize, archscope.time])
def test_out_of_memory_is_reported_with_a_fix_and_what_others_hold(look: Any, gpu: type[FakeGpu]) -> None:
    MADE.clear()
    gpu.others = 3 * 2**30
    try:
        with pytest.raises(UsageError, match=r"cpu is out of memory: .*; other processes hold 3.00 GiB of it\n.*batch"):
            look(FailsAboveFour(), args=(torch.ones(64, 4),), **(QUICK if look is archscope.time else {}))
    finally:
        gpu.others = 0
    gc.collect()
    assert not MADE


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (None, False),
    ],
)
def test_who_says_that_memory_did_not_suffice(error: BaseException | None, is_it: bool) -> None:
    assert devices.is_out_of_memory(error) is is_it


def test_out_of_memory_while_it_is_timed() -> None:
    class Later(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return x + 1

    with pytest.raises(UsageError, match="while it was timed: cpu is out of memory: CUDA out of memory"):
        archscope.time(Later(), input=(2, 4), **QUICK)


def test_the_command_says_it_in_two_lines_and_exits_with_two(tmp_path: Any) -> None:
    (tmp_path / "fails_above_four.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory.')\n"
    )
    for command in ("summary", "time"):
        done = CliRunner().invoke(
            cli, [command, f"{tmp_path}/fails_above_four.py:Net", "--input", "2x4", "--device", "cpu"]
        )
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 2
        assert "help: a smaller batch needs less memory; --device meta needs none" in done.stderr


# ------------------------------------------------------------ initialization
def test_work_on_a_processor_initializes_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def initialized(*_given: Any, **_how: Any) -> Any:
        raise AssertionError("a GPU was initialized")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("init", "get_rng_state", "get_rng_state_all", "manual_seed_all", "device_count", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, initialized)
    monkeypatch.setattr(torch.cuda, "_lazy_init", initialized)
    for device in ("cpu", "meta"):
        archscope.summarize(fails_above_four, input=(1, 4), device=device, seed=3)
        archscope.cross_check(fails_above_four, input=(1, 4), device=device, seed=3)
    archscope.time(fails_above_four, input=(1, 4), device="cpu", seed=3, **QUICK)


def test_random_states_of_initialized_gpus_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    states, seeds = [torch.tensor([7])], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(states))
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda found: states.__setitem__(slice(None), found))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    before = torch.get_rng_state()
    with devices.preserved_generators(seed=5):
        states[0] = torch.tensor([8])
        torch.rand(3)
    assert (states, seeds) == ([torch.tensor([7])], [5])
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------ asynchronous work
def work() -> Workload:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return Workload(module, module, [((torch.rand(3, 4),), {})], "cpu", True, make_optimizer("sgd", module))


def test_an_interrupt_in_a_step_keeps_what_was_measured(gpu: type[FakeGpu]) -> None:
    """Of the step that is broken off, the marks are in the queue still."""
    job, rounds, calls = work(), [], []

    def broken(*_given: Any) -> None:
        calls.extend(rounds)
        if len(calls) > 1:  # the second of the steps in a sample that no one has waited for yet
            raise KeyboardInterrupt

    job.eager_module[2].register_forward_pre_hook(broken)
    with prepared_workload(job, live=True):
        found = measure_workload(job, None, 0, seconds=0.5, on_round=lambda _: rounds.append(1) if not rounds else None)
    assert found.interrupted
    assert found.whole_run is not None
    assert [name for name, _ in found.parts] == (["forward", "backward", "optimizer"])


ALIVE: list[int] = []


class CyclicActivations(nn.Module):
    """Its activations are in a reference cycle."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        box: dict[str, Any] = {"y": x * 2}
        box["self"] = box
        MADE.add(box["y"])
        ALIVE.append(len(MADE))
        return box["y"].relu()


def test_activations_in_cycles_do_not_pile_up() -> None:
    MADE.clear()
    ALIVE.clear()
    timing = archscope.time(CyclicActivations(), args=(torch.rand(512, 512),), seconds=0.2, rows=False, roofline=False)
    assert timing.total is not None
    assert len(ALIVE) > 50
    assert max(ALIVE) <= 2 * timing.total.runs_per_sample + 4


# ------------------------------------------------------------ memory that cannot be allocated
def test_the_largest_batch_leaves_room_for_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "specs/tutorials/lenet.yaml"
    whole = archscope.time(spec, device="cpu", **QUICK).memory
    with pretending(monkeypatch, "cpu") as gpu:
        monkeypatch.setattr(gpu, "free", whole.available)
        memory = archscope.time(spec, device="cpu", **QUICK).memory
    assert whole.largest_batch is not None
    assert memory.largest_batch is not None
    assert memory.largest_batch < 0.99 * whole.largest_batch


def test_trials_of_algorithms_are_no_part_of_the_predicted_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    class Convolving(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.benchmark)
            return x.relu()

    class Trying(FakeGpu):
        disable_autotuning = CudaBackend.disable_autotuning

    x = torch.ones(2)
    about = {"target": "t", "device": "cpu", "dtype": "float32", "inputs": {"x": x}}
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with pretending(monkeypatch, "cpu", Trying):
        record_module(Convolving(), (x,), {}, track_memory=True, **about)
        assert torch.backends.cudnn.benchmark
        record_module(Convolving(), (x,), {}, **about)
    assert seen == [False, True]


# ------------------------------------------------------------ what is measured, and in which order
def test_a_model_on_two_devices_says_which_one_is_timed() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.here, self.there = nn.Linear(4, 4), nn.Linear(4, 4, device="meta")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.here(x)

    timing = archscope.time(Half(), args=(torch.ones(2, 4),), **QUICK)
    assert timing.total is not None
    assert "the model and its inputs lie on cpu + meta: what cpu does is timed" in timing.measurement.notes


def test_the_profiler_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profiler's library stays loaded and slows down later launches."""
    order: list[str] = []

    class Noting(FakeGpu):
        def peak_bytes(self, run: Any) -> int:
            order.append("peak")
            return super().peak_bytes(run)

        def capture_graph(self, step: Any, forget: Any) -> Any:
            order.append("graph")
            return super().capture_graph(step, forget)

    monkeypatch.setattr(benchmark, "profile_workload", lambda _: order.append("profiler") or [])
    with pretending(monkeypatch, "cpu", Noting):
        archscope.time(nn.ReLU(), args=(torch.ones(2),), **QUICK)
    assert order == ["peak", "graph", "profiler"]


@pytest.mark.parametrize(
    ("functions", "times", "note"),
    [
        ([torch.nn.functional.relu], KernelTimes(), benchmark.NO_KERNELS),
        ([torch.add], KernelTimes({0: 1.0}), benchmark.CALLS_DIFFER),
        ([torch.nn.functional.relu], KernelTimes({0: 1.0}), ""),
    ],
)
def test_why_rows_have_no_time(
    functions: list[Any], times: KernelTimes, note: str, monkeypatch: pytest.MonkeyPatch, gpu: type[FakeGpu]
) -> None:
    monkeypatch.setattr(benchmark, "profile_workload", lambda _: [(CallLabels(functions), times)] * 3)
    timing = archscope.time(nn.ReLU(), args=(torch.ones(2),), **QUICK)
    assert [text for text in timing.measurement.notes if text.startswith("rows have")] == [note] * bool(note)
    assert (timing.measurement.rows is None) is bool(note)
