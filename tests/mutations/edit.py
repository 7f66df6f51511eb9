"""One change of a text, by kind, and what it may give its name to: causes, other numbers, other expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.mutations.places import Found, Text

CAUSES: Mapping[str, frozenset[str]] = {
    "channels": frozenset({"channels", "divisibility"}),
    "given": frozenset({"channels", "divisibility"}),
    "stride": frozenset({"stride", "input-size", "kernel-size"}),
    "kernel": frozenset({"off-by-one", "spatial-size", "kernel-size", "input-size"}),
    "padding": frozenset({"off-by-one", "spatial-size", "kernel-size", "input-size"}),
    "heads": frozenset({"divisibility", "layout", "channels"}),
    "projection": frozenset({"channels", "stride"}),
    "projection-stride": frozenset({"stride"}),
    "source": frozenset({"source"}),
    "dim": frozenset({"layout"}),
    "view": frozenset({"layout", "divisibility"}),
    "flatten": frozenset({"layout"}),
    "input": frozenset({"off-by-one", "spatial-size", "kernel-size", "input-size"}),
    "use": frozenset({"channels", "divisibility", "stride", "off-by-one", "spatial-size", "kernel-size", "input-size"}),
    "join": frozenset({"channels", "source"}),
    "attention": frozenset({"channels", "layout", "source"}),
    "mask": frozenset({"channels", "layout", "off-by-one"}),
}
"""Kind → the causes that are right. A constant has those of what it decides.

Before a layer or a table that was made for one size of a map, or a window, a stride too much shows as the map's size; a
width that groups or heads must divide shows as divisibility.
"""

KINDS = (*CAUSES, "constant")
WRONG_KERNELS: Mapping[int, tuple[int, ...]] = {1: (2, 3), 2: (3,), 3: (5, 2), 4: (3,), 5: (3, 4), 7: (6, 5), 16: (15,)}


@dataclass(frozen=True)
class Edit:
    """One change of a text. lines: where it may be told of, beside the line that it starts on; counted in the text
    after it. causes: what it breaks, where the kind does not say it."""

    kind: str
    start: int
    end: int
    new: str
    words: str
    lines: tuple[int, ...] = ()
    causes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sized:
    """What a run of the author's net showed: (line, layer) → the channels or features that arrive there."""

    sizes: Mapping[tuple[int, str], frozenset[int]]


Kind = Callable[[Found, Text, Sized], Iterator[Edit]]


# ------------------------------------------------------------ numbers and expressions
def changed(role: str, text: str) -> Iterator[str]:
    """Other values for a number or expression that decides `role`."""
    plain = text.replace("_", "")
    if plain.isdecimal():
        least = 0 if role == "padding" else 1
        yield from (str(n) for n in other_numbers(role, int(plain)) if n >= least)
        return
    operand = text if text.isidentifier() else f"({text})"
    if role == "stride":
        yield from ("1", "2")
    elif role == "channels":
        yield from (f"{operand} * 2", f"{text} + 1" if " if " not in text else f"{operand} + 1")
    elif role != "input":
        yield f"{operand} + 1"


def other_numbers(role: str, n: int) -> tuple[int, ...]:
    match role:
        case "channels":
            return 2 * n, n + 1, n - 1
        case "stride":
            return (2,) if n == 1 else (1,)
        case "kernel":
            return WRONG_KERNELS.get(n, (n - 1,))
        case "input":
            return n - 1, n + 1, n - 6
    return n - 1, n + 1
