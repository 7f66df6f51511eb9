"""Every spec of the repository: built once, it is right at sizes it was not built for, and is an ordinary module.

At another size the net has to give, to the bit, what the spec compiled for that size gives with the same weights, in
eval mode and in a training step. Where that spec has other weights, the net has to refuse, and say where.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import SpecError
from tests.compile.agreement import (
    Subject,
    build_subject,
    disagreement,
    evaluated,
    outcome,
    refusal,
    same_bits,
    same_structure,
    seeded,
    step,
)
from tests.compile.interpreter_values import tensors_in
from tests.compile.written import Shape, example
from tests.docs.pages import ROOT

IMAGE = (2, 3, 64, 64)
DIGIT = (2, 1, 28, 28)


@dataclass(frozen=True, eq=False)
class Case:
    """A spec, with smaller params if it is large. first: the shape of the input that it is built for."""

    file: str
    first: Shape
    set: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    high: int = 0  # of whole numbers; 0 where the input is float
    square: bool = False  # whether images are

    def inputs(self, shape: Shape) -> tuple[torch.Tensor, ...]:
        if not self.high:
            return (example(shape, seed=shape[0]),)
        return (torch.randint(0, self.high, shape, generator=torch.Generator().manual_seed(shape[0])),)

    @property
    def others(self) -> tuple[Shape, ...]:
        """Another batch size; other sizes of an image, or another length; all of it."""
        batch, *rest = self.first
        if len(rest) == 3:
            c, h, w = rest
            if self.square:
                return (batch + 1, c, h, w), (batch, c, h + 32, w + 32), (1, c, h - 32, w - 32)
            return (batch + 1, c, h, w), (batch, c, h + 32, w), (1, c, h + 16, w + 32)
        length, *features = rest
        return (batch + 1, length, *features), (batch, length + 3, *features), (1, length - 2, *features)


LLAMA = {"dim": 16, "heads": 4, "kv_heads": 2, "hidden": 24}
RESNETS = ("resnet18", "resnet50", "resnext50_32x4d", "resnext50_as_printed")
CASES = (
    Case("convnext.yaml", IMAGE, {"depths": [1, 1, 2, 1], "dims": [8, 12, 16, 24], "num_classes": 5}),
    Case("densenet.yaml", IMAGE, {"growth": 4, "blocks": [1, 2, 2, 1], "stem": 8, "num_classes": 5}),
    Case("efficientnet.yaml", IMAGE, {"width": 0.25, "depth": 0.4, "num_classes": 5}, ("b0", "b7"), square=True),
    Case("gpt2.yaml", (2, 6), {"vocab": 50, "context": 16, "dim": 16, "depth": 2, "heads": 2}, high=50),
    Case("llama3.yaml", (2, 6), {"vocab": 50, "depth": 2, **LLAMA}, high=50),
    Case("llama_block.yaml", (2, 6, 16), LLAMA),
    Case("lstm_classifier.yaml", (2, 6), {"vocab": 50, "dim": 8, "hidden": 6}, high=50),
    Case("mobilenet_v2.yaml", IMAGE, {"width": 0.25, "num_classes": 5}),
    Case("resnet.yaml", IMAGE, {"blocks_per_stage": [1, 2, 1, 1], "num_classes": 5}, RESNETS),
    Case("unet.yaml", (2, 1, 32, 32), {"width": 4}),
    Case("vgg.yaml", (2, 3, 32, 32), {"plan": [1, 1, 1, 1, 1], "num_classes": 5}, ("vgg11_bn",)),
    Case("vit.yaml", IMAGE, {"patch": 16, "dim": 16, "depth": 2, "heads": 2, "mlp": 32, "num_classes": 5}, square=True),
    Case("tutorials/basic_block.yaml", IMAGE, variants=("fixed", "as_printed")),
    Case("tutorials/basic_block_net.yaml", (2, 3, 128, 128), variants=("without", "as_printed")),
    Case("tutorials/bottleneck_1x1.yaml", (2, 192, 8, 8), variants=("direct", "bottleneck")),
    Case("tutorials/cnn3.yaml", DIGIT),
    Case("tutorials/inception_block.yaml", (2, 10, 12, 12)),
    Case("tutorials/inception_mnist.yaml", DIGIT),
    Case("tutorials/lenet.yaml", DIGIT),
    Case("tutorials/mlp.yaml", DIGIT),
    Case("tutorials/residual_block.yaml", (2, 64, 8, 8), variants=("identity", "wider", "strided")),
    Case("tutorials/residual_mnist.yaml", DIGIT, variants=("plain", "constant_scaling_as_printed", "conv_shortcut")),
)
NETS = [(case, variant) for case in CASES for variant in (case.variants or (None,))]
NAMES = [":".join(filter(None, [case.file, variant])) for case, variant in NETS]


def test_every_spec_is_a_case() -> None:
    found = {str(path.relative_to(ROOT / "specs")) for path in ROOT.glob("specs/**/*.yaml")}
    assert found == {case.file for case in CASES}


@cache
def built(case: Case, variant: str | None) -> Subject:
    """Return the net for the case's first size."""
    path = str(ROOT / "specs" / case.file)
    return build_subject(path, case.inputs(case.first), variant=variant, settings=case.set)


