"""`networks`: the specs of files and folders, or those that come with archscope."""

from __future__ import annotations

import os

from archscope.errors import UsageError
from archscope.spec import bundled_networks
from archscope.spec.catalog import Network, describe_network, suggest_network, try_describe_network
from archscope.spec.folders import expand_folders
from archscope.spec.target_names import spec_file_name, split_target


def networks(*targets: str | os.PathLike[str], keep_going: bool = False) -> list[Network]:
    """Return the networks of each spec, or of each spec of a folder; without a target, those that come with
    archscope.

    Files are only read, and torch is not imported. A target with a variant gives that variant only. Of several files,
    or with `keep_going`, one that cannot be read has an error in its place. Raises SpecError if the only file cannot
    be read, UsageError for an unknown variant, a Python target, and a folder without a spec.
    """
    parsed = [_parse_network_target(target) for target in expand_folders(targets or (bundled_networks.TARGET_PREFIX,))]
    read = describe_network if len(parsed) == 1 and not keep_going else try_describe_network
    return [read(file, variant) for file, variant in parsed]


def _parse_network_target(target: str) -> tuple[str, str | None]:
    """Return a file, and the variant that a target names. Raises UsageError."""
    parts = split_target(target)
    if parts is None:
        suggestion = suggest_network(target.partition(":")[0]) or "name a .yaml file or a folder of them"
        raise UsageError(f"{target!r} is not a spec, so it has no variants", suggestion)
    return spec_file_name(parts[0]), parts[1]
