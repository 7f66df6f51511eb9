"""Brackets of a one-line text: text → what is open, what is stray, how deep. Brackets inside quotes do not count.

Used twice: YAML splits `[Conv2d(8, 3), ReLU]` at the comma, which shows as an open bracket; and an expression's depth
is capped before Python's parser sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CLOSES = (("(", ")"), ("[", "]"), ("{", "}"))


@dataclass(frozen=True)
class Brackets:
    """Offsets of unclosed and stray brackets, of a quote left open and of a `#`; `depth` is the deepest nesting."""

    unclosed: tuple[int, ...] = ()
    stray: int | None = None
    depth: int = 0
    quote: int | None = None
    comment: int | None = None


def scan(text: str) -> Brackets:
    """One pass over the text; stops at the first stray bracket."""
    closes, stack, deepest, comment, quote = dict(CLOSES), [], 0, None, None
    for offset, char in marks(text):
        if char in closes:
            stack.append((offset, closes[char]))
            deepest = max(deepest, len(stack))
        elif char in closes.values():
            if not stack or stack.pop()[1] != char:
                return Brackets(stray=offset, depth=deepest)
        elif char == "#":
            comment = offset if comment is None else comment
        else:
            quote = offset
    return Brackets(tuple(offset for offset, _ in stack), None, deepest, quote, comment)


def marks(text: str) -> Iterator[tuple[int, str]]:
    """Brackets and `#` outside of quotes, with their offsets; last the opening quote of a string that never ends."""
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


def whole(text: str, start: int) -> str:
    """The text from `start` to where its brackets are balanced again, on one line; empty where they never are."""
    line = text[start:].split("\n", 1)[0][:2000]
    closes, stack = dict(CLOSES), []
    for offset, char in marks(line):
        if char in closes:
            stack.append(closes[char])
        elif char in closes.values() and (not stack or stack.pop() != char):
            break
        elif char in closes.values() and not stack:
            return line[: offset + 1] + tail(line[offset + 1 :])
    return ""


def tail(rest: str) -> str:
    """What still belongs to a call after its closing bracket: `(x)` or `.view(2)`, up to YAML's next `,` or `]`."""
    depth = 0
    for offset, char in enumerate(rest):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0 or (depth == 0 and char in ",:#\n"):
            return rest[:offset].rstrip()
    return rest.rstrip()
