"""Specs that ask for too much, or for what no function takes: each is refused at its place, in a child with limits.

The limit of time is ten times the goal; a benchmark has the goals themselves.
"""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SpecError
from tests.fuzz.run import Answer, answers

IMAGE, ROWS, FLAT = "[N, 4, 8, 8]", "[N, 4, 8]", "[N, 8]"
PIECES = "at most 10,000 are allowed"
ALONG = "at most 1,000,000 are allowed"
STEPS: dict[str, tuple[str, str, str]] = {
    # pieces: how many are counted, not made
    "unbind": ("[N, 3000000]", "unbind(dim=1)", PIECES),
    "chunk": ("[N, 500000]", "chunk(400000, dim=1)", PIECES),
    "split": ("[N, 900000]", "x.split(2, dim=-1)", PIECES),
    "split of what was expanded": (IMAGE, "ones(1).expand(2**22).split(1)", PIECES),
    "tensor_split": (FLAT, "tensor_split(x, 70000)", PIECES),
    "hsplit": (FLAT, "x.hsplit(90000)", PIECES),
    "a list of tensors": (IMAGE, "cat([x, x] * 400000)", "more than 10,000"),
    "sizes": (IMAGE, "x.reshape(*[1] * 60000)", "more than 10,000"),
    "dimensions": (IMAGE, "x.view(-1, *[1] * 80)", "at most 64 are allowed"),
    "a list": (IMAGE, "range(900000)", "not a tensor"),
    # images and windows
    "a kernel": ("[N, 1, 900000000]", "AvgPool1d(70000000)", ALONG),
    "a kernel of a function": (IMAGE, "avg_pool2d(x, 2**30, padding=2**29)", ALONG),
    "a dilation": ("[N, 1, 900000000]", "max_pool1d(x, 3, 1, 0, 10**8)", ALONG),
    "a reach": ("[N, 1, 90000000]", "Conv1d(4, 1000, dilation=2000)", "a window over 1,998,001 positions"),
    "an adaptive pool": (FLAT, "adaptive_max_pool1d(x, 2**31)", ALONG),
    "an adaptive layer": ("[N, 1, 8, 8]", "AdaptiveMaxPool2d((7, 50000000))", ALONG),
    "an interpolation": ("[N, 1, 8]", "interpolate(x, size=900000000)", ALONG),
    "a fold": ("[N, 4, 900000000]", "Fold((90000, 90000), 1)", "at most 1,000,000,000 are allowed"),
    "a padding": (IMAGE, "pad(x, (10**9, 0))", ALONG),
    "no kernel": (IMAGE, "conv2d(x, zeros(3, 4, 0, 0))", "the weight (3, 4, 0, 0) has no numbers"),
    "no stride": (IMAGE, "conv2d(x, ones(3, 4, 1, 1), stride=0)", "it must be 1 or more"),
    "no stride of a transposed one": (IMAGE, "conv_transpose2d(x, ones(4, 3, 1, 1), None, (0, 1))", "must be 1 or"),
    "an empty kernel": (IMAGE, "MaxPool2d(())", ""),
    "layers of an LSTM": (ROWS, "LSTM(8, num_layers=10**8)", "at most 256 are allowed"),
    "layers of a Transformer": (ROWS, "Transformer(nhead=2, num_decoder_layers=10**7)", "at most 128 are allowed"),
    "features of a bilinear map": (FLAT, "Bilinear(8, 8, 10**11)(x, x)", "out_features is 100,000,000,000"),
    "features of a bilinear function": (FLAT, "bilinear(x, x, ones(10**6, 8, 8))", "at most 2,000 are allowed"),
    "a diagonal of blocks": (FLAT, "block_diag(*[x] * 9000)", "is given 9,000 tensors; at most 200"),
    "a grid of many axes": (FLAT, "meshgrid(*[x[0]] * 70)", "is given 70 tensors; at most 64"),
    "a chain of products": (FLAT, "chain_matmul(*[ones(8, 8)] * 2000)", "at most 100 are allowed"),
    "groups of a large size": (IMAGE, "Conv2d(2**62 - 57, 3, groups=7)", "groups=7 does not divide"),
    "dimensions of a norm": (FLAT, "LayerNorm([1] * 9000)", "normalized_shape has 9,000 dimensions"),
    "a step of windows": (IMAGE, "x.unfold(2, 3, 2**62)", "unfold: step is 4,611,686,018,427,387,904"),
    "no step of windows": (IMAGE, "x.unfold(2, 3, 0)", "unfold: step is 0; it must be 1 or more"),
    "no factor": (IMAGE, "pixel_unshuffle(x, 0)", "downscale_factor is 0; it must be 1 or more"),
    "a list as a size": (FLAT, "Linear((1,))", "out_features takes a whole number, not (1,)"),
    # values of other kinds
    "2⁶³": (IMAGE, "x.view(2**63)", "more than 64 bits"),
    "a size of 10³⁰": (FLAT, "Linear(10**30)", "more than 64 bits"),
    "a fraction": (IMAGE, "x.reshape(2.5, -1)", ""),
    "a half": ("[N, 15, 8, 8]", "reshape(N, 15 / 2, 8, 8)", ""),
    "a truth": ("[N, 4]", "view(True, 4)", ""),
    "a word": ("[N, 4]", "x.reshape(2**61, 'sum', -1)", ""),
    "nothing": ("[N, 4]", "x.view(None)", ""),
    "a list and a number": ("[N]", "view(x, [1], 2**41)", ""),
    "another argument": (IMAGE, "view(2**61, eps=1)", ""),
    "a tensor": (ROWS, "x.repeat(x)", ""),
    "a slice": ("[N, 4]", "Linear([1, 2, 3][::0][0])", "a slice in steps of 0"),
    "a filled-in word": (FLAT, "Linear(len('%900000000d' % 1))", "cannot be worked out"),
    "digits": (FLAT, "Linear(round(7, -10**9))", "takes a whole number"),
    "a sum of lists": (FLAT, "Linear(len(sum([[1, 2]] * 700000, [])))", "more than 1,000,000 items"),
    # no dimensions
    "a mean over none": (IMAGE, "mean(x, [])", "an empty list names no dimension"),
    "a maximum over none": (IMAGE, "x.amax(dim=())", "an empty list names no dimension"),
    "a scalar input": ("[]", "Linear(3)", "wants 1 dimension or more"),
    "a matrix by a vector": ("[N, 2, 4, 4, 4]", "ones(2, 3) @ x.flatten()", "only one is 128"),
    "a scalar to a norm": (IMAGE, "LayerNorm(prev.sum())", ""),
    "a scalar to a layer": (FLAT, "Linear(3)(x.mean())", "wants 1 dimension or more"),
    "a method without its tensor": (ROWS, "reshape(shape=(3, 5), other=x)", "no tensor"),
}
"""Why → the input, the step, and what is said of it."""
DOUBLED = range(1, 40)
WHOLE: dict[str, tuple[str, str]] = {
    "lists that double": (
        "let:\n  a0: [1, 1]\n"
        + "".join(f"  a{i}: [a{i - 1}, a{i - 1}]\n" for i in DOUBLED)
        + "layers:\n  - Linear(len(a39))\n",
        "items in all",
    ),
    "functions that double": (
        "let:\n  f0(n): n\n"
        + "".join(f"  f{i}(n): f{i - 1}(n) + f{i - 1}(n)\n" for i in DOUBLED)
        + "layers:\n  - Linear(f39(1))\n",
        "compute more than 5,000,000 values",
    ),
    "blocks that double": (
        "blocks:\n  B0: [relu]\n" + "".join(f"  B{i}: [B{i - 1}, B{i - 1}]\n" for i in DOUBLED) + "layers:\n  - B39\n",
        "more than 20,000 steps",
    ),
    "blocks that differ and double": (
        "blocks:\n  B0(n): [x * n]\n"
        + "".join(f"  B{i}(n): [B{i - 1}(2 * n), B{i - 1}(2 * n + 1)]\n" for i in DOUBLED)
        + "layers:\n  - B39(1)\n",
        "compute more than 5,000,000 values",
    ),
    "turns": ("layers:\n  - do: relu\n    repeat: 90000\n", "at most 20,000 are allowed"),
    "turns of several steps": ("layers:\n  - do: [relu, relu, relu]\n    repeat: 9000\n", "loops of 27,000 steps"),
    "a matrix": (
        "params: {"
        + ", ".join(f"p{i}: 1" for i in range(12))
        + "}\n"
        + "matrix: {"
        + ", ".join(f"p{i}: [1, 2, 3, 4, 5, 6]" for i in range(12))
        + "}\n"
        + "layers:\n  - Linear(p0)\n",
        "the matrix makes 2,176,782,336 nets",
    ),
    "bad lines": ("layers:\n" + "".join(f"  - Lineaar{i}(4)\n" for i in range(900)), "more than 100 problems"),
    "very many lines": ("layers:\n" + "".join(f"  - Lineaar{i}(4)\n" for i in range(40_000)), "30,000"),
    "layers that misfit": (
        "layers:\n" + "".join(f"  - Linear({i + 20}, {i + 3})\n" for i in range(250)),
        "more than 100 problems",
    ),
    "dimensions on a line": (
        "params: {a: [" + "1, " * 20_000 + "1]}\nlayers: [ReLU]\n",
        "more than 5,000 items in one [...]",
    ),
    "a definition that calls itself twice": (
        "let:\n  f(n): f(n-1) + f(n-1)\nlayers:\n  - Linear(f(40))\n",
        "compute more than 5,000,000 values",
    ),
    "digits of sixteen": ("layers:\n  - Linear(0x" + "f" * 6000 + ")\n", "an integer of 24,000 bits"),
}
"""What is too much → the spec below its input, and what is said of it."""

