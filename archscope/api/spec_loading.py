"""`load`, `schema` and `variants`: specs as they are written, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archscope.spec import Library
from archscope.spec.target_names import list_variants, load_target


def load(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    texts: Mapping[str, str] | None = None,
    known: Library | None = None,
) -> Library:
    """Read a spec and the files that it imports, without torch. Raises SpecError with all problems.

    text, texts: the content of the file, or of any file by its name, in place of that on the disk. known: files that
    were read before; one with the same text is not parsed again.
    """
    return load_target(path, text=text, texts=texts, known=known)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the language, for editors, without torch."""
    from archscope.spec.schema import schema as json_schema  # no other function needs it

    return json_schema()


def variants(target: str, *, texts: Mapping[str, str] | None = None) -> list[str]:
    """Return the targets of a spec's variants (`net.yaml:small`, `specs:resnet:resnet18`, …), or the target itself if
    it names one or has none.

    A library of blocks has no net, so no target. texts: as for `load`. Raises SpecError.
    """
    return list_variants(target, texts=texts)
