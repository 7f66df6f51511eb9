"""Nodes: a YAML document as frozen data with places, before anything in it has a meaning.

Node = Scalar | Sequence | Mapping          resolve: a plain scalar's text → number, true/false, null or text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from archscope.errors import Problem, Problems, Span, did_you_mean

A = TypeVar("A")
B = TypeVar("B")

MAX_INTEGER = 2**63 - 1
INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
PREFIXED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
WORDS: tuple[tuple[str, bool | None], ...] = (
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *((word, None) for word in ("null", "Null", "NULL", "~", "")),
)


class Misread(Exception):  # noqa: N818 - it is control flow, and never leaves this floor
    """One problem, on its way to whoever collects: raised by what cannot go on, caught per step, key or item."""

    def __init__(self, span: Span, message: str, help: str = ""):
        super().__init__(message)
        self.problem = Problem(span, message, help)


@dataclass(frozen=True)
class Scalar:
    """A YAML scalar. `value` is what a plain one means in YAML 1.2; `inner` is the place of its first character."""

    text: str
    value: int | float | bool | str | None
    span: Span
    inner: Span
    multiline: bool = False


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True)
class Mapping:
    entries: tuple[tuple[Scalar, Node], ...]
    span: Span

    def get(self, key: str) -> Node | None:
        """The value of a key, or None where it is not there."""
        return next((value for name, value in self.entries if name.text == key), None)

    def key(self, key: str) -> Scalar:
        """The key itself, for its place; it must be there."""
        return next(name for name, _ in self.entries if name.text == key)


Node = Scalar | Sequence | Mapping


def resolve(text: str) -> int | float | bool | str | None:
    """What a plain scalar means: YAML 1.2 core words and numbers, with `_` between digits; all else is text.

    Raises ValueError for a number that is too large, with the figure.
    """
    words = dict(WORDS)
    if text in words:
        return words[text]
    if PREFIXED.fullmatch(text) or INTEGER.fullmatch(text):
        return integer(text)
    if FLOAT.fullmatch(text):
        return finite(text)
    if match := INFINITE.fullmatch(text):
        return float(match[1] + "inf")
    return text


def integer(text: str) -> int:
    digits = text.replace("_", "")
    if len(digits) > 24:
        raise ValueError(f"an integer of {len(digits)} digits is too large")
    number = int(digits, 0) if PREFIXED.fullmatch(digits) else int(digits)
    if abs(number) > MAX_INTEGER:
        raise ValueError(f"an integer of {len(str(abs(number)))} digits is too large")
    return number


def finite(text: str) -> float:
    number = float(text.replace("_", "")) if len(text) < 400 else float("inf")
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:40]} is too large for a float")
    return number


def is_null(node: Node | None) -> bool:
    """An empty value, or the word null."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def describe(node: Node) -> str:
    """A node in words, for messages: `a list`, `a mapping`, `nothing`, `'text'`."""
    if isinstance(node, Scalar):
        return "nothing" if node.value is None and not node.text else repr(node.text)
    return "a list" if isinstance(node, Sequence) else "a mapping"


def mapping(node: Node, what: str, cure: str = "write 'key: value' pairs, one per line") -> Mapping:
    """The node as a mapping; an empty value is an empty one."""
    if isinstance(node, Mapping):
        return node
    if is_null(node):
        return Mapping((), node.span)
    raise Misread(node.span, f"{what} is a mapping (key: value), not {describe(node)}", cure)


def sequence(node: Node, what: str, cure: str = "write [a, b], or one '- ' per line") -> Sequence:
    if isinstance(node, Sequence):
        return node
    raise Misread(node.span, f"{what} is a list, not {describe(node)}", cure)


def scalar(node: Node, what: str, cure: str = "write it on the key's own line") -> Scalar:
    if isinstance(node, Scalar):
        return node
    raise Misread(node.span, f"{what} is one value, not {describe(node)}", cure)


def attempt(problems: Problems, default: B, work: Callable[[], B]) -> B:
    """What `work` gives; a fault is collected, and `default` stands in (a spec with problems is never handed out)."""
    try:
        return work()
    except Misread as fault:
        problems.add(fault.problem)
        return default


def gather(problems: Problems, work: Callable[[A], B], things: Iterable[A]) -> tuple[B, ...]:
    """`work` over all things; every fault is collected."""
    results = []
    for thing in things:
        try:
            results.append(work(thing))
        except Misread as fault:
            problems.add(fault.problem)
    return tuple(results)


def known(problems: Problems, node: Mapping, keys: Iterable[str], where: str = "") -> dict[str, Node]:
    """The entries whose key is one of `keys`; every other key is a problem with a suggestion."""
    keys = tuple(keys)
    for key, _ in node.entries:
        if key.text not in keys:
            problems.add(unknown(key, keys, where))
    return {key.text: value for key, value in node.entries if key.text in keys}


def unknown(key: Scalar, keys: tuple[str, ...], where: str = "") -> Problem:
    """`unknown key 'layer'`, and the nearest known one or all of them."""
    help = did_you_mean(key.text, keys) or "known keys: " + ", ".join(keys)
    return Problem(key.span, f"unknown key {key.text!r}" + (f" in {where}" if where else ""), help)
