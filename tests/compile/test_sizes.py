"""A built net at sizes that it was not built for: the same as a forward of PyTorch, or refused with the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import SizeError, SpecError, UsageError
from tests.compile.written import example, net, plan, steps

B = "input: [N, 4, 8]\nblocks:\n  B:\n    input: [N, C, T]\n    layers:\n      - {}\nlayers: [B]\n"


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ("x / (T + 1e-6)", lambda x, t: x / (t + 1e-6)),
        ("x * (1 / N)", lambda x, t: x * (1 / len(x))),
        ("x * T ** -0.5", lambda x, t: x * t**-0.5),
        ("x * sqrt(T)", lambda x, t: x * math.sqrt(t)),
        (
            "x * exp(-T) + log(T) - log10(T) * tan(T)",
            lambda x, t: x * math.exp(-t) + math.log(t) - math.log10(t) * math.tan(t),
        ),
        (
            "x * sin(T) + cos(T) * tanh(T) + log2(T)",
            lambda x, t: x * math.sin(t) + math.cos(t) * math.tanh(t) + math.log2(t),
        ),
        ("sin(x * pi) * T", lambda x, t: torch.sin(x * math.pi) * t),
        ("clamp(x, max=inf) * int(T * 0.3)", lambda x, t: x * int(t * 0.3)),
        ("x * float(T) * round(T / 3, 1)", lambda x, t: x * float(t) * round(t / 3, 1)),
        ("x * (T if T > 8 else 1)", lambda x, t: x * (t if t > 8 else 1)),
        ("x * (1 if 6 < T <= 8 else x.size(0))", lambda x, t: x * (1 if 6 < t <= 8 else len(x))),
        ("x * (T > 6 and N)", lambda x, t: x * (t > 6 and len(x))),
        (
            "x * (2 if 1 < T <= 4 else (T + T) / max(1, min(T, 6)))",
            lambda x, t: x * (2 if t <= 4 else 2 * t / min(t, 6)),
        ),
        ("x * (T / 1 if T % 2 == 0 else 1 ** 0.5)", lambda x, t: x * (t / 1 if t % 2 == 0 else 1.0)),
        (
            "x * (sqrt(T) if T > 6 else (1 + T % 4) ** -0.5)",
            lambda x, t: x * (t**0.5 if t > 6 else (1 + t % 4) ** -0.5),
        ),
        ("x * (not T > 6)", lambda x, t: x * (not t > 6)),
        ("x * (2 if T in [5, 12] else 3)", lambda x, t: x * (2 if t in [5, 12] else 3)),
        ("x * [T, 2, N][T % 3]", lambda x, t: x * [t, 2, len(x)][t % 3]),
        ("x * sum(range(T))", lambda x, t: x * sum(range(t))),
        ("x * sum([T, 1]) + len(x.unbind(2))", lambda x, t: x * (t + 1) + t),
        ("x * (2 if prev.shape[1:] == [4, T] else 1)", lambda x, t: x),
        ("x[:, :, int(T * 0.5):]", lambda x, t: x[:, :, int(t * 0.5) :]),
        ("x + linspace(-1, 1, T)", lambda x, t: x + torch.linspace(-1, 1, t)),
        ("x * make_divisible(T * 3)", lambda x, t: x * {8: 24, 5: 16, 12: 40}[t]),
        ("cat(x.split(3, dim=2)[1:], dim=2)", lambda x, t: torch.cat(x.split(3, dim=2)[1:], dim=2)),
        (
            "stack([x[:, :, 0], *reversed(x.unbind(2))], dim=1)",
            lambda x, t: torch.stack([x[:, :, 0], *x.unbind(2)[::-1]], 1),
        ),
        ("x.unbind(2)[-1] * x.dim()", lambda x, t: x[:, :, -1] * 3),
        ("interpolate(x, size=[2 * T])", lambda x, t: nn.functional.interpolate(x, size=2 * t)),
    ],
)
def test_numbers_of_sizes_are_those_of_the_run(step: str, wanted: Callable[[torch.Tensor, int], torch.Tensor]) -> None:
    built = net(B.format(step if "'" in step else f"'{step}'"))
    for batch, length in ((2, 8), (3, 5), (1, 12)):
        x = example((batch, 4, length))
        assert torch.equal(built(x), wanted(x, length))


POSITIONS = "input: [N, T, 4]\nparams: {T: 6}\nlayers:\n  - pos: Parameter(T, 4)\n  - x + pos\n"
POOL = steps("a: relu", "pool: AvgPool2d(a.shape[3])")
UNPACKED = B.format("a, b: split(4, dim=2)\n      - a + b")
ARGUMENT = "input: [N, 4, 8]\nblocks:\n  B(n):\n    - f: Linear(n)\nlayers:\n  - B(x.shape[2] * 2)\n"


@pytest.mark.parametrize(
    ("text", "shape", "path", "line", "fact"),
    [
        (POSITIONS, (1, 9, 4), "pos", 4, "T is 9 here, but this net was built for 6"),
        (POOL, (1, 4, 8, 6), "pool", 4, "a.size(3) is 6 here, but this net was built for 8"),
        (
            B.format("{when: T > 6, do: relu}"),
            (1, 4, 5),
            "0.0",
            6,
            "T > 6 is False here, but this net was built for True",
        ),
        (B.format("{do: Linear(T), repeat: T - 5}"), (1, 4, 9), "0.0", 6, "T is 9 here, but this net was built for 8"),
        (UNPACKED, (1, 4, 12), "0.a", 6, "is 3 here, but this net was built for 2"),
        (ARGUMENT, (1, 4, 6), "0.f", 4, "is 6 here, but this net was built for 8"),
    ],
    ids=["parameter", "layer", "when", "repeat", "labels", "argument"],
)
def test_what_a_size_decides_is_required(text: str, shape: tuple[int, ...], path: str, line: int, fact: str) -> None:
    with pytest.raises(SizeError) as refused:
        net(text)(example(shape))
    message = str(refused.value)
    assert fact in message
    assert f"at {path}: " in message
    assert f"net.yaml:{line})" in message
    ways = ["the spec does not compile at this size either: 2 labels, but the step gives 3 values (net.yaml:6)"]
    ways += [f"archscope.build('net.yaml', input={shape}) builds it for this size"]
    assert message.endswith(f"\n  help: {ways[text != UNPACKED]}")
    assert isinstance(refused.value, RuntimeError)


def test_a_number_that_is_settled_once_is_required_once() -> None:
    built = net(
        "input: [N, T, D]\nparams: {T: 6, D: 4}\nlayers:\n  - Linear(4 * D)\n  - Linear(D)\n  - Linear(2 * D)\n"
    )
    assert built.code.count("require(") == 1


def test_another_number_of_dimensions_is_refused() -> None:
    with pytest.raises(
        SizeError, match=r"x has 3 dimensions here, \(4, 8, 8\), but this net was built for 4"
    ) as refused:
        net(steps("ReLU"))(example((4, 8, 8)))
    assert "archscope.build" not in str(refused.value)


def test_a_declared_relation_of_inputs_is_required() -> None:
    text = """
