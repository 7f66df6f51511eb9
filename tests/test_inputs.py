"""Inputs: what a user says of them, on the command line and in Python, and the arguments that a module gets."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope.cli import cli
from archscope.cli.input_option import InputOption, parse_inputs
from archscope.cli.options import parse_value
from archscope.errors import ForwardError, UsageError
from archscope.targets import InputPlacement, example_tensor
from archscope.targets import make_inputs as arguments

DOOR = InputPlacement("cpu", "float16")
X = torch.ones(2, 3)


def array(rows: list[Any]) -> Any:
    """numpy's array, of doubles or of whole numbers."""
    tensor = torch.tensor(rows)
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


class Holder:
    """An object with a tensor in it, of which nobody knows more."""

    def __init__(self) -> None:
        self.tensor = X


HOLDER = Holder()
PAIR = collections.namedtuple("PAIR", "a b")(X, X)


def shapes(tree: Any) -> Any:
    """The tree with `dtype[sizes]` in place of its tensors; named tuples are no trees."""
    if hasattr(tree, "_fields"):
        return tree
    if isinstance(tree, torch.Tensor):
        return f"{str(tree.dtype)[6:]}{list(tree.shape)}"
    if isinstance(tree, dict):
        return {key: shapes(item) for key, item in tree.items()}
    return type(tree)(map(shapes, tree)) if isinstance(tree, (list, tuple)) else tree


# ------------------------------------------------------------ the command line
@pytest.mark.parametrize(
    ("texts", "tensors", "values"),
    [
        (["1x3"], (1, 3), {}),
        (["1, 3"], (1, 3), {}),
        (["1 3 28 28"], (1, 3, 28, 28), {}),
        (["(1, 3)"], (1, 3), {}),
        (["[1,3]"], (1, 3), {}),
        (["(8,)"], (8,), {}),
        (["1 x 3"], (1, 3), {}),
        (["x=int64:(1, 8):0..9"], {"x": ("int64", (1, 8), (0, 9))}, {}),
        (["1×3", "2x4"], [(1, 3), (2, 4)], {}),
        (["int64:"], ("int64", ()), {}),
        (["x="], {"x": ()}, {}),
        (["bool:1x8"], ("bool", (1, 8)), {}),
        (["tokens=int64:1x128:0..50257"], {"tokens": ("int64", (1, 128), (0, 50257))}, {}),
        (["int8:4:-3..3"], ("int8", (4,), (-3, 3)), {}),
        (["1x8:0..9"], {"shape": (1, 8), "low": 0, "high": 9}, {}),
        (["batch.image=1x3", "batch.label=int64:1"], {"batch": {"image": (1, 3), "label": ("int64", (1,))}}, {}),
        (["pair.0=1x3", "pair.1=1x4"], {"pair": [(1, 3), (1, 4)]}, {}),
        (["pair.1=1x3", "pair.0=1x4"], {"pair": [(1, 4), (1, 3)]}, {}),
        (["levels.1=1x3", "levels.2=1x4"], {"levels": {"1": (1, 3), "2": (1, 4)}}, {}),
        (["0.image=1x3", "1=1x4"], [{"image": (1, 3)}, (1, 4)], {}),
        (["x.shape=2"], {"x": {"shape": (2,)}}, {}),
        (["pixel-values=1x3"], {"pixel-values": (1, 3)}, {}),
        (["1x3", "scale==2.0"], (1, 3), {"scale": 2.0}),
        (["scale==2"], None, {"scale": 2}),
        (["mode==mean", "mask==none", "on==true"], None, {"mode": "mean", "mask": None, "on": True}),
        (["sizes==[3, 4]", "o.n==3"], None, {"sizes": [3, 4], "o": {"n": 3}}),
        (["text==a=b"], None, {"text": "a=b"}),
    ],
)
def test_inputs_as_they_are_written(texts: list[str], tensors: Any, values: dict[str, Any]) -> None:
    assert parse_inputs(texts, parse_value) == InputOption(tensors, values)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["big"], "'big' is not a shape such as 1x3x224x224"),
        ([""], "is not a shape"),
        (["1x-3"], "'1x-3' is not a shape"),
        (["(1, three)"], "is not a shape"),
        (["1 -3"], "is not a shape"),
        (["x=2.0"], "'2.0' is not a shape .*; a plain value follows '==': scale==2.0"),
        (["x=none"], "; a plain value follows '=='"),
        (["int64:1x8:0-9"], "is not a shape"),
        (["x=1x3", "1x4"], "name every input or none"),
        (["x=1x3", "x=1x4"], "x is given twice"),
        (["x==1", "x==2"], "x is given twice"),
        (["x=1x3", "x.y=1x4"], "x.y lies in x, which is an input itself"),
        (["x.y=1x3", "x=1x4"], "x is given twice"),
        (["a b=1x3"], "'a b' is not the name of an input"),
        (["=1x3"], "'' is not the name of an input|a plain value"),
        (["0==3"], "a plain value has a name"),
    ],
)
def test_inputs_that_cannot_be_read(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_inputs(texts, parse_value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        *(("3", 3), ("-2", -2), ("1e-3", 1e-3), ("true", True), ("False", False), ("none", None), ("Null", None)),
        *(("relu", "relu"), ("'3'", "3"), ("2 * 3", "2 * 3"), ("", "")),
        *(("[3, 4, 6]", [3, 4, 6]), ("(1, 2)", (1, 2)), ("[relu, null, true]", ["relu", None, True])),
        *(("{'width': 64}", {"width": 64}), ("{width: 64, act: gelu}", {"width": 64, "act": "gelu"})),
    ],
)
def test_arguments_as_they_are_written(text: str, read: Any) -> None:
    assert parse_value(text) == read


