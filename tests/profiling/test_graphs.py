"""A step as a CUDA graph, or the reason why there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archscope.profiling.benchmark import prepared_workload
from archscope.profiling.cuda_graph import capture_step
from archscope.profiling.workload import Workload, make_optimizer

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Looking(nn.Module):
    """Waits for the GPU, to see which way to go."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        return y if y.sum().item() > 0 else -y


def work(module: nn.Module, device: str, *, train: bool = False, optimizer: str = "adamw") -> Workload:
    module = module.to(device)
    chosen = make_optimizer(optimizer, module) if train else None
    return Workload(module, module, [((torch.rand(3, 4, device=device),), {})], device, train, chosen)


def test_a_processor_has_no_graphs() -> None:
    class Never(nn.Module):
        def forward(self, *_given: Any) -> None:
            raise AssertionError("nothing runs")

    assert capture_step(work(Never(), "cpu")) == (None, "a CUDA graph needs a GPU")


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("optimizer", [None, "sgd", "momentum", "adam", "adamw"])
def test_a_plain_step_is_captured_and_replayed(optimizer: str | None) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    job = work(module, "cuda", train=optimizer is not None, optimizer=optimizer or "sgd")
    before = [parameter.detach().clone() for parameter in module.parameters()]
    with prepared_workload(job, live=True):
        replay, refused = capture_step(job)
        assert refused == ""
        assert replay is not None
        for _ in range(3):
            replay()
            job.step()
        torch.cuda.synchronize()
    assert all(torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True))


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_a_step_that_waits_for_the_gpu_is_refused_with_a_reason(train: bool) -> None:
    job = work(Looking(), "cuda", train=train)
    with prepared_workload(job, live=True):
        replay, refused = capture_step(job)
        assert replay is None
        assert "synchronizing" in refused
        job.step()
        torch.cuda.synchronize()