input: [N, 4, 8, 8]
blocks:
  Up:
    inputs: {x: [N, C, H, W], skip: [N, _, 2 * H, 2 * W]}
    layers: [interpolate(scale_factor=2), "prev[:, :, :H] + skip[:, :, :H]"]
layers:
  - half: AvgPool2d(2)
  - Up()(half, x)
"""
    assert net(text)(example((2, 4, 12, 12))).shape == (2, 4, 6, 12)
    with pytest.raises(
        SizeError, match=r"skip.size\(2\) is 9 here, but \(2 \* H\) is 8\n  at 1: skip of Up \(net.yaml:5\)"
    ):
        net(text)(example((2, 4, 9, 9)))


def test_a_residual_does_not_broadcast_at_any_size() -> None:
    text = steps("residual: Conv2d(4, 3, stride=2, padding=1)", shape="N, 4, 1, 1")
    with pytest.raises(RuntimeError, match=r"adds equal shapes only, not .*\n  at add: main \+ prev \(net.yaml:3\)"):
        net(text)(example((2, 4, 2, 2)))


NESTED = """
input: [N, 4]
blocks:
  In:
    - Tanh
    - f: Linear(3)
  Out:
    - i: In
layers:
  - o: Out
"""


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        (steps("conv: Conv2d(8, 3)", "ReLU"), (1, 5, 8, 8), "at conv: Conv2d 8, 3×3 (net.yaml:3)"),
        (steps("Flatten", "head: Linear(3)"), (1, 4, 9, 9), "at head: Linear 3 (net.yaml:4)"),
        (NESTED, (2, 5), "at o.i.f: Linear 3 (net.yaml:6)"),
        (steps("prev.view(N, 4, 64)"), (1, 4, 9, 9), "at 0: prev.view(N, 4, 64) (net.yaml:3)"),
    ],
    ids=["channels", "features", "nested", "view"],
)
def test_an_error_of_torchs_names_the_step(text: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(RuntimeError) as failed:
        net(text)(example(shape))
    assert said in str(failed.value)
    assert "eval_with_key" not in str(failed.value)


def test_a_condition_that_could_fail_at_run_time_is_decided_when_it_is_built() -> None:
    """`8 / (T - 8)` has no value at T = 8, so both sides of the choice are not worked out."""
    built = net(B.format("'x * (8 / (T - 8) if T != 8 else 1)'"))
    assert torch.equal(built(x := example((2, 4, 8))), x)
    with pytest.raises(SizeError, match="T != 8 is True here"):
        built(example((2, 4, 9)))


@pytest.mark.parametrize(
    ("step", "suggestion"),
    [
        ("Linear(int(linspace(2, 8, 3)[1]))", "linspace makes a tensor"),
        ("{for: c, in: 'linspace(2, 6, 3)', do: ReLU}", "linspace makes a tensor"),
    ],
)
def test_a_tensor_of_linspace_in_place_of_numbers_has_a_suggestion(step: str, suggestion: str) -> None:
    with pytest.raises(SpecError) as refused:
        plan(steps(step))
    assert any(suggestion in problem.help for problem in refused.value.problems)


def test_linspace_in_let_has_a_suggestion() -> None:
    with pytest.raises(SpecError) as refused:
        plan("input: [N, 4]\nlet: {rates: 'linspace(0, 1, 3)'}\nlayers:\n  - Dropout(rates[0])\n")
    assert "made by range" in refused.value.problems[0].help


def test_inputs_that_disagree_on_a_param_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.yaml").write_text(
        "inputs: {a: [N, s], b: [N, s]}\nparams: {s: 3}\nlayers: ['a.sum(1) * s', 'prev + b.sum(1)']\n"
    )
    with pytest.raises(SpecError) as refused:
        archscope.build("two.yaml", input={"a": (2, 5), "b": (2, 6)})
    message = refused.value.problems[0].message
    assert message == "the param s is 5 in dimension 1 of a, 6 in dimension 1 of b"
    with pytest.raises(UsageError, match="the param s is given as 4, and as 5 by the input"):
        archscope.build("two.yaml", set={"s": 4}, input={"a": (2, 5), "b": (2, 5)})
    assert archscope.build("two.yaml", set={"s": 5}, input={"a": (2, 5), "b": (2, 5)}) is not None


def test_the_help_names_the_params_that_were_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set.yaml").write_text("input: [N, T, 4]\nparams: {T: 6, k: 1}\nlayers: ['x + Parameter(T, 4) * k']\n")
    with pytest.raises(SizeError) as refused:
        archscope.build("set.yaml", set={"k": 7}, seed=0)(example((2, 9, 4)))
    assert "archscope.build('set.yaml', set={'k': 7}, input=(2, 9, 4)) builds it" in str(refused.value)


def test_a_condition_guards_a_dimension_that_is_not_there() -> None:
    text = B.format("'x * (x.size(3) if x.dim() == 4 else T)'")
    assert torch.equal(net(text)(x := example((2, 4, 8))), x * 8)


SHADOWS = """
inputs: {id: [N, 4], math: [N, 4], len: [N, 4], torch: [N, 4], enumerate: [N, 4]}
layers:
  - cat([id, math, torch, len]) * sqrt(id.size(0))
  - for: t
    in: enumerate.unbind(1)
    do: prev + t.sum()
  - a, b: split(4, dim=0)
  - a * b
"""


def test_inputs_keep_their_names_whatever_python_calls_so() -> None:
    given = {name: example((2, 4), seed=n) for n, name in enumerate(("id", "math", "len", "torch", "enumerate"))}
    wanted = torch.cat([given["id"], given["math"], given["torch"], given["len"]]) * math.sqrt(2)
    for t in given["enumerate"].unbind(1):
        wanted = wanted + t.sum()
    built = net(SHADOWS, batch=2)
    assert "_len(" in built.code
    assert torch.equal(built(**given), wanted[:4] * wanted[4:])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("x * sqrt(-4)", "sqrt: math domain error"),
        ("x + log(0)", "log: math domain error"),
        ("sum(x.unbind(1))", "sum takes one tensor, not a list"),
        ("a, b: chunk(2, dim=1)", "the last step keeps several values"),
    ],
)
def test_mistakes_have_their_own_messages(step: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        plan(steps(step))
    assert message in refused.value.problems[0].message
