"""Tests of TargetRebuilder: functions run an edited text meanwhile, and each layer has the calls that made it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import CodeType, FunctionType
from typing import Any

import pytest
import torch
from torch import nn

from archscope.errors import UsageError
from archscope.targets import SourceCall, TargetRebuilder, target_import_path
from archscope.targets.target_rebuilder import functions_in_file

HEAD = "import functools\n\nimport torch\nfrom torch import nn\n\n"


@contextmanager
def remaking(
    folder: Path, text: str, name: str = "make", **arguments: Any
) -> Iterator[tuple[TargetRebuilder, str, str]]:
    """Yield the rebuilder of a target in a small file, the file, and its text."""
    file, whole = folder / "small.py", HEAD + dedent(text).lstrip()
    file.write_text(whole, encoding="utf-8")
    target = f"{file}:{name}"
    with target_import_path(target):
        yield TargetRebuilder(target, arguments, "cpu", None), str(file), whole


def codes(file: str) -> dict[FunctionType, CodeType]:
    return {function: function.__code__ for function in functions_in_file(file)}


def widths(module: nn.Module) -> list[int]:
    return [layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear)]


def said(places: Sequence[SourceCall]) -> list[str]:
    return [" ".join(ast.unparse(place.node).split()) for place in places]


# ------------------------------------------------------------ another text
PLAIN = """\
def make():
    return nn.Linear(4, 8)
