"""Networks to choose from: targets → the files of networks that they name; those of the package without a target."""

from __future__ import annotations

import os

from archscope.api.specs import named, split
from archscope.errors import UsageError
from archscope.spec import packaged
from archscope.spec.catalog import Network, network, network_if_readable
from archscope.spec.folders import spread


def networks(*targets: str | os.PathLike[str]) -> list[Network]:
    """What each spec, or each spec of a folder, holds; without a target, the networks that come with archscope.

    Reads files only, without torch. Of several files one that cannot be read says so in its place. Raises SpecError
    where the only file cannot be read, UsageError for a Python target and a folder without a spec.
    """
    files = [_file(target) for target in spread(targets or (packaged.PREFIX,))]
    read = network if len(files) == 1 else network_if_readable
    return [read(file) for file in files]


def _file(target: str) -> str:
    parts = split(target)
    if parts is None:
        raise UsageError(f"{target!r} is no spec, so it has no variants", "name a .yaml file or a folder of them")
    return named(parts[0])
