"""The versions of torch that the tests have passed with, and a warning about newer ones."""

from __future__ import annotations

import logging
import re

OLDEST_TESTED, NEWEST_TESTED = "2.8", "2.15"
"""The oldest and newest torch, beside the pinned one, that recording, costs and other counters were tested with."""


def version_numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version: `2.15.0+cpu` → (2, 15)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def untested_message(version: str) -> str | None:
    """Return the warning about a torch newer than the tested ones; None for other versions."""
    if version_numbers(version) <= version_numbers(NEWEST_TESTED):
        return None
    return (
        f"archscope was tested with torch {OLDEST_TESTED} to {NEWEST_TESTED}; this is {version}. "
        "Its new operators may lack costs, and its new functions may go unseen."
    )


def warn_untested(version: str) -> None:
    """Log the warning about an untested torch, by default to stderr."""
    text = untested_message(version)
    if text is not None:
        logging.getLogger("archscope").warning(text)
