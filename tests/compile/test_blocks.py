"""Blocks: signatures, inputs, scope, sharing through modules, raw parameters, let (language, 4 and 5)."""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SpecError
from tests.compile.written import example, net, paths, plan, refused, run, same, shape_of, weights

DEFAULTS = """
input: [N, 4, 8, 8]
blocks:
  Mix(out=in_channels * 2, mid=out // 2, k=3):
    - Conv2d(mid, k)
    - Conv2d(out, 1)
  Cut(out=2 * C, side=H // 2):
    input: [N, C, H, W]
    layers:
      - AdaptiveAvgPool2d(side)
      - Conv2d(out, 1)
  Wide(out=in_features + 1):
    - Linear(out)
layers:
  - USE
"""


@pytest.mark.parametrize(
    ("use", "shape"),
    [
        ("Mix", (1, 8, 6, 6)),
        ("Mix()", (1, 8, 6, 6)),
        ("Mix(10)", (1, 10, 6, 6)),
        ("Mix(k=1)", (1, 8, 8, 8)),
        ("Mix(6, 5, k=2)", (1, 6, 7, 7)),
        ("Mix(mid=3, out=6)", (1, 6, 6, 6)),
        ("Mix: {out: 6, k: 1}", (1, 6, 8, 8)),
        ("Cut", (1, 8, 4, 4)),
        ("Cut(side=1)", (1, 8, 1, 1)),
        ("Wide", (1, 4, 8, 9)),
        ("Mix(k=1)(relu(x)) + 1", (1, 8, 8, 8)),
    ],
)
def test_defaults_may_use_earlier_arguments_dimensions_and_in_channels(use: str, shape: tuple[int, ...]) -> None:
    assert shape_of(DEFAULTS.replace("USE", use)) == shape


def test_the_middle_width_follows_the_given_one() -> None:
    assert weights(DEFAULTS.replace("USE", "Mix(10)"))["0.0.weight"] == (5, 4, 3, 3)


def test_short_and_long_blocks_are_the_same() -> None:
    short = "input: [N, 4]\nblocks:\n  B(n):\n    - Linear(n)\n    - ReLU\nlayers:\n  - B(3)\n"
    long = "input: [N, 4]\nblocks:\n  B(n):\n    layers:\n      - Linear(n)\n      - ReLU\nlayers:\n  - B(3)\n"
    same(run(short), run(long))


@pytest.mark.parametrize(
    ("declared", "body", "use", "shape"),
    [
        ("inputs: [x, skip]", "cat([x, skip], dim=1)", "J()(a, b)", (1, 10, 8, 8)),
        ("inputs: {p: [N, C, H, W], q: [N, D, H, W]}", "Conv2d(D, 1)(p) + q", "J()(a, b)", (1, 6, 8, 8)),
        ("inputs: {p: [N, C, H, W], q: [N, D, H, W]}", "Conv2d(C, 1)(q) + p", "J()(a, b)", (1, 4, 8, 8)),
        ("inputs: [p, q]", "prev", "J()(b, a)", (1, 6, 8, 8)),
        ("inputs: [p, q]", "q", "J()(p=b, q=a)", (1, 4, 8, 8)),
        ("inputs: [p, q]", "q", "J()(q=b, p=a)", (1, 6, 8, 8)),
        ("input: [_, C, _, _]", "Conv2d(2 * C, 1)", "J", (1, 12, 8, 8)),
        ("input: [N, 6, H, H]", "x.reshape(N, 6, H * H)", "J", (1, 6, 64)),
        ("note: nothing", "Conv2d(in_channels + 1, 1)", "J", (1, 7, 8, 8)),
    ],
)
def test_inputs_and_their_dimensions_have_names(declared: str, body: str, use: str, shape: tuple[int, ...]) -> None:
    spec = f"""
input: [N, 4, 8, 8]
blocks:
  J():
    {declared}
    layers:
      - {body}
layers:
  - a: relu
  - b: Conv2d(6, 1)
  - {use}
"""
    assert shape_of(spec) == shape


@pytest.mark.parametrize(
    ("dims", "said"),
    [("[N, 3, H, W]", "(N, 3, H, W)"), ("[N, C, H, H]", "(N, C, H, H)"), ("[N, C]", "(N, C)")],
)
def test_declared_dimensions_are_checked(dims: str, said: str) -> None:
    spec = f"""
input: [N, 4, 8, 6]
blocks:
  B():
    input: {dims}
    layers:
      - ReLU
layers:
  - B
"""
    (problem,) = refused(spec)
    assert problem.startswith(f"9:5: B wants {said}")
    assert "(1, 4, 8, 6)" in problem


