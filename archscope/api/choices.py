"""Networks to choose from: targets → the files of networks that they name; those of the package without a target."""

from __future__ import annotations

import os

from archscope.api.specs import named, split
from archscope.errors import UsageError
from archscope.spec import packaged
from archscope.spec.catalog import Network, network, network_if_readable, suggestion
from archscope.spec.folders import spread


def networks(*targets: str | os.PathLike[str], keep_going: bool = False) -> list[Network]:
    """What each spec, or each spec of a folder, holds; without a target, the networks that come with archscope.

    Reads files only, without torch. Of a target that names a variant that one alone. Of several files, or with
    `keep_going`, one that cannot be read says so in its place. Raises SpecError where the only file cannot be read,
    UsageError for a variant that there is none of, a Python target and a folder without a spec.
    """
    wanted = [_wanted(target) for target in spread(targets or (packaged.PREFIX,))]
    read = network if len(wanted) == 1 and not keep_going else network_if_readable
    return [read(file, variant) for file, variant in wanted]


def _wanted(target: str) -> tuple[str, str | None]:
    """A file, and the variant of it that is named. Raises UsageError."""
    parts = split(target)
    if parts is None:
        cure = suggestion(target.partition(":")[0]) or "name a .yaml file or a folder of them"
        raise UsageError(f"{target!r} is no spec, so it has no variants", cure)
    return named(parts[0]), parts[1]
