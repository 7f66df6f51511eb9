"""Specs as nobody would write them: layers, functions and methods with arguments of every kind, in every form.

values → calls → steps → the text of a spec
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

COUNTS = ("0", "1", "2", "3", "4", "8", "-1", "-2", "16", "63", "255", "1000")
HUGE = (
    *("10**5", "10**6", "10**7", "10**9", "2**31", "2**31 - 1"),
    *("2**32", "2**62", "2**63 - 1", "2**63", "-2**63", "10**30"),
)
ODD = (
    *("1.5", "0.5", "-0.0", "1e308", "1e-300", "inf", "True"),
    *("False", "None", "''", "'mean'", "'same'", "'none'", "float32"),
)
LISTS = (
    *("()", "[]", "(1, 2)", "(2, 2, 2)", "[1]", "[0]"),
    *("(0, 0)", "[1.5]", "[None, 2]", "[[1, 2], [3]]", "[1] * 70", "[x]"),
)
TENSORS = (
    *("x", "y", "x[0]", "x.mean()", "x.flatten()"),
    *("x.shape", "x.size(0)", "ones(2, 3)", "zeros(0)", "[x, y]", "[x] * 3"),
)
SHAPES = (
    *("[N, 4, 8, 8]", "[N, 4, 8, 8]", "[N, 8]", "[N, 4, 8]", "[N]"),
    *("[]", "[1, 1]", "[N, 0, 4]", "[N, 2, 4, 4, 4]", "[3, 2]"),
)
INDEXES = ("0", "-1", "5", "..., 0", ":, 1", "::2", "::0", "None", "2**40", "True", "x", "'a'", "0, 0, 0, 0, 0", "1:0")
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "@", "<", "==")
NOT_LAYERS = ("Module",)


@cache
def layer_names() -> tuple[str, ...]:
    """Every layer of the language."""
    from archscope.torch_layers.signatures import torch_layers

    return tuple(torch_layers())


@cache
def function_names() -> tuple[str, ...]:
    """Every function of the language, those of plain numbers too."""
    from archscope.compile.functions import language_functions
    from archscope.spec.bounded_math import NUMBER_FUNCTIONS

    return tuple({**language_functions(), **NUMBER_FUNCTIONS})


@cache
def method_names() -> tuple[str, ...]:
    """Every method of a tensor."""
    from archscope.compile.functions import language_methods

    return tuple(language_methods())


@cache
def parameters(name: str) -> tuple[str, ...]:
    """What a layer or a function of Python calls its arguments; none where that cannot be asked."""
    from archscope.compile.functions import language_functions
    from archscope.torch_layers.signatures import constructor_signature, torch_layers

    try:
        if name in torch_layers():
            return tuple(constructor_signature(torch_layers()[name]).parameters)
        target = language_functions()[name].target
        return tuple(inspect.signature(target).parameters) if callable(target) else ()
    except (KeyError, TypeError, ValueError):
        return ("input", "dim", "size")


VALUES = st.one_of(*map(st.sampled_from, (COUNTS, COUNTS, COUNTS, HUGE, ODD, LISTS, TENSORS)))


@st.composite
def arguments(draw: st.DrawFn, name: str, least: int = 0) -> str:
    """The arguments of a call, some of them by name."""
    given = draw(st.lists(VALUES, min_size=least, max_size=4))
    names = parameters(name)
    named = draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if names else []
    return ", ".join([*given, *(f"{one}={draw(VALUES)}" for one in named)])


@st.composite
def calls(draw: st.DrawFn) -> str:
    """One expression: a layer, a function, a method, an operation or an index."""
    kind = draw(st.integers(0, 9))
    if kind < 4:
        name = draw(st.sampled_from(layer_names()))
        applied = draw(st.sampled_from(("", "", "", "(x)", "(x, y)", "(x, x, x)")))
        return f"{name}({draw(arguments(name))}){applied}"
    if kind < 7:
        name = draw(st.sampled_from(function_names()))
        first = draw(st.sampled_from(("x, ", "x, ", "", "[x, y], ", "x, y, ")))
        return f"{name}({first}{draw(arguments(name))})"
    if kind < 8:
        name = draw(st.sampled_from(method_names()))
        return f"x.{name}({draw(arguments(name))})"
    if kind < 9:
        return f"{draw(VALUES)} {draw(st.sampled_from(OPERATORS))} {draw(VALUES)}"
    return f"x[{draw(st.sampled_from(INDEXES))}]"


@st.composite
def steps(draw: st.DrawFn, depth: int = 2) -> list[str]:
    """The lines of one step."""
    kind = draw(st.integers(0, 11)) if depth else 0
    if kind < 8:
        return [f'- "{draw(calls())}"']
    if kind == 8:
        return [f'- {draw(st.sampled_from(("a", "y", "a, b")))}: "{draw(calls())}"']
    inner = [f"    {line}" for line in draw(steps(depth=depth - 1))]
    if kind == 9:
        return [f"- {draw(st.sampled_from(('residual', 'do', 'concat', 'add', 'multiply', 'stack')))}:", *inner, *inner]
    if kind == 10:
        return ["- do:", *inner, f'  repeat: "{draw(VALUES)}"']
    return ["- do:", *inner, "  for: i", f'  in: "{draw(VALUES)}"']


@st.composite
def specs(draw: st.DrawFn) -> str:
    """The text of a spec."""
    lines = ["inputs:"]
    for name in ("x", "y"):
        dtype = draw(st.sampled_from(("float32", "float32", "float32", "int64", "bool")))
        lines.append(f"  {name}: {{shape: {draw(st.sampled_from(SHAPES))}, dtype: {dtype}}}")
    if draw(st.booleans()):
        lines += ["let:", f'  k: "{draw(VALUES)}"', f'  f(a): "a {draw(st.sampled_from(OPERATORS))} {draw(VALUES)}"']
    lines.append("layers:")
    for _ in range(draw(st.integers(1, 3))):
        lines += [f"  {line}" for line in draw(steps())]
    return "\n".join(lines) + "\n"


ONLY_DRAWN = settings(
    database=None, deadline=None, phases=[Phase.generate], derandomize=False, suppress_health_check=list(HealthCheck)
)


def drawn(count: int, *, by: int) -> list[str]:
    """So many specs, the same for the same seed."""
    found: list[str] = []

    @seed(by)
    @settings(ONLY_DRAWN, max_examples=count)
    @given(specs())
    def collect(text: str) -> None:
        found.append(text)

    run: Callable[[], None] = collect
    run()
    return found[:count]
