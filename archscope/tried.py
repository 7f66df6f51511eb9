"""Which versions of torch the tests have passed with: version → a word about one that is newer, told once."""

from __future__ import annotations

import logging
import re

OLDEST, NEWEST = "2.8", "2.15"
"""The oldest and the newest torch that tests of recording, costs and witnesses were run with, beside the pinned one."""


def numbers(version: str) -> tuple[int, ...]:
    """`2.15.0+cpu` → (2, 15): what comes behind changes no function."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def untried(version: str) -> str | None:
    """What to say of a torch that is newer than was tried; None of any other."""
    if numbers(version) <= numbers(NEWEST):
        return None
    return (
        f"archscope was tried with torch {OLDEST} to {NEWEST}; this is {version}. "
        "Its new operators may be unpriced, and its new functions unseen."
    )


def tell(version: str) -> None:
    """Tells it on stderr, or wherever the process sends its log."""
    text = untried(version)
    if text is not None:
        logging.getLogger("archscope").warning(text)