"""
KINDS: dict[str, tuple[str, str]] = {
    "function": (PLAIN, "make"),
    "constructor": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 8)
        """,
        "Net",
    ),
    "static method": (
        """
        class Nets:
            @staticmethod
            def make():
                return nn.Linear(4, 8)
        """,
        "Nets.make",
    ),
    "class method": (
        """
        class Nets:
            @classmethod
            def make(cls):
                return nn.Linear(4, 8)
        """,
        "Nets.make",
    ),
    "method of a base": (
        """
        class Base(nn.Module):
            def build(self):
                self.fc = nn.Linear(4, 8)


        class Net(Base):
            def __init__(self):
                super().__init__()
                self.build()
        """,
        "Net",
    ),
    "property": (
        """
        class Net(nn.Module):
            @property
            def layer(self):
                return nn.Linear(4, 8)

            def __init__(self):
                super().__init__()
                self.fc = self.layer
        """,
        "Net",
    ),
    "class in a class": (
        """
        class Outer:
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc = nn.Linear(4, 8)
        """,
        "Outer.Net",
    ),
    "class in a function": (
        """
        def make():
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc = nn.Linear(4, 8)

            return Net()
        """,
        "make",
    ),
    "nested function": (
        """
        def make():
            def layer():
                return nn.Linear(4, 8)

            return nn.Sequential(layer())
        """,
        "make",
    ),
    "closure": (
        """
        def make(width=4):
            def layer():
                return nn.Linear(width, 8)

            return nn.Sequential(layer())
        """,
        "make",
    ),
    "lambda": ("make = lambda: nn.Linear(4, 8)\n", "make"),
    "decorated": (
        """
        def said(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args)

            return inner


        @said
        def make():
            return nn.Linear(4, 8)
        """,
        "make",
    ),
    "decorated twice": (
        """
        def said(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args)

            return inner


        @said
        @said
        def make():
            return nn.Linear(4, 8)
        """,
        "make",
    ),
    "decorated with arguments": (
        """
        def named(name):
            def outer(function):
                @functools.wraps(function)
                def inner():
                    return function()

                return inner

            return outer


        @named("net")
        def make():
            return nn.Linear(4, 8)
        """,
        "make",
    ),
    "decorator": (
        """
        def headed(function):
            @functools.wraps(function)
            def inner():
                return nn.Sequential(function(), nn.Linear(4, 8))

            return inner


        @headed
        def make():
            return nn.Identity()
        """,
        "make",
    ),
    "decorated without wraps": (
        """
        def said(function):
            def inner():
                return function()

            return inner


        @said
        def make():
            return nn.Linear(4, 8)
        """,
        "make",
    ),
    "partial": (
        """
        def layer(size):
            return nn.Linear(size, 8)


        make = functools.partial(layer, 4)
        """,
        "make",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_functions_run_the_edited_text_and_their_own_afterwards(kind: str, tmp_path: Path) -> None:
    text, name = KINDS[kind]
    with remaking(tmp_path, text, name) as (target, file, whole):
        assert widths(target.rebuild().module) == [8]
        before = codes(file)
        edited = whole.replace("(4, 8)", "(4, 6)").replace(", 8)", ", 6)")
        with target.changed(file, edited) as made:
            assert widths(made.module) == [6]
        assert all(codes(file)[function] is code for function, code in before.items())
        assert widths(target.rebuild().module) == [8]


def test_an_edit_may_move_the_functions_behind_it(tmp_path: Path) -> None:
    text = """
        def layer():
            return nn.Linear(4, 8)


        def make():
            return nn.Sequential(layer())
        """
    with remaking(tmp_path, text) as (target, file, whole):
        target.rebuild()
        edited = whole.replace("nn.Linear(4, 8)", "nn.Linear(\n        4,\n        6,\n    )")
        edited = edited.replace("nn.Sequential(layer())", "nn.Sequential(layer(), nn.Linear(6, 5))")
        with target.changed(file, edited) as made:
            assert widths(made.module) == [6, 5]
        assert widths(target.rebuild().module) == [8]


def test_functions_of_one_name_on_one_line_are_left_as_they_are(tmp_path: Path) -> None:
    text = "make, other = lambda: nn.Linear(4, 8), lambda: nn.Linear(4, 8, bias=False)\n"
    with remaking(tmp_path, text) as (target, file, whole):
        with pytest.raises(ValueError, match="one line"):
            target.changed_codes(file, whole.replace("nn.Linear(4, 8)", "nn.Linear(4, 6)"))
        assert widths(target.rebuild().module) == [8]


def test_the_first_thing_may_be_an_edit(tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, file, whole), target.changed(file, whole.replace("8", "6")) as made:
        assert widths(made.module) == [6]


def test_only_functions_that_are_others_get_another_code(tmp_path: Path) -> None:
    text = """
        def layer():
            return nn.Linear(4, 8)


        def make():
            return nn.Sequential(layer())
        """
    with remaking(tmp_path, text) as (target, file, whole):
        target.rebuild()
        changed = target.changed_codes(file, whole.replace("8", "6"))
        assert [function.__name__ for function in changed] == ["layer"]
        assert target.changed_codes(file, whole) == {}


def test_a_forward_runs_the_edited_text_only_inside(tmp_path: Path) -> None:
    text = """
        class Net(nn.Module):
            def forward(self, x):
                return x.flatten(1)
        """
    with remaking(tmp_path, text, "Net") as (target, file, whole):
        model, x = target.rebuild().module, torch.zeros(2, 3, 4)
        with target.changed(file, whole.replace("flatten(1)", "flatten(0)")) as made:
            assert made.module(x).shape == (24,)
            assert model(x).shape == (24,)
        assert model(x).shape == (2, 12)


def test_a_file_that_the_target_imports_can_be_edited(tmp_path: Path) -> None:
    parts = tmp_path / "parts_of_small.py"
    parts.write_text(HEAD + "def layer():\n    return nn.Linear(4, 8)\n", encoding="utf-8")
    text = """
        from parts_of_small import layer


        def make():
            return nn.Sequential(layer())
        """
    with remaking(tmp_path, text) as (target, _, _):
        target.rebuild()
        with target.changed(str(parts), parts.read_text().replace("8", "6")) as made:
            assert widths(made.module) == [6]
        assert widths(target.rebuild().module) == [8]
    assert "parts_of_small" not in sys.modules


FAILING = {
    "raises": 'raise ValueError("no")',
    "exits": 'raise SystemExit("no")',
    "gives no module": "return 3",
    "fails in a layer": "return nn.Linear(-4, 8)",
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("how", FAILING)
def test_where_making_raises_all_is_as_it_was(how: str, tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, file, whole):
        target.rebuild()
        before = codes(file)
        edited = whole.replace("return nn.Linear(4, 8)", FAILING[how])
        with pytest.raises(UsageError), target.changed(file, edited):
            pytest.fail("it has been made")
        assert all(function.__code__ is code for function, code in before.items())
        assert widths(target.rebuild().module) == [8]


def test_where_the_body_raises_all_is_as_it_was(tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, file, whole):
        target.rebuild()
        before = codes(file)
        with pytest.raises(KeyboardInterrupt), target.changed(file, whole.replace("8", "6")):
            raise KeyboardInterrupt
        assert all(function.__code__ is code for function, code in before.items())


@pytest.mark.parametrize(
    "new",
    [
        "def layer():\n        return nn.Linear(width, height)",
        "def layer():\n        return nn.Linear(4, 8)",
    ],
    ids=["more", "fewer"],
)
def test_other_free_variables_raise_and_leave_all_as_it_was(new: str, tmp_path: Path) -> None:
    text = """
        def maker(width, height):
            def layer():
                return nn.Linear(width, 8)

            return layer


        first = maker(4, 5)


        def make():
            return nn.Sequential(first())
        """
    with remaking(tmp_path, text) as (target, file, whole):
        target.rebuild()
        before = codes(file)
        assert len(before) == 3
        edited = whole.replace("def layer():\n        return nn.Linear(width, 8)", new)
        edited = edited.replace("nn.Sequential(first())", "nn.Sequential(nn.Linear(1, 1))")
        with pytest.raises(ValueError, match="free vars"), target.changed(file, edited):
            pytest.fail("it has been made")
        assert all(function.__code__ is code for function, code in before.items())
        assert widths(target.rebuild().module) == [8]


def test_a_text_with_other_functions_raises(tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, file, whole):
        target.rebuild()
        with pytest.raises(ValueError), target.changed(file, whole + "\n\ndef more():\n    return 1\n"):
            pytest.fail("it has been made")
        with pytest.raises(SyntaxError), target.changed(file, whole + "("):
            pytest.fail("it has been made")
        assert widths(target.rebuild().module) == [8]


def test_a_file_that_is_nobodys_raises(tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, _, whole):
        for file in (str(tmp_path / "none.py"), str(nn.__file__)):
            with pytest.raises(UsageError, match="cannot be read"), target.changed(file, whole):
                pytest.fail("it has been made")


# ------------------------------------------------------------ what else happens
def test_a_file_is_run_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs.txt"
    text = f"with open({str(runs)!r}, 'a') as lines:\n    lines.write('run ')\n\nCOUNT = []\n\n\n" + PLAIN.replace(
        "return", "COUNT.append(1)\n    return"
    )
    with remaking(tmp_path, text) as (target, file, whole):
        target.rebuild()
        for width in (5, 6, 7):
            with target.changed(file, whole.replace("8", str(width))) as made:
                assert widths(made.module) == [width]
        target.record_calls()
        assert runs.read_text() == "run "
        assert len(target.found.__globals__["COUNT"]) == 5


def test_nothing_is_written(tmp_path: Path) -> None:
    with remaking(tmp_path, PLAIN) as (target, file, whole):
        target.rebuild()
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with target.changed(file, whole.replace("8", "6")):
            pass
        target.record_calls()
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_printed_meanwhile_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "import sys\nimport warnings\n\n\n"
        + PLAIN.replace("return", "print('made')\n    print('made', file=sys.stderr)\n    return")
    ).replace("    return", "    warnings.warn('made')\n    return")
    with remaking(tmp_path, text) as (target, file, whole):
        target.rebuild()
        target.record_calls()
        with target.changed(file, whole.replace("8", "6")):
            print("inside")  # noqa: T201
    assert tuple(capsys.readouterr()) == ("inside\n", "")


def test_random_numbers_are_as_they_were(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    with remaking(tmp_path, PLAIN) as (target, file, whole):
        target.rebuild()
        target.record_calls()
        with target.changed(file, whole.replace("8", "6")):
            pass
    assert torch.equal(torch.random.get_rng_state(), before)


def test_arguments_are_given_every_time(tmp_path: Path) -> None:
    with remaking(tmp_path, "def make(width, depth=1):\n    return nn.Linear(4, width + 8)\n", width=3) as made:
        target, file, whole = made
        assert widths(target.rebuild().module) == [11]
        with target.changed(file, whole.replace("width + 8", "width")) as made:
            assert widths(made.module) == [3]
        _, calls = target.record_calls()
        assert [said(places) for places in calls.values()] == [["nn.Linear(4, width + 8)"]]


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        (PLAIN, True),
        ("class make(nn.Module):\n    pass\n", True),
        ("make = nn.Linear(4, 8)\n", False),
        ("make = functools.partial(nn.Linear, 4, 8)\n", True),
        ("make = 3\n", False),
    ],
    ids=["function", "class", "instance", "partial", "number"],
)
@pytest.mark.moves_rng
def test_only_what_a_call_makes_is_made_again(text: str, is_call: bool, tmp_path: Path) -> None:
    with remaking(tmp_path, text) as (target, _, _):
        assert target.is_callable_target is is_call


