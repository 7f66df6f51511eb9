"""Expressions in a net: numbers known before the run, tensors in it, sizes that stay open (language, 6)."""

from __future__ import annotations

import pytest
import torch

from tests.compile.written import example, net, refused, run, same, shape_of, steps

PARAMS = "params: {w: 8, flag: true, empty: null, xs: [1, 2, 3], rows: [[1, 2], [3, 4]], word: same, ratio: 0.25}\n"

NUMBERS = [
    ("w", 8),
    ("2 * w + 1", 17),
    ("w // 3", 2),
    ("w % 3", 2),
    ("2 ** 3", 8),
    ("-w + 20", 12),
    ("+w", 8),
    ("int(w / 3)", 2),
    ("int(w * ratio)", 2),
    ("round(2.6)", 3),
    ("ceil(w / 3)", 3),
    ("floor(w / 3)", 2),
    ("int(sqrt(w * 2))", 4),
    ("int(log2(w))", 3),
    ("abs(3 - w)", 5),
    ("min(w, 3, 5)", 3),
    ("max(xs)", 3),
    ("min(xs)", 1),
    ("sum(xs)", 6),
    ("len(xs)", 3),
    ("len(xs[1:])", 2),
    ("xs[-1]", 3),
    ("xs[0:2][1]", 2),
    ("xs[::-1][0]", 3),
    ("rows[1][0]", 3),
    ("sum([*xs, 4])", 10),
    ("max(*xs)", 3),
    ("sum(range(4))", 6),
    ("len(range(2, 10, 3))", 3),
    ("zip(xs, xs)[1][0]", 2),
    ("enumerate(xs)[2][0]", 2),
    ("reversed(xs)[0]", 3),
    ("make_divisible(33)", 32),
    ("make_divisible(13, 4)", 12),
    ("make_divisible(10)", 16),
    ("int(float(3))", 3),
    ("4 if flag else 5", 4),
    ("4 if not flag else 5", 5),
    ("4 if empty is None else 5", 4),
    ("4 if empty is not None else 5", 5),
    ("4 if w is none else 5", 5),
    ("4 if 1 < 2 <= 2 < 3 else 5", 4),
    ("4 if 1 < 2 > 3 else 5", 5),
    ("4 if 2 in xs else 5", 4),
    ("4 if 2 not in xs else 5", 5),
    ("4 if word == 'same' and w != 9 else 5", 4),
    ("4 if w == 9 or word != 'same' else 5", 5),
    ("4 if flag is TRUE else 5", 4),
    ("4 if empty is null else 5", 4),
    ("empty or 6", 6),
    ("flag and 7", 7),
    ("x.shape[1]", 4),
    ("x.size(2) // 2", 3),
    ("prev.shape[-1] + x.dim()", 11),
    ("len(x.shape)", 4),
    ("in_channels + 1", 5),
    ("in_features + 1", 8),
    ("1_000", 1000),
    ("(3)", 3),
    ("(1, 5)[1]", 5),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_numbers(text: str, value: int) -> None:
    assert shape_of(steps(f"Conv2d({text}, 1)", shape="N, 4, 6, 7", head=PARAMS)) == (1, value, 6, 7)


X = example((2, 4, 6))

TENSORS = [
    ("x + 1", lambda x: x + 1),
    ("1 - x", lambda x: 1 - x),
    ("2 * x / 3", lambda x: 2 * x / 3),
    ("2 ** x", lambda x: 2**x),
    ("x ** 2", lambda x: x**2),
    ("-x", lambda x: -x),
    ("x // 2", lambda x: x // 2),
    ("x % 2", lambda x: x % 2),
    ("x @ x.transpose(1, 2)", lambda x: x @ x.transpose(1, 2)),
    ("x[:, 0]", lambda x: x[:, 0]),
    ("x[..., ::2]", lambda x: x[..., ::2]),
    ("x[:, None, 1:]", lambda x: x[:, None, 1:]),
    ("x[0]", lambda x: x[0]),
    ("x[:, -1, 2]", lambda x: x[:, -1, 2]),
    ("x[:, [0, 2]]", lambda x: x[:, [0, 2]]),
    ("x.sum(dim=-1, keepdim=True)", lambda x: x.sum(dim=-1, keepdim=True)),
    ("x.mean([1, 2])", lambda x: x.mean([1, 2])),
    ("x.flatten(1).relu()", lambda x: x.flatten(1).relu()),
    ("x.permute(0, 2, 1).contiguous()", lambda x: x.permute(0, 2, 1)),
    ("x.view(N, 2, 2, -1)", lambda x: x.view(2, 2, 2, -1)),
    ("x.reshape(N * 4, 6)", lambda x: x.reshape(8, 6)),
    ("x.reshape([x.shape[0], 24])", lambda x: x.reshape(2, 24)),
    ("x.unsqueeze(1).expand(-1, 3, -1, -1)", lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1)),
    ("cat([x, 2 * x], dim=2)", lambda x: torch.cat([x, 2 * x], dim=2)),
    ("stack([x, x])", lambda x: torch.stack([x, x])),
    ("x.chunk(2, dim=1)[1]", lambda x: x.chunk(2, dim=1)[1]),
    ("split(x, [1, 3], dim=1)[1]", lambda x: x.split([1, 3], dim=1)[1]),
    ("softmax(x, dim=-1)", lambda x: x.softmax(-1)),
    ("where(gt(x, 0), x, 0.1 * x)", lambda x: torch.where(x > 0, x, 0.1 * x)),
    ("x.masked_fill(x.lt(0), 0)", lambda x: x.masked_fill(x < 0, 0)),
    ("einsum('btd,bsd->bts', x, x)", lambda x: torch.einsum("btd,bsd->bts", x, x)),
    ("x.float().tril()", torch.tril),
    ("x.topk(2)[0]", lambda x: x.topk(2)[0]),
    ("x.max(dim=1)[0]", lambda x: x.max(dim=1)[0]),
    ("pad(x, [1, 1])", lambda x: torch.nn.functional.pad(x, [1, 1])),
    ("layer_norm(x, [6])", lambda x: torch.nn.functional.layer_norm(x, [6])),
    ("normalize(x, dim=1)", lambda x: torch.nn.functional.normalize(x, dim=1)),
    ("interpolate(x, scale_factor=2)", lambda x: torch.nn.functional.interpolate(x, scale_factor=2)),
    ("(x if x.shape[1] == 4 else -x)", lambda x: x),
    ("x * (1 if 1 < 2 else 0)", lambda x: x),
    ("x + arange(x.shape[2])", lambda x: x + torch.arange(6)),
    ("x * x.shape[1] ** -0.5", lambda x: x * 0.5),
    ("x / sqrt(x.shape[1])", lambda x: x / 2),
    ("maximum(x, -x).amax(dim=2)", lambda x: x.abs().amax(2)),
]


@pytest.mark.parametrize(("text", "reference"), TENSORS)
def test_tensors(text, reference) -> None:  # type: ignore[no-untyped-def]
    assert torch.allclose(run(steps(text, shape="N, 4, 6"), X), reference(X))


@pytest.mark.parametrize(
    ("line", "column", "fact"),
    [
        ("prev.cuda()", 5, "a tensor has no method 'cuda' in this language"),
        ("prev.data", 5, "a tensor has no method 'data' in this language"),
        ("prev.relu_()", 5, "a tensor has no method 'relu_' in this language"),
        ("dropout_(prev)", 5, "unknown name 'dropout_'"),
        ("rand(3)", 5, "unknown name 'rand'"),
        ("open('x')", 5, "unknown name 'open'"),
        ("prev.shape.numel()", 5, None),
        ("Linear(10 ** 10 ** 10)", 12, "10**10000000000 is too large; integers may have 128 bits"),
        ("Linear(2 ** 200)", 12, None),
        ("Linear(1 // 0)", 12, "division by zero: 1 // 0"),
        ("Linear(len(range(10 ** 12)))", 16, "a range of 1,000,000,000,000 turns; at most 1,000,000 are allowed"),
        ("Linear(len([1] * 10 ** 12))", 16, None),
        ("Linear(undefined_name)", 12, "unknown name 'undefined_name'"),
        ("Linear(max(1, undefined_name))", 19, "unknown name 'undefined_name'"),
    ],
)
def test_what_is_not_in_the_language(line: str, column: int, fact: str | None) -> None:
    (problem,) = refused(steps(line, shape="N, 4"))
    assert problem.startswith(f"3:{column}: ")
    assert fact is None or problem == f"3:{column}: {fact}"


def test_one_mistake_is_one_message() -> None:
    spec = steps(
        "a: Linear(nothing)", "b: Linear(a.shape[1])(a)", "cat([a, b, prev], dim=1)", "Linear(3)", shape="N, 4"
    )
    assert refused(spec) == ["3:15: unknown name 'nothing'"]


def test_independent_mistakes_are_reported_together() -> None:
    spec = steps("a: Linear(nothing)", "b: Linear(3, nowhere)(x)", "ReLu", shape="N, 4")
    assert [p.split(": ", 1)[1] for p in refused(spec)] == [
        "unknown name 'nothing'",
        "unknown name 'nowhere'",
        "unknown name 'ReLu'",
    ]


def test_flatten_as_a_step_and_in_an_expression() -> None:
    same(run(steps("flatten(1)", shape="N, 4, 6"), X), X.flatten(1))
    same(run(steps("flatten(prev, 1)", shape="N, 4, 6"), X), X.flatten(1))
    (problem,) = refused(steps("Linear(3)(flatten(1))", shape="N, 4, 6"))
    assert "flatten(…) without a tensor" in problem


@pytest.mark.parametrize(
    "text",
    [
        "x.reshape(x.shape[0], -1)",
        "x.reshape(x.shape[0] * x.shape[1], x.shape[2])",
        "x.view(x.size(0), x.size(1) * x.size(2))",
        "x[:, :x.shape[1] // 2]",
        "x.expand(x.shape[0], x.shape[1], x.shape[2])",
        "x + arange(x.shape[2])",
        "x / x.shape[1]",
        "x * (2 * x.shape[2] - 1)",
        "zeros(x.shape[0], x.shape[1]) + x.sum(2)",
        "pad(x, [0, x.shape[1] % 3])",
        "interpolate(x, size=x.shape[2] * 2)",
    ],
)
def test_sizes_are_read_when_the_net_runs(text: str) -> None:
    spec = steps(text, shape="N, 4, 6")
    other = example((3, 5, 7))
    bigger = steps(text, shape="N, 5, 7")
    same(net(spec)(other), net(bigger)(other))