@pytest.mark.parametrize("text", ["[3,", "{1: }", "[f(3)]", "(a.b)"])
def test_brackets_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list or mapping such as"):
        parse_value(text)


# ------------------------------------------------------------ in Python
@pytest.mark.parametrize(
    ("given", "args", "kwargs"),
    [
        ((2, 3), ("float16[2, 3]",), {}),
        ([2, 3], ("float16[2, 3]",), {}),
        (torch.Size([2, 3]), ("float16[2, 3]",), {}),
        ((), ("float16[]",), {}),
        (("int64", (2, 3)), ("int64[2, 3]",), {}),
        ((torch.int64, [2, 3]), ("int64[2, 3]",), {}),
        (("long", (2,)), ("int64[2]",), {}),
        (("bool", (2,), (0, 2)), ("bool[2]",), {}),
        ({"shape": (2,), "high": 9}, ("int64[2]",), {}),
        ({"shape": (2,), "dtype": "complex64"}, ("complex64[2]",), {}),
        (X, ("float32[2, 3]",), {}),
        ([(2, 3), X], ("float16[2, 3]", "float32[2, 3]"), {}),
        (((2, 3), (4,)), ("float16[2, 3]", "float16[4]"), {}),
        ([(2,), None, 2.5, True], ("float16[2]", None, 2.5, True), {}),
        ([[(2,), (3,)]], (["float16[2]", "float16[3]"],), {}),
        ({"x": (2,), "y": X, "mask": None}, (), {"x": "float16[2]", "y": "float32[2, 3]", "mask": None}),
        (
            {"batch": {"image": (2,), "ids": [("int64", (1,))]}},
            (),
            {"batch": {"image": "float16[2]", "ids": ["int64[1]"]}},
        ),
        (collections.UserDict(x=X), (), {"x": "float32[2, 3]"}),
        (array([[1.5, 2.0]]), ("float16[1, 2]",), {}),
        (array([[1, 2]]), ("int64[1, 2]",), {}),
        (
            {"x": array([[1.5]]), "ids": [array([3]), X]},
            (),
            {"x": "float16[1, 1]", "ids": ["int64[1]", "float32[2, 3]"]},
        ),
        (HOLDER, (HOLDER,), {}),
        ([HOLDER, (2,)], (HOLDER, "float16[2]"), {}),
        ({"x": HOLDER}, (), {"x": HOLDER}),
        (PAIR, (PAIR,), {}),
        ([X, 3], ("float32[2, 3]", 3), {}),
        ([[X, 3], {"y": X}], (["float32[2, 3]", 3], {"y": "float32[2, 3]"}), {}),
        ({"value": (2,), "key": (3,)}, (), {"value": "float16[2]", "key": "float16[3]"}),
    ],
)
def test_inputs_as_the_library_takes_them(given: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    got = arguments(DOOR, given, (), {}, None)
    assert (shapes(got[0]), shapes(got[1])) == (args, kwargs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1x4", "an input is a shape, not '1x4'"),
        (4, "an input is a shape, not 4"),
        (2.5, "an input is a shape, not 2.5"),
        ({"x": "1x4"}, r"an input is a shape, not '1x4' \(input x\)"),
        ({"b": {"x": 3}}, r"not 3 \(input b.x\)"),
        ((2, 2.5), r"a size is a whole number, not 2.5 in \(2, 2.5\)"),
        ((None, 4), "not None in|an input is a shape"),
        ((2, True), "not True in"),
        ((2, -1), "a size is 0 or more, not -1"),
        (("int46", (2,)), "unknown dtype 'int46'\n  help: did you mean 'int64'"),
        (("int64", 4), "an input is a shape, not 4"),
        (("int64", (2,), (9, 3)), "there is no number from 9 to 3 - 1"),
        (("int64", (2,), 9), r"a range is \(low, high\), not 9"),
        (("int64", (2,), (0, 1.5)), "a range is of whole numbers"),
        (("float32", (2,), (0, 9)), "a range is for whole numbers, not for float32"),
        (("uint8", (2,), (0, 300)), "uint8 cannot hold the range from 0 to 300 - 1\n  help: it holds 0 … 255"),
        (("bool", (2,), (0, 3)), "bool cannot hold"),
        ((10**6, 10**6, 10**3), "the input of .* needs at least .*, cpu has"),
        ((10**12, 10**12), "larger than any memory"),
    ],
)
def test_inputs_that_cannot_be_meant(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        arguments(DOOR, given, (), {}, None)


@pytest.mark.parametrize(
    ("args", "kwargs", "wanted"),
    [
        (((2, 3),), {}, (("float16[2, 3]",), {})),
        ([("int64", (1, 8)), [2, 3]], {}, (("int64[1, 8]", "float16[2, 3]"), {})),
        ((), {"x": (2, 3), "n": 4}, ((), {"x": "float16[2, 3]", "n": 4})),
        ((), {"x": {"shape": (2,), "high": 9}}, ((), {"x": "int64[2]"})),
        (({"a": (2, 3), "b": "word"},), {}, (({"a": "float16[2, 3]", "b": "word"},), {})),
        ((X, (2, 2)), {"size": (4, 4)}, (("float32[2, 3]", (2, 2)), {"size": (4, 4)})),
        (([X], (2, 2)), {}, ((["float32[2, 3]"], (2, 2)), {})),
        ((2.5, None, "word"), {}, ((2.5, None, "word"), {})),
    ],
)
def test_shapes_among_the_arguments_of_a_call(args: Any, kwargs: Any, wanted: Any) -> None:
    """Where a tensor is among them, they are what they are."""
    got = arguments(DOOR, None, args, kwargs, None)
    assert (shapes(got[0]), shapes(got[1])) == wanted


def test_plain_values_beside_inputs_are_what_they_are() -> None:
    assert arguments(DOOR, (2,), (), {"size": (4, 4)}, None)[1] == {"size": (4, 4)}


def test_the_batch_of_shapes_among_the_arguments() -> None:
    assert shapes(arguments(DOOR, None, ((1, 3),), {}, 8)[0]) == ("float16[8, 3]",)


def test_an_array_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(UsageError, match=r"an array of object cannot become a tensor"):
        arguments(DOOR, array([[1]]).astype(object), (), {}, None)


def test_whole_numbers_are_zero_or_within_their_range() -> None:
    assert not example_tensor((50,), torch.int64, "cpu").any()
    (drawn,), _ = arguments(DOOR, ("int64", (500,), (3, 7)), (), {}, None)
    assert set(drawn.tolist()) == {3, 4, 5, 6}
    (mask,), _ = arguments(DOOR, ("bool", (5,), (1, 2)), (), {}, None)
    assert mask.all()


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ((1, 3), [(8, 3)]),
        ([(1, 3), ("int64", (1,)), (5, 5)], [(8, 3), (8,), (5, 5)]),
        ([(), (2, 3), X], [(), (8, 3), (2, 3)]),
        ([{"image": (1, 3), "label": (1,)}], [(8, 3), (8,)]),
    ],
)
def test_the_batch_is_the_first_size_of_all_that_share_it(given: Any, first: list[tuple[int, ...]]) -> None:
    args, _ = arguments(DOOR, given, (), {}, 8)
    flat = list(args[0].values()) if isinstance(args[0], dict) else args
    assert [tuple(tensor.shape) for tensor in flat] == first