VARIANTS = (
    "params: {w: 4}\nvariants:\n"
    + "".join(f"  v{i}: {{w: {i + 4}}}\n" for i in range(200))
    + "input: [N, 8]\nlayers:\n  - Linear(w)\n  - Linear(%s, 3)\n"
)
LARGE: dict[str, tuple[str, int]] = {
    "a long kernel": ("input: [N, 1, 8]\nlayers:\n  - Conv1d(1, 10**6, padding=10**6)\n", 0),
    "2,000 steps": ("input: [N, 8]\nlayers:\n  - do: [relu, Linear(8)]\n    repeat: 1000\n", 0),
    "a high image": (
        "input: [N, 3, 10**9, 128]\nlayers:\n  - Conv2d(8, 3)\n  - MaxPool2d(2)\n  - Flatten\n  - Linear(100, 10)\n",
        1,
    ),
    "200 variants": (VARIANTS % "w", 0),
    "200 broken variants": (VARIANTS % "w + 1", 1),
}
"""What is large and allowed → the spec, and the exit code of `check`."""


def texts() -> dict[str, tuple[str, str]]:
    """Every spec, and what is said of it."""
    made = {why: (f'input: {shape}\nlayers:\n  - "{step}"\n', said) for why, (shape, step, said) in STEPS.items()}
    return made | {why: (f"input: {FLAT}\n{text}", said) for why, (text, said) in WHOLE.items()}


