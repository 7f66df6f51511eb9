"""Short texts for exceptions of torch or Python: exception → one-line message, and a help."""

from __future__ import annotations

from archscope.errors import first_line

MAX_ERROR_CHARS = 300
"""The largest number of characters shown of an error message."""


def describe_error(error: BaseException) -> str:
    """Return the error message on one line, with a plain text for overflows."""
    if isinstance(error, MemoryError):
        return "it needs more memory than is available"
    text = first_line(error).rstrip(". ")
    if "overflow" in text.lower():
        return "a tensor of more than 2⁶³ bytes"
    return text if len(text) <= MAX_ERROR_CHARS else text[: MAX_ERROR_CHARS - 1] + "…"


def error_help(error: BaseException, otherwise: str) -> str:
    """Return the help for an error: smaller sizes if it is an overflow or out of memory, else `otherwise`."""
    overflows = isinstance(error, MemoryError) or "overflow" in str(error).lower()
    return "smaller sizes" if overflows else otherwise
