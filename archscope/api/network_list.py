"""Networks to choose from: targets → the files of networks that they name; those of the package without a target."""

from __future__ import annotations

import os

from archscope.api.specs import spec_file_name, split_target
from archscope.errors import UsageError
from archscope.spec import bundled_networks
from archscope.spec.catalog import Network, describe_network, suggest_network, try_describe_network
from archscope.spec.folders import expand_folders


def networks(*targets: str | os.PathLike[str], keep_going: bool = False) -> list[Network]:
    """What each spec, or each spec of a folder, holds; without a target, the networks that come with archscope.

    Reads files only, without torch. Of a target that names a variant that one alone. Of several files, or with
    `keep_going`, one that cannot be read says so in its place. Raises SpecError where the only file cannot be read,
    UsageError for a variant that there is none of, a Python target and a folder without a spec.
    """
    wanted = [_parse_network_target(target) for target in expand_folders(targets or (bundled_networks.TARGET_PREFIX,))]
    read = describe_network if len(wanted) == 1 and not keep_going else try_describe_network
    return [read(file, variant) for file, variant in wanted]


def _parse_network_target(target: str) -> tuple[str, str | None]:
    """A file, and the variant of it that is named. Raises UsageError."""
    parts = split_target(target)
    if parts is None:
        cure = suggest_network(target.partition(":")[0]) or "name a .yaml file or a folder of them"
        raise UsageError(f"{target!r} is no spec, so it has no variants", cure)
    return spec_file_name(parts[0]), parts[1]