# ------------------------------------------------------------ calls
LINEAR = "nn.Linear(4, 8)"
CALLS: dict[str, tuple[str, str, dict[str, list[str]]]] = {
    "the target itself": (PLAIN, "make", {"": [LINEAR]}),
    "directly in a constructor": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Linear(4, 8)
                self.two = nn.Linear(8, 4)
        """,
        "Net",
        {"one": [LINEAR], "two": ["nn.Linear(8, 4)"]},
    ),
    "a factory of a sequence": (
        """
        def block(a, b):
            return nn.Sequential(nn.Linear(a, b), nn.ReLU())


        def make():
            return nn.Sequential(block(4, 8), block(b=4, a=8))
        """,
        "make",
        {
            "": ["nn.Sequential(block(4, 8), block(b=4, a=8))"],
            "0": ["nn.Sequential(nn.Linear(a, b), nn.ReLU())", "block(4, 8)"],
            "0.0": ["nn.Linear(a, b)", "block(4, 8)"],
            "1.0": ["nn.Linear(a, b)", "block(b=4, a=8)"],
            "1.1": ["nn.ReLU()", "block(b=4, a=8)"],
        },
    ),
    "a loop": (
        """
        def make():
            found = []
            for width in (4, 8):
                found.append(nn.Linear(width, 8))
                found += [nn.ReLU()]
            return nn.Sequential(*found)
        """,
        "make",
        {"0": ["nn.Linear(width, 8)"], "1": ["nn.ReLU()"], "2": ["nn.Linear(width, 8)"], "3": ["nn.ReLU()"]},
    ),
    "a list comprehension": (
        """
        def make():
            return nn.Sequential(*[nn.Linear(width, 8) for width in (4, 8)])
        """,
        "make",
        {"0": ["nn.Linear(width, 8)"], "1": ["nn.Linear(width, 8)"]},
    ),
    "a generator": (
        """
        def make():
            return nn.Sequential(*(nn.Linear(width, 8) for width in (4, 8)))
        """,
        "make",
        {
            "0": ["nn.Linear(width, 8)", "nn.Sequential(*(nn.Linear(width, 8) for width in (4, 8)))"],
            "1": ["nn.Linear(width, 8)", "nn.Sequential(*(nn.Linear(width, 8) for width in (4, 8)))"],
        },
    ),
    "a function that yields": (
        """
        def layers(widths):
            for width in widths:
                yield nn.Linear(width, 8)


        def make():
            return nn.Sequential(*list(layers([4, 8])))
        """,
        "make",
        {"0": ["nn.Linear(width, 8)", "list(layers([4, 8]))"], "1": ["nn.Linear(width, 8)", "list(layers([4, 8]))"]},
    ),
    "unpacked arguments": (
        """
        def make():
            sizes, more = (4, 8), {'bias': False}
            return nn.Sequential(nn.Linear(*sizes), nn.Linear(*sizes, **more))
        """,
        "make",
        {"0": ["nn.Linear(*sizes)"], "1": ["nn.Linear(*sizes, **more)"]},
    ),
    "a class of the author's": (
        """
        class Block(nn.Module):
            def __init__(self, a, b):
                super().__init__()
                self.fc = nn.Linear(a, b)


        def make():
            return nn.Sequential(Block(4, 8), Block(a=8, b=4))
        """,
        "make",
        {"0.fc": ["nn.Linear(a, b)", "Block(4, 8)"], "1.fc": ["nn.Linear(a, b)", "Block(a=8, b=4)"]},
    ),
    "a derived class": (
        """
        class Block(nn.Module):
            def __init__(self, a, b):
                super().__init__()
                self.fc = nn.Linear(a, b)


        class Wide(Block):
            def __init__(self, a):
                super().__init__(a, 2 * a)
                self.more = nn.Linear(a, a)


        def make():
            return nn.Sequential(Wide(4))
        """,
        "make",
        {
            "0.fc": ["nn.Linear(a, b)", "super().__init__(a, 2 * a)", "Wide(4)"],
            "0.more": ["nn.Linear(a, a)", "Wide(4)"],
        },
    ),
    "a derived layer": (
        """
        class Wide(nn.Linear):
            def __init__(self, a):
                super().__init__(a, 2 * a)


        def make():
            return nn.Sequential(Wide(4), Wide(a=8))
        """,
        "make",
        {"0": ["super().__init__(a, 2 * a)", "Wide(4)"], "1": ["super().__init__(a, 2 * a)", "Wide(a=8)"]},
    ),
    "a derived layer without a constructor": (
        """
        class Wide(nn.Linear):
            pass


        def make():
            return nn.Sequential(Wide(4, 8))
        """,
        "make",
        {"0": ["Wide(4, 8)"]},
    ),
    "a nested function": (
        """
        def make():
            def layer(a):
                return nn.Linear(a, 8)

            return nn.Sequential(layer(4), layer(8))
        """,
        "make",
        {"0": ["nn.Linear(a, 8)", "layer(4)"], "1": ["nn.Linear(a, 8)", "layer(8)"]},
    ),
    "a class that is handed over": (
        """
        def block(kind, *args, **more):
            return kind(*args, **more)


        def make():
            return nn.Sequential(block(nn.Linear, 4, 8), block(nn.Linear, 8, 4, bias=False))
        """,
        "make",
        {
            "0": ["kind(*args, **more)", "block(nn.Linear, 4, 8)"],
            "1": ["kind(*args, **more)", "block(nn.Linear, 8, 4, bias=False)"],
        },
    ),
    "methods": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = self.layer(4)
                self.add(8)

            def layer(self, a):
                return nn.Linear(a, 8)

            def add(self, a):
                self.two = self.layer(a)
        """,
        "Net",
        {"one": ["nn.Linear(a, 8)", "self.layer(4)"], "two": ["nn.Linear(a, 8)", "self.layer(a)", "self.add(8)"]},
    ),
    "through a map": (
        """
        def layer(a):
            return nn.Linear(a, 8)


        def make():
            return nn.Sequential(*map(layer, [4, 8]))
        """,
        "make",
        {
            "0": ["nn.Linear(a, 8)", "nn.Sequential(*map(layer, [4, 8]))"],
            "1": ["nn.Linear(a, 8)", "nn.Sequential(*map(layer, [4, 8]))"],
        },
    ),
    "on several lines": (
        """
        def make():
            return nn.Sequential(
                nn.Linear(
                    4,
                    8,
                ),
                nn.Linear(8, 4),  # größer
            )
        """,
        "make",
        {"0": [LINEAR], "1": ["nn.Linear(8, 4)"]},
    ),
    "behind letters of two bytes": (
        """
        def make():
            größe = 'ä'; return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
        """,
        "make",
        {"0": [LINEAR], "1": ["nn.Linear(8, 4)"]},
    ),
    "a chain": (
        """
        def make():
            return (
                nn.Sequential()
                .append(nn.Linear(4, 8))
                .append(nn.Linear(8, 4))
            )
        """,
        "make",
        {"0": [LINEAR], "1": ["nn.Linear(8, 4)"]},
    ),
    "at the top of the file": (
        """
        def layer(a):
            return nn.Linear(a, 8)


        SHARED = layer(4)


        def make():
            return nn.Sequential(SHARED, nn.ReLU())
        """,
        "make",
        {"1": ["nn.ReLU()"]},
    ),
    "decorated": (
        """
        def said(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args)

            return inner


        @said
        def layer(a):
            return nn.Linear(a, 8)


        def make():
            return nn.Sequential(layer(4))
        """,
        "make",
        {"0": ["nn.Linear(a, 8)", "function(*args)", "layer(4)"]},
    ),
    "a conditional expression": (
        """
        def make(wide=True):
            return nn.Sequential(nn.Linear(4, 8) if wide else nn.Identity())
        """,
        "make",
        {"0": [LINEAR]},
    ),
    "a dictionary of lambdas": (
        """
        KINDS = {'a': lambda a: nn.Linear(a, 8), 'b': lambda a: nn.Linear(a, 4)}


        def make():
            return nn.Sequential(KINDS['a'](4), KINDS['b'](8))
        """,
        "make",
        {"0": ["nn.Linear(a, 8)", "KINDS['a'](4)"], "1": ["nn.Linear(a, 4)", "KINDS['b'](8)"]},
    ),
}