def compiled(subject: Subject, inputs: tuple[torch.Tensor, ...]) -> nn.Module | None:
    """Return the spec compiled for these sizes, with the weights of `subject`; None if that is not possible."""
    shapes = {name.name: tuple(value.shape) for name, value in zip(subject.library.root.inputs, inputs, strict=True)}
    file = subject.library.root.file
    try:
        net = archscope.build(file, variant=subject.variant, seed=0, input=shapes, set=subject.settings)
    except SpecError:
        return None
    weights = subject.net.state_dict()
    if {key: value.shape for key, value in net.state_dict().items()} != {k: v.shape for k, v in weights.items()}:
        return None
    net.load_state_dict(weights)
    return net.eval()


def difference_from_compiled(subject: Subject, inputs: tuple[torch.Tensor, ...]) -> str:
    """Return how a net differs from the spec compiled for these inputs; "" if it does not."""
    wanted = compiled(subject, inputs)
    got = outcome(lambda: evaluated(subject.net, inputs))
    if wanted is None:
        return refusal(got) if isinstance(got, Exception) else "a value, where the spec has other weights"
    if isinstance(got, Exception):
        return f"refused: {got!r}"
    if found := same_bits(got, evaluated(wanted, inputs)):
        return f"eval: {found}"
    net_step, wanted_step = (outcome(lambda net=net: step(net, net, inputs)) for net in (subject.net, wanted))
    if isinstance(net_step, Exception) or isinstance(wanted_step, Exception):
        return "" if type(net_step) is type(wanted_step) else f"training step: {net_step!r} and {wanted_step!r}"
    return (found := same_bits(net_step, wanted_step)) and f"training step: {found}"


@pytest.mark.law
@pytest.mark.parametrize("size", [0, 1, 2], ids=["batch", "size", "both"])
@pytest.mark.parametrize(("case", "variant"), NETS, ids=NAMES)
def test_a_net_equals_the_compiled_spec_at_every_size(case: Case, variant: str | None, size: int) -> None:
    subject = built(case, variant)
    inputs = case.inputs(case.others[size])
    wrong = difference_from_compiled(subject, inputs)
    assert not wrong


@pytest.mark.law
@pytest.mark.parametrize(("case", "variant"), NETS, ids=NAMES)
def test_a_net_equals_the_interpreter_at_every_size(case: Case, variant: str | None) -> None:
    subject = built(case, variant)
    for shape in (case.first, *case.others):
        inputs = case.inputs(shape)
        wrong = disagreement(subject, inputs, may_refuse=not same_structure(subject, inputs))
        assert not wrong, shape


# ------------------------------------------------------------ an ordinary module
SMALL = [(case, case.variants[0] if case.variants else None) for case in CASES]
SMALL_NAMES = [case.file for case, _ in SMALL]


def pickled(net: nn.Module, _: tuple[torch.Tensor, ...]) -> nn.Module:
    return pickle.loads(pickle.dumps(net))


def saved(net: nn.Module, _: tuple[torch.Tensor, ...]) -> nn.Module:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def copied(net: nn.Module, _: tuple[torch.Tensor, ...]) -> nn.Module:
    return copy.deepcopy(net)


