"""Which versions of torch the tests have passed with: version → a word about one that is newer, told once."""

from __future__ import annotations

import logging
import re

OLDEST_TESTED, NEWEST_TESTED = "2.8", "2.15"
"""The oldest and the newest torch that tests of recording, costs and witnesses were run with, beside the pinned one."""


def version_numbers(version: str) -> tuple[int, ...]:
    """`2.15.0+cpu` → (2, 15): what comes behind changes no function."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def untested_message(version: str) -> str | None:
    """What to say of a torch that is newer than was tried; None of any other."""
    if version_numbers(version) <= version_numbers(NEWEST_TESTED):
        return None
    return (
        f"archscope was tried with torch {OLDEST_TESTED} to {NEWEST_TESTED}; this is {version}. "
        "Its new operators may be unpriced, and its new functions unseen."
    )


def warn_untested(version: str) -> None:
    """Tells it on stderr, or wherever the process sends its log."""
    text = untested_message(version)
    if text is not None:
        logging.getLogger("archscope").warning(text)