@pytest.fixture(scope="module")
def asked() -> dict[str, Answer]:
    """The answers to all of them, from children."""
    every = texts()
    wanted = [{"kind": "spec", "command": "check", "text": text} for text, _ in every.values()]
    return dict(zip(every, answers(wanted), strict=True))


@pytest.mark.parametrize("why", texts())
def test_it_is_refused_at_its_place(asked: dict[str, Answer], why: str):
    if why == "a list and a number" and torch.__version__ < "2.13":
        pytest.skip("this torch ignores the number")
    answer, (_, said) = asked[why], texts()[why]
    assert answer.code in (1, 2), answer.place
    assert said in answer.text
    assert "net.yaml:" in answer.text or said.startswith("an integer")


def test_a_complaint_tells_a_few_shapes_of_many(asked: dict[str, Answer]):
    del asked
    step = "chain_matmul(*[x] * 90)"
    (answer,) = answers([{"kind": "spec", "command": "check", "text": f'input: {FLAT}\nlayers:\n  - "{step}"\n'}])
    assert "(1, 8) and 84 more)" in answer.text
    assert answer.text.count("(1, 8)") == 6


def test_what_is_large_and_sound_is_answered_in_time(asked: dict[str, Answer]):
    del asked
    wanted = [{"kind": "spec", "command": "check", "text": text} for text, _ in LARGE.values()]
    found = dict(zip(LARGE, answers(wanted), strict=True))
    assert {name: answer.code for name, answer in found.items()} == {name: code for name, (_, code) in LARGE.items()}


def test_a_sound_spec_is_not_refused(asked: dict[str, Answer]):
    del asked  # the limits of the others are those of this one
    text = "input: [N, 4, 8, 8]\nlayers:\n  - chunk(4, dim=1)\n  - cat(prev, 1)\n  - Conv2d(8, 3)\n  - mean([2, 3])\n"
    (answer,) = answers([{"kind": "spec", "command": "check", "text": text}])
    assert answer.code == 0, answer.text


def test_a_matrix_is_counted_and_not_made():
    from archscope.spec.parse import parse_text

    axes = ", ".join(f"p{i}: [{', '.join('1' * 10)}]" for i in range(10))
    params = ", ".join(f"p{i}: 1" for i in range(10))
    with pytest.raises(SpecError, match="the matrix makes 10,000,000,000 nets; at most 10,000 are allowed"):
        parse_text(f"params: {{{params}}}\nmatrix: {{{axes}}}\ninput: [N, 8]\nlayers: [relu]\n")
