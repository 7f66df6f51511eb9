"""Reference counters run one by one: whatever one does or raises, the model and torch are as before."""

from __future__ import annotations

import copy
import gc
import random
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.counters.counter_runs import COUNTERS, Counter, run_counter, run_counters
from archscope.counters.model_call import ModelCall
from archscope.counters.result import CounterResult

pytest.importorskip("fvcore.nn")
pytest.importorskip("torchinfo")
pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]


class StatefulModel(nn.Module):
    """Keeps what it saw, counts its calls in a buffer, writes into its input, draws; fails if `fails`."""

    def __init__(self, *, fails: bool = False):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.inner[1].eval()
        self.register_buffer("calls", torch.zeros(()))
        self.fails = fails

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen = x
        x += random.random()
        y = self.inner(x) + torch.rand(4)
        if self.fails:
            raise ValueError("as requested\nsecond line")
        return y


def everything(model: nn.Module) -> dict[str, Any]:
    """Return all state that a run could change: flags, attributes, hooks, values."""
    parts = dict(model.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks")
    return {
        "flags": {path: part.training for path, part in parts.items()},
        "attributes": {path: sorted(vars(part)) for path, part in parts.items()},
        "hooks": {path: [len(vars(part)[name]) for name in hooks] for path, part in parts.items()},
        "values": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        "identity": {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()},
        "random": (torch.get_rng_state().tolist(), random.getstate()),
        "settings": (torch._C._get_mkldnn_enabled(), torch._C._get_cudnn_enabled(), torch.is_grad_enabled()),
    }


@pytest.mark.parametrize("fails", [False, True], ids=["it runs", "it fails"])
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_nothing_is_left_behind(counter: Counter, train: bool, fails: bool) -> None:
    model, x = StatefulModel(fails=fails), torch.ones(2, 4)
    before = copy.deepcopy(everything(model))
    results = run_counter(counter, ModelCall(model, (x,), train=train))
    assert {result.status for result in results} == {"crashed" if fails else "counted"}
    assert everything(model) == before
    assert x.tolist() == [[1.0] * 4] * 2


def counter_without_cleanup(call: ModelCall) -> Iterator[CounterResult]:
    """A counter that cleans nothing up."""
    for module in call.model.modules():
        module.__flops__ = 0
        module.register_forward_hook(lambda *_: None)
        module._buffers["left"] = torch.zeros(1)
    call.model._parameters.clear()
    call.model.train()
    torch.manual_seed(1)
    raise RuntimeError("and then it fails")
    yield


def test_a_counter_that_cleans_nothing_up_leaves_nothing_either() -> None:
    model = StatefulModel().eval()
    before = copy.deepcopy(everything(model))
    (result,) = run_counter(
        Counter("counter_without_cleanup", "torch", counter_without_cleanup), ModelCall(model, (torch.ones(2, 4),))
    )
    assert (result.status, result.error) == ("crashed", "RuntimeError: and then it fails")
    assert everything(model) == before


def test_a_cross_check_leaves_nothing_behind_and_frees_the_model() -> None:
    model = StatefulModel()
    before = copy.deepcopy(everything(model))
    archscope.cross_check(model, args=(torch.ones(2, 4),))
    assert everything(model) == before
    gone = weakref.ref(model)
    del model, before
    gc.collect()
    assert gone() is None


def test_weights_that_a_forward_pass_writes_are_as_before() -> None:
    model = nn.Sequential(nn.Embedding(5, 4, max_norm=0.1), nn.Linear(4, 2))
    before = everything(model)
    archscope.cross_check(model, input=("int64", (1, 3)))
    assert everything(model) == before


def test_a_crash_is_reported_by_its_first_error() -> None:
    results = run_counters(ModelCall(StatefulModel(fails=True), (torch.ones(2, 4),)))
    assert [result.error for result in results] == ["ValueError: as requested"] * 3
    assert all(result.macs is None and result.seconds is None for result in results)


@pytest.mark.parametrize("package", ["fvcore", "torchinfo"])
def test_a_missing_counter_says_how_to_install_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    check = archscope.cross_check(nn.Linear(4, 4).eval(), args=(torch.ones(1, 4),))
    status = {account.result.counter: account.result.status for account in check.accounts}
    assert status == {"fvcore": "counted", "torchinfo": "counted", "FlopCounterMode": "counted"} | {package: "missing"}
    assert f"{package} is not installed: pip install fvcore torchinfo" in str(check)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor, *, mask: Tensor) -> dict[str, Tensor]:
        return {"y": self.linear(x) * mask}


def test_a_call_by_name_that_fvcore_cannot_take() -> None:
    check = archscope.cross_check(Masked(), args=(torch.ones(2, 4),), kwargs={"mask": torch.ones(4)})
    found = {account.result.counter: account.result for account in check.accounts}
    assert (found["fvcore"].status, found["torchinfo"].macs, found["FlopCounterMode"].macs) == ("unable", 32, 32)
    assert found["fvcore"].error == "fvcore takes arguments by position only; this call needs mask by name"


def test_names_become_positions_where_the_forward_has_them() -> None:
    check = archscope.cross_check(nn.Bilinear(3, 4, 5), kwargs={"input2": torch.ones(2, 4), "input1": torch.ones(2, 3)})
    assert {account.result.status for account in check.accounts} == {"counted"}


def test_dicts_and_a_model_without_inputs() -> None:
    class Of(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4, bias=False)

        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return self.linear(batch["x"])

    class Fixed(nn.Module):
        def forward(self) -> Tensor:
            return torch.ones(2, 3) @ torch.ones(3, 4)

    for model, args, macs in ((Of(), ({"x": torch.ones(2, 4)},), 32), (Fixed(), (), 24)):
        check = archscope.cross_check(model, args=args)
        found = {account.result.counter: account.result for account in check.accounts}
        assert (found["FlopCounterMode"].macs, found["torchinfo"].status) == (macs, "counted")


def test_on_meta_two_of_them_see_all() -> None:
    """fvcore's jit trace cannot run a convolution there."""
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10))
    check = archscope.cross_check(net.eval(), args=(torch.empty(1, 3, 8, 8, device="meta"),))
    assert [account.unexplained for account in check.accounts[1:]] == [0, 0]
