"""Declared modules as arguments of blocks and inside blocks: one set of weights, wherever it is called."""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SpecError
from tests.compile.written import example, net, plan, run_by_recorder, same

ARGUMENT = """
input: [N, 8, 4]
blocks:
  Use(f):
    - f
    - h: relu
    - y: f(x)
    - h + y
  Outer(g, times):
    - Use(g)
    - prev * times
modules:
  m: Linear(4)
layers:
  - Use(m)
  - Outer(m, 2)
  - m
"""
SEEN = """
input: [N, 16]
modules: {g: Linear(16)}
blocks:
  B:
    - g
    - relu
layers:
  - B
  - B
"""
MADE = """
input: [N, 8, 4]
blocks:
  G(o):
    - Linear(4)
    - Linear(o)
  Use(f):
    - a: f(Parameter(2, 4))
    - x @ a.transpose(0, 1)
modules:
  g: G(4)
layers:
  - g
  - Use(g)
"""
WEIGHT = """
input: int64[N, 5]
modules: {embed: 'Embedding(7, 4)'}
blocks:
  Head(table):
    - linear(prev, table.weight)
layers:
  - embed
  - Head(embed)
"""


def test_a_module_as_an_argument_shares_its_weights() -> None:
    built, x = net(ARGUMENT), example((2, 5, 4))
    m = built.get_submodule("m")

    def use(x: torch.Tensor) -> torch.Tensor:
        return m(x).relu() + m(x)

    assert torch.equal(built(x), m(use(use(x)) * 2))
    assert plan(ARGUMENT).parameter_count == 20 == sum(p.numel() for p in built.parameters())
    assert built.get_submodule("0.m") is m
    assert built.get_submodule("1.0.m") is m


def test_the_modules_of_a_file_are_visible_in_its_blocks() -> None:
    built, x = net(SEEN), example((2, 16))
    g = built.get_submodule("g")
    assert torch.equal(built(x), g(g(x).relu()).relu())
    assert plan(SEEN).parameter_count == 16 * 17


def test_a_declared_block_is_one_block_at_every_size_that_it_is_called_at() -> None:
    built, x = net(MADE), example((2, 8, 4))
    g, raw = built.get_submodule("g"), built.get_parameter("1.a")
    assert torch.equal(built(x), g(x) @ g(raw).transpose(0, 1))


def test_a_weight_of_a_module_that_a_block_was_given() -> None:
    built, x = net(WEIGHT), torch.tensor([[0, 3, 6, 1, 2]])
    table = built.get_submodule("embed").weight
    assert torch.equal(built(x), table[x] @ table.T)


@pytest.mark.parametrize("text", [ARGUMENT, SEEN, MADE], ids=["argument", "seen", "made"])
def test_the_recorder_computes_the_same(text: str) -> None:
    built = net(text)
    x = example((1, *plan(text).inputs[0].shape[1:]))
    same(run_by_recorder(text, built.state_dict(), (x,)), built(x))


@pytest.mark.parametrize("text", [ARGUMENT, SEEN, MADE, WEIGHT], ids=["argument", "seen", "made", "weight"])
def test_weights_are_loaded_from_the_state_dict(text: str) -> None:
    first, other = net(text, seed=1), net(text, seed=2)
    other.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert len(list(first.parameters())) < len(first.state_dict())


def test_a_declared_block_that_a_size_would_build_otherwise_is_refused() -> None:
    text = """
input: [N, 8, 4]
blocks:
  G:
    input: [N, T, D]
    layers:
      - when: T > 4
        do: relu
        else: tanh
modules: {g: G}
layers:
  - g
  - g(prev[:, :2])
"""
    with pytest.raises(SpecError) as refused:
        plan(text)
    assert refused.value.problems[0].message == (
        "module g would do other steps here than at its first call, at other sizes"
    )


def test_a_module_of_another_net_is_not_visible(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import archscope

    (tmp_path / "lib.yaml").write_text(SEEN)
    (tmp_path / "net.yaml").write_text("import: {./lib.yaml: [B]}\ninput: [N, 16]\nlayers: [B]\n")
    with pytest.raises(SpecError) as refused:
        archscope.build(str(tmp_path / "net.yaml"))
    problem = refused.value.problems[0]
    assert problem.message.startswith("module g belongs to the net of ")
    assert problem.help == "give the block an argument for it: Block(g)"
