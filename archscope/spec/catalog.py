"""Descriptions of the networks in a file: the params that each variant sets, and the first sentence of the file's
comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archscope.errors import SpecError
from archscope.spec import bundled_networks, dump
from archscope.spec.load import load
from archscope.spec.spec_types import Library, Variant
from archscope.spec.variants import all_variants, find_variant

FIRST_SENTENCE = re.compile(r".*?\.(?= [A-Z(]|$)|.*")


@dataclass(frozen=True)
class NetworkVariant:
    """A variant of a file. target: its name on a command line. settings: the params that it sets, as YAML values."""

    target: str
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the settings as text: `block=Bottleneck, blocks_per_stage=[3, 4, 6, 3]`."""
        return ", ".join(f"{name}={dump.scalar_text(value)}" for name, value in self.settings.items())


@dataclass(frozen=True)
class Network:
    """A file of networks. target: its name on a command line. about: one sentence on it, None if the file cannot be
    read. variants: empty for a library of blocks and for a file without variants.
    """

    target: str
    about: str | None
    variants: tuple[NetworkVariant, ...] = ()


def describe_network(file: str, variant: str | None = None) -> Network:
    """Return the description of a file, or of one variant of it. Raise SpecError if it cannot be read, UsageError if it
    has no such variant.
    """
    library = load(file)
    target = bundled_networks.short_target(file)
    found = () if library.root.layers is None else all_variants(library.root)
    if variant is not None:
        found = (find_variant(library.root, variant),)
    return Network(target, library_summary(library), tuple(describe_variant(target, one) for one in found if one.name))


def try_describe_network(file: str, variant: str | None = None) -> Network:
    """Return the description as `describe_network` does, without text if the file cannot be read."""
    try:
        return describe_network(file, variant)
    except SpecError:
        return Network(bundled_networks.short_target(file), None)


def suggest_network(word: str) -> str:
    """Return a help that names the network of the package that a word means; "" if it names neither a network nor a
    variant.
    """
    name = bundled_networks.find_network(word.lower())
    return f"{bundled_networks.TARGET_PREFIX}{name} comes with archscope" if name else suggest_variant(word)


def suggest_variant(word: str) -> str:
    """Return a help that names the variant of the package's networks that a word means; "" if none or several match."""
    named = find_variants_named(word.lower())
    return f"{named[0]} comes with archscope" if len(named) == 1 else ""


def find_variants_named(name: str) -> list[str]:
    """Return the targets of all variants with that name in the package's networks, except those of the tutorials."""
    networks = (
        describe_network(f"{bundled_networks.TARGET_PREFIX}{one}.yaml")
        for one in bundled_networks.network_names()
        if "/" not in one
    )
    targets = (variant.target for network in networks for variant in network.variants)
    return [target for target in targets if target.rpartition(":")[2] == name]


def library_summary(library: Library) -> str:
    """Return the first sentence of the comment at the head of a file, else the network's name."""
    root = library.root
    head = []
    for line in library.sources[root.file].splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# ").strip())
    found = FIRST_SENTENCE.match(" ".join(head))
    sentence = found[0] if found else ""
    blocks = ", ".join(block.name for block in root.blocks)
    return sentence.rstrip(".") or (root.name if root.layers is not None else f"a library of blocks: {blocks}")


def describe_variant(target: str, variant: Variant) -> NetworkVariant:
    settings = {one.name: dump.plain_data(one.value) for one in variant.settings}
    return NetworkVariant(f"{target}:{variant.name}", settings)
