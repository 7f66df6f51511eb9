"""The memory of a pass, worked out by hand: what is alive at the highest moment, and the row at which it stands.

Batches are of 16 examples with 8 features, so that an activation has A = 512 bytes, a square weight W = 256 and its
bias V = 32. In training, the output and the gradient that the pass starts from live to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_runs import summarize_plan
from archscope.api.building import compile_plan
from archscope.devices.cuda import CUDA_TRAITS
from archscope.profiling.predicted_memory import PredictedMemory, find_fitting_batch, predict_memory, round_to_granule
from archscope.record import record_module
from archscope.trace import Allocation, Failure, KernelEvent, Trace
from tests.record.runs import Holds

A, W, V = 512, 256, 32
G = W + V
"""The gradients of one layer."""


def lin() -> nn.Linear:
    return nn.Linear(8, 8)


def batch(device: str = "cpu") -> torch.Tensor:
    return torch.zeros(16, 8, device=device)


def zeros() -> torch.Tensor:
    return torch.zeros(16, dtype=torch.long)


def kept(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the last of several layers, whose results stay alive to the end of the module."""
    first = m.one(x)
    second = m.two(first)
    third = m.three(second)
    return third  # noqa: RET504 — first and second are alive until here


def halves(m: Any, x: torch.Tensor) -> torch.Tensor:
    left, right = m.one(x).chunk(2, 1)
    return left.t().t() + right


def again(m: Any, x: torch.Tensor) -> torch.Tensor:
    part = nn.Sequential(m.one, nn.Tanh(), m.two, nn.Tanh())
    return checkpoint(part, m.first(x), use_reentrant=False, preserve_rng_state=False)


