"""What torch or Python complains of, in words that fit on a line: exception → fact, and the cure that belongs to it."""

from __future__ import annotations

from archscope.errors import first_line

MAX_ERROR_CHARS = 300
"""How many characters of a complaint are shown."""


def describe_error(error: BaseException) -> str:
    """The complaint; that a size overflows is said in plain words."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    text = first_line(error).rstrip(". ")
    if "overflow" in text.lower():
        return "a tensor of more than 2⁶³ bytes"
    return text if len(text) <= MAX_ERROR_CHARS else text[: MAX_ERROR_CHARS - 1] + "…"


def error_help(error: BaseException, otherwise: str) -> str:
    """The cure for the complaint."""
    overflows = isinstance(error, MemoryError) or "overflow" in str(error).lower()
    return "smaller sizes" if overflows else otherwise
