"""Tests of every lint rule on small nets with the mistake and on similar nets without it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from archscope.checks.lint import LINT_RULES
from archscope.ops.windows import AxisWindow
from tests.checks.lint.nets import Net, finding_keys, of_module, of_steps

pytestmark = pytest.mark.moves_rng
IMAGE = "[N, 3, 32, 32]"
BIAS, SKIP, LINEAR, DROPOUT = "bias-before-norm", "skipping-stride", "linear-linear", "dropout-before-norm"


# ------------------------------------------------------------ specs
@pytest.mark.parametrize(
    ("shape", "steps", "findings"),
    [
        (IMAGE, "Conv2d(8, 3); BatchNorm2d", [(BIAS, "warning", "0")]),
        (IMAGE, "Conv2d(8, 3); InstanceNorm2d", [(BIAS, "warning", "0")]),
        ("[4, 8]", "Linear(8); BatchNorm1d", [(BIAS, "warning", "0")]),
        (IMAGE, "ConvTranspose2d(8, 3); BatchNorm2d", [(BIAS, "warning", "0")]),
        (IMAGE, "Conv2d(8, 3, bias=False); BatchNorm2d", []),
        (IMAGE, "Conv2d(8, 3); ReLU; BatchNorm2d", []),
        (IMAGE, "Conv2d(8, 3); GroupNorm(4)", []),
        ("[4, 8, 6]", "Linear(6); BatchNorm1d", []),  # a bias along another axis than the norm's channels
        ("[4, 6, 6]", "Linear(6); BatchNorm1d", []),  # the same with equal sizes
        ("[4, 5, 6]", "Linear(6); transpose(1, 2); BatchNorm1d", [(BIAS, "warning", "0")]),
        ("[4, 6, 6]", "Linear(6); transpose(1, 2); BatchNorm1d", [(BIAS, "warning", "0")]),
        ("[4, 8]", "Linear(8); view(-1, 8, 1); BatchNorm1d", [(BIAS, "warning", "0")]),
        ("[4, 8]", "Linear(8); view(-1, 2, 4); BatchNorm1d", []),  # four biases to a channel
        ("[4, 8]", "Linear(8); Dropout(0.3); BatchNorm1d", [(DROPOUT, "warning", "1")]),  # a bias that dropout cuts
        ("[4, 8]", "Linear(8); Dropout(0.0); BatchNorm1d", [(BIAS, "warning", "0")]),
        (IMAGE, "Conv2d(8, 3); ZeroPad2d(1); BatchNorm2d", []),  # the bias is not in the padding
        (IMAGE, "Conv2d(1, 3); BatchNorm2d", [(BIAS, "warning", "0")]),
        (IMAGE, "y: Conv2d(3, 3, padding=1); BatchNorm2d; prev + y", []),  # the bias goes on beside the norm
        (IMAGE, "BatchNorm2d; BatchNorm2d", [("repeated-norm", "warning", "1")]),
        (IMAGE, "Conv2d(8, 3, bias=False); BatchNorm2d; GroupNorm(2)", [("repeated-norm", "note", "2")]),
        (IMAGE, "BatchNorm2d; ReLU; BatchNorm2d", []),
        (IMAGE, "y: BatchNorm2d; BatchNorm2d; prev + y", []),  # a pre-norm net that begins with a norm
        (IMAGE, "Dropout(0.1); BatchNorm2d", [("dropout-before-norm", "warning", "0")]),
        (IMAGE, "Dropout(0.1); Conv2d(8, 3, bias=False); BatchNorm2d", [("dropout-before-norm", "note", "0")]),
        (IMAGE, "Dropout(0.0); BatchNorm2d", []),
        (IMAGE, "Dropout(0.1); LayerNorm(32)", []),
        (IMAGE, "Conv2d(8, 3); Conv2d(8, 3)", [(LINEAR, "warning", "0")]),
        (
            IMAGE,
            "Flatten; Linear(8); Dropout(0.5); Linear(10)",
            [(LINEAR, "note", "1")],
        ),
        (IMAGE, "Conv2d(8, 3); Flatten; Linear(10)", [(LINEAR, "warning", "0")]),
        ("[N, 64, 8, 8]", "Conv2d(16, 1); Conv2d(64, 3)", [(LINEAR, "note", "0")]),
        ("[N, 8, 8, 8]", "Conv2d(8, (1, 3)); Conv2d(8, (3, 1))", [(LINEAR, "note", "0")]),
        ("[N, 16, 64]", "Linear(64); transpose(1, 2); Linear(16); transpose(1, 2)", []),  # along two axes
        ("[N, 16, 16]", "Linear(16); transpose(1, 2); Linear(16)", []),
        ("[N, 16, 64]", "Linear(64); transpose(1, 2); transpose(1, 2); Linear(64)", [(LINEAR, "warning", "0")]),
        ("[N, 64]", "Linear(1024); view(-1, 16, 64); Linear(144)", []),  # of each part, not of all features
        ("[N, 64]", "Linear(1024); view(-1, 16, 64); flatten(1); Linear(144)", [(LINEAR, "warning", "0")]),
        ("[N, 64]", "Linear(1024); view(-1, 64, 4, 4); Conv2d(8, 3)", []),
        ("[N, 16, 512]", "Linear(8, bias=False); Linear(512)", []),  # a factorisation: fewer weights than one map
        ("[N, 16, 512]", "Linear(8); Linear(512)", [(LINEAR, "note", "0")]),
        ("[N, 16, 512]", "Linear(512, bias=False); Linear(512)", [(LINEAR, "warning", "0")]),
        ("[N, 12]", "Linear(8, bias=False); Linear(10)", [(LINEAR, "note", "0")]),  # more weights than one map
        (IMAGE, "Conv2d(8, 3); ReLU; Conv2d(8, 3)", []),
        ("[N, 8, 8, 8]", "Conv2d(8, 3, groups=8); Conv2d(16, 1)", []),
        (IMAGE, "Conv2d(8, 4, stride=4); flatten(2); transpose(1, 2); Linear(8)", []),  # patches
        (IMAGE, "Conv2d(8, 3, bias=False); BatchNorm2d; Conv2d(8, 3)", []),
        (IMAGE, "y: Conv2d(3, 1); Conv2d(3, 1); prev + y", []),  # the first one's value is read twice
        (IMAGE, "Flatten; Softmax(1); Linear(4)", [("softmax-inside", "warning", "1")]),
        (IMAGE, "Flatten; Softmax(1); ReLU", [("softmax-inside", "warning", "1")]),
        (IMAGE, "Flatten; Linear(4); Softmax(1)", []),
        ("[N, 7, 8]", "softmax(x @ x.transpose(1, 2), dim=-1) @ x", []),
        ("[N, 7, 8]", "Linear(7)(softmax(x @ x.transpose(1, 2), dim=-1)) @ x", []),  # talking heads
        ("[N, 7, 8]", "x * softmax(Linear(8)(x), dim=-1)", []),
        (IMAGE, "Conv2d(8, 1, stride=2)", [(SKIP, "warning", "0")]),
        (IMAGE, "MaxPool2d(2, 3)", [(SKIP, "warning", "0")]),
        (IMAGE, "Conv2d(8, 2, stride=2, dilation=2)", [(SKIP, "warning", "0")]),
        (IMAGE, "Conv2d(8, 1, stride=2)(x) + Conv2d(8, 3, stride=2, padding=1)(x)", [(SKIP, "note", "0.0")]),
        (IMAGE, "Conv2d(8, 1, stride=2)(x) + Conv2d(8, 1, stride=2)(x)", [(SKIP, "warning", "0.0")]),
        (IMAGE, "Conv2d(8, 2, stride=2)", []),
        ("[N, 3, 28, 28]", "MaxPool2d(3)", [("dropped-pixels", "note", "0")]),
        ("[N, 3, 28, 28]", "MaxPool2d(3, ceil_mode=True)", []),
        ("[N, 3, 28, 28]", "Conv2d(8, 3, stride=2, padding=1)", []),  # what is left over is padding
        ("[N, 3, 28, 28]", "pad([0, 1, 0, 1]); MaxPool2d(2)", []),
        ("[N, 3, 28, 28]", "MaxPool2d(2)", []),
        ("[N, 3, 1, 1]", "Conv2d(8, 3, padding=1)", [("field-too-large", "note", "0")]),
        (IMAGE, "Conv2d(8, 3, padding=32, dilation=32)", [("field-too-large", "note", "0")]),
        ("[N, 3, 2, 2]", "Conv2d(8, 3, padding=1)", []),
        ("[N, 3, 1, 1]", "Conv2d(8, 1)", []),
        (IMAGE, "Conv2d(8, 3); AdaptiveAvgPool2d(1)", [("field-too-small", "note", "0")]),
        (IMAGE, "Conv2d(8, 3, dilation=15, padding=15); Conv2d(8, 5, groups=8); AdaptiveAvgPool2d(1)", []),
        (IMAGE, "y: Conv2d(8, 3); AdaptiveAvgPool2d(1); prev * y", []),  # a gate sees what it may
        (IMAGE, "Conv2d(8, 3); AdaptiveAvgPool2d(4)", []),
    ],
)
def test_findings_of_specs(shape: str, steps: str, findings: list[tuple[str, str, str]], tmp_path: Path) -> None:
    assert sorted({*finding_keys(of_steps(tmp_path, shape, steps))}) == findings


@pytest.mark.parametrize("object_size", [(3, 3), (4, 4)])
def test_maps_that_must_see_an_object(object_size: tuple[int, int], tmp_path: Path) -> None:
    found = of_steps(tmp_path, IMAGE, "Conv2d(8, 3, padding=1)", object_size=object_size)
    assert finding_keys(found) == [("field-too-small", "warning", "0")] * (object_size > (3, 3))


SHARED = "modules: {a: Linear(8), b: Linear(8)}"


@pytest.mark.parametrize(
    ("steps", "findings"),
    [
        ("a; b; ReLU; a; b; ReLU", [(LINEAR, "warning", "0")]),
        ("a; b; ReLU; a; ReLU", []),  # the second call needs a layer of its own
        ("a; ReLU; b; ReLU; a; b", []),
        ("a; BatchNorm1d; ReLU; a; BatchNorm1d", [(BIAS, "warning", "0")]),
        ("a; BatchNorm1d; ReLU; a", []),  # the second call's bias goes on
        ("a; ReLU; a; BatchNorm1d", []),
    ],
)
def test_a_shared_layer_is_one_finding(steps: str, findings: list[tuple[str, str, str]], tmp_path: Path) -> None:
    found = of_steps(tmp_path, "[4, 8]", steps, rest=SHARED)
    assert finding_keys(found) == findings
    assert not any(finding.also or " of 2 layers" in finding.message for finding in found)


def test_a_shared_layer_of_a_module_is_one_finding() -> None:
    net = Net(lambda m, x: m.two(m.one(m.two(m.one(x)).relu())), one=nn.Linear(8, 8), two=nn.Linear(8, 8))
    (found,) = of_module(net, (4, 8))
    assert (found.rule, found.path, found.also) == (LINEAR, "one", ())


def test_a_shared_norm_is_listed_once() -> None:
    net = Net(lambda m, x: m.norm(m.norm(m.one(x)).relu()), one=nn.Conv2d(3, 3, 1, bias=False), norm=nn.BatchNorm2d(3))
    found = [one for one in of_module(net, (2, 3, 8, 8)) if one.rule == "shared-norm"]
    assert [one.details for one in found] == [("norm  2×3×8×8",)]


# ------------------------------------------------------------ residuals that do not add
BODY = "Conv2d(in_channels, 3, padding=1); ReLU; Conv2d(in_channels, 3, padding=1)"


@pytest.mark.parametrize(
    ("name", "body", "level"),
    [
        ("ResidualBlock", BODY, "warning"),
        ("BasicBlock", BODY, "warning"),
        ("SkipUnit", BODY, "warning"),
        ("Bottleneck", BODY, "note"),
        ("Plain", BODY, None),
        ("ResidualBlock", f"{BODY}; prev + x", None),
        ("ResidualBlock", f"{BODY}; 'cat([prev, x], dim=1)'", None),
        ("ResidualBlock", "Conv2d(2 * in_channels, 3)", None),  # it changes the shape: nothing could be added
        ("ResidualBlock", f"{BODY}; prev * sigmoid(x)", "warning"),
        ("ResidualBlock", f"{BODY}; prev + Parameter(3, 1, 1)", "warning"),
        ("ResidualBlock", "ReLU", None),
    ],
)
def test_blocks_with_the_name_of_a_residual(name: str, body: str, level: str | None, tmp_path: Path) -> None:
    steps = "\n".join(f"    - {step}" for step in body.split("; "))
    found = of_steps(tmp_path, IMAGE, f"a: {name}", rest=f"blocks:\n  {name}:\n{steps}")
    expected = [("residual-without-add", level, "a")] if level else []
    assert [one for one in finding_keys(found) if one[0] == "residual-without-add"] == expected


def test_a_branch_that_its_surroundings_add(tmp_path: Path) -> None:
    steps = "\n".join(f"    - {step}" for step in BODY.split("; "))
    found = of_steps(
        tmp_path, IMAGE, "ResidualBranch; BatchNorm2d; prev + x", rest=f"blocks:\n  ResidualBranch:\n{steps}"
    )
    assert "residual-without-add" not in {rule for rule, *_ in finding_keys(found)}


# ------------------------------------------------------------ modules
def conv(into: int, out: int, **more: object) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1, **more)


@pytest.mark.parametrize(
    ("run", "shapes", "rules"),
    [
        (lambda m, x: m.two(x) + 0 * m.one(x).shape[0], (2, 3, 8, 8), ["unused-value"]),
        (lambda m, x: m.two(functional.relu(m.two(x)) * 0 + x), (2, 3, 8, 8), ["unused-module"]),
        (lambda m, x: m.one(x) + m.two(x), (2, 3, 8, 8), []),
        (lambda m, x: m.one(x) if x.abs().max().item() > 1e9 else m.two(x) + m.one(x), (2, 3, 8, 8), []),
        (lambda m, x: m.one(x).add_(m.two(x)), (2, 3, 8, 8), []),
    ],
    ids=["value", "module", "both", "a branch on a value", "in place"],
)
def test_what_is_not_used(run, shapes, rules: list[str]) -> None:
    assert [finding.rule for finding in of_module(Net(run, one=conv(3, 3), two=conv(3, 3)), shapes)] == rules


def test_an_unused_value_is_reported_with_its_cost() -> None:
    (found,) = of_module(
        Net(lambda m, x: (functional.relu(m.one(x)), m.two(x))[1], one=conv(3, 4), two=conv(3, 3)), (1, 3, 8, 8)
    )
    assert f"{64 * 4 * 27:,} MACs" in found.message


def test_unused_modules_by_the_largest_that_holds_nothing_else() -> None:
    head = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4))
    (found,) = of_module(Net(lambda m, x: m.one(x), one=conv(3, 3), head=head), (1, 3, 8, 8))
    assert (found.rule, found.path) == ("unused-module", "head")
    assert f"{4 * 27 + 4 + 8} numbers in 4 parameters" in found.message


def test_an_unused_weight_of_a_module_that_runs() -> None:
    net = nn.MultiheadAttention(8, 2)
    module = Net(lambda m, x: m.attention(x, x, x)[0], attention=net)
    module.attention.spare = nn.Parameter(torch.zeros(5))
    (found,) = of_module(module, (3, 1, 8))
    assert (found.rule, found.path) == ("unused-weight", "attention.spare")


def test_heads_for_training_are_a_note() -> None:
    net = Net(lambda m, x: m.one(x), one=conv(3, 3), aux1=conv(3, 3))
    assert finding_keys(of_module(net, (1, 3, 8, 8))) == [("unused-module", "note", "aux1")]


@pytest.mark.parametrize(
    ("run", "shapes", "faulty"),
    [
        (lambda m, x: m.one(x) + m.narrow(x), (2, 3, 8, 8), True),
        (lambda m, x: m.one(x) * m.narrow(x), (2, 3, 8, 8), False),  # attention over positions
        (lambda m, x: m.one(x) - m.one(x).mean(1, keepdim=True), (2, 3, 8, 8), False),
        (lambda m, x: m.one(x) + m.one(x).mean((2, 3), keepdim=True), (2, 3, 8, 8), False),
        (lambda m, x: x.sum((1, 2, 3)) - x.flatten(1)[:, :1], (4, 3, 8, 8), True),  # (4) and (4, 1)
        (lambda m, x: x.sum((1, 2, 3))[:, None] - x.flatten(1)[:, :1], (4, 3, 8, 8), False),
        (lambda m, x: x.flatten(1)[:, 0] - x.flatten(1)[:, :1], (1, 3, 8, 8), True),  # the same at a batch of one
        (lambda m, x: x.flatten(2) + x.flatten(2).mean(1), (1, 3, 8, 8), True),  # (1, 3, 64) and (1, 64)
        (lambda m, x: x + torch.arange(8.0), (2, 3, 8, 8), False),
        (lambda m, x: x / x.sum(), (2, 3, 8, 8), False),
        (lambda m, x: x.flatten(2)[:, :1] - x.flatten(2)[:, :, :1], (2, 3, 8, 8), False),  # all pairs, written out
    ],
)
def test_broadcasts(run, shapes, faulty: bool) -> None:
    found = of_module(Net(run, one=conv(3, 3), narrow=conv(3, 1)), shapes)
    assert ("silent-broadcast" in {finding.rule for finding in found}) == faulty


def shared(m: Net, x: torch.Tensor) -> torch.Tensor:
    return m.norm(m.two(m.norm(m.one(x)).relu()))


def siamese(m: Net, x: torch.Tensor) -> torch.Tensor:
    return m.tower(x) - m.tower(x.flip(3))


@pytest.mark.parametrize(("run", "faulty"), [(shared, True), (siamese, False)])
def test_shared_norms(run, faulty: bool) -> None:
    one, two, norm = conv(3, 4, bias=False), conv(4, 4, bias=False), nn.BatchNorm2d(4)
    net = Net(run, one=one, two=two, norm=norm, tower=nn.Sequential(one, norm, nn.ReLU()))
    assert ("shared-norm" in {finding.rule for finding in of_module(net, (2, 3, 8, 8))}) == faulty


def test_norms_that_follow_themselves_are_one_finding() -> None:
    net = Net(lambda m, x: m.norm(m.norm(x)), norm=nn.BatchNorm2d(3))
    (found,) = of_module(net, (2, 3, 8, 8))
    assert found.rule == "repeated-norm"
    assert "the same BatchNorm2d again" in found.message


def test_a_softmax_over_fixed_weights_is_an_expectation() -> None:
    layer = nn.Conv2d(3, 1, 1, bias=False).requires_grad_(False)
    assert of_module(Net(lambda m, x: m.bins(x.softmax(1)), bins=layer), (1, 3, 8, 8)) == ()


@pytest.mark.parametrize(("end", "rules"), [(0, ["dropped-pixels"]), (1, []), (torch.tensor(1), [])])
def test_padding_that_no_window_reads_is_no_loss(end: int | torch.Tensor, rules: list[str]) -> None:
    """The end of the padding is a number, or a tensor of which the trace does not know the number."""
    net = Net(lambda m, x: m.one(functional.pad(x, (0, end))), one=nn.Conv1d(3, 3, 3, stride=3))
    assert [finding.rule for finding in of_module(net, (1, 3, 9 + 1 - int(end)))] == rules


# ------------------------------------------------------------ laws
@pytest.mark.law
@given(st.lists(st.integers(1, 64), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_the_biases_that_are_wasted_are_all_counted(widths: list[int]) -> None:
    layers = [
        layer
        for into, out in zip([3, *widths], widths, strict=False)
        for layer in (conv(into, out), nn.BatchNorm2d(out), nn.ReLU())
    ]
    (found,) = of_module(nn.Sequential(*layers), (1, 3, 4, 4))
    assert f" {sum(widths):,} parameters" in found.message
    assert len(found.also) == len(widths) - 1


@pytest.mark.law
@given(*(st.integers(low, high) for low, high in [(1, 12), (1, 5), (1, 6), (1, 3), (0, 6)]))
@settings(max_examples=300)
def test_what_a_window_reads(size: int, kernel: int, stride: int, dilation: int, padding: int) -> None:
    span = (kernel - 1) * dilation + 1
    outputs = (size + 2 * padding - span) // stride + 1
    if outputs < 1:
        return
    slide = AxisWindow(0, size, outputs, kernel, stride, dilation, padding)
    met = {i for i in range(kernel) for o in range(outputs) if 0 <= o * stride - padding + i * dilation < size}
    read = {o * stride - padding + i * dilation for o in range(outputs) for i in range(kernel)} & {*range(size)}
    assert slide.used_positions == len(met)
    assert slide.unread_tail == size - 1 - max(read, default=-1)
    endless = {(o * stride + i * dilation) % stride for o in range(stride) for i in range(kernel)}
    assert slide.read_share * stride == len(endless)


def test_repeated_blocks_are_one_finding(tmp_path: Path) -> None:
    rest = "blocks:\n  Twice:\n    - Conv2d(3, 3, padding=1)\n    - Conv2d(3, 3, padding=1)\n    - ReLU"
    (found,) = of_steps(tmp_path, IMAGE, "Twice; Twice; Twice", rest=rest)
    assert (found.path, found.also) == ("0.0", ("1.0", "2.0"))


def test_a_net_that_does_not_fit_is_not_linted(tmp_path: Path) -> None:
    assert of_steps(tmp_path, IMAGE, "Conv2d(8, 3); BatchNorm2d; residual: Conv2d(4, 1)") == ()


def test_rules_are_handed_in(tmp_path: Path) -> None:
    steps = "Conv2d(8, 1, stride=2); BatchNorm2d"
    assert len(of_steps(tmp_path, IMAGE, steps)) == 2
    assert of_steps(tmp_path, IMAGE, steps, rules=()) == ()
    each = [of_steps(tmp_path, IMAGE, steps, rules=[rule]) for rule in LINT_RULES]
    assert sum(map(len, each)) == 2
