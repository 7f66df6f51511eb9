"""A folder stands for its specs: targets → targets, where a folder is every .yaml and .yml file in it and below.

`specs:` is every network that comes with the package, `specs:tutorials` those of a subfolder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from archscope.errors import UsageError
from archscope.spec import packaged


def spread(targets: Iterable[Any]) -> Iterator[Any]:
    """The targets in their order, the files of a folder by name. Raises UsageError for a folder without a spec."""
    for target in targets:
        named = os.fspath(target) if isinstance(target, os.PathLike) else target
        if isinstance(named, str) and os.path.isdir(named):
            yield from specs_below(named)
        elif isinstance(named, str) and (inside := packaged.below(named)):
            yield from inside
        else:
            yield named


def specs_below(folder: str) -> list[str]:
    found = sorted(str(path) for path in Path(folder).rglob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    if not found:
        raise UsageError(f"no .yaml file in {folder}", "name a spec, or a folder of specs")
    return found
