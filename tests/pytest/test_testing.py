"""The asserts: each passes exactly where it should, says which layer is to blame, and leaves the block alone."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archscope.errors import UsageError
from archscope.testing import assert_preserves_shape, assert_shape, assert_within

pytestmark = pytest.mark.moves_rng  # the blocks' own weights

SPEC = """\
input: [N, 4, 8, 8]
params: {width: 4}
variants: {same: {width: 4}, wider: {width: 8}}
layers:
  - body: Conv2d(width, 3, padding=1)
"""


class Residual(nn.Module):
    """x + main(x), which fits where `channels` is 4 and `stride` is 1."""

    def __init__(self, *, channels: int = 4, stride: int = 1):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(4, channels, 3, stride=stride, padding=1), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.main(x)


class Own(nn.Module):
    """Breaks off for a reason of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise LookupError("nothing in the cache")


class Unpriced(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x).real


def conv(channels: int = 4, **options: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, channels, 3, **options))


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC, encoding="utf-8")
    return "net.yaml"


def said(call: Callable[[], None]) -> str:
    """What an assert says, in one line; nothing where it passes."""
    try:
        call()
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


# ------------------------------------------------------------ shapes that are preserved
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [4, 6])
def test_only_what_gives_the_same_shape_preserves_it(channels: int, stride: int, padding: int) -> None:
    block = conv(channels, stride=stride, padding=padding)
    same = block(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)
    assert (said(lambda: assert_preserves_shape(block, (4, 8, 8))) == "") is same


def test_the_layer_that_changed_the_shape_is_named() -> None:
    block = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
    assert said(lambda: assert_preserves_shape(block, (4, 8, 8))) == (
        "Sequential given input (1, 4, 8, 8): error expect-preserves: expected to preserve shape (1, 4, 8, 8), "
        "got (1, 6, 4, 4) made by: 2 Conv2d 6, 3×3, stride 2, pad 1: 4 → 6 channels, 8×8 → 4×4"
    )


def test_every_size_is_tried_and_told() -> None:
    """Rounded to even: 8 stays, 7 and 9 do not."""
    block = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2))
    assert_preserves_shape(block, (4, 8, 8))
    text = said(lambda: assert_preserves_shape(block, (4, 8, 8), [(4, 7, 8), (4, 9, 9)]))
    assert re.findall(r"given \S+ (\(.*?\))", text) == ["(1, 4, 7, 8)", "(1, 4, 9, 9)"]