class Tied(nn.Module):
    """An embedding of eight tokens that shares its weight with the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(8, 8), nn.Linear(8, 8, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))


class Case(NamedTuple):
    """A net; the bytes that a forward pass makes at its highest, and the row; what is saved for the backward pass; the
    bytes that a step of training makes at its highest, and the row of the backward pass."""

    make: Callable[[], nn.Module]
    highest: int
    row: int
    saved: int
    training: int
    deriving: int


CASES = {
    # relu's result is kept for both; it derives beside that, the output, the seed, and gradients on both sides
    "chain": Case(lambda: nn.Sequential(lin(), nn.ReLU(), lin()), 2 * A, 1, 2 * A, 5 * A + G, 1),
    # relu writes into its input: one tensor less forward, none less backward
    "in place": Case(lambda: nn.Sequential(lin(), nn.ReLU(inplace=True), lin()), 2 * A, 2, 2 * A, 5 * A + G, 1),
    # the shortcut lives on beside relu's result and the branch; the addition keeps nothing
    "residual": Case(
        lambda: Holds(lambda m, x: (h := m.one(x)) + m.two(F.relu(h)), one=lin(), two=lin()),
        *(3 * A, 2, 2 * A, 5 * A + G, 1),
    ),
    # what a layer in a chain could let go of lives to the end of the module; the second of three derives two layers'
    # gradients while its input, the output, the seed and gradients on both sides are alive
    "kept": Case(lambda: Holds(kept, one=lin(), two=lin(), three=lin()), 3 * A, 2, 3 * A, 5 * A + 2 * G, 1),
    # both halves and their transpositions are in the memory of the whole; backwards, two halves make a whole
    "views": Case(lambda: Holds(halves, one=lin()), A + A // 2, 4, A // 2, 2 * A + G, 3),
    # the mask is as large as the input, which nobody needs again; in eval mode nothing happens
    "dropout": Case(lambda: nn.Sequential(lin(), nn.Dropout(0.5)), A, 0, 2 * A, 4 * A, 0),
    "softmax": Case(lambda: nn.Sequential(lin(), nn.Softmax(1)), 2 * A, 1, A, 3 * A + G, 1),
    # log_softmax is kept, the loss and its weight are numbers; its backward pass goes by way of two tensors
    "loss": Case(
        lambda: Holds(lambda m, x: F.cross_entropy(m.one(x), m.labels), one=lin(), labels=nn.Buffer(zeros())),
        *(2 * A + 8, 1, A + 8, 3 * A + 8, 0),
    ),
    # only the input of what runs again is kept, and the output; the second layer derives beside its input, made again,
    # the output, the seed, and gradients on both sides
    "checkpoint": Case(lambda: Holds(again, first=lin(), one=lin(), two=lin()), 3 * A, 2, 2 * A, 6 * A + G, 1),
}
pytestmark = pytest.mark.moves_rng
of = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
devices = pytest.mark.parametrize("device", ["cpu", "meta"])


def recorded(model: nn.Module, *given: torch.Tensor, train: bool = False) -> Trace:
    """Return the trace of a model on the device of its inputs."""
    about = {"target": "test", "device": str(given[0].device), "dtype": "float32"}
    inputs = dict(zip("xyz", given, strict=False))
    recording = record_module(model, given, {}, train=train, backward=train, track_memory=True, inputs=inputs, **about)
    assert recording.error is None
    return recording.trace


def remembered(model: nn.Module, *given: torch.Tensor, train: bool = False, optimizer: str = "") -> PredictedMemory:
    memory = predict_memory(recorded(model, *given, train=train), optimizer=optimizer)
    assert memory is not None
    return memory


@devices
@of
def test_inference(case: Case, device: str) -> None:
    model = case.make()
    memory = remembered(model.to(device), batch(device))
    sizes = sum(parameter.numel() * 4 for parameter in model.parameters())
    row = memory.row if torch.__version__ >= "2.13" else case.row  # checkpoints of before have rows of their own
    assert (memory.working_bytes, row, memory.backward) == (case.highest, case.row, False)
    assert (memory.params, memory.inputs, memory.gradients, memory.optimizer) == (sizes, A, 0, 0)
    assert memory.peak == sizes + memory.buffers + A + case.highest


@devices
@of
def test_training(case: Case, device: str) -> None:
    model = case.make()
    memory = remembered(model.to(device), batch(device), train=True, optimizer="momentum")
    sizes = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert memory.activations == case.saved
    assert (memory.working_bytes, memory.row, memory.backward) == (case.training, case.deriving, True)
    assert (memory.gradients, memory.optimizer) == (sizes, sizes)
    assert memory.peak == 2 * sizes + memory.buffers + A + case.training


def test_tied_parameters_count_once_and_so_do_their_gradients_and_states() -> None:
    memory = remembered(Tied(), zeros(), train=True, optimizer="adam")
    assert (memory.params, memory.gradients, memory.optimizer, memory.inputs) == (W, W, 2 * W, 128)


def test_the_optimizer_step_is_the_peak_if_it_allocates_more_than_the_pass() -> None:
    """With one example, the gradients and the temporary tensors of Adam are larger than the pass."""
    trace = recorded(nn.Sequential(lin(), nn.Linear(8, 800)), torch.zeros(1, 8), train=True)
    weight, bias = 8 * 800 * 4, 800 * 4
    parameters = G + weight + bias
    memory = predict_memory(trace, optimizer="adamw")
    assert memory is not None
    assert (memory.working_bytes, memory.row, memory.backward) == (parameters + V + 2 * weight, None, False)
    plain = predict_memory(trace, optimizer="sgd")
    assert plain is not None
    assert plain.working_bytes < memory.working_bytes
    assert plain.row is not None
    on_gpu = predict_memory(replace(trace, device="cuda:0", traits=CUDA_TRAITS), optimizer="adamw")
    assert on_gpu is not None
    assert on_gpu.working_bytes == 512 + 512 + weight + 3584 + on_gpu.gradients


@pytest.mark.parametrize(("optimizer", "states"), [("", 0), ("sgd", 0), ("momentum", 1), ("adam", 2), ("adamw", 2)])
def test_optimizer_states(optimizer: str, states: int) -> None:
    assert remembered(lin(), batch(), train=True, optimizer=optimizer).optimizer == states * G


def test_a_gradient_that_is_a_view_keeps_the_whole_tensor_alive() -> None:
    """The gradient of a class token is a view of the sequence's; its states are as large as the token."""
    model = Holds(lambda m, x: torch.cat([m.token, x]).exp(), token=nn.Parameter(torch.zeros(1, 8)))
    memory = remembered(model, batch(), train=True, optimizer="adam")
    assert (memory.params, memory.gradients, memory.optimizer) == (32, A + 32, 2 * 32)


def test_a_parameter_that_no_row_reads_has_no_gradient_and_no_states() -> None:
    model = Holds(lambda m, x: m.one(x), one=lin(), two=lin())
    memory = remembered(model, batch(), train=True, optimizer="adam")
    assert (memory.params, memory.gradients, memory.optimizer) == (2 * G, G, 2 * G)


