"""Live modules of every kind: what a report says of them, and that they stay as they are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import ForwardError, UsageError


class Nothing(nn.Module):
    def forward(self) -> torch.Tensor:
        return torch.ones(3)


class Whole(nn.Module):
    """Integers only."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(5))

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        return self.table[i]


class Apart(nn.Module):
    """On two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x).to("meta"))


class Weight(torch.Tensor):
    """A tensor of a class of its own."""


def with_subclass() -> nn.Module:
    model = nn.Linear(4, 3)
    model.weight = nn.Parameter(torch.ones(3, 4).as_subclass(Weight))
    return model


def of_inference() -> nn.Module:
    with torch.inference_mode():
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


@pytest.mark.moves_rng
@pytest.mark.parametrize(
    ("made", "given", "device", "dtype", "params", "macs"),
    [
        (Nothing, {}, "cpu", "float32", 0, 0),
        (Whole, {"input": ("int64", (3,))}, "cpu", "int64", 0, 0),
        (Apart, {"input": (2, 4)}, "cpu + meta", "float32", 23, 36),
        (lambda: nn.Linear(4, 3).half(), {"input": (2, 4)}, "cpu", "float16", 15, 24),
        (lambda: nn.Linear(4, 3).bfloat16(), {"input": (2, 4)}, "cpu", "bfloat16", 15, 24),
        (lambda: nn.Linear(4, 3, dtype=torch.complex64), {"input": (2, 4)}, "cpu", "complex64", 15, 24),
        (lambda: nn.Linear(4, 3, device="meta"), {"input": (2, 4)}, "meta", "float32", 15, 24),
        (with_subclass, {"input": (2, 4)}, "cpu", "float32", 15, 24),
        (of_inference, {"input": (2, 4)}, "cpu", "float32", 21, 24),
    ],
)
def test_any_module(
    made: Callable[[], nn.Module], given: dict[str, Any], device: str, dtype: str, params: int, macs: int
) -> None:
    report = archscope.summarize(made(), **given)
    assert (report.trace.device, report.trace.dtype) == (device, dtype)
    assert (report.total.params, report.total.macs) == (params, macs)


@pytest.mark.moves_rng
@pytest.mark.parametrize("train", [False, True])
def test_under_inference_mode(train: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with torch.inference_mode():
        assert archscope.summarize(model, input=(2, 4), train=train).total.macs == 24
        assert archscope.summarize(of_inference(), input=(2, 4), train=train).total.macs == 24
    assert torch.equal(model[1].running_mean, torch.zeros(3))


class Stop(BaseException):
    """An exception of the author's."""


class Ending(nn.Module):
    """A forward that raises what it was made with, behind one layer of two."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.read, self.left, self.error = nn.Linear(4, 3), nn.Linear(3, 2), error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.read(x)
        raise self.error


@pytest.mark.moves_rng
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("too narrow"), "too narrow"),
        (KeyError("weights"), "KeyError: 'weights'"),
        (AttributeError("no 'lim'"), "AttributeError: no 'lim'"),
        (NotImplementedError(), "NotImplementedError"),
        (AssertionError(), "AssertionError"),
        (SystemExit(0), "SystemExit: 0"),
        (BaseException("bare"), "BaseException: bare"),
        (GeneratorExit(), "GeneratorExit"),
        (Stop("own"), "Stop: own"),
    ],
)
def test_what_ends_a_forward_pass_is_called_by_its_class(error: BaseException, message: str) -> None:
    with pytest.raises(ForwardError) as caught:
        archscope.summarize(Ending(error), input=(2, 4))
    report = caught.value.report
    assert report.trace.failure is not None
    assert (report.trace.failure.message, report.total.params) == (message, 23)
    assert "never read" not in str(report)


@pytest.mark.moves_rng
@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), pytest.skip.Exception("no")])
def test_what_comes_from_outside_is_no_failure_of_the_model(error: BaseException) -> None:
    with pytest.raises(type(error)):
        archscope.summarize(Ending(error), input=(2, 4))


class Forces(nn.Module):
    """Energies of positions and their derivatives, by a forward that trusts its caller to have gradients on."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.requires_grad_(True)
        energy = self.net(x).sum()
        if self.how == "grad":
            return torch.autograd.grad(energy, x)[0]
        if self.how == "backward":
            energy.backward()
        else:
            energy.register_hook(torch.neg)
        return energy


@pytest.mark.moves_rng
@pytest.mark.parametrize(("how", "macs"), [("grad", 2 * 320), ("backward", 320 + 320 + 320), ("hook", 320)])
def test_a_forward_that_derives_has_gradients(how: str, macs: int) -> None:
    model, x = Forces(how), torch.ones(5, 3)
    report = archscope.summarize(model, args=(x,))
    assert (report.trace.mode, report.backward_total, report.total.macs) == ("eval", None, macs)
    assert report.trace.notes == ("the forward pass computes derivatives: it ran with gradients",)
    assert (x.requires_grad, x.grad, model.net[0].weight.grad) == (False, None, None)


