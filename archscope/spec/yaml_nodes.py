"""YAML nodes: a document as frozen dataclasses with places, before any interpretation.

Node = ScalarNode | SequenceNode | MappingNode resolve_scalar: an unquoted text → number, true/false, null or text
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
INTEGER_PATTERN = re.compile(r"[-+]?[0-9][0-9_]*")
PREFIXED_INTEGER = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
FLOAT_PATTERN = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
INFINITY_PATTERN = re.compile(r"([-+]?)\.(inf|Inf|INF)")
CONSTANT_SCALARS: tuple[tuple[str, bool | None], ...] = (
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *((word, None) for word in ("null", "Null", "NULL", "~", "")),
)


class ParseError(Exception):
    """An exception that carries one problem. It ends a step, key or item, whose reader collects the problem."""

    def __init__(self, span: Span, message: str, help: str = ""):
        super().__init__(message)
        self.problem = Problem(span, message, help)


@dataclass(frozen=True)
class ScalarNode:
    """A YAML scalar. `value` is the YAML 1.2 value of an unquoted one; `inner` is the place of its first character."""

    text: str
    value: int | float | bool | str | None
    span: Span
    inner: Span
    multiline: bool = False


@dataclass(frozen=True)
class SequenceNode:
    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True)
class MappingNode:
    entries: tuple[tuple[ScalarNode, Node], ...]
    span: Span

    def get(self, key: str) -> Node | None:
        """Return the value of a key, or None if it is missing."""
        return next((value for name, value in self.entries if name.text == key), None)

    def key(self, key: str) -> ScalarNode:
        """Return the node of a key, which must exist."""
        return next(name for name, _ in self.entries if name.text == key)


Node = ScalarNode | SequenceNode | MappingNode


def resolve_scalar(text: str) -> int | float | bool | str | None:
    """Return the value of an unquoted scalar: YAML 1.2 core words and numbers, with `_` between digits; all else is
    text.

    Raises ValueError for a number that is too large.
    """
    words = dict(CONSTANT_SCALARS)
    if text in words:
        return words[text]
    if PREFIXED_INTEGER.fullmatch(text) or INTEGER_PATTERN.fullmatch(text):
        return parse_integer(text)
    if FLOAT_PATTERN.fullmatch(text):
        return parse_float(text)
    if match := INFINITY_PATTERN.fullmatch(text):
        return float(match[1] + "inf")
    return text


def parse_integer(text: str) -> int:
    digits = text.replace("_", "")
    if len(digits) > 24:
        raise ValueError(f"an integer of {len(digits)} digits is too large")
    number = int(digits, 0) if PREFIXED_INTEGER.fullmatch(digits) else int(digits)
    if abs(number) > MAX_INTEGER:
        raise ValueError(f"an integer of {len(str(abs(number)))} digits is too large")
    return number


def parse_float(text: str) -> float:
    number = float(text.replace("_", "")) if len(text) < 400 else float("inf")
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:40]} is too large for a float")
    return number


def is_null(node: Node | None) -> bool:
    """Return whether a node is an empty value or the word null."""
    return node is None or (isinstance(node, ScalarNode) and node.value is None)


def describe_node(node: Node) -> str:
    """Return a short description of a node for messages: `a list`, `a mapping`, `nothing`, `'text'`."""
    if isinstance(node, ScalarNode):
        return "nothing" if node.value is None and not node.text else repr(node.text)
    return "a list" if isinstance(node, SequenceNode) else "a mapping"


def as_mapping(node: Node, what: str, fix: str = "write 'key: value' pairs, one per line") -> MappingNode:
    """Return the node as a mapping; an empty value is an empty mapping. Raise ParseError for any other node."""
    if isinstance(node, MappingNode):
        return node
    if is_null(node):
        return MappingNode((), node.span)
    raise ParseError(node.span, f"{what} is a mapping (key: value), not {describe_node(node)}", fix)


def as_sequence(node: Node, what: str, fix: str = "write [a, b], or one '- ' per line") -> SequenceNode:
    if isinstance(node, SequenceNode):
        return node
    raise ParseError(node.span, f"{what} is a list, not {describe_node(node)}", fix)


def as_scalar(node: Node, what: str, fix: str = "write it on the key's own line") -> ScalarNode:
    if isinstance(node, ScalarNode):
        return node
    raise ParseError(node.span, f"{what} is one value, not {describe_node(node)}", fix)


def collect_or_default(problems: Problems, default: B, work: Callable[[], B]) -> B:
    """Return the result of `work`. On ParseError, collect the problem and return `default` (a spec with problems is
    never returned to callers).
    """
    try:
        return work()
    except ParseError as fault:
        problems.add(fault.problem)
        return default


def collect_all(problems: Problems, work: Callable[[A], B], things: Iterable[A]) -> tuple[B, ...]:
    """Return the results of `work` on all things; every ParseError is collected."""
    results = []
    for thing in things:
        try:
            results.append(work(thing))
        except ParseError as fault:
            problems.add(fault.problem)
    return tuple(results)


def known_entries(problems: Problems, node: MappingNode, keys: Iterable[str], where: str = "") -> dict[str, Node]:
    """Return the entries whose key is one of `keys`; every other key is a problem, with the most similar known key or
    all of them.
    """
    keys = tuple(keys)
    for key, _ in node.entries:
        if key.text not in keys:
            fact = f"unknown key {key.text!r}" + (f" in {where}" if where else "")
            fix = did_you_mean(key.text, keys) or "known keys: " + ", ".join(keys)
            problems.add(Problem(key.span, fact, fix))
    return {key.text: value for key, value in node.entries if key.text in keys}