def test_frozen_parameters_have_no_gradients_and_no_states() -> None:
    frozen = lin().requires_grad_(False)
    memory = remembered(nn.Sequential(frozen, lin()), batch(), train=True, optimizer="adam")
    assert (memory.params, memory.gradients, memory.optimizer) == (2 * G, G, 2 * G)


def test_buffers_and_tensors_saved_by_a_norm_are_counted() -> None:
    """A batch norm in training saves its input, and the mean and the deviation of every feature."""
    memory = remembered(nn.Sequential(lin(), nn.BatchNorm1d(8)), batch(), train=True)
    assert memory.buffers == 2 * V + 8
    assert memory.activations == 2 * A + 2 * V


def test_a_failed_pass_and_one_without_allocations_have_no_prediction() -> None:
    trace = recorded(lin(), batch())
    assert predict_memory(replace(trace, allocations=(), kernel_events=())) is None
    assert predict_memory(replace(trace, failure=Failure(trace.calls[0].site, "", (), "no"))) is None


def test_a_pass_without_allocations_of_its_own() -> None:
    memory = remembered(nn.Sequential(nn.Flatten(0)), batch())
    assert (memory.peak, memory.working_bytes, memory.activations) == (A, 0, 0)


def test_cuda_sizes_are_rounded_up_and_kernel_scratch_is_counted() -> None:
    lives = (Allocation(100, -1, None, "parameter"), Allocation(513, 0, None), Allocation(1, 0, 1))
    trace = Trace("t", "cuda:0", "float32", "eval", (), (), (), (), (), allocations=lives, traits=CUDA_TRAITS)
    memory = predict_memory(replace(trace, kernel_events=(KernelEvent(0, False, 7), KernelEvent(1, False, 4000))))
    assert memory is not None
    assert (memory.params, memory.working_bytes) == (512, 1024 + 4000)
    assert [round_to_granule(size, 512) for size in (0, 1, 512, 513)] == [0, 512, 512, 1024]


@pytest.mark.law(keep=3)
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("spec", ["specs/resnet.yaml:resnet18", "specs/vit.yaml:vit_b_16", "specs/densenet.yaml"])
def test_the_peak_includes_the_operands_and_results_of_every_product(spec: str, train: bool) -> None:
    plan = compile_plan(spec, train=train)
    trace = summarize_plan(plan, RunOptions(device="meta", train=train), track_memory=True).trace
    memory = predict_memory(trace)
    assert memory is not None
    products = [row for row in trace.rows if row.short_name in ("conv2d", "linear")]
    tensors = [row.inputs[0].value.bytes + sum(value.bytes for value in row.outputs) for row in products]
    assert memory.peak >= memory.params + max(tensors)
    assert memory.params == sum(param.bytes for param in trace.params if not param.tied_to)


LINES = {
    "one": [(10, 100)],
    "late": [(0, 5000), (10, 100)],
    "three": [(1, 900), (7, 100), (40, 0)],
    "steep": [(0, 10**6), (10**6, 0)],
}
"""Peaks as the highest of lines: (bytes for each example, bytes before)."""


def peak_of_lines(name: str, batch: int) -> int:
    return max(each * batch + before for each, before in LINES[name])


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("first", [1, 3, 8])
@pytest.mark.parametrize("available", [10**4, 123_457, 10**7])
def test_the_largest_batch_fits_and_is_nearly_the_largest(name: str, first: int, available: int) -> None:
    tried: list[int] = []

    def peak(batch: int) -> int:
        tried.append(batch)
        return peak_of_lines(name, batch)

    found = find_fitting_batch(peak, first, available)
    if peak_of_lines(name, first) > available:
        assert found is None
        return
    assert found in tried
    assert peak_of_lines(name, found) <= available
    assert peak_of_lines(name, found) >= 0.97 * available or peak_of_lines(name, found + 1) > available
    assert len(tried) <= 13


def test_a_peak_that_does_not_grow_or_is_not_known_has_no_largest_batch() -> None:
    assert find_fitting_batch(lambda _: 10, 1, 100) is None
    assert find_fitting_batch(lambda _: None, 1, 100) is None
    assert find_fitting_batch(lambda batch: 10 * batch if batch < 4 else None, 1, 100) is None
