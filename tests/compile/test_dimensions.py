"""The dimensions of a net's inputs: inputs that share a param agree, in a compilation and when the net runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import archscope
from archscope.cli import cli
from archscope.errors import SizeError, SpecError
from tests.compile.written import example, net

TWO = "inputs: {a: [N, T, 4], b: [N, T, 4]}\nparams: {T: 8}\nlayers:\n  - a.sum(1) + b.sum(1)\n"
DOUBLE = "inputs: {a: [N, T, 4], b: [N, 2 * T, 4]}\nparams: {T: 8}\nlayers:\n  - a.sum(1) * T + b.sum(1)\n"
PRODUCT = "inputs: {a: [N, D], b: [N, D]}\nparams: {D: 4}\nlayers:\n  - a * b\n"
IMAGE = "input: [N, 3, S, S]\nparams: {S: 8}\nlayers:\n  - Conv2d(4, 3)\n"
TWICE = "input: [N, 2 * T, 4]\nparams: {T: 8}\nlayers:\n  - x.sum(1) / T\n"
LET = "input: [N, L, 4]\nparams: {T: 8}\nlet: {L: T + 1}\nlayers:\n  - x.sum(1) / T\n"
BATCH = "inputs: {a: [N, T], b: [2 * N, T]}\nparams: {T: 8}\nlayers:\n  - a.sum() + b\n"


@pytest.mark.parametrize(
    ("text", "shapes", "fact", "where"),
    [
        (
            TWO,
            [(2, 6, 4), (2, 5, 4)],
            "b.size(1) is 5 here, but T is 6",
            "the inputs a (net.yaml:1) and b (net.yaml:1)",
        ),
        (
            TWO,
            [(2, 6, 4), (2, 1, 4)],
            "b.size(1) is 1 here, but T is 6",
            "the inputs a (net.yaml:1) and b (net.yaml:1)",
        ),
        (TWO, [(2, 6, 4), (3, 6, 4)], "b.size(0) is 3 here, but N is 2", "b of net (net.yaml:1)"),
        (PRODUCT, [(2, 4), (2, 1)], "b.size(1) is 1 here, but D is 4", "the inputs a (net.yaml:1) and b (net.yaml:1)"),
        (IMAGE, [(1, 3, 8, 9)], "x.size(3) is 9 here, but S is 8", "the input x (net.yaml:1)"),
        (DOUBLE, [(2, 6, 4), (2, 13, 4)], "b.size(1) is 13 here, but 2 * T is 12", "the input b (net.yaml:1)"),
        (TWICE, [(1, 6, 4)], "x.size(1) is 6 here, but 2 * T is 16", "the input x (net.yaml:1)"),
        (LET, [(1, 6, 4)], "x.size(1) is 6 here, but L is 9", "the input x (net.yaml:1)"),
        (BATCH, [(2, 8), (3, 8)], "b.size(0) is 3 here, but 2 * N is 4", "the input b (net.yaml:1)"),
    ],
    ids=["two", "broadcast", "batch", "product", "square", "expression", "fixed", "let", "twice the batch"],
)
def test_inputs_that_do_not_agree_are_refused(text: str, shapes: list[tuple[int, ...]], fact: str, where: str) -> None:
    with pytest.raises(SizeError) as refused:
        net(text)(*map(example, shapes))
    assert str(refused.value) == f"{fact}\n  at the net: {where}"


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (TWO, [(2, 6, 4), (2, 6, 4)]),
        (PRODUCT, [(3, 5), (3, 5)]),
        (IMAGE, [(1, 3, 9, 9)]),
        (DOUBLE, [(2, 5, 4), (2, 10, 4)]),
        (TWICE, [(3, 16, 4)]),
        (BATCH, [(3, 5), (6, 5)]),
    ],
)
def test_inputs_that_agree_are_taken(text: str, shapes: list[tuple[int, ...]]) -> None:
    given = [example(shape, seed=i) for i, shape in enumerate(shapes)]
    result = net(text)(*given)
    if text == DOUBLE:
        assert torch.equal(result, given[0].sum(1) * 5 + given[1].sum(1))
    assert torch.isfinite(result).all()


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (TWO, {"a": (2, 8, 4), "b": (2, 5, 4)}, "the param T is 8 in dimension 1 of a, 5 in dimension 1 of b"),
        (IMAGE, (1, 3, 8, 9), "the param S is 8 in dimension 2 of x, 9 in dimension 3 of x"),
        (DOUBLE, {"a": (1, 6, 4), "b": (1, 13, 4)}, "the input b has 13 in dimension 1, but 2 * T is 12"),
        (TWICE, (1, 6, 4), "the input x has 6 in dimension 1, but 2 * T is 16"),
    ],
)
def test_a_compilation_refuses_them_too(
    text: str, given: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(text)
    with pytest.raises(SpecError) as refused:
        archscope.build("net.yaml", input=given)
    assert [problem.message for problem in refused.value.problems] == [message]


def test_other_inputs_follow_the_one_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(DOUBLE)
    assert archscope.build("net.yaml", input={"a": (2, 3, 4)})(example((1, 3, 4)), example((1, 6, 4))).shape == (1, 4)
    Path("net.yaml").write_text(TWICE)
    assert archscope.build("net.yaml", set={"T": 3}, input=(1, 6, 4))(example((1, 6, 4))).shape == (1, 4)


def test_a_summary_of_inputs_that_do_not_agree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(TWO)
    result = CliRunner().invoke(cli, ["summary", "net.yaml", "--input", "a=1x6x4", "--input", "b=1x5x4"])
    assert result.exit_code
    assert "the param T is 6 in dimension 1 of a, 5 in dimension 1 of b" in result.output


def test_an_input_of_too_low_a_rank_is_refused_before_its_sizes_are_read() -> None:
    with pytest.raises(
        SizeError, match=r"x has 1 dimension here, \(8,\), but this net was built for 3\n  at the net: "
    ):
        net("input: [N, T, 4]\nparams: {T: 8}\nlayers:\n  - x * T * x.shape[2]\n")(example((8,)))


@pytest.mark.parametrize("given", [[1, 2], None, "a", 3])
def test_what_is_no_tensor_is_refused_by_the_name_of_the_input(given: object) -> None:
    with pytest.raises(TypeError, match=rf"^the input b \(net.yaml:1\) takes a tensor, not {type(given).__name__}"):
        net(TWO)(example((1, 8, 4)), given)


def test_an_input_may_be_called_self() -> None:
    built = net("inputs: {self: [N, T], b: [N, T]}\nparams: {T: 3}\nlayers:\n  - self * T + b\n")
    assert torch.equal(built(x := example((2, 5)), y := example((2, 5), seed=2)), x * 5 + y)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("x * 10.0 ** (T * 30)", OverflowError, "Numerical result out of range"),
        ("x * exp(T * 30)", OverflowError, "math range error"),
        ("x * (1 / (T - 70))", ZeroDivisionError, "division by zero"),
        ("x * sqrt(8 - T)", ValueError, "math domain error"),
        ("x * [1, 2, 3, 4, 5, 6, 7][T]", IndexError, "list index out of range"),
    ],
)
def test_an_error_of_a_number_names_the_step(step: str, error: type[Exception], message: str) -> None:
    built = net(f"input: [N, T, 4]\nparams: {{T: 6}}\nlayers:\n  - {step}\n")
    assert built(x := example((2, 6, 4))).shape == x.shape
    with pytest.raises(error, match=re.escape(f"at 0: {step} (net.yaml:4)")) as failed:
        built(example((2, 70, 4)))
    assert str(failed.value).startswith(f"{message}\n")
