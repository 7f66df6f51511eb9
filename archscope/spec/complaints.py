"""What torch or Python complains of, in words that fit on a line: exception → fact, and the cure that belongs to it."""

from __future__ import annotations

LONGEST = 300
"""How many characters of a complaint are shown."""


def in_words(error: BaseException) -> str:
    """The complaint; that a size overflows is said in plain words."""
    text = first_line(error)
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return "a tensor of more than 2⁶³ bytes" if "overflow" in text.lower() else text


def cure_of(error: BaseException, otherwise: str) -> str:
    """The cure for the complaint."""
    overflows = isinstance(error, MemoryError) or "overflow" in str(error).lower()
    return "smaller sizes" if overflows else otherwise


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, without a full stop."""
    text = str(error).strip().splitlines()
    line = (text[0] if text else type(error).__name__).rstrip(". ")
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
