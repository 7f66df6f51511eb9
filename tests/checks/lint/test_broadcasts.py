"""Tests of broadcasts in losses, subtractions and comparisons of unequal shapes, unintended and intended ones.

The mistakes are rebuilt from public reports: regression with (N, 1) and (N), maps with and without a channel,
accuracies over all pairs, targets with one value for several predictions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import archscope
from archscope.checks.lint import lint
from archscope.checks.lint.broadcasts import LOSSES_TORCH_WARNS, SILENT_LOSSES
from archscope.report import Finding
from tests.checks.lint.nets import Net

pytestmark = pytest.mark.moves_rng
RULE = "silent-broadcast"
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
N = 8
COLUMN, ROW = (N, 1), (N,)
CALLS: dict[str, Loss] = {
    **{
        name: getattr(functional, name, None) or getattr(torch, name)
        for name in sorted(LOSSES_TORCH_WARNS | SILENT_LOSSES)
    },
    "gaussian_nll_loss": lambda p, t: functional.gaussian_nll_loss(p, t, torch.ones_like(p)),
    "kl_div": lambda p, t: functional.kl_div(p, t, reduction="batchmean"),
}


def broadcasts(run: Callable[..., object], *shapes: tuple[int, ...], **layers: nn.Module) -> list[Finding]:
    """Return the findings about broadcasts in a net with these inputs."""
    args = tuple(torch.rand(shape) for shape in shapes)
    report = archscope.summarize(Net(lambda _, *given: run(*given), **layers), args=args)
    return [finding for finding in lint(report) if finding.rule == RULE]


def messages(found: list[Finding]) -> list[str]:
    return [finding.message for finding in found]


# ------------------------------------------------------------ losses
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("prediction", "target"), [(COLUMN, ROW), (ROW, COLUMN)])
def test_a_loss_over_all_pairs(name: str, prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
    (found,) = broadcasts(CALLS[name], prediction, target)
    shapes = " and ".join("×".join(map(str, shape)) for shape in (prediction, target))
    expected = f"{name}: {shapes} are broadcast to {N}×{N}: every prediction is compared with every target"
    assert (found.message, found.level, found.cause) == (expected, "warning", "broadcast")


@pytest.mark.parametrize("name", CALLS)
def test_torch_lets_these_losses_broadcast(name: str) -> None:
    """torch warns only for those of `LOSSES_TORCH_WARNS`."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        CALLS[name](torch.rand(COLUMN), torch.rand(ROW))
    assert bool([one for one in heard if "target size" in str(one.message)]) == (name in LOSSES_TORCH_WARNS)


REFUSES: dict[str, Loss] = {
    name: getattr(functional, name)
    for name in (
        *("binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss", "cross_entropy"),
        *("multilabel_margin_loss", "nll_loss", "multi_margin_loss"),
    )
} | {
    "margin_ranking_loss": lambda p, t: functional.margin_ranking_loss(p, t, torch.ones(())),
    "triplet_margin_loss": lambda p, t: functional.triplet_margin_loss(p, t, t),
}


@pytest.mark.parametrize("name", REFUSES)
def test_other_losses_refuse_it(name: str) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        REFUSES[name](torch.rand(COLUMN), torch.rand(ROW))


@pytest.mark.parametrize("layer", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss()])
def test_losses_as_modules(layer: nn.Module) -> None:
    (found,) = broadcasts(layer, COLUMN, ROW, loss=layer)
    assert found.message.startswith(f"{type(layer).__name__}: 8×1 and 8 are broadcast to 8×8")


def test_the_cure_names_both_sides() -> None:
    (one,) = broadcasts(functional.mse_loss, COLUMN, ROW)
    (other,) = broadcasts(functional.mse_loss, ROW, COLUMN)
    assert one.help == "squeeze(1) or flatten() the prediction, or unsqueeze(1) ([:, None]) the target"
    assert other.help == "squeeze(1) or flatten() the target, or unsqueeze(1) ([:, None]) the prediction"
    (maps,) = broadcasts(functional.mse_loss, (2, 1, 6, 5), (2, 6, 5))
    assert maps.help == "squeeze(1) the prediction, or unsqueeze(1) the target"


