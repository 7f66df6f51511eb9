"""Folders as targets: targets → targets, with a folder replaced by every .yaml and .yml file in it and below.

`specs:` is every network that comes with the package, `specs:tutorials` those of a subfolder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from archscope.errors import UsageError
from archscope.spec import bundled_networks

MOST_ENTRIES = 100_000
"""The largest number of files and folders that are searched for the specs of one folder."""


def expand_folders(targets: Iterable[Any]) -> Iterator[Any]:
    """Yield the targets in order, the files of a folder by name. Raise UsageError for a folder without a spec."""
    for target in targets:
        named = os.fspath(target) if isinstance(target, os.PathLike) else target
        if isinstance(named, str) and os.path.isdir(named):
            yield from specs_in_folder(named)
        elif isinstance(named, str) and (inside := bundled_networks.networks_below(named)):
            yield from inside
        else:
            yield named


def specs_in_folder(folder: str) -> list[str]:
    """Return the specs in a folder and below, by name. Raise UsageError if there are none, or if the folder is too
    large.
    """
    found: list[str] = []
    count = 0
    for directory, folders, names in os.walk(folder):
        count += len(folders) + len(names)
        if count > MOST_ENTRIES:
            fact = f"there are more than {MOST_ENTRIES:,} files and folders in {folder}"
            raise UsageError(fact, "name the folder that holds the specs")
        found += [str(Path(directory, name)) for name in names if name.endswith((".yaml", ".yml"))]
    if not found:
        raise UsageError(f"no .yaml file in {folder}", "name a spec, or a folder of specs")
    return sorted(found)
