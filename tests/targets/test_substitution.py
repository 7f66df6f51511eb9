"""Tests of copies with another layer: they share everything else, and the original model is not changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.targets import ReplacementError, is_torch_layer, present_arguments, with_layer, with_layers
from tests.networks import twins
from tests.record.side_effects import object_state, process_state

pytestmark = pytest.mark.moves_rng

NETS: dict[str, Callable[[], nn.Module]] = {
    "lenet": twins.LeNet,
    "unet": lambda: twins.UNet(4, 2),
    "vit": lambda: twins.ViT(32, 8, 2, 2, 16, 10),
    "lstm": lambda: twins.LstmClassifier(50, 8, 8, 2, 2),
    "convnext": lambda: twins.convnext([1, 1, 1, 1], [4, 8, 8, 8], 3),
    "resnet": lambda: twins.resnet(twins.bottleneck, [1, 1, 1, 1], 4, classes=3),
}


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in before | after if before.get(name, before) != after.get(name, after)]


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", NETS)
def test_every_layer_is_made_anew_as_it_was(name: str) -> None:
    model = NETS[name]()
    layers = {p: m for p, m in model.named_modules() if is_torch_layer(m) and not m._modules and present_arguments(m)}
    before, around, state = object_state(model), process_state(), torch.random.get_rng_state()
    for path, layer in layers.items():
        copied = with_layer(model, path)
        new = copied.get_submodule(path)
        assert new is not layer
        assert repr(copied) == repr(model)
        assert shapes(copied) == shapes(model)
        assert new.training == layer.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert changes(around, process_state()) == []
    assert changes(before, object_state(model)) == []


def test_only_the_modules_on_the_way_are_copied() -> None:
    model = twins.Gpt2(50, 8, 16, 3, 2)
    copied = with_layer(model, "h.1.wide", out_features=32)
    same = [path for path, part in model.named_modules() if copied.get_submodule(path) is part]
    assert set(dict(model.named_modules())) - set(same) == {"", "h", "h.1", "h.1.wide"}
    kept = {name: tensor for name, tensor in model.named_parameters() if not name.startswith("h.1.wide")}
    assert all(dict(copied.named_parameters())[name] is tensor for name, tensor in kept.items())
    assert model.h[1].wide.out_features == 64


def test_a_new_layer_is_where_the_old_one_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta", dtype=torch.float64), nn.BatchNorm2d(4).eval())
    model[0].weight.requires_grad_(False)
    copied = with_layers(model, {"0": {"out_channels": 6}, "1": {"num_features": 6}}).model
    conv, norm = copied
    assert (conv.weight.device.type, conv.weight.dtype, conv.weight.requires_grad) == ("meta", torch.float64, False)
    assert conv.bias.requires_grad
    assert (norm.training, norm.running_mean.shape, norm.num_batches_tracked.dtype) == (False, (6,), torch.int64)


def test_a_new_recurrent_layer_runs_on_its_own_weights() -> None:
    model = nn.ModuleList([nn.LSTM(4, 5, 2, bidirectional=True), nn.GRU(4, 5), nn.MultiheadAttention(8, 2)])
    x = torch.ones(3, 2, 4)
    assert with_layer(model, "0", hidden_size=7)[0](x)[0].shape == (3, 2, 14)
    assert with_layer(model, "1", hidden_size=7)[1](x)[0].shape == (3, 2, 7)
    attention = with_layer(model, "2", embed_dim=12, num_heads=3)[2]
    y = torch.ones(3, 2, 12)
    assert attention(y, y, y)[0].shape == (3, 2, 12)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.block = nn.Sequential(self.first, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.first(x))


def test_a_shared_layer_is_replaced_wherever_it_is() -> None:
    made = with_layers(Shared(), {"first": {"bias": False}})
    assert made.paths == ("first", "block.0")
    assert made.model.first is made.model.block[0]
    assert made.model.first.bias is None


def test_a_model_that_holds_itself_is_copied_once() -> None:
    model = nn.Module()
    model.fc, model.me = nn.Linear(2, 2), model
    copied = with_layer(model, "fc", out_features=3)
    assert copied.me is copied
    assert (copied.fc.out_features, model.fc.out_features) == (3, 2)


class Own(nn.Linear):
    def __init__(self, width: int) -> None:
        super().__init__(width, width)


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_forward_hook(lambda *_: None)
    return model


def hooked_above() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model.register_forward_pre_hook(lambda *_: None)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


def changed() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].note = "mine"
    return model


@pytest.mark.parametrize(
    ("model", "path", "arguments", "fact"),
    [
        (hooked, "0", {}, "0: Linear has hooks"),
        (hooked_above, "0", {}, "Sequential has hooks"),
        (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), "0", {}, "not a plain layer"),
        (lambda: nn.Sequential(Own(2)), "0", {}, "0: Own is not a plain layer of torch.nn"),
        (tied, "0", {}, "0: 1 has the same weights"),
        (changed, "0", {}, "0: not all arguments of this Linear are known"),
        (lambda: nn.Sequential(nn.LazyLinear(2)), "0", {}, "not a plain layer"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "0", {"width": 3}, "0: Linear has no argument 'width'"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "1", {}, "there is no module 1"),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 1)), "0", {"groups": 3}, "must be divisible by groups"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "0", {"out_features": 2**31}, "would be too large"),
    ],
)
def test_what_cannot_be_replaced_says_why(
    model: Callable[[], nn.Module], path: str, arguments: dict[str, Any], fact: str
) -> None:
    with pytest.raises(ReplacementError, match=fact):
        with_layer(model(), path, **arguments)


def test_a_run_of_a_copy_leaves_the_model_as_it_is() -> None:
    model = twins.basic_block_net(twins.TutorialBlock(32)).train()
    x = torch.ones(2, 3, 64, 64)
    copied = with_layer(model, "1.conv1", bias=True)
    before = object_state(model, x)
    report = archscope.summarize(copied, args=(x,), train=True)
    assert report.total.params == sum(p.numel() for p in model.parameters()) + 32
    assert changes(before, object_state(model, x)) == []