def cured(loss: Loss) -> Iterator[list[Finding]]:
    yield broadcasts(lambda p, t: loss(p.squeeze(1), t), COLUMN, ROW)
    yield broadcasts(lambda p, t: loss(p.flatten(), t), COLUMN, ROW)
    yield broadcasts(lambda p, t: loss(p, t.unsqueeze(1)), COLUMN, ROW)
    yield broadcasts(lambda p, t: loss(p, t[:, None]), COLUMN, ROW)


@pytest.mark.parametrize("loss", [functional.mse_loss, lambda p, t: (p - t).abs().mean(), lambda p, t: p.round() == t])
def test_every_cure_cures(loss: Loss) -> None:
    assert list(cured(loss)) == [[]] * 4


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        ((8, 3), (8, 1), "each target is repeated 3 times"),
        ((8, 1), (8, 3), "each prediction is repeated 3 times"),
        ((10, 1), (1, 1), "each target is repeated 10 times"),
        ((8, 1, 5), (8, 5), "every prediction is compared with every target"),
        ((2, 6, 5), (2, 1, 6, 5), "every prediction is compared with every target"),
    ],
)
def test_losses_of_which_torch_warns_are_reported(
    prediction: tuple[int, ...], target: tuple[int, ...], expected: str
) -> None:
    found = messages(broadcasts(functional.l1_loss, prediction, target))
    assert [message.rpartition(": ")[2] for message in found] == [expected]


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (lambda p, t: functional.mse_loss(p, t, weight=p.abs()), [(8, 3), (8, 3)]),
        (lambda p: functional.mse_loss(p, torch.tensor(1.0)), [(8, 1)]),  # real or fake
        (lambda p: functional.mse_loss(p, torch.ones(1)), [(8, 1)]),
        (lambda p, t: functional.mse_loss(p.mean(), t.squeeze()), [(8, 1), (1,)]),
        (lambda p, t: functional.gaussian_nll_loss(p, t, p.var(1, keepdim=True)), [(8, 3), (8, 3)]),
        (lambda p, t: functional.kl_div(p, t, reduction="batchmean"), [(8, 3), (3,)]),  # one distribution for all
        (lambda p, t: functional.poisson_nll_loss(p, t), [(8, 3), (8, 1)]),  # nor does torch warn
        (lambda p, t: functional.smooth_l1_loss(p.unsqueeze(2), t.unsqueeze(1)), [(8, 5), (8, 5)]),  # all quantiles
        (lambda p, t: functional.cross_entropy(p, t, weight=torch.ones(3), label_smoothing=0.1), [(8, 3), (8, 3)]),
        (
            lambda p, t: functional.binary_cross_entropy_with_logits(p, t, pos_weight=torch.ones(3)),
            [(8, 3), (8, 3)],
        ),
    ],
)
def test_losses_without_findings(loss: Loss, shapes: list[tuple[int, ...]]) -> None:
    assert messages(broadcasts(loss, *shapes)) == []


# ------------------------------------------------------------ written out by hand
BY_HAND: dict[str, Loss] = {
    "squares": lambda p, t: ((p - t) ** 2).mean(),
    "pow": lambda p, t: (p - t).pow(2).mean(),
    "square": lambda p, t: torch.square(t - p).mean(),
    "abs": lambda p, t: (p - t).abs().mean(),
    "sub": lambda p, t: torch.sub(p, t).sum(),
    "==": lambda p, t: (p == t).float().mean(),
    "!=": lambda p, t: (p != t).sum(),
    "eq": lambda p, t: p.round().eq(t).sum(),
    "torch.eq": lambda p, t: torch.eq(p.round().long(), t.long()).sum(),
    ">": lambda p, t: (p > t).sum(),
    "isclose": lambda p, t: torch.isclose(p, t).sum(),
    "thresholds": lambda p, t: ((p > 0.5).float() == t).float().mean(),
}


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("batch", [1, 8])
def test_by_hand(name: str, batch: int) -> None:
    made = "8×8" if batch > 1 else "1×1, N×N at a batch of N"
    for shapes in ([(batch, 1), (batch,)], [(batch,), (batch, 1)]):
        (found,) = broadcasts(BY_HAND[name], *shapes)
        all_pairs = "every element of one is combined with every element of the other"
        assert f"are broadcast to {made}: {all_pairs}" in found.message


