"""Brackets of a one-line text: which are unclosed or stray, and how deeply they nest. Brackets in quotes do not count.

Used twice: YAML splits `[Conv2d(8, 3), ReLU]` at the comma, which leaves an unclosed bracket; and the depth of an
expression is limited before Python's parser sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BRACKET_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


@dataclass(frozen=True)
class BracketScan:
    """The offsets of unclosed and stray brackets, of an unclosed quote and of a `#`; `depth` is the deepest nesting."""

    unclosed: tuple[int, ...] = ()
    stray: int | None = None
    depth: int = 0
    quote: int | None = None
    comment: int | None = None


def scan_brackets(text: str) -> BracketScan:
    """Return the brackets of a text, read in one pass that stops at the first stray bracket."""
    closes, stack, deepest, comment, quote = dict(BRACKET_PAIRS), [], 0, None, None
    for offset, char in bracket_marks(text):
        if char in closes:
            stack.append((offset, closes[char]))
            deepest = max(deepest, len(stack))
        elif char in closes.values():
            if not stack or stack.pop()[1] != char:
                return BracketScan(stray=offset, depth=deepest)
        elif char == "#":
            comment = offset if comment is None else comment
        else:
            quote = offset
    return BracketScan(tuple(offset for offset, _ in stack), None, deepest, quote, comment)


def bracket_marks(text: str) -> Iterator[tuple[int, str]]:
    """Yield brackets and `#` outside of quotes with their offsets; last, the opening quote of an unclosed string."""
    quote, start, skip = "", 0, False
    for offset, char in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote, start = char, offset
        elif char in "()[]{}#":
            yield offset, char
    if quote:
        yield start, quote


def balanced_text(text: str, start: int) -> str:
    """Return the text from `start` to where its brackets are balanced again, on one line; "" if they never are."""
    line = text[start:].split("\n", 1)[0][:2000]
    closes, stack = dict(BRACKET_PAIRS), []
    for offset, char in bracket_marks(line):
        if char in closes:
            stack.append(closes[char])
        elif char in closes.values() and (not stack or stack.pop() != char):
            break
        elif char in closes.values() and not stack:
            return line[: offset + 1] + call_suffix(line[offset + 1 :])
    return ""


def call_suffix(rest: str) -> str:
    """Return what belongs to a call after its closing bracket: `(x)` or `.view(2)`, up to YAML's next `,` or `]`."""
    depth = 0
    for offset, char in enumerate(rest):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0 or (depth == 0 and char in ",:#\n"):
            return rest[:offset].rstrip()
    return rest.rstrip()