@pytest.mark.moves_rng
@pytest.mark.parametrize("kind", CALLS)
def test_each_layer_knows_the_calls_that_made_it(kind: str, tmp_path: Path) -> None:
    text, name, wanted = CALLS[kind]
    with remaking(tmp_path, text, name) as (target, file, _):
        module, calls = target.record_calls()
        assert {path: said(calls[path]) for path in wanted} == wanted
        assert set(calls) <= {path for path, _ in module.named_modules()}
        assert all(place.file.name == file for places in calls.values() for place in places)


@pytest.mark.moves_rng
def test_what_was_made_before_has_no_calls(tmp_path: Path) -> None:
    text = """
        SHARED = nn.Linear(4, 8)


        def make():
            return nn.Sequential(SHARED)
        """
    with remaking(tmp_path, text) as (target, _, _):
        target.rebuild()
        _, calls = target.record_calls()
        assert list(calls) == [""]


def test_a_call_says_the_function_that_it_stands_in(tmp_path: Path) -> None:
    text = """
        def block(a):
            def layer(b):
                return nn.Linear(a, b)

            return [layer(w) for w in (4, 8)]


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.ModuleList(block(4))
        """
    with remaking(tmp_path, text, "Net") as (target, _, _):
        _, calls = target.record_calls()
        names = [place.function.name if place.function is not None else "" for place in calls["body.0"]]
        assert names == ["layer", "block", "__init__"]


