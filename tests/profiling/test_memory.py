"""The peak memory of a run: the measured one, and that the predicted one equals it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_runs import example_inputs, summarize_plan
from archscope.api.building import build, compile_plan
from archscope.devices.cpu import highest_sum
from archscope.profiling.peak_memory import peak_bytes
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.profiling.workload import Workload, make_optimizer
from tests.profiling.test_predicted_memory import CASES, Case, batch, remembered

pytestmark = pytest.mark.moves_rng


def one_after_another() -> None:
    """1,000 bytes that go before 2,000 come, and 100 that go in between."""
    first = torch.empty(250)
    del first
    second = torch.empty(500)
    torch.empty(25)
    del second


@pytest.mark.parametrize(
    ("run", "peak"),
    [
        (lambda: torch.empty(1000), 4000),
        (lambda: torch.empty(1000).exp(), 8000),
        (lambda: torch.empty(1000).exp_().view(10, 100).t(), 4000),
        (one_after_another, 2100),
    ],
)
def test_the_peak_of_a_run_on_cpu(run: Any, peak: int) -> None:
    assert peak_bytes(run, "cpu") == peak


def test_what_was_there_before_and_goes_does_not_count() -> None:
    before = [torch.empty(10_000)]
    assert peak_bytes(lambda: (before.clear(), torch.empty(5)), "cpu") == 20


@pytest.mark.parametrize(
    ("sizes", "most"),
    [([20], 20), ([-40_000, 20], 20), ([100, -40_000, 20], 120), ([100, -100, 60], 100), ([-5], 0), ([], 0)],
)
def test_what_is_taken_and_was_not_given_does_not_count(sizes: list[int], most: int) -> None:
    assert highest_sum(sizes) == most


def test_a_device_without_an_allocator_has_no_peak() -> None:
    assert peak_bytes(lambda: torch.empty(5, device="meta"), "meta") is None


def test_a_run_that_makes_nothing_has_none() -> None:
    assert not peak_bytes(lambda: None, "cpu")


def test_a_run_that_raises_leaves_the_profiler_off() -> None:
    with pytest.raises(ZeroDivisionError):
        peak_bytes(lambda: 1 / 0, "cpu")
    assert not torch.autograd._profiler_enabled()
    assert peak_bytes(lambda: torch.empty(5), "cpu") == 20


def measured(model: nn.Module, inputs: tuple[torch.Tensor, ...], device: str, *, train: bool) -> int:
    """The peak of a run, or of a step of training with AdamW, that is not the first."""
    model.train(train)
    optimizer = make_optimizer("adamw", model) if train else None
    workload = Workload(model, model, [(inputs, {})], device, train, optimizer)
    with torch.set_grad_enabled(train):
        workload.step()
        workload.drop_gradients()
        peak = peak_bytes(workload.step, device)
    assert peak is not None
    return peak


@pytest.mark.law(keep=len(CASES))
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_is_predicted_of_a_small_net_is_what_is_measured(case: Case, train: bool) -> None:
    predicted = remembered(case.make(), batch(), train=train, optimizer="adamw" if train else "")
    assert predicted.working_bytes == measured(case.make(), (batch(),), "cpu", train=train)


def of_spec(spec: str, device: str, *, train: bool, **how: Any) -> tuple[PredictedMemory, int]:
    """Return the predicted memory of a spec, and the measured peak, with parameters and inputs."""
    plan = compile_plan(spec, train=train, **how)
    report = summarize_plan(plan, RunOptions(device=device, train=train), track_memory=True)
    predicted = predict_memory(report.trace, optimizer="adamw" if train else "")
    assert predicted is not None
    inputs = tuple(example_inputs(plan, device, None).values())
    return predicted, measured(build(spec, device=device, seed=0, **how), inputs, device, train=train)


@pytest.mark.law(keep=3)
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("spec", "how"),
    [
        ("specs/vit.yaml:vit_b_16", {"set": {"depth": 6, "dim": 96, "heads": 3}}),
        ("specs/gpt2.yaml", {"set": {"vocab": 500, "depth": 2, "dim": 96, "heads": 3}}),
        ("specs/densenet.yaml", {"input": (1, 3, 96, 96)}),
    ],
)
def test_what_is_predicted_of_a_spec_is_what_is_measured(spec: str, how: dict[str, Any], train: bool) -> None:
    """Up to what kernels take for themselves, which no CPU allocator reports: little where a net is more than a
    layer."""
    predicted, peak = of_spec(spec, "cpu", train=train, **how)
    assert predicted.working_bytes == pytest.approx(peak, rel=0.02)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "spec", ["resnet.yaml:resnet50", "densenet.yaml", "vit.yaml:vit_b_16", "gpt2.yaml", "unet.yaml"]
)
def test_what_is_predicted_on_cuda_is_within_five_percent_of_the_allocators_peak(spec: str, train: bool) -> None:
    predicted, peak = of_spec(f"specs/{spec}", "cuda:0", train=train)
    assert predicted.peak == pytest.approx(predicted.initial_bytes + peak, rel=0.05)
