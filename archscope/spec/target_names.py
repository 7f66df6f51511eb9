"""The names of specs as targets: `net.yaml`, `net.yaml:small`, `specs:resnet:resnet18` → a file and a variant."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from archscope import units
from archscope.errors import UsageError
from archscope.spec import bundled_networks
from archscope.spec.load import load
from archscope.spec.spec_types import Library
from archscope.spec.variants import all_variants

SPEC_TEXT = re.compile(r"^\s*\{?\s*(input|inputs|layers|params|blocks|imports|variants)\s*:(\s|$)", re.MULTILINE)
"""A key of the language at the beginning of a line."""
SPEC_TARGET = re.compile(r"(?P<file>.+\.ya?ml)(?::(?P<variant>.+))?", re.DOTALL)


def split_target(target: Any) -> tuple[str, str | None] | None:
    """Return a spec's file and variant; None for a Python target. Raises UsageError for the text of a spec."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    text = os.fspath(target)
    if SPEC_TEXT.search(text) and not os.path.exists(text):
        suggestion = "write it to a file and name that; or name a file and give its text: " + 'texts={"net.yaml": text}'
        raise UsageError(f"a target is the name of a file, and this is its text: {units.short_repr(text)}", suggestion)
    if text.startswith(bundled_networks.TARGET_PREFIX):
        return bundled_networks.split_target(text)
    match = SPEC_TARGET.fullmatch(text)
    if match and not os.path.isfile(text):
        return match["file"], match["variant"]
    return (text, None) if match or (os.path.exists(text) and not text.endswith(".py")) else None


def spec_file_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a file as messages have it: `specs:resnet` is `specs:resnet.yaml`."""
    text = os.fspath(path)
    return (
        (bundled_networks.split_target(text) or (text, None))[0]
        if text.startswith(bundled_networks.TARGET_PREFIX)
        else text
    )


def load_target(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    texts: Mapping[str, str] | None = None,
    known: Library | None = None,
) -> Library:
    """Return a spec's file with the files that it imports; options as for `archscope.load`. Raises SpecError."""
    return load(spec_file_name(path), text=text, texts=texts or {}, known=known)


def variant_targets(library: Library) -> list[str]:
    """Return the targets of a spec's variants; none for a library of blocks."""
    root = library.root
    if root.layers is None:
        return []
    file = bundled_networks.short_target(root.file)
    return [f"{file}:{v.name}" if v.name else file for v in all_variants(root)]


def list_variants(target: str, *, texts: Mapping[str, str] | None = None) -> list[str]:
    """Return the targets of a spec's variants, or the target itself if it names one or is Python code."""
    parts = split_target(target)
    return [target] if parts is None or parts[1] else variant_targets(load_target(parts[0], texts=texts))