@pytest.mark.moves_rng
@pytest.mark.parametrize("train", [False, True])
def test_a_live_module_keeps_its_lazy_layers(train: bool) -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    report = archscope.summarize(model, input=(2, 3, 8, 8), train=train)
    assert (report.total.params, report.total.macs, len(report.rows)) == (410, 8352, 4)
    assert "a copy was initialized" in report.trace.notes[0]
    assert all(isinstance(model[i], nn.modules.lazy.LazyModuleMixin) for i in (0, 1, 3))
    assert model[0].has_uninitialized_params()


@pytest.mark.moves_rng
def test_lazy_layers_that_are_not_called_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    model[0].aside = nn.LazyLinear(3)
    assert archscope.summarize(model, input=(2, 4)).trace.notes[1:] == (
        "lazy layers that were not reached have no shapes, and are not counted: 0.aside",
    )


@pytest.mark.moves_rng
def test_lazy_layers_that_a_failure_leaves_waiting() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Linear(99, 2), nn.LazyBatchNorm2d())
    with pytest.raises(ForwardError, match="cannot be multiplied") as caught:
        archscope.summarize(model, input=(2, 3, 8, 8))
    assert caught.value.report.total.params == 112 + 200


@pytest.mark.moves_rng
def test_wrappers_are_seen_through() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    for wrapped, words in ((nn.DataParallel(model), "DataParallel"), (torch.compile(model), "torch.compile")):
        report = archscope.summarize(wrapped, input=(2, 4))
        assert [row.path for row in report.rows] == ["0"]
        assert report.trace.notes[0].startswith(words)


@pytest.mark.moves_rng
def test_distributed_modules_are_seen_through(tmp_path: Path) -> None:
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch has no gloo here")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        report = archscope.summarize(nn.parallel.DistributedDataParallel(nn.Linear(4, 3)), input=(2, 4))
    finally:
        distributed.destroy_process_group()
    assert (report.total.macs, report.trace.notes[0][:23]) == (24, "DistributedDataParallel")


@pytest.mark.moves_rng
def test_packed_weights_are_named_and_not_taken_for_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this way of quantising is deprecated
        net = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        model = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
        report = archscope.summarize(model, input=(2, 4))
    assert (report.trace.dtype, report.trace.inputs[0].value.dtype) == ("qint8", "float32")
    assert "packed as qint8 are not parameters, and not counted: 0" in report.trace.notes[0]


@pytest.mark.moves_rng
def test_only_check_reads_the_source_of_a_live_module(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(nn.Linear):
        def __init__(self, width: int):
            super().__init__(4, 3)

    read: list[type] = []
    monkeypatch.setattr("inspect.getsourcelines", lambda cls: read.append(cls) or ([], 0))
    archscope.summarize(nn.Sequential(Deaf(3), nn.ReLU()), input=(2, 4))
    assert read == []
    archscope.check(nn.Sequential(Deaf(3), nn.ReLU()), input=(2, 4))
    assert read == [Deaf]


@pytest.mark.moves_rng
def test_a_pending_backward_survives_a_summary() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(4))
            self.fc = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x * self.scale)

    model = Scaled()
    loss = model(torch.ones(2, 4, requires_grad=True)).sum()
    archscope.summarize(model, args=(torch.ones(2, 4),))
    loss.backward()
    assert model.fc.weight.grad is not None


# ------------------------------------------------------------ what is no live module
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            nn.Linear,
            r"Linear cannot be made without 'in_features' and 'out_features'\n  help: set={\"in_features\": …, ",
        ),
        (lambda: 3, "<lambda> gives an int, not a torch.nn.Module"),
        (3, "3 is not a target\n  help: a live nn.Module"),
        (torch.ones(2), "a tensor is not a target"),
    ],
)
def test_wrong_live_targets(target: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        archscope.summarize(target, input=(1, 4))


def test_a_live_module_is_analysed_as_it_is() -> None:
    model = nn.Linear(4, 3, device="meta")
    for wish in ({"device": "cpu"}, {"dtype": "float16"}, {"set": {"out_features": 2}}):
        with pytest.raises(UsageError, match="a live module"):
            archscope.summarize(model, input=(1, 4), **wish)


def test_every_public_name_of_the_library_has_its_module() -> None:
    from archscope import api

    assert sorted(name for names in api.MODULES.values() for name in names) == sorted(api.__all__)
    assert all(getattr(api, name).__name__ == name for name in api.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'cost'"):
        getattr(api, "cost")  # noqa: B009


def test_a_module_is_summarized_without_the_compiler_and_what_only_timings_need() -> None:
    program = """
import sys, torch, archscope
str(archscope.summarize(torch.nn.Linear(3, 4), (1, 3)))
unneeded = "archscope.compile", "archscope.profiling", "archscope.fixes"
print([name for name in sys.modules if name.startswith(unneeded)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
