"""The built net is an ordinary nn.Module: seeds, sizes, training, saving, compiling, and the run of the recorder."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from archscope.compile import build
from tests.compile.written import example, inputs_of, net, plan, run, run_by_recorder, same, steps

CNN = """
name: Small
input: [N, 3, 12, 12]
blocks:
  Basic(channels, stride=1):
    - residual:
        main:
          - Conv2d(channels, 3, stride=stride, padding=1, bias=False)
          - BatchNorm2d
          - ReLU
          - Conv2d(channels, 3, padding=1, bias=False)
          - BatchNorm2d
        shortcut:
          - when: stride != 1 or in_channels != channels
            do: Conv2d(channels, 1, stride=stride)
    - ReLU
layers:
  - stem: [ReLU, Dropout(0.5)]
  - layer1: Basic(4, stride=2 if first else 1)
    repeat: 2
  - concat:
      a: Conv2d(2, 1)
      b: [AvgPool2d(1), ReLU]
  - mean: prev.mean(dim=[2, 3])
  - fc: Linear(5)
"""
TRANSFORMER = """
name: Tiny
input: int64[N, 6]
modules: {embed: 'Embedding(11, 8)'}
blocks:
  Attention(heads):
    input: [N, T, D]
    layers:
      - qkv: Linear(3 * D)
      - q, k, v: qkv.view(N, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
      - scaled_dot_product_attention(q, k, v, is_causal=True)
      - transpose(1, 2)
      - reshape(N, T, D)
      - Linear(D)
layers:
  - embed
  - prev + Parameter(1, 6, 8) + arange(8)
  - do:
      - residual: [LayerNorm, Attention(2)]
      - residual:
          - LayerNorm
          - Linear(16)
          - GELU
          - Linear(8)
    repeat: 2
  - linear(prev, embed.weight)
"""
RECURRENT = """
name: Recurrent
input: [N, 5, 4]
layers:
  - out, (h, c): LSTM(hidden_size=6, batch_first=True)
  - logits: Linear(3)(h[-1])
return: {logits: logits, state: c, sequence: out}
"""
SEVERAL = """
name: Several
inputs:
  image: [N, 3, 6, 6]
  tokens: int64[N, 4]
layers:
  - i: Conv2d(5, 3)(image).mean([2, 3])
  - t: Embedding(7, 5)(tokens).mean(1)
  - multiply:
      gate: [Linear(5), Sigmoid]
      value: i
return: [prev, i + t]
"""
NETS = {"cnn": CNN, "transformer": TRANSFORMER, "recurrent": RECURRENT, "several": SEVERAL}

every_net = pytest.mark.parametrize("spec", NETS.values(), ids=NETS)


def tokens_or_image(spec: str, batch: int) -> tuple[torch.Tensor, ...]:
    """Return inputs of a net at another batch size; the tokens differ."""
    generator = torch.Generator().manual_seed(5)
    return tuple(
        torch.randn(batch, *i.shape[1:], generator=generator)
        if i.dtype.is_floating_point
        else torch.randint(0, 7, (batch, *i.shape[1:]), generator=generator)
        for i in plan(spec).inputs
    )


def total(value: object) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.sum()
    parts = value.values() if isinstance(value, dict) else value
    return sum((total(part) for part in parts), torch.zeros(()))  # type: ignore[union-attr, attr-defined]


@every_net
def test_a_seed_determines_the_weights(spec: str) -> None:
    first, again, other = (net(spec, seed=seed).state_dict() for seed in (0, 0, 1))
    assert list(first) == list(again)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_weights_are_those_of_a_plain_module_under_the_same_seed() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        reference = nn.Sequential(
            nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 5)
        ).eval()
    written = steps("Conv2d(6, 3)", "BatchNorm2d", "ReLU", "MaxPool2d(2)", "Flatten", "Linear(5)")
    built, x = net(written, seed=7), example((3, 4, 8, 8))
    assert list(built.state_dict()) == list(reference.state_dict())
    same(built(x), reference(x))


@every_net
def test_it_runs_at_other_batch_sizes(spec: str) -> None:
    built, three = net(spec), tokens_or_image(spec, 3)
    whole = built(*three)
    single = built(*(x[:1] for x in three))
    for many, one in zip(flat(whole), flat(single), strict=True):
        axis = next(i for i, (a, b) in enumerate(zip(many.shape, one.shape, strict=True)) if a != b)
        assert (many.shape[axis], one.shape[axis]) == (3, 1)
        assert torch.allclose(many.select(axis, 0), one.select(axis, 0), atol=1e-5)


def flat(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in flat(part)]  # type: ignore[union-attr, attr-defined]


def test_it_runs_at_other_image_sizes() -> None:
    assert net(CNN)(example((2, 3, 20, 16))).shape == (2, 5)
    text = "input: [N, 5, 8]\nlayers:\n  - a: x.reshape(x.shape[0] * x.shape[1], -1)\n  - a.view(x.size(0), -1, 4)\n"
    assert net(text)(example((3, 7, 8))).shape == (3, 14, 4)


@pytest.mark.moves_rng
@every_net
def test_it_trains(spec: str) -> None:
    built = net(spec).train()
    optimizer = torch.optim.SGD(built.parameters(), lr=0.1)
    before = {name: p.detach().clone() for name, p in built.named_parameters()}
    total(built(*tokens_or_image(spec, 4))).backward()
    assert all(p.grad is not None for p in built.parameters())
    optimizer.step()
    assert any(not torch.equal(before[name], p) for name, p in built.named_parameters())


@pytest.mark.moves_rng
def test_train_and_eval_reach_every_layer() -> None:
    built = net(CNN)
    assert not any(module.training for module in built.modules())
    assert all(module.training for module in built.train().modules())
    x = example((4, 3, 12, 12))
    assert not torch.equal(built(x), built(x))
    assert torch.equal(built.eval()(x), built(x))


@every_net
def test_weights_go_from_one_net_to_another(spec: str) -> None:
    inputs = tokens_or_image(spec, 2)
    source, target = net(spec, seed=1), net(spec, seed=2)
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    target.load_state_dict(torch.load(file))
    same(source(*inputs), target(*inputs))


@every_net
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_compute_the_same_and_share_nothing(spec: str, copied) -> None:  # type: ignore[no-untyped-def]
    built, inputs = net(spec), tokens_or_image(spec, 2)
    other = copied(built)
    same(built(*inputs), other(*inputs))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in built.parameters() if parameter.dim() > 1)


@every_net
def test_the_recorder_computes_the_same_values(spec: str) -> None:
    built, inputs = net(spec), tokens_or_image(spec, 2)
    same(run_by_recorder(spec, built.state_dict(), inputs), built(*inputs))


@pytest.mark.moves_rng
@pytest.mark.parametrize("spec", [CNN, TRANSFORMER, SEVERAL], ids=["cnn", "transformer", "several"])  # it has no LSTM
def test_torch_compile_makes_one_graph_of_it(spec: str) -> None:
    torch._dynamo.reset()
    built, inputs = net(spec), tokens_or_image(spec, 2)
    same(torch.compile(built, backend="eager", fullgraph=True)(*inputs), built(*inputs))


def test_the_hierarchy_is_one_submodule_per_use_of_a_block() -> None:
    built = net(CNN)
    assert [name for name, module in built.named_modules() if type(module).__name__.startswith("Basic")] == [
        "layer1.0", "layer1.1",
    ]  # fmt: skip
    assert isinstance(built.get_submodule("layer1.0.main.0"), nn.Conv2d)
    assert "layer1.1.main.4.running_mean" in built.state_dict()


@every_net
def test_the_plan_counts_what_the_module_has(spec: str) -> None:
    built = net(spec)
    assert plan(spec).parameter_count == sum(p.numel() for p in built.parameters())


def test_other_devices_and_dtypes() -> None:
    built = net(CNN)
    assert built.to(torch.float64)(example((1, 3, 12, 12)).double()).dtype is torch.float64
    moved = net(TRANSFORMER).to("meta")
    assert moved(torch.empty(2, 6, dtype=torch.int64, device="meta")).shape == (2, 6, 11)


def test_building_twice_from_one_plan_gives_two_nets() -> None:
    planned = plan(CNN)
    with torch.random.fork_rng():
        first, second = build(planned).eval(), build(planned).eval()
    with torch.no_grad():
        first.get_submodule("fc").weight.zero_()
    assert second.get_submodule("fc").weight.abs().sum() > 0
    assert first(*inputs_of(planned)).shape == second(*inputs_of(planned)).shape


def test_results_keep_their_names() -> None:
    assert list(run(RECURRENT)) == ["logits", "state", "sequence"]
    assert isinstance(run(SEVERAL), tuple)