def reloaded(net: nn.Module, _: tuple[torch.Tensor, ...]) -> nn.Module:
    """Return a copy with other weights, after it has loaded the state of the net from a file."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    return other


def traced(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, about torch.jit
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # that it fixes what `int` makes of a size
        return torch.jit.trace(net, inputs, check_trace=False)


def exported(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Callable[..., Any]:
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_flat_weights", category=UserWarning)  # torch's own, about LSTM
        return torch.export.export(net, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs)).module()


def compiled_by_torch(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Callable[..., Any]:
    return torch.compile(net, backend="eager")


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.law(keep=22)
@pytest.mark.parametrize("way", [copied, pickled, saved, reloaded], ids=lambda way: way.__name__)
@pytest.mark.parametrize(("case", "variant"), SMALL, ids=SMALL_NAMES)
def test_a_copy_of_a_net_is_the_same_net(case: Case, variant: str | None, way: Callable[..., Any]) -> None:
    subject = built(case, variant)
    other = way(subject.net, subject.first)
    for shape in (case.first, case.others[0]):
        inputs = case.inputs(shape)
        wrong = same_bits(evaluated(other, inputs), evaluated(subject.net, inputs))
        assert not wrong, shape


@pytest.mark.law(keep=len(CASES))
@pytest.mark.parametrize(("case", "variant"), SMALL, ids=SMALL_NAMES)
def test_a_net_trains_and_its_weights_are_loaded(case: Case, variant: str | None) -> None:
    """Train ten steps of SGD on one batch, then load the weights into a net of another seed."""
    file, shape = str(ROOT / "specs" / case.file), tuple(case.first)
    net, other = (archscope.build(file, variant=variant, seed=n, input=shape, set=case.set) for n in (1, 2))
    before = copy.deepcopy(net.state_dict())
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=1e-3), []
    with seeded():
        for _ in range(10):
            optimizer.zero_grad()
            loss = sum(((out - 0.5) ** 2).mean() for out in tensors_in(net(*case.inputs(shape))))
            assert isinstance(loss, torch.Tensor)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert all(math.isfinite(loss) for loss in losses)
    assert any(not torch.equal(value, before[name]) for name, value in net.state_dict().items())
    other.load_state_dict(net.state_dict())
    assert not same_bits(*(evaluated(trained.eval(), case.inputs(shape)) for trained in (net, other)))


@pytest.mark.law
@pytest.mark.parametrize(("case", "variant"), SMALL, ids=SMALL_NAMES)
def test_torch_fx_takes_a_net(case: Case, variant: str | None) -> None:
    if torch.__version__ < "2.9" and case.file.startswith("llama"):
        pytest.skip("arange of torch 2.8 takes no proxy, and rotary positions need one")
    subject = built(case, variant)
    other = torch.fx.symbolic_trace(subject.net)
    assert not same_bits(evaluated(other, subject.first), evaluated(subject.net, subject.first))


@pytest.mark.law
@pytest.mark.parametrize(("case", "variant"), SMALL, ids=SMALL_NAMES)
def test_a_net_can_be_traced(case: Case, variant: str | None) -> None:
    subject = built(case, variant)
    with torch.no_grad(), seeded():
        other = traced(subject.net, subject.first)
    wrong = same_bits(evaluated(other, subject.first), evaluated(subject.net, subject.first))
    assert not wrong


@pytest.mark.law(keep=6)
@pytest.mark.parametrize(("case", "variant"), SMALL, ids=SMALL_NAMES)
@pytest.mark.parametrize("way", [exported, compiled_by_torch], ids=lambda way: way.__name__)
@pytest.mark.usefixtures("fresh_compiler")
def test_torchs_own_compilers_take_a_net(case: Case, variant: str | None, way: Callable[..., Any]) -> None:
    """Equal but for rounding: compiled, attention does not take torch's fused path."""
    subject = built(case, variant)
    with torch.no_grad(), seeded():
        other = way(subject.net, subject.first)
    for shape in (case.first, case.others[0]):
        inputs = case.inputs(shape)
        torch.testing.assert_close(evaluated(other, inputs), evaluated(subject.net, inputs))