def test_an_argument_that_is_also_a_dimension_is_checked() -> None:
    spec = "input: [N, 4]\nblocks:\n  B(D):\n    input: [N, D]\n    layers:\n      - Linear(D)\nlayers:\n  - B(WIDTH)\n"
    assert shape_of(spec.replace("WIDTH", "4")) == (1, 4)
    (problem,) = refused(spec.replace("WIDTH", "5"))
    assert problem.startswith("8:5: B wants (N, D)")


@pytest.mark.parametrize(
    ("use", "classes"),
    [
        ("Wrap", ["Linear", "ReLU"]),
        ("Wrap(act=GELU)", ["Linear", "GELU"]),
        ("Wrap(act=LeakyReLU(0.2))", ["Linear", "LeakyReLU"]),
        ("Wrap(block=Double, act=Tanh)", ["Linear", "Linear", "Tanh"]),
        ("Wrap(block=chosen)", ["Linear", "Linear", "ReLU"]),
        ("Wrap(act=tanh)", ["Linear"]),
    ],
)
def test_layers_blocks_and_functions_are_arguments(use: str, classes: list[str]) -> None:
    spec = f"""
input: [N, 4]
params: {{chosen: Double}}
blocks:
  Wrap(block=Single, act=ReLU):
    - block(3)
    - act
  Single(n):
    - Linear(n)
  Double(n):
    - Single(2 * n)
    - Single(n)
layers:
  - {use}
"""
    assert [member.name for _, member in plan(spec).block.walk()] == classes  # type: ignore[union-attr]
    assert shape_of(spec) == (1, 3)


def test_an_argument_with_its_own_settings_is_used_as_given() -> None:
    spec = "input: [N, 4]\nblocks:\n  B(act):\n    - act\nlayers:\n  - B(act=LeakyReLU(0.5))\n"
    assert torch.equal(run(spec, -torch.ones(1, 4)), -0.5 * torch.ones(1, 4))


def test_each_use_has_its_own_weights_and_equal_uses_one_plan() -> None:
    spec = "input: [N, 4]\nblocks:\n  B():\n    - Linear(4)\nlayers:\n  - a: B\n  - b: B\n"
    built, planned = net(spec), plan(spec)
    assert not torch.equal(built.get_submodule("a.0").weight, built.get_submodule("b.0").weight)
    assert planned.block.members["a"] is planned.block.members["b"]
    assert planned.parameter_count == 40


SHARED = """
input: [N, 4]
modules: {fc: 'Linear(4)', act: ReLU}
layers:
  - fc
  - act
  - fc(prev) + fc(x)
"""


def test_a_declared_module_is_shared_and_counted_once() -> None:
    built, x = net(SHARED), example((2, 4))
    fc = built.get_submodule("fc")
    same(built(x), fc(torch.relu(fc(x))) + fc(x))
    assert plan(SHARED).parameter_count == 20
    assert list(weights(SHARED)) == ["fc.weight", "fc.bias"]


def test_a_declared_modules_parameter_can_be_used() -> None:
    spec = """
input: int64[N, 6]
modules: {embed: 'Embedding(20, 8)'}
layers:
  - embed
  - Tanh
  - linear(prev, embed.weight)
"""
    built, tokens = net(spec), torch.tensor([[1, 2, 3, 0, 4, 5]])
    weight = built.get_submodule("embed").weight
    same(built(tokens), torch.tanh(weight[tokens]) @ weight.T)
    assert plan(spec).parameter_count == 160


def test_modules_of_a_block_belong_to_its_use() -> None:
    spec = """
input: [N, 4]
blocks:
  Twice(n):
    modules: {fc: 'Linear(n)'}
    layers:
      - fc
      - fc
layers:
  - a: Twice(4)
  - b: Twice(4)
"""
    assert paths(spec) == ["a.fc", "b.fc"]
    assert plan(spec).parameter_count == 40


def test_a_declared_block_is_shared() -> None:
    spec = """
input: [N, 4]
blocks:
  B():
    - Linear(4)
    - ReLU
modules: {body: B}
layers:
  - body
  - body
"""
    built, x = net(spec), example((2, 4))
    body = built.get_submodule("body")
    same(built(x), body(body(x)))
    assert plan(spec).parameter_count == 20


# Raw parameters and constants