def test_calls_of_another_file_are_noted_too(tmp_path: Path) -> None:
    parts = tmp_path / "parts_of_small.py"
    parts.write_text(HEAD + "def layer(a):\n    return nn.Linear(a, 8)\n", encoding="utf-8")
    text = """
        from parts_of_small import layer


        def make():
            return nn.Sequential(layer(4))
        """
    with remaking(tmp_path, text) as (target, file, _):
        _, calls = target.record_calls()
        assert [place.file.name for place in calls["0"]] == [str(parts), file]
        assert said(calls["0"]) == ["nn.Linear(a, 8)", "layer(4)"]


@pytest.mark.parametrize("how", ["ends", *FAILING])
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_modules_are_made_as_ever_afterwards(how: str, tmp_path: Path) -> None:
    text = PLAIN.replace("return nn.Linear(4, 8)", FAILING.get(how, "return nn.Linear(4, 8)"))
    before = nn.Module.__init__
    with remaking(tmp_path, text) as (target, _, _):
        if how == "ends":
            target.record_calls()
        else:
            with pytest.raises(UsageError):
                target.record_calls()
    assert nn.Module.__init__ is before


@pytest.mark.moves_rng
def test_a_model_is_the_same_with_calls(tmp_path: Path) -> None:
    text = """
        def make():
            return nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 4), nn.MultiheadAttention(4, 2))
        """
    with remaking(tmp_path, text) as (target, _, _):
        torch.manual_seed(0)
        plain = target.rebuild().module.state_dict()
        noted = target.record_calls()[0].state_dict()
        assert list(plain) == list(noted)
        assert all(torch.equal(plain[name], noted[name]) for name in plain)
