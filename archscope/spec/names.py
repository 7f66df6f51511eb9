"""The names that expressions read: Spec or Block → frozenset of names. A static look, over every variant at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from archscope.spec.model import Block, Expression, LayerCall, Spec


def names_read(part: Spec | Block) -> frozenset[str]:
    """Every name in every expression of a file or of a block, and every layer of a long form."""
    return frozenset(_names(part))


def _names(part: object) -> Iterator[str]:
    if isinstance(part, Expression):
        yield from (node.id for node in ast.walk(part.tree) if isinstance(node, ast.Name))
    elif isinstance(part, (tuple, list)):
        for item in part:
            yield from _names(item)
    elif is_dataclass(part):
        if isinstance(part, LayerCall):
            yield part.name
        for field in fields(part):
            yield from _names(getattr(part, field.name))
