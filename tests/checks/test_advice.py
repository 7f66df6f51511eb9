"""Tests that advice on conflicts is true: empty maps, axes of equal length, crops, norms, conflicts that a fix
leaves."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.conflicts.declared_arguments import nearest_divisor
from archscope.conflicts.layer_changes import window_with_argument
from archscope.ops.windows import Window
from archscope.report import Finding

pytestmark = pytest.mark.moves_rng


class Run(nn.Module):
    """A module of layers whose forward is a function of the module and the inputs."""

    def __init__(self, forward: Any, **layers: nn.Module):
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(self, *inputs)  # type: ignore[no-any-return]  # whatever the case does


def findings(forward: Any, input: Any, **layers: nn.Module) -> tuple[Finding, ...]:
    (checked,) = archscope.check(Run(forward, **layers), input=input)
    return checked.findings


def test_an_empty_map_fits_no_number_of_features() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.fc(net.conv(x)[:, :, 8:].flatten(1))

    (found,) = findings(forward, (1, 3, 10, 10), conv=nn.Conv2d(3, 8, 3), fc=nn.Linear(128, 4))
    assert found.help == "getitem leaves nothing of it: 8 → 0"
    assert not found.fixes


def test_an_axis_that_is_as_long_as_a_linear_wants_channels_is_not_brought_last() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.fc(net.conv(x).permute(0, 2, 3, 1))

    (found,) = findings(forward, (1, 3, 32, 32), conv=nn.Conv2d(3, 30, 3, padding=1), fc=nn.Linear(32, 4))
    assert found.cause == "channels"
    assert found.help == "in_features=30 fits this input"


def test_channels_are_brought_last_before_an_axis_of_their_length() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.fc(net.conv(x).permute(0, 2, 1, 3))

    (found,) = findings(forward, (1, 3, 32, 30), conv=nn.Conv2d(3, 32, 3, padding=1), fc=nn.Linear(32, 4))
    assert found.help == "32 stands in C, axis 2: permute(0, 1, 3, 2) before it brings it last"


def test_an_output_padding_that_torch_refuses_is_not_proposed() -> None:
    window = Window((5, 5), (3, 3), (1, 1), (1, 1), (2, 2), transposed=True)
    row: Any = type("Row", (), {"short_name": "conv_transpose2d", "get": lambda self, name: None})()
    assert window_with_argument(row, window, "padding", (2, 2)) is not None
    assert window_with_argument(row, window, "stride", (2, 2)) is None
    assert window_with_argument(row, window, "output_padding", (3, 3)) is None


def test_a_fix_says_how_many_conflicts_it_leaves() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.b(net.a(x))

    found = findings(forward, (2, 16), a=nn.Linear(15, 8), b=nn.Linear(9, 4))
    assert [[fix.leaves for fix in one.fixes] for one in found] == [[1], [1, 1]]


def test_operands_of_one_name_are_told_apart() -> None:
    def twice(net: Any, x: Tensor) -> Tensor:
        return net.enc(x) + net.enc(x[:, :, ::2, ::2])

    def activated(net: Any, x: Tensor) -> Tensor:
        return net.a(x).relu() + net.b(x).relu()

    (found,) = findings(twice, (1, 3, 32, 32), enc=nn.Conv2d(3, 8, 3, padding=1))
    assert "enc (1, 8, 32, 32) (call 1), enc (1, 8, 16, 16) (call 2)" in found.message
    assert found.help.startswith("both sides go through the same layers")
    (found,) = findings(activated, (1, 3, 8, 8), a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(3, 8, 1))
    assert "from relu after a," in found.message
    assert "from relu after b;" in found.message


def test_a_kernel_leaves_room_for_the_norm_behind_it() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 5), nn.InstanceNorm2d(8))
    (checked,) = archscope.check(net, input=(1, 3, 8, 8))
    kernel, norm = checked.findings
    assert kernel.help.startswith("an input at least 13 high and wide, or a kernel of at most 2×2,")
    assert norm.likely


def test_a_crop_that_takes_too_little_is_told_and_not_the_convolution_before_it() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        first = net.a(x)[..., :-4]
        return x + net.b(first)[..., :-3]

    layers = {name: nn.Conv1d(8, 8, 3, padding=4, dilation=2) for name in ("a", "b")}
    (found,) = findings(forward, (1, 8, 32), **layers)
    assert re.match(r"the crop in line \d+ takes 3 of the 4 that b adds", found.help)


@pytest.mark.parametrize(("size", "count", "near"), [(90, 8, 9), (96, 5, 6), (7, 2, 7), (1, 4, 1), (30, 2, 2)])
def test_the_divisor_next_to_a_number(size: int, count: int, near: int) -> None:
    assert nearest_divisor(size, count) == near


@pytest.mark.parametrize(
    ("loss", "shapes", "fact", "suggestion"),
    [
        (nn.BCEWithLogitsLoss(), [(2, 1), (2,)], "wants a target of the input's shape, (2, 1); it is (2,)", "squeeze"),
        (nn.BCEWithLogitsLoss(), [(2, 3), (2, 4)], "of the input's shape, (2, 3); it is (2, 4)", "give both"),
        (nn.CrossEntropyLoss(), [(2, 8, 6, 6), (2, 7, 6)], "wants a target (2, 6, 6); it is (2, 7, 6)", "give"),
        (nn.NLLLoss(), [(2, 5), (3,)], "(N, C, …), wants a target (2,); it is (3,)", "give"),
        (nn.CrossEntropyLoss(), [(2, 9, 5), (2, 9)], "wants a target (2, 5); it is (2, 9)", "the classes come last"),
        (nn.MultiheadAttention(8, 2, kdim=6), [(3, 2, 8), (4, 2, 8), (4, 2, 8)], "kdim=6 but its key has 8", "kdim=8"),
        (nn.MultiheadAttention(8, 2), [(3, 2, 8), (4, 2, 8), (4, 2, 6)], "vdim=8 but its value has 6", "vdim=6"),
        (nn.InstanceNorm2d(4), [(2, 4, 1, 1)], "InstanceNorm2d needs more than one value", "a larger input"),
    ],
)
def test_what_torch_refuses_is_told_in_our_words(
    loss: nn.Module, shapes: list[tuple[int, ...]], fact: str, suggestion: str
) -> None:
    def forward(net: Any, *inputs: Tensor) -> Any:
        given = list(inputs)
        if isinstance(net.loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
            given[1] = given[1].long() * 0
        return net.loss(*given)

    (found,) = findings(forward, shapes, loss=loss)
    assert fact in found.message
    assert found.help.startswith(suggestion)
    assert "torch" not in found.message


@pytest.mark.parametrize(
    ("layer", "shape", "help"),
    [
        (
            nn.Conv2d(3, 8, 3),
            (1, 3, 28),
            "(1, 3, 28) is read as one example C×H×W; with a batch it has 4 axes: N×C×H×W",
        ),
        (nn.Conv1d(3, 8, 3), (2, 3), "(2, 3) is read as one example C×L; with a batch it has 3 axes: N×C×L"),
        (nn.Conv2d(3, 8, 3), (4, 5, 28), "in_channels=4 fits this input"),
    ],
    ids=["2-D", "1-D", "other channels"],
)
def test_an_axis_too_few_is_not_answered_with_other_channels(
    layer: nn.Module, shape: tuple[int, ...], help: str
) -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.conv(x)

    assert findings(forward, shape, conv=layer)[0].help == help


class Product(nn.Module):
    def __init__(self, right: tuple[int, ...]):
        super().__init__()
        self.right = right

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() @ torch.ones(self.right)


@pytest.mark.parametrize(
    ("left", "right", "transposes"),
    [
        ((2, 3), (4, 3), True),
        ((7, 2, 3), (4, 3), True),
        ((2, 3), (4,), False),  # a vector has nothing to transpose
        ((3,), (4, 5), False),
        ((2, 3), (5, 4, 6), False),
        ((2, 5, 4, 3), (7, 3, 2), False),  # the matrices fit, the batches do not
    ],
)
def test_a_product_is_to_be_transposed_only_where_that_fits(
    left: tuple[int, ...], right: tuple[int, ...], transposes: bool
) -> None:
    report = archscope.summarize(Product(right), input=left)
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert ("transpose the right operand" in finding.help) is transposes
