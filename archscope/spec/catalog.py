"""What there is to choose from: a file → its networks with what each sets, and the first sentence of its head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archscope.errors import SpecError
from archscope.spec import bundled_networks, dump
from archscope.spec.load import load
from archscope.spec.model import Library, Variant
from archscope.spec.variants import all_variants, find_variant

FIRST_SENTENCE = re.compile(r".*?\.(?= [A-Z(]|$)|.*")


@dataclass(frozen=True)
class NetworkVariant:
    """A variant of a file. target: how a command line names it. settings: the params that it sets, as YAML's values."""

    target: str
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        """`block=Bottleneck, blocks_per_stage=[3, 4, 6, 3]`."""
        return ", ".join(f"{name}={dump.scalar_text(value)}" for name, value in self.settings.items())


@dataclass(frozen=True)
class Network:
    """A file of networks. target: how a command line names it. about: a sentence on it, None where the file cannot be
    read. variants: none for a library of blocks and for a file without variants.
    """

    target: str
    about: str | None
    variants: tuple[NetworkVariant, ...] = ()


def describe_network(file: str, variant: str | None = None) -> Network:
    """What a file holds, or one variant of it. Raises SpecError where it cannot be read, UsageError where it has no
    such variant."""
    library = load(file)
    target = bundled_networks.short_target(file)
    found = () if library.root.layers is None else all_variants(library.root)
    if variant is not None:
        found = (find_variant(library.root, variant),)
    return Network(target, library_summary(library), tuple(describe_variant(target, one) for one in found if one.name))


def try_describe_network(file: str, variant: str | None = None) -> Network:
    """The same; about nothing where the file cannot be read."""
    try:
        return describe_network(file, variant)
    except SpecError:
        return Network(bundled_networks.short_target(file), None)


def suggest_network(word: str) -> str:
    """Which network of the package a word names, as a help; empty where it names none, nor a variant of one."""
    name = bundled_networks.find_network(word.lower())
    return f"{bundled_networks.TARGET_PREFIX}{name} comes with archscope" if name else suggest_variant(word)


def suggest_variant(word: str) -> str:
    """Which variant of a network of the package a word names, as a help; empty where it is none or several."""
    named = find_variants_named(word.lower())
    return f"{named[0]} comes with archscope" if len(named) == 1 else ""


def find_variants_named(name: str) -> list[str]:
    """The targets of all variants of that name in the networks of the package, but for those of the tutorials."""
    files = (
        describe_network(f"{bundled_networks.TARGET_PREFIX}{one}.yaml")
        for one in bundled_networks.network_names()
        if "/" not in one
    )
    return [variant.target for one in files for variant in one.variants if variant.target.rpartition(":")[2] == name]


def library_summary(library: Library) -> str:
    """The first sentence of the comment at the head of a file, else the network's name."""
    root = library.root
    head = []
    for line in library.sources[root.file].splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# ").strip())
    found = FIRST_SENTENCE.match(" ".join(head))
    said = found[0] if found else ""
    blocks = ", ".join(block.name for block in root.blocks)
    return said.rstrip(".") or (root.name if root.layers is not None else f"a library of blocks: {blocks}")


def describe_variant(target: str, variant: Variant) -> NetworkVariant:
    settings = {one.name: dump.plain_data(one.value) for one in variant.settings}
    return NetworkVariant(f"{target}:{variant.name}", settings)
