"""Specs drawn at random: expressions over sizes, loops, conditions, blocks, shared modules → YAML text.

Every step keeps the shape that it gets, (N, T, D) or (N, C, H, W), so that any steps can follow each other. N, T, H and
W are sizes that change between runs; D and C do not. In `STEPS` and `IMAGE_STEPS` nothing that a net is built from
depends on them, so such a net has to run at every size; in `STRUCTURAL` something does.

    {k}  a whole number from 1 to 6          {i}  a whole number          {n}  a number          {b}  a condition
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.compile.generated_steps import DEFINED, IMAGE_STEPS, STEPS, STRUCTURAL

Draw = Callable[[st.SearchStrategy], Any]

HOLE = re.compile(r"\{([kinb])\}")


@dataclass(frozen=True)
class Place:
    """Where an expression stands: names of sizes there, all of them whole numbers of at least 1."""

    sizes: tuple[str, ...]


SEQUENCE = Place(("T", "N", "D", "x.shape[1]", "x.size(0)", "prev.shape[-1]", "prev.size(1)"))
IMAGE = Place(("H", "W", "N", "C", "x.shape[2]", "x.size(3)", "prev.shape[-1]", "prev.size(-2)"))

WHOLE = (
    "{i} + {i}", "{i} - {i}", "{i} * {i}", "{i} // {k}", "{i} % {k}", "-{k} // 2", "({i}) ** 2", "2 ** {k}", "-{i}",
    "min({i}, {i})", "max({i}, {i}, 2)", "max([{i}, 3])", "abs({i})", "round({n})", "int({n})", "ceil({n})",
    "floor({n})", "sum([{i}, {k}])", "sum(x.shape[1:])", "len(x.shape)", "len(range({k}))", "{i} if {b} else {i}",
    "int({b})", "clip_to({i})", "make_divisible({k}, 4)", "round({n} / 3)", "x.dim()", "[{i}, {k}, 4][{k} % 3]",
    "({i}) // -{k}", "({i}) % -{k}", "sum(range({k}))", "max(*x.shape)",
)  # fmt: skip
REAL = (
    "{i} / {k}", "{k} ** 0.5", "sqrt({k})", "log2({k})", "log({k})", "exp(-{k})", "sin({i})", "cos({n})", "tanh({n})",
    "float({i})", "{n} + {n}", "{n} * 0.3", "{n} - {i}", "-{n}", "min({n}, {k})", "max({n}, 0.25)", "abs({n})",
    "{n} if {b} else {n}", "between({n}, {k})", "{k} ** -0.5", "1 / sqrt({k})", "{n} // 0.7", "{n} % 1.5",
    "pi / {k}", "round({n}, 2)", "({n}) ** 2", "min(inf, {n})",
)  # fmt: skip
CONDITIONS = (
    "{i} > {i}", "{n} < {n}", "{i} == {k}", "{k} != {i}", "1 < {k} <= 4", "{b} and {b}", "{b} or {b}", "not {b}",
    "{k} in [1, 3, 5]", "{i} % 2 == 0", "{k} not in (2, 4)", "{n} >= {i}",
)  # fmt: skip


def expression(draw: Draw, kind: str, place: Place, depth: int) -> str:
    """An expression of one kind, in brackets where it is no name or call."""
    if kind == "k":
        return small(draw, place, depth)
    if kind == "i" and (depth <= 0 or draw(st.booleans())):
        return whole(draw, place)
    if depth <= 0:
        return {"i": whole, "n": real, "b": condition}[kind](draw, place)
    forms = {"i": WHOLE, "n": REAL, "b": CONDITIONS}[kind]
    return f"({filled(draw, draw(st.sampled_from(forms)), place, depth - 1)})"


def whole(draw: Draw, place: Place) -> str:
    return draw(st.sampled_from((*place.sizes, "1", "2", "3", "5")))


def real(draw: Draw, place: Place) -> str:
    return draw(st.sampled_from((*(f"{size} / 3" for size in place.sizes), "0.5", "1.75"))).join("()")


def condition(draw: Draw, place: Place) -> str:
    return f"{draw(st.sampled_from(place.sizes))} > {draw(st.integers(1, 7))}".join("()")


def small(draw: Draw, place: Place, depth: int) -> str:
    """A whole number from 1 to 6."""
    if depth <= 0:
        return draw(st.sampled_from(("1", "2", "3", *(f"min({size}, 6)" for size in place.sizes))))
    inner = expression(draw, "i", place, depth - 1)
    return draw(st.sampled_from((f"max(1, min({inner}, 6))", f"(1 + abs({inner}) % 6)", f"clip_to({inner})")))


def filled(draw: Draw, template: str, place: Place, depth: int = 2) -> str:
    """A template with an expression in each hole."""
    return HOLE.sub(lambda hole: expression(draw, hole[1], place, depth), template)


SECTIONS = ("let", "modules", "blocks")
LABELS = re.compile(r"\b(scores|turns|states|seen|parts|inner|left|right|kept|rows|squeezed|one|two)\b")


def definitions(text: str) -> str:
    """The sections that a text of steps needs."""
    known: dict[str, str] = {}
    while fresh := {name for name in DEFINED if name not in known and re.search(rf"\b{name}\b", text)}:
        known |= {name: DEFINED[name].strip("\n") for name in fresh}
        text += "\n".join(known.values())
    small = {"clip_to": "let", "between": "let", "mix": "modules", "cell": "modules", "twice": "modules"}
    found = {section: [known[name] for name in known if small.get(name, "blocks") == section] for section in SECTIONS}
    return "".join(f"{section}:\n" + "\n".join(parts) + "\n" for section, parts in found.items() if parts)


def text_of(steps: list[str], head: str, block: str) -> str:
    """A spec of these steps; in a block of it, used twice, where `block` is its `input:`."""
    lines = [line for step in steps for line in step.splitlines()]
    defined = definitions("\n".join(lines))
    if not block:
        return f"{head}{defined}layers:\n" + "".join(f"  {line}\n" for line in lines)
    body = f"  Body:\n    {block}\n    layers:\n" + "".join(f"      {line}\n" for line in lines)
    defined = defined if "blocks:" in defined else f"{defined}blocks:\n"
    return f"{head}{defined}{body}layers:\n  - Body\n  - body: Body()(prev)\n"


@st.composite
def specs(draw: Draw, steps: tuple[str, ...], place: Place, head: str, block: str, extra: tuple[str, ...] = ()) -> str:
    """A spec of one to three steps, and one of `extra` among them where there are some."""
    drawn = [draw(st.sampled_from(steps)) for _ in range(draw(st.integers(1, 3)))]
    if extra:
        drawn.insert(draw(st.integers(0, len(drawn))), draw(st.sampled_from(extra)))
    texts = [filled(draw, LABELS.sub(rf"\g<1>{n}", step), place) for n, step in enumerate(drawn)]
    return text_of(texts, head, draw(st.sampled_from(("", block))))


SEQUENCE_HEAD = "input: [N, T, D]\nparams: {T: 5, D: 4}\n"
IMAGE_HEAD = "input: [N, C, H, W]\nparams: {C: 3, H: 6, W: 5}\n"
live_sequences = specs(STEPS, SEQUENCE, SEQUENCE_HEAD, "input: [N, T, D]")
live_images = specs(IMAGE_STEPS, IMAGE, IMAGE_HEAD, "input: [N, C, H, W]")
structural_sequences = specs(STEPS, SEQUENCE, SEQUENCE_HEAD, "input: [N, T, D]", STRUCTURAL)
