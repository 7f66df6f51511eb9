"""A step as one CUDA graph, and what remains of a capture that fails; torch.cuda is a fake with a log."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from archscope.devices.cuda import WARMUP_STEPS, CudaBackend
from archscope.profiling.cuda_graph import capture_step
from archscope.profiling.workload import Workload

pytestmark = pytest.mark.moves_rng


class FakeCuda:
    """A fake of the part of `torch.cuda` that a capture uses.

    log: what happened. breaks: whether torch ends the capture with an error.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.mode: Any = "default"
        self.capturing, self.breaks = False, False

    def note(self, text: str) -> Callable[..., Any]:
        return lambda *_given, **_how: self.log.append(text)

    def graph(self) -> Any:
        fake = self

        class Graph:
            def capture_begin(self, *, pool: Any) -> None:
                fake.capturing = True
                fake.log.append(f"begin in {pool}")

            def capture_end(self) -> None:
                fake.capturing = False
                fake.log.append("end")
                if fake.breaks:
                    raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

            def replay(self) -> None:
                fake.log.append("replay")

        return Graph()

    def stream(self, *_given: Any) -> Any:
        class Stream:
            wait_stream = staticmethod(self.note("wait for stream"))

        return Stream()

    @contextmanager
    def on(self, _stream: Any) -> Iterator[None]:
        yield

    def set_mode(self, mode: Any) -> None:
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
        self.mode = mode

    def generator(self) -> Any:
        class Generator:
            clone_state = staticmethod(lambda: "a state that captures nothing")
            graphsafe_set_state = staticmethod(lambda state: self.log.append(f"generator has {state}"))

        return Generator()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    found = FakeCuda()
    for name, value in {
        "CUDAGraph": found.graph,
        "Stream": found.stream,
        "current_stream": found.stream,
        "stream": found.on,
        "synchronize": found.note("synchronize"),
        "empty_cache": found.note("empty cache"),
        "graph_pool_handle": lambda: "pool 1",
        "current_device": lambda: 0,
        "get_sync_debug_mode": lambda: found.mode,
        "set_sync_debug_mode": found.set_mode,
        "default_generators": (found.generator(),),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", found.note("allocator is whole"), raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", found.note("pool is released"), raising=False)
    return found


def test_a_step_is_captured_in_memory_of_its_own(fake: FakeCuda) -> None:
    ran: list[tuple[bool, Any]] = []
    replay = CudaBackend("cuda").capture_graph(lambda: ran.append((fake.capturing, fake.mode)), fake.note("forget"))
    assert ran == [(False, "default")] * WARMUP_STEPS + [(False, "error"), (True, "default")]
    assert fake.log == ["wait for stream"] * 2 + ["forget", "synchronize", "empty cache", "begin in pool 1", "end"]
    replay()
    assert fake.log[-1] == "replay"


def test_what_torch_says_of_a_capture_is_no_news_for_its_user(fake: FakeCuda) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CudaBackend("cuda").capture_graph(lambda: None, fake.note("forget"))
    assert not caught


class Breaking(nn.Module):
    """Does what cannot be captured, which torch reports in a capture only."""

    def __init__(self, fake: FakeCuda, error: BaseException):
        super().__init__()
        self.fake, self.error = fake, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fake.capturing:
            self.fake.breaks = True
            raise self.error
        return x


WHOLE = ["end", "allocator is whole", "pool is released", "generator has a state that captures nothing", "synchronize"]


def test_the_error_of_a_capture_is_reported_and_torch_is_as_before(fake: FakeCuda) -> None:
    module = Breaking(fake, RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore"))
    job = Workload(module, module, [((torch.ones(2),), {})], "cuda")
    replay, refused = capture_step(job)
    assert replay is None
    assert refused == "RuntimeError: CUDA error: operation not permitted when stream is capturing"
    assert fake.log[-5:] == WHOLE, "buffers are given back when nothing writes them any more"
    assert fake.mode == "default"


def test_an_interrupt_in_a_capture_leaves_torch_as_before(fake: FakeCuda) -> None:
    module = Breaking(fake, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        capture_step(Workload(module, module, [((torch.ones(2),), {})], "cuda"))
    assert fake.log[-5:] == WHOLE


def test_a_step_that_waits_is_refused_before_the_capture(fake: FakeCuda) -> None:
    class Waiting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if fake.mode == "error":
                raise RuntimeError("called a synchronizing CUDA operation")
            return x

    replay, refused = capture_step(Workload(Waiting(), Waiting(), [((torch.ones(2),), {})], "cuda"))
    assert (replay, refused) == (None, "RuntimeError: called a synchronizing CUDA operation")
    assert not [line for line in fake.log if line.startswith("begin")]
    assert (fake.mode, fake.log[-1]) == ("default", "synchronize")


def test_an_error_at_the_end_of_a_capture_is_reported(fake: FakeCuda) -> None:
    fake.breaks = True
    replay, refused = capture_step(Workload(nn.ReLU(), nn.ReLU(), [((torch.ones(2),), {})], "cuda"))
    assert replay is None
    assert "operation failed due to a previous error during capture" in refused
    assert fake.log[-5:] == WHOLE


def test_a_graph_that_cannot_be_made_gives_its_memory_back_once(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch has already ended the pool in the allocator then, and would abort the process if the memory were given back
    twice."""

    def ended_already(*_given: Any) -> None:
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    fake.breaks = True
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", ended_already, raising=False)
    assert capture_step(Workload(nn.ReLU(), nn.ReLU(), [((torch.ones(2),), {})], "cuda"))[0] is None
    assert fake.log[-3:] == ["end", *WHOLE[3:]]


def test_many_short_calls_are_one_graph(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []
    monkeypatch.setattr(gc, "collect", fake.note("collect"))
    several = CudaBackend("cuda:0").repeat_call(lambda: ran.append(fake.capturing), 5)
    assert ran == [False] + [True] * 5
    assert fake.log == ["synchronize", "begin in pool 1", "end"], "clearing away takes longer than the calls"
    several()
    assert fake.log[-1] == "replay"