class Folds(nn.Module):
    """Right for one example only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, -1, *x.shape[2:])


def test_every_batch_size_is_tried() -> None:
    assert_preserves_shape(Folds(), (4, 8, 8), batches=[1])
    assert "preserve shape (2, 4, 8, 8), got (1, 8, 8, 8)" in said(lambda: assert_preserves_shape(Folds(), (4, 8, 8)))


@pytest.mark.parametrize(("channels", "stride", "cause"), [(8, 1, "channels"), (4, 2, "stride")])
def test_a_residual_that_does_not_fit_is_diagnosed(channels: int, stride: int, cause: str) -> None:
    block = Residual(channels=channels, stride=stride)
    text = said(lambda: assert_preserves_shape(block, (4, 8, 8)))
    assert f"error residual-shape ({cause})" in text
    assert "main.0 Conv2d" in text
    assert "The size of tensor" not in text


def test_torchs_words_are_not_behind_a_diagnosis() -> None:
    with pytest.raises(AssertionError, match="layer-shape") as caught:
        assert_preserves_shape(nn.Sequential(nn.Linear(4, 4)), (4, 8))
    assert caught.value.__cause__ is None
    assert "RuntimeError" not in "".join(traceback.format_exception(caught.value))


def test_the_blocks_own_exception_is_behind_its_failure() -> None:
    with pytest.raises(AssertionError, match="nothing in the cache") as caught:
        assert_preserves_shape(Own(), (4,))
    assert isinstance(caught.value.__cause__, LookupError)
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert [frame.name for frame in frames] == ["forward"]


# ------------------------------------------------------------ shapes that are given
@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        ((6, 6, 6), True),
        ([6, 6, 6], True),
        ([6, 6, None], True),
        ((6, None, None), True),
        ((None, None, None), True),
        ((6, 6, 7), False),
        ((6, None), False),
        ((6, 6, 6, 1), False),
        ((), False),
    ],
)
def test_an_output_is_as_expected_in_every_size(wanted: Any, met: bool) -> None:
    assert (said(lambda: assert_shape(conv(6), (4, 8, 8), wanted)) == "") is met


def test_pairs_of_input_and_output() -> None:
    assert_shape(conv(6), (4, 8, 8), (6, 6, 6), (4, 9, 9), (6, 7, 7))
    text = said(lambda: assert_shape(conv(6), (4, 8, 8), (6, 6, 6), (4, 9, 9), (6, 6, 6)))
    assert text.startswith("Sequential given input (1, 4, 9, 9): error expect-shape: expected shape (1, 6, 6, 6), got")


def test_a_whole_input_and_a_whole_output() -> None:
    assert_shape(nn.Embedding(7, 3), (1, 5, 3), input=("int64", (1, 5)))
    assert_shape(nn.Embedding(7, 3), ("int64", (5,)), (5, 3))
    assert_shape(nn.Bilinear(2, 3, 4), (5, 4), input=[(5, 2), (5, 3)])
    assert_shape(nn.Bilinear(2, 3, 4), (5, 4), args=(torch.zeros(5, 2), torch.zeros(5, 3)))
    assert "expected shape (6, 4), got (5, 4)" in said(
        lambda: assert_shape(nn.Bilinear(2, 3, 4), (6, 4), input=[(5, 2), (5, 3)])
    )


def test_several_outputs() -> None:
    lstm = nn.LSTM(3, 4, batch_first=True)
    assert_shape(lstm, [(2, 5, 4), (1, 2, 4), (1, 2, 4)], input=(2, 5, 3))
    assert "got 3 outputs: (2, 5, 4) and" in said(lambda: assert_shape(lstm, (2, 5, 4), input=(2, 5, 3)))
    assert "got (2, 5, 4) and" in said(
        lambda: assert_shape(lstm, [(2, 5, 4), (1, 2, 4), (1, 2, None, 4)], input=(2, 5, 3))
    )


# ------------------------------------------------------------ specs
def test_a_spec_is_a_block(spec: str) -> None:
    assert_preserves_shape(spec)
    assert_preserves_shape(f"{spec}:same", (4, 8, 8), (4, 5, 7))
    assert_preserves_shape(Path(spec), set={"width": 4})
    assert_shape(f"{spec}:wider", (8, 8, 8))
    assert_shape(f"{spec}:wider", (4, 6, 6), (8, 6, 6))
    assert_within(f"{spec}:wider", params=296, macs=288 * 64)


def test_the_line_of_the_spec_is_named(spec: str) -> None:
    text = said(lambda: assert_preserves_shape(f"{spec}:wider"))
    assert "net.yaml:wider given x (1, 4, 8, 8)" in text
    assert "made by: body (net.yaml:5) Conv2d 8, 3×3, pad 1: 4 → 8 channels" in text


def test_a_mistake_in_a_spec_is_told_at_its_place(spec: str) -> None:
    Path(spec).write_text(SPEC.replace("padding", "pading"), encoding="utf-8")
    assert "net.yaml:5:28: error spec: Conv2d has no argument 'pading'" in said(lambda: assert_preserves_shape(spec))


# ------------------------------------------------------------ figures: conv() has 148 parameters, 144 · 36 MACs
INPUT = (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ({"params": 148}, True),
        ({"params": 147}, False),
        ({"params": "0.148k"}, True),
        ({"params": (148, None)}, True),
        ({"params": (149, None)}, False),
        ({"params": [100, 147]}, False),
        ({"macs": 5_184}, True),
        ({"macs": "5.18k"}, False),
        ({"macs": "5.19k"}, True),
        ({"macs": ("5.19k", "6k")}, False),
        ({"params": 148, "macs": 5_183}, False),
        ({"params": 147, "macs": 5_184}, False),
        ({"params": 148, "macs": 5_184}, True),
    ],
)
def test_figures_are_within_their_bounds_or_not(bounds: dict[str, Any], met: bool) -> None:
    assert (said(lambda: assert_within(conv(), input=INPUT, **bounds)) == "") is met


def test_a_failure_names_figure_bound_and_who_spends_most() -> None:
    text = said(lambda: assert_within(conv(), params=100, macs=("6k", None), input=INPUT))
    assert "148 parameters, 48 more than the budget of 100 0 Conv2d 4, 3×3 148 100.0 %" in text
    assert "5,184 MACs, 816 fewer than 6k" in text


def test_parameters_alone_need_no_input() -> None:
    assert_within(Own(), params=0)
    assert_within(conv(), params=148)
    assert said(lambda: assert_within(conv(), params=147)).startswith("Sequential: error budget-params: 148 parameters")


@pytest.mark.parametrize("macs", [0, "1G", (0, None), (0, "1G"), (5, None)])
def test_unknown_macs_are_within_nothing(macs: Any) -> None:
    text = said(lambda: assert_within(Unpriced(), macs=macs, input=(1, 8)))
    assert "the MACs are not known" in text
    assert "aten._fft_r2c" in text
    assert_within(Unpriced(), params=0, input=(1, 8))


def test_a_net_that_fails_has_no_macs() -> None:
    assert "residual-shape" in said(lambda: assert_within(Residual(channels=8), macs="1G", input=INPUT))
    assert "nothing in the cache" in said(lambda: assert_within(Own(), macs="1G", input=INPUT))


# ------------------------------------------------------------ calls that say nothing
@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (lambda: assert_preserves_shape(conv()), "Sequential is given no sizes"),
        (lambda: assert_preserves_shape(conv(), []), "Sequential is given no sizes"),
        (lambda: assert_preserves_shape(conv(), (4, 8, 8), batches=()), "no batch size is left to try"),
        (lambda: assert_preserves_shape(conv(), (4, 8, 8), input=INPUT), "the input is given twice"),
        (lambda: assert_preserves_shape(conv(), 4), "4 is not the shape of an example"),
        (lambda: assert_preserves_shape(conv(), "4x8x8"), "'4x8x8' is not the shape of an example"),
        (lambda: assert_shape(conv()), "0 shapes are not pairs"),
        (lambda: assert_shape(conv(), (4, 8, 8)), "Sequential is given no sizes"),
        (lambda: assert_shape(conv(), (4, 8, 8), (6, 6, 6), (4, 9, 9)), "3 shapes are not pairs"),
        (lambda: assert_shape(conv(), (4, 8, 8), (6, 6, 6), input=INPUT), "2 shapes are not pairs"),
        (lambda: assert_shape(conv(), (4, 8, 8), 6), "6 is not the shape of an output"),
        (lambda: assert_within(conv(), input=INPUT), "neither params nor macs has a bound"),
        (lambda: assert_within(conv(), params=(None, None)), "neither params nor macs has a bound"),
        (lambda: assert_within(conv(), params=(1, 2, 3)), "a range has two ends"),
        (lambda: assert_within(conv(), params="many"), "params: 'many' is not a figure"),
        (lambda: assert_within(conv(), macs="1G"), "the MACs of Sequential depend on its input"),
    ],
)
def test_a_call_that_says_nothing_is_wrong_use(call: Callable[[], None], fact: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.message.startswith(fact)
    assert caught.value.help


# ------------------------------------------------------------ nothing is changed
class Moves(nn.Module):
    """Draws random numbers and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.norm(x) + torch.rand_like(x)


