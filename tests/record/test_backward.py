"""The backward pass: the multiply-adds of an independent count, in the right rows, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import archscope
from archscope.errors import ForwardError
from archscope.record.backward import loss_of
from archscope.report import Report, Total
from tests.networks.test_twins import SPECS
from tests.record.derived import (
    Checkpointed,
    Custom,
    Force,
    Overwritten,
    Queries,
    Shared,
    Sums,
    Tied,
    Untracked,
    Whole,
    counted,
    frozen,
    plain_products,
)
from tests.truth.purity import changed, picture

pytestmark = pytest.mark.moves_rng

SMALL: dict[str, dict[str, Any]] = {
    "resnet.yaml:resnet18": {},
    "resnet.yaml:resnet50": {},
    "densenet.yaml": {},
    "mobilenet_v2.yaml": {},
    "efficientnet.yaml": {},
    "convnext.yaml": {"depths": [1, 1, 2, 1], "dims": [12, 24, 48, 96]},
    "unet.yaml": {},
    "vit.yaml": {"size": 32, "patch": 8, "depth": 2, "dim": 48, "heads": 4},
    "gpt2.yaml": {"depth": 2, "dim": 32, "heads": 4, "vocab": 50, "context": 16, "seq": 12},
    "llama_block.yaml": {"dim": 32, "heads": 4, "kv_heads": 2, "hidden": 48, "seq": 6},
    "lstm_classifier.yaml": {"seq": 7, "vocab": 50, "dim": 12, "hidden": 16},
    "tutorials/residual_mnist.yaml": {},
}
"""Specs with params that make them small; images are 64×64 unless `size` says otherwise."""


def image(channels: int = 3, size: int = 64) -> Tensor:
    return torch.rand(1, channels, size, size)


INPUTS: dict[str, Callable[[], Tensor]] = {
    "unet.yaml": lambda: image(1),
    "vit.yaml": lambda: image(size=32),
    "gpt2.yaml": lambda: torch.randint(0, 50, (1, 12)),
    "llama_block.yaml": lambda: torch.rand(1, 6, 32),
    "lstm_classifier.yaml": lambda: torch.randint(0, 50, (1, 7)),
    "tutorials/residual_mnist.yaml": lambda: image(1, 28),
}


def rows() -> Tensor:
    return torch.rand(4, 8)


def steps() -> Tensor:
    return torch.rand(2, 5, 8)


def states() -> tuple[Tensor, Tensor]:
    return torch.rand(4, 5, 6), torch.rand(4, 5, 6)


MODULES: dict[str, Callable[[], tuple[Any, ...]]] = {
    "perceptron": lambda: (nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), rows()),
    "transposed": lambda: (
        nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2), nn.Conv2d(4, 6, 3, dilation=2)),
        image(3, 8),
    ),
    "grouped": lambda: (nn.Sequential(nn.Conv1d(4, 8, 3, groups=4), nn.Conv1d(8, 8, 1)), torch.rand(2, 4, 9)),
    "grouped, transposed": lambda: (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, 2, groups=2)),
        image(3, 8),
    ),
    "in space": lambda: (nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), nn.Conv3d(4, 2, 1)), torch.rand(1, 2, 5, 5, 5)),
    "lstm": lambda: (nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True), steps()),
    "lstm with projections": lambda: (nn.LSTM(8, 6, proj_size=3), steps()),
    "gru": lambda: (nn.GRU(8, 6, 2), steps()),
    "encoder layer": lambda: (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), steps()),
    "decoder layer": lambda: (nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), steps(), steps()),
    "attention": lambda: (Queries(), torch.rand(2, 5, 16)),
    "products": lambda: (Sums(), rows()),
    "custom function": lambda: (Custom(), rows()),
    "checkpoint": lambda: (Checkpointed(reentrant=False), rows()),
    "reentrant checkpoint": lambda: (Checkpointed(reentrant=True), rows()),
    "second order": lambda: (Force(), rows()),
    "shared": lambda: (Shared(), rows()),
    "tied": lambda: (Tied(), torch.randint(0, 16, (2, 5))),
    "frozen": lambda: (frozen(), rows()),
    "an input that asks": lambda: (nn.Linear(8, 4), rows().requires_grad_(True)),
}


def trained(model: Any, *args: Any, **options: Any) -> Report:
    return archscope.summarize(model, args=args, train=True, **options)


def both(report: Report) -> tuple[int | None, int | None]:
    """The multiply-adds of both passes."""
    backward = report.backward_total
    return report.total.macs, backward.macs if backward else None


def derived(report: Report) -> dict[str, int | None]:
    """Path, or the name of what has none, → multiply-adds of its backward pass."""
    return {row.path or row.op: row.macs for row in report.backward if row.macs}


# ------------------------------------------------------------ the count
@pytest.mark.law(keep=4)
@pytest.mark.parametrize("target", SMALL)
def test_specs_cost_what_an_independent_count_says(target: str) -> None:
    model = archscope.build(f"{SPECS}/{target}", set=SMALL[target], seed=0)
    given = INPUTS.get(target, image)()
    assert both(trained(model, given)) == counted(model, given)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", MODULES)
def test_modules_cost_what_an_independent_count_says(name: str) -> None:
    model, *args = MODULES[name]()
    report = trained(model, *args)
    assert both(report) == counted(model, *args)
    assert report.backward_total == Total.of(row.total for row in report.backward)


@pytest.mark.law(keep=2)
@pytest.mark.parametrize("target", ["resnet.yaml:resnet18", "gpt2.yaml", "lstm_classifier.yaml", "llama_block.yaml"])
def test_a_spec_costs_the_same_on_every_device_and_as_a_module(target: str) -> None:
    path, given = f"{SPECS}/{target}", INPUTS.get(target, image)()
    whole = tuple(given.shape) if given.is_floating_point() else ("int64", tuple(given.shape))
    live = both(trained(archscope.build(path, set=SMALL[target]), given))
    for device in ("cpu", "meta", *["cuda"] * torch.cuda.is_available()):
        spec = archscope.summarize(path, set=SMALL[target], input=whole, train=True, device=device)
        assert both(spec) == live


def test_a_fused_layer_costs_what_its_steps_do() -> None:
    model, given = nn.LSTM(8, 6, 2, bidirectional=True), steps()
    first_states = 2 * 2 * 5 * 4 * 6 * 6
    fused, with_states = both(trained(model, given)), both(trained(model, given, states()))
    with plain_products():
        assert both(trained(model, given)) == fused == with_states
    wanted = tuple(state.requires_grad_(True) for state in states())
    assert both(trained(model, given, wanted))[1] == (fused[1] or 0) + first_states


# ------------------------------------------------------------ rules of thumb
@pytest.mark.parametrize("target", ["resnet.yaml:resnet18", "densenet.yaml", "tutorials/residual_mnist.yaml"])
def test_twice_the_forward_pass_but_for_the_gradient_of_the_input(target: str) -> None:
    report = trained(archscope.build(f"{SPECS}/{target}"), INPUTS.get(target, image)())
    first = next(row for row in report.rows if row.macs)
    assert both(report)[1] == 2 * report.total.known - first.cost.known


def test_without_an_input_to_derive_it_is_twice_the_forward_pass() -> None:
    report = archscope.summarize(f"{SPECS}/gpt2.yaml", set=SMALL["gpt2.yaml"], train=True)
    assert both(report)[1] == 2 * report.total.known


def test_twice_the_batch_is_twice_the_macs() -> None:
    one, two = (archscope.summarize(f"{SPECS}/resnet.yaml", batch=n, train=True, device="meta") for n in (1, 2))
    assert both(two) == tuple(2 * (macs or 0) for macs in both(one))


def test_a_checkpoint_costs_one_more_forward_pass_of_what_is_in_it() -> None:
    plain, again, reentrant = (both(trained(Checkpointed(how), rows()))[1] for how in (None, False, True))
    body = 4 * (8 * 16 + 16 * 8)
    assert again == reentrant == (plain or 0) + body


def test_frozen_layers_have_no_gradients() -> None:
    assert derived(trained(frozen(), rows())) == {"4": 4 * 8 * 4}
    model = frozen()
    model[0].requires_grad_(True)
    assert derived(trained(model, rows())) == {"0": 4 * 8 * 8, "2": 4 * 8 * 8, "4": 2 * 4 * 8 * 4}


# ------------------------------------------------------------ rows
def test_a_row_derives_the_row_that_made_its_node() -> None:
    report = trained(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), rows())
    found = [(row.path, row.op, row.row.function.split(".")[-1], row.row.forward_row) for row in report.backward]
    assert found == [
        ("2", "Linear", "linear backward", 2),
        ("1", "ReLU", "relu backward", 1),
        ("0", "Linear", "linear backward", 0),
    ]


def test_bytes_are_those_of_inputs_and_outputs() -> None:
    (row,) = trained(nn.Linear(8, 16), rows().requires_grad_(True)).backward
    gradient, weight, given, bias = 4 * 4 * 16, 4 * 16 * 8, 4 * 4 * 8, 4 * 16
    assert (row.cost.read, row.cost.written) == (gradient + weight + given, given + weight + bias)


def test_nodes_of_no_layer_are_named_and_counted() -> None:
    report = trained(Custom(), rows())
    assert [(row.op, row.macs) for row in report.unattributed_backward] == [("ProductBackward", 2 * 4 * 8 * 4)]
    assert derived(report) == {"ProductBackward": 256, "linear": 256}


def test_each_call_of_a_shared_layer_has_its_own() -> None:
    report = trained(Shared(), rows())
    assert [row.macs for row in report.backward if row.path == "linear"] == [512, 512, 256]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_operators_of_a_traced_module_have_theirs() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    report = trained(torch.jit.trace(model, rows()), rows())
    assert both(report) == both(trained(model, rows()))
    assert not report.unattributed_backward


def test_unpriced_kernels_of_the_backward_pass_are_named() -> None:
    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(self.linear(x)).abs()

    report = trained(Spectrum(), rows())
    assert report.backward_total is not None
    assert (report.backward_total.macs, report.backward_total.known) == (None, 4 * 8 * 8)
    assert list(report.backward_unpriced) == ["aten._fft_c2c"]


# ------------------------------------------------------------ the loss
def test_the_loss_is_named() -> None:
    one, two, number = (torch.ones(n, requires_grad=True) for n in (3, 4, 1))
    assert loss_of(one).description == "the sum of the output"
    assert loss_of([one, two, one]).description == "the sum of all outputs"
    assert loss_of((number, torch.ones(2))).description == "the output"
    assert loss_of({"logits": one, "loss": number}).description == "output loss"
    assert loss_of(torch.ones(3)).tensors == ()


@pytest.mark.parametrize("make", [Whole, Untracked, nn.ReLU])
def test_a_missing_backward_pass_is_noted_and_not_zero(make: Callable[[], nn.Module]) -> None:
    report = trained(make(), rows())
    assert (report.backward_total, report.backward, report.to_dict()["backward"]) == (None, (), None)
    assert report.trace.notes == ("no backward pass: no output of the forward pass requires a gradient",)


def test_only_a_summary_in_training_mode_derives() -> None:
    model = nn.Linear(8, 8)
    assert archscope.summarize(model, args=(rows(),)).backward_total is None
    assert trained(model, rows(), backward=False).backward_total is None
    assert archscope.summarize(model, args=(rows(),), backward=True).backward_total is not None
    (checked,) = archscope.check(model, args=(rows(),), train=True)
    assert checked.report is not None
    assert (checked.report.trace.mode, checked.report.backward_total, checked.report.trace.notes) == ("train", None, ())


# ------------------------------------------------------------ what is left
def test_a_failure_of_the_backward_pass_is_marked() -> None:
    model, given = Overwritten(), rows()
    before = picture(model)
    with pytest.raises(ForwardError, match="the backward pass: one of the variables needed") as caught:
        trained(model, given)
    report = caught.value.report
    assert isinstance(report, Report)
    assert [finding.rule for finding in report.findings] == ["forward"]
    assert report.findings[0].message.startswith("the backward pass failed: one of the variables")
    assert (report.total.macs, report.backward_total) == (2 * 4 * 8 * 8, None)
    assert changed(before, picture(model)) == []


@pytest.mark.parametrize("training", [True, False])
def test_gradients_statistics_weights_and_hooks_are_as_before(training: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4)).train(training)
    had = torch.full((4, 8), 7.0)
    model[3].weight.grad = had
    given = rows().requires_grad_(True)
    before = picture(model)
    trained(model, given)
    assert changed(before, picture(model)) == []
    assert model[3].weight.grad is had
    assert had.eq(7).all()
    assert given.grad is None


def test_a_step_of_an_optimizer_inside_the_backward_pass_is_undone() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trained(model, rows())
    assert all(map(torch.equal, before, model.parameters()))


def test_a_shape_conflict_is_reported_without_a_backward_pass() -> None:
    report = trained(nn.Sequential(nn.Linear(8, 8), nn.Linear(4, 4)), rows())
    assert [finding.rule for finding in report.findings] == ["layer-shape"]
    assert (report.backward_total, report.trace.notes) == (None, ())


class Nested(nn.Module):
    """Checkpoints within each other, so deep that the engine derives the innermost in another thread, which numbers its
    nodes from the start."""

    def __init__(self, depth: int):
        super().__init__()
        self.first, self.body, self.last, self.depth = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4), depth

    def nested(self, left: int, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.nested, left - 1, x, use_reentrant=True) if left else self.body(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.nested(self.depth, self.first(x).relu()))


@pytest.mark.parametrize("depth", [1, 70])
def test_nodes_of_a_pass_that_is_run_again_are_of_no_row(depth: int) -> None:
    """In a thread that is new, whose numbers begin as low as those of the engine's."""
    with ThreadPoolExecutor(1) as fresh:
        report = fresh.submit(archscope.summarize, Nested(depth), args=(torch.rand(2, 8),), train=True).result()
    found = {f"{priced.row.path} {priced.row.op}".strip(): priced.cost.macs for priced in report.backward}
    assert {name: macs for name, macs in found.items() if macs} == {
        "first Linear": 2 * 8 * 16,
        "last Linear": 2 * 2 * 16 * 4,
        "AddmmBackward0": 2 * 2 * 16 * 16,
        "CheckpointFunctionBackward": depth * 2 * 16 * 16,
    }
