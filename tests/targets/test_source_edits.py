"""Tests of edits of an author's source: where an argument of a layer is written, and what a call may have intended."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from textwrap import dedent

import pytest

from archscope.targets import SourceCall
from archscope.targets.forward_edits import (
    flatten_image_edits,
    missing_permute_edits,
    permute_operand_edits,
    reorder_edits,
    size_expression_edits,
    unread_value_edits,
)
from archscope.targets.layer_edits import argument_edits, flatten_edits, own_argument_edits, padding_edits, window_edits
from archscope.targets.source_edits import SourceEdit
from archscope.targets.source_files import SourceFile
from archscope.targets.target_rebuilder import calls_by_position

CONV = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode"]
LINEAR = ["in_features", "out_features", "bias"]
POOL = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]


def file_of(text: str) -> SourceFile:
    whole = dedent(text).lstrip()
    return SourceFile("net.py", whole, ast.parse(whole))


def places(file: SourceFile, *said: str) -> list[SourceCall]:
    """Return the first calls with this text."""
    found = {
        ast.unparse(node): (node, function)
        for _, (node, function) in reversed(list(calls_by_position(file.tree, None)))
    }
    return [SourceCall(file, *found[text]) for text in said]


def function_in(file: SourceFile, name: str = "forward") -> ast.FunctionDef:
    return next(node for node in ast.walk(file.tree) if isinstance(node, ast.FunctionDef) and node.name == name)


def changed(edit: SourceEdit) -> str:
    """Return the changed lines joined to one text; each edit must give valid Python."""
    ast.parse(edit.text)
    before, after = edit.file.text.splitlines(), edit.text.splitlines()
    return " ".join(new.strip() for old, new in zip(before, after, strict=True) if old != new)


def lines(edits: Iterable[SourceEdit]) -> list[str]:
    return [changed(edit) for edit in edits]


# ------------------------------------------------------------ another value of an argument
NUMBERS: dict[str, tuple[str, Sequence[str], Sequence[str], str, object, list[str]]] = {
    "by position": (
        "c = nn.Conv2d(3, 8, 3)",
        ["nn.Conv2d(3, 8, 3)"],
        CONV,
        "out_channels",
        16,
        ["nn.Conv2d(3, 16, 3)"],
    ),
    "by name": (
        "c = nn.Conv2d(3, kernel_size=3, out_channels=8)",
        ["nn.Conv2d(3, kernel_size=3, out_channels=8)"],
        CONV,
        "out_channels",
        16,
        ["nn.Conv2d(3, kernel_size=3, out_channels=16)"],
    ),
    "left out": ("c = nn.Conv2d(3, 8, 3)", ["nn.Conv2d(3, 8, 3)"], CONV, "stride", 2, ["nn.Conv2d(3, 8, 3, stride=2)"]),
    "behind a comma": ("c = nn.Conv2d(3, 8, 3,)", ["nn.Conv2d(3, 8, 3)"], CONV, "padding", 1, ["8, 3, padding=1)"]),
    "of an empty call": ("a = Pool()", ["Pool()"], POOL, "kernel_size", 2, ["Pool(kernel_size=2)"]),
    "a tuple": ("c = nn.Conv2d(3, 8, 3, (1, 2))", ["nn.Conv2d(3, 8, 3, (1, 2))"], CONV, "stride", (1, 1), ["(1, 1))"]),
    "as it is": ("c = nn.Conv2d(3, 8, 3)", ["nn.Conv2d(3, 8, 3)"], CONV, "out_channels", 8, []),
    "unpacked": ("c = nn.Conv2d(*sizes)", ["nn.Conv2d(*sizes)"], CONV, "out_channels", 8, []),
    "unpacked names": ("c = nn.Conv2d(3, 8, **more)", ["nn.Conv2d(3, 8, **more)"], CONV, "stride", 2, []),
    "no call": ("c = 3", [], CONV, "out_channels", 8, []),
    "the caller's": (
        """
        def block(a, b):
            return nn.Linear(a, b)

        net = block(4, 8)
        """,
        ["nn.Linear(a, b)", "block(4, 8)"],
        LINEAR,
        "out_features",
        9,
        ["net = block(4, 9)"],
    ),
    "the caller's by name": (
        """
        def block(a, *, b):
            return nn.Linear(a, b)

        net = block(4, b=8)
        """,
        ["nn.Linear(a, b)", "block(4, b=8)"],
        LINEAR,
        "out_features",
        9,
        ["net = block(4, b=9)"],
    ),
    "a default": (
        """
        def block(a, b=8):
            return nn.Linear(a, b)

        net = block(4)
        """,
        ["nn.Linear(a, b)", "block(4)"],
        LINEAR,
        "out_features",
        9,
        ["net = block(4, b=9)"],
    ),
    "a constructor's": (
        """
        class Block(nn.Module):
            def __init__(self, a, b):
                self.fc = nn.Linear(a, out_features=b)

        net = Block(4, 8)
        """,
        ["nn.Linear(a, out_features=b)", "Block(4, 8)"],
        LINEAR,
        "out_features",
        9,
        ["net = Block(4, 9)"],
    ),
    "the callers' caller's": (
        """
        def inner(a, b):
            return nn.Linear(a, b)

        def outer(width):
            return inner(width, width)

        net = outer(4)
        """,
        ["nn.Linear(a, b)", "inner(width, width)", "outer(4)"],
        LINEAR,
        "out_features",
        9,
        ["net = outer(9)"],
    ),
    "unpacked by the caller": (
        """
        def block(a, b):
            return nn.Linear(a, b)

        net = block(*sizes)
        """,
        ["nn.Linear(a, b)", "block(*sizes)"],
        LINEAR,
        "out_features",
        9,
        [],
    ),
    "a local name": (
        """
        def make():
            width = 8
            return nn.Linear(4, width)
        """,
        ["nn.Linear(4, width)"],
        LINEAR,
        "out_features",
        9,
        ["width = 9"],
    ),
    "a tuple of names": (
        """
        def make():
            depth, width = 2, 8
            return nn.Linear(4, width)
        """,
        ["nn.Linear(4, width)"],
        LINEAR,
        "out_features",
        9,
        ["depth, width = 2, 9"],
    ),
    "two names": (
        """
        def make():
            width = size = 8
            return nn.Linear(4, size)
        """,
        ["nn.Linear(4, size)"],
        LINEAR,
        "out_features",
        9,
        ["width = size = 9"],
    ),
    "a name for a parameter": (
        """
        def block(a):
            width = a
            return nn.Linear(4, width)

        net = block(8)
        """,
        ["nn.Linear(4, width)", "block(8)"],
        LINEAR,
        "out_features",
        9,
        ["net = block(9)"],
    ),
    "names of what is computed": (
        """
        def make(config):
            width = config["width"]
            return nn.Linear(4, width)
        """,
        ["nn.Linear(4, width)"],
        LINEAR,
        "out_features",
        9,
        [],
    ),
    "a loop over a list": (
        """
        def make():
            found = []
            for width in [4, 8]:
                found.append(nn.Linear(4, width))
            return found
        """,
        ["nn.Linear(4, width)"],
        LINEAR,
        "out_features",
        9,
        ["for width in [9, 8]:", "for width in [4, 9]:"],
    ),
    "a loop over pairs": (
        """
        def make():
            return [nn.Linear(a, b) for a, b in [(4, 8), (8, 16)]]
        """,
        ["nn.Linear(a, b)"],
        LINEAR,
        "in_features",
        9,
        [
            "return [nn.Linear(a, b) for a, b in [(9, 8), (8, 16)]]",
            "return [nn.Linear(a, b) for a, b in [(4, 9), (8, 16)]]",
            "return [nn.Linear(a, b) for a, b in [(4, 8), (9, 16)]]",
            "return [nn.Linear(a, b) for a, b in [(4, 8), (8, 9)]]",
        ],
    ),
    "a choice": (
        """
        def make(wide):
            return nn.Linear(4, 8 if wide else 16)
        """,
        ["nn.Linear(4, 8 if wide else 16)"],
        LINEAR,
        "out_features",
        9,
        ["return nn.Linear(4, 9 if wide else 16)", "return nn.Linear(4, 8 if wide else 9)"],
    ),
    "a choice by a name": (
        """
        def make(wide):
            width = 8 if wide else 16
            return nn.Linear(4, width)
        """,
        ["nn.Linear(4, width)"],
        LINEAR,
        "out_features",
        9,
        ["width = 9 if wide else 16", "width = 8 if wide else 9"],
    ),
    "a product": (
        """
        def block(a):
            return nn.Linear(a, 4 * a)

        net = block(8)
        """,
        ["nn.Linear(a, 4 * a)", "block(8)"],
        LINEAR,
        "out_features",
        64,
        ["net = block(16)", "return nn.Linear(a, 8 * a)"],
    ),
    "a product that does not divide": (
        """
        def block(a):
            return nn.Linear(a, a * 4)

        net = block(8)
        """,
        ["nn.Linear(a, a * 4)", "block(8)"],
        LINEAR,
        "out_features",
        33,
        [],
    ),
    "a sum": (
        """
        def block(a):
            return nn.Linear(a + 1, 8)

        net = block(8)
        """,
        ["nn.Linear(a + 1, 8)", "block(8)"],
        LINEAR,
        "in_features",
        12,
        ["net = block(11)"],
    ),
    "a quotient": (
        """
        def block(a):
            return nn.Linear(a // 2, 8)

        net = block(8)
        """,
        ["nn.Linear(a // 2, 8)", "block(8)"],
        LINEAR,
        "in_features",
        12,
        ["net = block(24)"],
    ),
    "a divisor": (
        """
        def block(a):
            return nn.Linear(64 // a, 8)
        """,
        ["nn.Linear(64 // a, 8)"],
        LINEAR,
        "in_features",
        16,
        [],
    ),
    "a sum of a product": (
        """
        def block(a):
            return nn.Linear(2 * a + 1, 8)

        net = block(8)
        """,
        ["nn.Linear(2 * a + 1, 8)", "block(8)"],
        LINEAR,
        "in_features",
        13,
        ["net = block(6)"],
    ),
    "two numbers": (
        "c = nn.Linear(2 * 4, 8)",
        ["nn.Linear(2 * 4, 8)"],
        LINEAR,
        "in_features",
        16,
        ["c = nn.Linear(16, 8)"],
    ),
    "behind letters of two bytes": (
        "größe = 'ä'; c = nn.Linear(4, 8)",
        ["nn.Linear(4, 8)"],
        LINEAR,
        "out_features",
        16,
        ["größe = 'ä'; c = nn.Linear(4, 16)"],
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_changed_where_it_stands_the_outermost_place_first(name: str) -> None:
    text, said, names, argument, value, wanted = NUMBERS[name]
    file = file_of(text)
    present = 32 if name == "a product" else 8
    found = lines(argument_edits(places(file, *said), names, argument, value, present))
    assert len(found) == len(wanted)
    assert all(line.endswith(end) for line, end in zip(found, wanted, strict=True)), found


def test_a_parameter_of_a_nested_function_is_not_that_of_the_outer_one() -> None:
    text = """
        def make(width):
            def inner(width):
                return nn.Linear(4, width)

            return inner(8)

        net = make(3)
        """
    file = file_of(text)
    edits = argument_edits(places(file, "nn.Linear(4, width)", "inner(8)", "make(3)"), LINEAR, "out_features", 9, 8)
    assert lines(edits) == ["return inner(9)"]


def test_names_that_stand_for_each_other_end() -> None:
    text = """
        def make():
            a = b
            b = a
            return nn.Linear(4, a)
        """
    assert lines(argument_edits(places(file_of(text), "nn.Linear(4, a)"), LINEAR, "out_features", 9, 8)) == []


def test_a_local_name_may_have_a_type() -> None:
    file = file_of("def make():\n    width: int = 8\n    return nn.Linear(4, width)\n")
    edits = lines(argument_edits(places(file, "nn.Linear(4, width)"), LINEAR, "out_features", 9, 8))
    assert edits == ["width: int = 9"]


def test_a_call_on_several_lines_gets_another_argument_at_its_end() -> None:
    file = file_of("c = nn.Conv2d(\n    3,\n    8,\n    3,\n)")
    (edit,) = argument_edits(places(file, "nn.Conv2d(3, 8, 3)"), CONV, "padding", 1, 8)
    ((call, _),) = [found for _, found in calls_by_position(ast.parse(edit.text), None)]
    assert ast.unparse(call) == "nn.Conv2d(3, 8, 3, padding=1)"


@pytest.mark.parametrize(
    "end",
    [
        "3  # three",
        "3,  # three",
        "3  # three,",
    ],
)
def test_a_call_that_ends_with_a_note_gets_another_argument(end: str) -> None:
    file = file_of(f"c = nn.Conv2d(\n    3, 8, {end}\n)")
    (edit,) = argument_edits(places(file, "nn.Conv2d(3, 8, 3)"), CONV, "padding", 1, 8)
    ((call, _),) = [found for _, found in calls_by_position(ast.parse(edit.text), None)]
    assert ast.unparse(call) == "nn.Conv2d(3, 8, 3, padding=1)"


def test_an_edit_says_the_call_the_function_and_the_words() -> None:
    text = """
        def block(a, b):
            return nn.Conv2d(
                a, b, 3
            )

        net = block(4, 8)
        """
    file = file_of(text)
    (outer,) = argument_edits(places(file, "nn.Conv2d(a, b, 3)", "block(4, 8)"), CONV, "out_channels", 9, 8)
    assert (outer.call_text, outer.function, outer.words, outer.own) == ("block(4, 8)", "", "b=9", False)
    (inner,) = argument_edits(places(file, "nn.Conv2d(a, b, 3)", "block(4, 8)"), CONV, "kernel_size", 5, 3)
    assert (inner.call_text, inner.function, inner.words) == ("nn.Conv2d( a, b, 3 )", "block", "kernel_size=5")
    assert (inner.call.lineno, inner.call.col_offset) == (2, 11)


def test_a_note_in_a_call_is_not_repeated() -> None:
    file = file_of("c = nn.Conv2d(\n    3,  # of the image\n    8,\n    3,\n)\n")
    said = ast.unparse(file.tree.body[0].value)
    (edit,) = argument_edits([SourceCall(file, file.tree.body[0].value, None)], CONV, "out_channels", 9, 8)
    assert edit.call_text == said


def test_a_name_may_be_taken_several_times() -> None:
    text = """
        def make():
            for width in sizes:
                found.append(nn.Linear(width, 3))
        """
    edits = list(argument_edits(places(file_of(text), "nn.Linear(width, 3)"), LINEAR, "in_features", 16, 8))
    assert lines(edits) == ["found.append(nn.Linear(width * 2, 3))"]
    assert edits[0].guess


# ------------------------------------------------------------ edits that follow from the calls alone
OWN: dict[str, tuple[str, Sequence[str], Sequence[str], list[str]]] = {
    "a sum": ("c = nn.Linear(width + 1, 8)", ["nn.Linear(width + 1, 8)"], LINEAR, ["c = nn.Linear(width, 8)"]),
    "a sum the other way": (
        "c = nn.Linear(1 + width, 8)",
        ["nn.Linear(1 + width, 8)"],
        LINEAR,
        ["c = nn.Linear(width, 8)"],
    ),
    "a difference": ("c = nn.Linear(4, width - 1)", ["nn.Linear(4, width - 1)"], LINEAR, ["c = nn.Linear(4, width)"]),
    "a product stays": ("c = nn.Linear(2 * width, 8)", ["nn.Linear(2 * width, 8)"], LINEAR, []),
    "by name": ("c = f(out_features=width + 1)", ["f(out_features=width + 1)"], LINEAR, ["c = f(out_features=width)"]),
    "a quotient stays": ("c = nn.Linear(width // 2, 8)", ["nn.Linear(width // 2, 8)"], LINEAR, []),
    "a sum of names stays": ("c = nn.Linear(a + b, 8)", ["nn.Linear(a + b, 8)"], LINEAR, []),
    "a sum of numbers stays": ("c = nn.Linear(1 + 2, 8)", ["nn.Linear(1 + 2, 8)"], LINEAR, []),
    "of the caller": (
        """
        def block(a, b):
            return nn.Linear(a, b)

        net = block(width + 1, 8)
        """,
        ["nn.Linear(a, b)", "block(width + 1, 8)"],
        LINEAR,
        ["net = block(width, 8)"],
    ),
    "a parameter that is not read": (
        """
        def block(a, b, stride):
            return nn.Conv2d(a, b, 3, stride=1)
        """,
        ["nn.Conv2d(a, b, 3, stride=1)"],
        CONV,
        ["return nn.Conv2d(a, b, 3, stride=stride)"],
    ),
    "one that the call leaves out": (
        """
        def block(a, b, *, stride=1, groups=1):
            return nn.Conv2d(a, b, 3, groups=groups)
        """,
        ["nn.Conv2d(a, b, 3, groups=groups)"],
        CONV,
        ["return nn.Conv2d(a, b, 3, groups=groups, stride=stride)"],
    ),
    "one that the layer does not take": (
        """
        def block(a, b, depth):
            return nn.Linear(a, b)
        """,
        ["nn.Linear(a, b)"],
        LINEAR,
        [],
    ),
    "all are read": (
        """
        def block(a, b, stride):
            print(stride)
            return nn.Conv2d(a, b, 3)
        """,
        ["nn.Conv2d(a, b, 3)"],
        CONV,
        [],
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_a_call_may_add_a_number_or_leave_out_what_its_function_is_told(name: str) -> None:
    text, said, names, wanted = OWN[name]
    found = list(own_argument_edits(places(file_of(text), *said), names))
    assert lines(found) == wanted
    assert all(edit.own for edit in found)


# ------------------------------------------------------------ windows
def test_a_kernel_by_name_asks_for_half_of_it_as_padding() -> None:
    text = """
        def block(a, k):
            return nn.Conv2d(a, a, k, padding=1)
        """
    calls = places(file_of(text), "nn.Conv2d(a, a, k, padding=1)")
    assert lines(padding_edits(calls, CONV)) == ["return nn.Conv2d(a, a, k, padding=k // 2)"]
    assert lines(window_edits(calls, CONV)) == [
        "return nn.Conv2d(a, a, k, padding=1, stride=k)",
        "return nn.Conv2d(a, a, k, padding=0)",
    ]


def test_every_call_of_the_class_gets_its_padding_together() -> None:
    text = """
        def block(a, k):
            first = nn.Conv2d(a, a, k)
            second = nn.Conv2d(a, a, k, padding=1)
        """
    both, alone = padding_edits(places(file_of(text), "nn.Conv2d(a, a, k)"), CONV)
    padded = "first = nn.Conv2d(a, a, k, padding=k // 2)"
    assert changed(both) == f"{padded} second = nn.Conv2d(a, a, k, padding=k // 2)"
    assert changed(alone) == padded
    assert both.words == "padding=k // 2, and in 1 more call"


def test_a_move_that_others_of_its_form_have_is_added() -> None:
    text = """
        def forward(self, x):
            q = self.q(x).view(b, n, 4).transpose(1, 2)
            k = self.k(x).view(b, n, 4)
            return q @ k
        """
    file = file_of(text)
    assert lines(missing_permute_edits(file, function_in(file))) == ["k = self.k(x).view(b, n, 4).transpose(1, 2)"]


def test_other_calls_of_the_class_say_what_may_be_meant() -> None:
    text = """
        def block(a, stride):
            first = nn.Conv2d(a, a, 3, stride, padding=1)
            short = nn.Conv2d(a, a, 1, 2)
            other = nn.MaxPool2d(5, 5)
        """
    assert lines(window_edits(places(file_of(text), "nn.Conv2d(a, a, 1, 2)"), CONV)) == [
        "short = nn.Conv2d(a, a, 1, stride)",
        "short = nn.Conv2d(a, a, 1, 1)",
        "short = nn.Conv2d(a, a, 1, 2, padding=1)",
        "short = nn.Conv2d(a, a, 3, 2)",
    ]


def test_a_layer_without_a_kernel_has_no_window() -> None:
    text = """
        def block(a):
            return nn.Sequential(nn.Linear(a, 4), nn.Linear(4, a))
        """
    assert lines(window_edits(places(file_of(text), "nn.Linear(a, 4)"), LINEAR)) == []


# ------------------------------------------------------------ missing flatten
def test_a_flatten_stands_before_a_layer_in_a_list() -> None:
    for text in ("net = nn.Sequential(nn.ReLU(), nn.Linear(4, 8))", "net = [nn.ReLU(), nn.Linear(4, 8)]"):
        (edit,) = flatten_edits(places(file_of(text), "nn.Linear(4, 8)"))
        assert changed(edit) == text.replace("nn.Linear", "nn.Flatten(), nn.Linear")
        assert edit.words == "nn.Flatten() before it"


def test_a_flatten_is_named_as_its_author_names_layers() -> None:
    text = "net = torch.nn.Sequential(torch.nn.Linear(4, 8))"
    (edit,) = flatten_edits(places(file_of(text), "torch.nn.Linear(4, 8)"))
    assert changed(edit) == "net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8))"


@pytest.mark.parametrize("text", ["self.fc = nn.Linear(4, 8)", "net = Sequential(Linear(4, 8))"])
def test_no_flatten_where_no_list_is_or_its_name_is_not_known(text: str) -> None:
    said = "nn.Linear(4, 8)" if "nn." in text else "Linear(4, 8)"
    assert lines(flatten_edits(places(file_of(text), said))) == []


def test_a_flatten_behind_the_first_argument_of_the_call_at_a_place() -> None:
    file = file_of(
        """
        class Net(nn.Module):
            def forward(self, x):
                return self.head(self.fc(self.pool(x)))
        """
    )
    (edit,) = permute_operand_edits(file, function_in(file), 3, 26, ".flatten(1)")
    assert changed(edit) == "return self.head(self.fc(self.pool(x).flatten(1)))"
    assert lines(permute_operand_edits(file, function_in(file), 3, 1, ".flatten(1)")) == []


def test_a_sum_is_flattened_as_a_whole() -> None:
    file = file_of("def forward(self, x):\n    return self.fc(x + self.skip(x))\n")
    (edit,) = permute_operand_edits(file, function_in(file), 2, 12, ".flatten(1)")
    assert changed(edit) == "return self.fc((x + self.skip(x)).flatten(1))"


def test_images_are_flattened_before_they_are_transposed() -> None:
    file = file_of("def forward(self, x):\n    return self.patch(x).transpose(1, 2)\n")
    (edit,) = flatten_image_edits(file, function_in(file))
    assert changed(edit) == "return self.patch(x).flatten(2).transpose(1, 2)"
    other = file_of("def forward(self, x):\n    return self.patch(x)\n")
    assert lines(flatten_image_edits(other, function_in(other))) == []


def test_images_of_a_function_are_flattened_too() -> None:
    file = file_of("def forward(self, x):\n    return torch.transpose(x, 1, 2)\n")
    (edit,) = flatten_image_edits(file, function_in(file))
    assert changed(edit) == "return torch.transpose(x.flatten(2), 1, 2)"


# ------------------------------------------------------------ edits of forwards
FORWARDS: dict[str, tuple[str, list[str], list[str]]] = {
    "dim of a concat": (
        "torch.cat([x, y], dim=2)",
        [f"torch.cat([x, y], dim={dim})" for dim in (-1, 1, 3, 0)],
        [f"torch.cat([x, y], dim={dim})" for dim in (2, 4)],
    ),
    "by position": ("torch.cat([x, y], 2)", ["torch.cat([x, y], 1)", "torch.cat([x, y], -1)"], []),
    "negative": ("torch.stack((x, y), dim=-1)", ["torch.stack((x, y), dim=1)", "torch.stack((x, y), dim=0)"], []),
    "left out": ("torch.cat([x, y])", [], ["torch.cat([x, y], dim=1)"]),
    "of a method": ("x.softmax(dim=1)", ["x.softmax(dim=-1)"], []),
    "of a function": ("F.softmax(x, dim=1)", ["F.softmax(x, dim=-1)"], []),
    "of a split": ("x.split(4, dim=1)", ["x.split(4, dim=2)"], ["x.split(3, dim=1)"]),
    "of a chunk": ("x.chunk(2, 1)", ["x.chunk(2, 2)"], ["x.chunk(1, 1)", "x.chunk(3, 1)"]),
    "of a mean": ("x.mean(1)", ["x.mean(2)", "x.mean(-1)"], []),
    "of a flatten": ("x.flatten(2)", ["x.flatten(1)"], []),
    "of a flatten by name": ("torch.flatten(x, start_dim=0)", ["torch.flatten(x, start_dim=1)"], []),
    "exchanged sizes": ("x.view(b, c, n)", ["x.view(c, b, n)", "x.view(b, n, c)"], ["x.view(n, c, b)"]),
    "exchanged dims": ("x.permute(0, 2, 1)", ["x.permute(0, 1, 2)", "x.permute(2, 0, 1)"], []),
    "exchanged in a function": ("torch.reshape(x, b, c)", ["torch.reshape(x, c, b)"], ["torch.reshape(b, x, c)"]),
    "exchanged operands": (
        "F.scaled_dot_product_attention(k, q, v)",
        ["F.scaled_dot_product_attention(q, k, v)", "F.scaled_dot_product_attention(k, v, q)"],
        [],
    ),
    "exchanged factors": ("torch.matmul(a, b)", ["torch.matmul(b, a)"], []),
    "a number less": ("x.view(-1, c * 4)", ["x.view(-1, c)"], []),
    "a number more": ("x.view(-1, 400)", ["x.view(-1, 399)", "x.view(-1, 401)"], []),
    "a sum in a size": ("x.view(b, n + 1, c)", ["x.view(b, n, c)"], []),
    "a size in parts": ("x.view(b, 2 * (n + 1))", ["x.view(b, 2 * (n))", "x.view(b, n + 1)"], []),
    "nothing of other functions": (
        "self.block(x, 1, dim=2)",
        [],
        ["self.block(1, x, dim=2)", "self.block(x, 1, dim=1)"],
    ),
}


def edits_of(file: SourceFile) -> list[SourceEdit]:
    function = function_in(file)
    return [*reorder_edits(file, function, {}, "concat"), *size_expression_edits(file, function)]


@pytest.mark.parametrize("name", FORWARDS)
def test_what_a_forward_may_have_been_meant_to_say(name: str) -> None:
    said, wanted, unwanted = FORWARDS[name]
    file = file_of(f"def forward(self, x, y):\n    return {said}\n")
    found = [line.removeprefix("return ") for line in lines(edits_of(file))]
    assert [line for line in wanted if line not in found] == []
    assert [line for line in unwanted if line in found] == []
    assert said not in found


@pytest.mark.parametrize("said", ["x.softmax(1)", "x.cumsum(1)"])
def test_the_first_number_of_a_method_may_be_its_dimension(said: str) -> None:
    file = file_of(f"def forward(self, x):\n    return {said}\n")
    assert f"return {said.replace('1', '2')}" in lines(edits_of(file))


@pytest.mark.parametrize("said", ["torch.split(x, 4, 1)", "torch.chunk(x, 4, 1)"])
def test_the_size_of_a_function_is_no_dimension(said: str) -> None:
    file = file_of(f"def forward(self, x):\n    return {said}\n")
    assert all("x, 4," in line for line in lines(edits_of(file)))


def test_what_is_left_without_a_number_keeps_its_brackets() -> None:
    file = file_of("def forward(self, x):\n    return x.view(b, c - 2 * (n + m))\n")
    found = lines(edits_of(file))
    assert "return x.view(b, c - n + m)" not in found


def test_sizes_in_a_tuple_are_exchanged_too() -> None:
    file = file_of("def forward(self, x):\n    return x.view((b, c, n))\n")
    assert "return x.view((b, n, c))" in lines(edits_of(file))


def test_exchanged_arguments_keep_what_stands_between_them() -> None:
    file = file_of("def forward(self, x):\n    return x.view(b,  c)\n")
    (edit,) = edits_of(file)
    assert changed(edit) == "return x.view(c,  b)"


UNREAD: dict[str, tuple[str, list[str]]] = {
    "the input again": (
        """
        def forward(self, x):
            y = self.first(x)
            y = self.second(x)
            return y
        """,
        ["y = self.second(y)"],
    ),
    "all are read": (
        """
        def forward(self, x):
            y = self.first(x)
            y = self.second(y)
            return y
        """,
        [],
    ),
    "several that are read meanwhile": (
        """
        def forward(self, x, z):
            y = self.first(x)
            w = self.other(z)
            y = self.second(x, w)
            return y
        """,
        ["w = self.other(y)", "y = self.second(y, w)", "y = self.second(x, y)"],
    ),
    "no name": (
        """
        def forward(self, x):
            self.kept = self.first(x)
            return x
        """,
        [],
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_value_that_nothing_reads_stands_for_another(name: str) -> None:
    text, wanted = UNREAD[name]
    file = file_of(text)
    assert lines(unread_value_edits(file, function_in(file))) == wanted


def test_a_value_that_nothing_ever_reads_stands_for_another() -> None:
    file = file_of("def forward(self, x):\n    y = self.first(x)\n    return self.second(x)\n")
    assert "return self.second(y)" in lines(unread_value_edits(file, function_in(file)))