@pytest.mark.parametrize("training", [True, False])
def test_a_block_stays_as_it_is(training: bool) -> None:
    block = Moves().train(training)
    state = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    before = torch.get_rng_state()
    assert_preserves_shape(block, (4, 8, 8))
    assert_preserves_shape(block, (4, 8, 8), train=True)
    assert_shape(block, (4, 8, 8), (4, 8, 8))
    assert_within(block, params="1k", macs="1k", input=INPUT)
    assert said(lambda: assert_shape(block, (5, 8, 8), (4, 8, 8)))
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in block.modules()] == [training] * 2
    assert all(torch.equal(tensor, state[name]) for name, tensor in block.state_dict().items())


def test_pytest_shows_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    """No frame of ours stands between a test and what it says."""
    pytester.makepyfile(
        test_own="""
        from torch import nn
        from archscope.testing import assert_preserves_shape, assert_shape, assert_within

        def test_preserves():
            assert_preserves_shape(nn.Conv2d(4, 6, 3), (4, 8, 8))

        def test_shape():
            assert_shape(nn.Conv2d(4, 6, 3), (4, 8, 8), (4, 8, 8))

        def test_within():
            assert_within(nn.Conv2d(4, 6, 3), params=1)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    assert result.parseoutcomes() == {"failed": 3}
    lines = [line for line in result.outlines if line.endswith(": AssertionError")]
    assert [line.partition(":")[0] for line in lines] == ["test_own.py"] * 3
    assert "testing.py" not in result.stdout.str().replace("archscope.testing", "")