def test_an_accuracy_of_classes() -> None:
    (found,) = broadcasts(lambda p, t: (p.argmax(1) == t).float().mean(), (8, 3), (8, 1))
    assert found.message.startswith("8 and 8×1 are broadcast to 8×8")
    (found,) = broadcasts(lambda p, t: (p.argmax(1) == t).float().mean(), (1, 3), (1, 1))
    assert found.message.startswith("1 and 1×1 are broadcast to 1×1, N×N at a batch of N")


class Thresholds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("at", torch.rand(8))

    def forward(self, p: torch.Tensor) -> torch.Tensor:
        return p > self.at


MEANT: dict[str, tuple[Loss, list[tuple[int, ...]]]] = {
    "a threshold": (lambda p, t: (p > 0.5) == (t > 0.5), [(8, 1), (8, 1)]),
    "thresholds of classes": (Thresholds(), [(8, 1)]),
    "a mask of lengths": (lambda n: torch.arange(8) < n[:, None], [(8,)]),
    "positions": (lambda x: x + torch.arange(8.0), [(8, 1)]),
    "causal": (lambda x: x * (torch.arange(8)[:, None] >= torch.arange(8)), [(8, 8)]),
    "pairs of labels": (lambda y: y[:, None] == y[None, :], [(8,)]),
    "pairs of labels, one side": (lambda y: y.unsqueeze(1) == y, [(8,)]),
    "pairs of labels by view": (lambda y: y.view(-1, 1).eq(y), [(8,)]),
    "distances": (lambda x: x[:, None] - x[None], [(8, 3)]),
    "distances to others": (lambda x, y: (x[:, None] - y).abs(), [(8,), (8,)]),
    "other lengths": (lambda x, y: x == y, [(8, 1), (5,)]),
    "a mean over the batch": (lambda x: x - x.mean(0), [(1, 1)]),
    "a gate": (lambda x, s: x * s, [(1, 1), (1,)]),
    "the largest": (lambda x: x == x.amax(1, keepdim=True), [(8, 3)]),
    "one target for several": (lambda p, t: p - t, [(8, 3), (8, 1)]),
    "smoothing": (lambda t: t * 0.9 + 0.1 / t.shape[1], [(8, 3)]),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant(name: str) -> None:
    run, shapes = MEANT[name]
    assert messages(broadcasts(run, *shapes)) == []


# ------------------------------------------------------------ specs
@pytest.mark.parametrize(
    "step", ["mse_loss(prev, target)", "huber_loss(prev, target)", "prev - target", "prev == target"]
)
@pytest.mark.parametrize("batch", [1, 8])
def test_a_spec(step: str, batch: int, tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(f"inputs: {{x: [N, 6], target: [N]}}\nlayers:\n  - Linear(1)(x)\n  - {step}\n", encoding="utf-8")
    findings = lint(archscope.summarize(str(file), batch=batch))
    (found,) = [finding for finding in findings if finding.rule == RULE]
    assert found.place is not None
    assert (found.place.line, found.cause) == (4, "broadcast")
    assert f"{batch}×1 and {batch} are broadcast to" in found.message


def test_a_spec_whose_target_has_the_shape(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(
        "inputs: {x: [N, 6], target: [N, 1]}\nlayers:\n  - Linear(1)(x)\n  - mse_loss(prev, target)\n", encoding="utf-8"
    )
    assert RULE not in {finding.rule for finding in lint(archscope.summarize(str(file)))}