def test_inputs_and_plain_values_go_together() -> None:
    args, kwargs = arguments(DOOR, {"batch": {"x": (2,)}}, (), {"batch": {"n": 3}, "scale": 2}, None)
    assert (args, shapes(kwargs)) == ((), {"batch": {"x": "float16[2]", "n": 3}, "scale": 2})


@pytest.mark.parametrize(
    ("given", "args", "kwargs", "batch", "message"),
    [
        ((2,), (X,), {}, None, "given twice, by input and by args"),
        ({"x": (2,)}, (), {"x": X}, None, "x is given twice, by input and by kwargs"),
        (None, X, {}, None, r"args is a list of arguments, not a tensor\n  help: args=\(x,\)"),
        (None, (), [X], None, "kwargs is a mapping of arguments"),
        (None, (X,), {}, 3, "batch=3 has no shape to change"),
        (None, (), {}, 3, r"a tensor has a batch of its own\n  help: give a shape with it: input="),
        ((2,), (), {}, 0, "a batch is a whole number from 1, not 0\n  help: batch=8"),
        ((2,), (), {}, 2.5, r"a batch is a whole number from 1, not 2\.5"),
    ],
)
def test_arguments_that_contradict(given: Any, args: Any, kwargs: Any, batch: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        arguments(DOOR, given, args, kwargs, batch)


# ------------------------------------------------------------ the call
class Scaled(nn.Module):
    def forward(self, x: torch.Tensor, mask: Any = None, *, scale: float = 1.0) -> torch.Tensor:
        return x * scale


class Starred(nn.Module):
    def forward(self, *xs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        return sum(xs) + sum(named.values())


class Hooked(Scaled):
    """Gets what its forward needs from a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(lambda _, args: (torch.ones(2), *args))


@pytest.mark.parametrize(
    ("model", "given", "names"),
    [
        (Scaled(), {"input": (2, 3), "kwargs": {"scale": 2.0}}, ["x"]),
        (Scaled(), {"input": [(2, 3), ("bool", (2, 3))]}, ["x", "mask"]),
        (Starred(), {"input": [(2, 3), (2, 3)]}, ["xs.0", "xs.1"]),
        (Starred(), {"input": {"a": (2, 3), "b": (2, 3)}}, ["a", "b"]),
        (torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 2, device="meta"))), {"input": (2, 3)}, ["input"]),
        (Hooked(), {}, []),
    ],
    ids=lambda case: type(case).__name__,
)
def test_inputs_have_the_names_of_the_forward(model: nn.Module, given: dict[str, Any], names: list[str]) -> None:
    assert [door.source for door in archscope.summarize(model, **given).trace.inputs] == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input": {"y": (2,)}}, r"takes no input 'y'\n  help: its call is forward\(x, mask=None, \*, scale=1.0\)"),
        ({"input": {"x": (2,), "mas": (2,)}}, r"takes no input 'mas'\n  help: did you mean 'mask'"),
        ({"input": {"mask": (2,)}}, "missing a required argument: 'x'"),
        ({"input": [(2,)] * 3}, "too many positional arguments"),
        ({"args": (X, X, X)}, "too many positional arguments"),
    ],
)
def test_inputs_that_the_forward_does_not_take(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        archscope.summarize(Scaled(), **given)


def test_a_call_without_the_inputs_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Linear):\n    def __init__(self):\n"
        "        super().__init__(3, 2)\n\n\nclass Open(nn.Module):\n    def forward(self, x=None, y=None):\n"
        "        return x + 1\n"
    )
    with pytest.raises(UsageError, match=r"missing a required argument: 'input'\n  help: input=.*forward\(input\)"):
        archscope.check("net.py:Net")
    with pytest.raises(ForwardError, match=r"help: no input was given: .*forward\(x=None, y=None\)"):
        archscope.summarize("net.py:Open")
    codes = {
        ("net.py:Net",): 0,
        ("net.py:Net", "--input", "2x3"): 0,
        ("net.py:Net", "--input", "y=2x3"): 2,
        ("net.py:Net", "--input", "2x3", "--input", "2x3"): 2,
        ("net.py:Net", "--input", "input=2x3", "--input", "scale==2"): 2,
        ("net.py:Net", "--input", "2x3", "--batch", "4"): 0,
        ("net.py:Open",): 1,
        ("net.py:Net", "--arg", "width=[3", "--input", "2x3"): 2,
    }
    assert {words: CliRunner().invoke(cli, ["summary", *words]).exit_code for words in codes} == codes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"args": (X,)}, "a spec's inputs are shapes, not args or kwargs"),
        ({"input": ("int64", (1, 8), (0, 9))}, "a spec says itself which numbers"),
        ({"input": {"x": {"shape": (1, 8), "high": 9}}}, "a spec says itself which numbers"),
        ({"input": {"x": {"y": (1, 8)}}}, "an input is a shape"),
        ({"input": (1, None)}, "an input is a shape"),
    ],
)
def test_what_a_spec_does_not_take(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text("inputs: {x: [N, 8]}\nlayers: [ReLU]\n")
    with pytest.raises(UsageError, match=message):
        archscope.summarize(str(spec), **given)
