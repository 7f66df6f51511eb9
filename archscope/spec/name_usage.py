"""The names that expressions read: Spec or Block → frozenset of names. Static: over every variant at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache

from archscope.spec.spec_types import Block, Expression, Label, LayerCall, Spec, Step


def names_read(part: Spec | Block) -> frozenset[str]:
    """Return every name in every expression of a file or of a block, and every layer of a long form."""
    return frozenset(_iter_names(part))


def unused_labels(spec: Spec) -> frozenset[tuple[str, str]]:
    """Return the labels that no expression of their block reads, each with the block's name ("" for the net)."""
    parts = [(block.name, block) for block in spec.blocks] + [("", (spec.layers, spec.returns, spec.modules))]
    return frozenset(
        (name, label) for name, part in parts for label in set(_iter_labels(part)) - {"_"} - set(_iter_names(part))
    )


def _iter_labels(part: object) -> Iterator[str]:
    """Yield the labels of steps."""
    if isinstance(part, (tuple, list)):
        for item in part:
            yield from _iter_labels(item)
    elif is_dataclass(part) and not isinstance(part, Expression):
        if isinstance(part, Step):
            yield from (label.name for label in _iter_target_labels(part.target))
        for field in fields(part):
            yield from _iter_labels(getattr(part, field.name))


def _iter_target_labels(target: object) -> Iterator[Label]:
    if isinstance(target, Label):
        yield target
    for part in target if isinstance(target, tuple) else ():
        yield from _iter_target_labels(part)


@lru_cache(maxsize=4096)
def names_in(tree: ast.AST) -> tuple[str, ...]:
    """Return the names in a syntax tree, each as often as it occurs; cached, since equal texts share one tree."""
    return tuple(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _iter_names(part: object) -> Iterator[str]:
    if isinstance(part, Expression):
        yield from names_in(part.tree)
    elif isinstance(part, (tuple, list)):
        for item in part:
            yield from _iter_names(item)
    elif is_dataclass(part):
        if isinstance(part, LayerCall):
            yield part.name
        for field in fields(part):
            yield from _iter_names(getattr(part, field.name))