@pytest.mark.parametrize(
    ("written", "shape", "value"),
    [
        ("Parameter(1, 4)", (1, 4), None),
        ("Parameter((1, 4))", (1, 4), None),
        ("Parameter(4, init=1e-6)", (4,), 1e-6),
        ("Parameter(4, init=0)", (4,), 0.0),
        ("Parameter(width // 2, init=1)", (4,), 1.0),
    ],
)
def test_raw_parameters(written: str, shape: tuple[int, ...], value: float | None) -> None:
    spec = f"input: [N, 4]\nparams: {{width: 8}}\nlayers:\n  - prev * {written}\n"
    ((name, parameter),) = net(spec).named_parameters()
    assert (tuple(parameter.shape), parameter.requires_grad) == (shape, True)
    assert plan(spec).parameter_count == 4
    if value is None:
        assert 0 < parameter.std() < 0.2
    else:
        assert torch.equal(parameter, torch.full(shape, value))
    assert name == "0"


def test_constants() -> None:
    spec = """
input: [N, 4]
layers:
  - prev + arange(4) + zeros(1, 4) + 2 * ones(4) + full([4], 0.5) + arange(0, 8, 2)
"""
    x = example((2, 4))
    expected = (
        x + torch.arange(4) + torch.zeros(1, 4) + 2 * torch.ones(4) + torch.full([4], 0.5) + torch.arange(0, 8, 2)
    )
    assert torch.allclose(run(spec, x), expected)


def test_constants_are_made_where_the_input_is() -> None:
    built = net("input: [N, 4]\nlayers:\n  - Linear(4)\n  - prev + arange(4)\n")
    assert built.to("meta")(torch.empty(2, 4, device="meta")).device.type == "meta"


# let and scope

LET = """
input: [N, 4]
params: {width: 2}
let:
  hidden: width * 8
  ch(c, divisor=8): make_divisible(c * width, divisor)
  widths: [ch(3), 'ch(5, 1)']
blocks:
  Local(n):
    let: {half: n // 2, twice(k): k * half}
    layers:
      - Linear(twice(3))
layers:
  - USE
"""


@pytest.mark.parametrize(
    ("use", "width"),
    [
        ("Linear(hidden)", 16),
        ("Linear(ch(3))", 8),
        ("Linear(ch(7))", 16),
        ("Linear(ch(3, 1))", 6),
        ("Linear(ch(c=3, divisor=2))", 6),
        ("Linear(widths[1])", 10),
        ("Local(10)", 15),
    ],
)
def test_let_has_constants_and_functions(use: str, width: int) -> None:
    assert shape_of(LET.replace("USE", use)) == (1, width)


def test_a_block_sees_its_files_params_and_not_its_users_labels() -> None:
    spec = """
input: [N, 4]
params: {width: 6}
blocks:
  Inner():
    - Linear(width)
  Outer(width):
    - Inner
    - Linear(width)
layers:
  - Outer(3)
"""
    assert [shape[0] for name, shape in weights(spec).items() if name.endswith("weight")] == [6, 3]
    hidden = "input: [N, 4]\nblocks:\n  B():\n    - prev + mine\nlayers:\n  - mine: ReLU\n  - B\n"
    (problem,) = refused(hidden)
    assert problem == "4:14: unknown name 'mine'"


def test_names_are_looked_up_from_the_inside_out() -> None:
    spec = """
input: [N, 4]
params: {n: 2}
blocks:
  B(n=3):
    - Linear(n)
    - for: n
      in: [4, 5]
      do: Linear(n)
    - Linear(n)
layers:
  - B
  - Linear(n)
"""
    assert [shape[0] for name, shape in weights(spec).items() if name.endswith("weight")] == [3, 4, 5, 3, 2]


def test_a_label_may_hide_a_param_after_it_is_set() -> None:
    spec = "input: [N, 4]\nparams: {width: 3}\nlayers:\n  - Linear(width)\n  - width: Tanh\n  - prev + width\n"
    assert shape_of(spec) == (1, 3)


def test_a_block_may_return_several_values() -> None:
    spec = """
input: [N, 4]
blocks:
  Split():
    layers:
      - a: Linear(2)
      - b: Linear(3)(x)
    return: [a, b]
layers:
  - p, q: Split
  - cat([q, p], dim=1)
"""
    built, x = net(spec), example((2, 4))
    same(built(x), torch.cat([built.get_submodule("p.b")(x), built.get_submodule("p.a")(x)], dim=1))


def test_errors_name_the_chain_of_blocks() -> None:
    spec = """
input: [N, 4]
blocks:
  Inner():
    - Linear(nothing)
  Outer():
    - deep: Inner
layers:
  - top: Outer
"""
    with pytest.raises(SpecError) as caught:
        plan(spec)
    (problem,) = caught.value.problems
    assert [str(frame) for frame in problem.chain] == ["in Inner at net.yaml:7 (deep)", "in Outer at net.yaml:9 (top)"]
