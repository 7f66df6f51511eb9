"""Where a spec can be broken: Spec → every step, form and expression with what can be seen from there.

Spec → blocks and layers → Found(thing, Scope)        Call → (role, argument): channels, stride, kernel, …
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from archscope.errors import Span
from archscope.spec import Library
from archscope.spec.spec_types import Argument, Block, Expression, Join, Label, Residual, Spec, Step, Steps, Target

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("channels", "out", "width", "hidden", "growth", "squeeze", "dim", "dims", "inner"), "channels"),
    **dict.fromkeys(("stem", "c1", "c3_reduce", "c3", "c5_reduce", "c5", "pool", "mlp", "bottleneck"), "channels"),
    **dict.fromkeys(("out_channels", "out_features", "num_features", "in_channels", "in_features"), "channels"),
    **dict.fromkeys(("heads", "kv_heads", "groups", "num_heads"), "heads"),
    **dict.fromkeys(("size", "seq"), "input"),
    **{name: name for name in ("stride", "padding")},
    **dict.fromkeys(("kernel_size", "kernel"), "kernel"),
}
"""The name of an argument, param or constant → what it decides."""


@dataclass(frozen=True)
class Scope:
    """What can be seen from a place. blocks: the blocks' names and their arguments. labels: newest last.

    uses: how many calls of each block the file has. branch: of a form that joins. attention: the list has one.
    """

    blocks: Mapping[str, tuple[Argument, ...]]
    labels: tuple[str, ...]
    shortcut: bool = False
    uses: Mapping[str, int] = field(default_factory=dict)
    branch: bool = False
    attention: bool = False


@dataclass(frozen=True)
class Found:
    thing: Expression | Residual | Join | Step
    scope: Scope


@dataclass(frozen=True)
class Given:
    """One argument of a call: what it decides, its tree, and its keyword, if it has one."""

    role: str
    tree: ast.expr
    keyword: str = ""


def found(library: Library, file: str) -> Iterator[Found]:
    """Every place of one file, in the order of the text."""
    spec = library.files[file]
    blocks = signatures(library, spec)
    lists = [(block.layers, Scope(blocks, inputs_of(block))) for block in spec.blocks]
    lists.append((spec.layers or (), Scope(blocks, tuple(one.name for one in spec.inputs))))
    named = [word for layers, scope in lists for word in words(layers, scope)]
    uses = Counter(word for word in named if word in blocks)
    for layers, scope in lists:
        attention = any("attention" in word.lower() or word == "softmax" for word in words(layers, scope))
        yield from steps(layers, replace(scope, uses=uses, attention=attention))


def words(layers: Steps, scope: Scope) -> Iterator[str]:
    """Every name and method that the expressions of a list say."""
    for place in steps(layers, scope):
        if isinstance(place.thing, Expression):
            for node in ast.walk(place.thing.tree):
                if isinstance(node, ast.Name | ast.Attribute):
                    yield node.id if isinstance(node, ast.Name) else node.attr


def signatures(library: Library, spec: Spec) -> dict[str, tuple[Argument, ...]]:
    """The blocks that a file defines or imports → their arguments."""
    brought = [(here, library.files[one.file], there.name) for one in spec.imports for there, here in one.names]
    named = [(block.name, block) for block in spec.blocks]
    named += [(here, block) for here, other, there in brought for block in other.blocks if block.name == there]
    return {name: block.arguments for name, block in named}


def inputs_of(block: Block) -> tuple[str, ...]:
    return tuple(one.name for one in block.inputs or ()) or ("x",)


def steps(written: Steps, scope: Scope) -> Iterator[Found]:
    """A list of steps; each sees the labels above it."""
    for step in written:
        yield Found(step, scope)
        if step.source is not None:
            yield Found(step.source, scope)
        yield from inside(step.body, scope)
        yield from steps(step.otherwise, scope)
        scope = replace(scope, labels=(*scope.labels, *names(step.target)))


def inside(body: object, scope: Scope) -> Iterator[Found]:
    match body:
        case Expression():
            yield Found(body, scope)
        case Residual():
            yield Found(body, scope)
            yield from steps(body.main, scope)
            yield from steps(body.shortcut, replace(scope, shortcut=True))
        case Join():
            yield Found(body, scope)
            for branch in body.branches:
                yield from steps(branch.steps, replace(scope, branch=True))
        case Step():
            yield from steps((body,), scope)
        case tuple():
            yield from steps(body, scope)


def names(target: Target | None) -> Iterator[str]:
    if isinstance(target, Label):
        yield from (name for name in (target.name,) if name != "_")
    for part in target if isinstance(target, tuple) else ():
        yield from names(part)


# ------------------------------------------------------------ calls
def calls(expression: Expression) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a layer, block, function or method, with the name of what is called."""
    for node in ast.walk(expression.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield (node.func.id if isinstance(node.func, ast.Name) else node.func.attr), node


def arguments(name: str, call: ast.Call, scope: Scope) -> Iterator[Given]:
    """The arguments of a call that decide a shape."""
    keywords = {keyword.arg for keyword in call.keywords}
    for role, argument in zip(positional(name, len(call.args), keywords, scope), call.args, strict=False):
        if role and not isinstance(argument, ast.Starred):
            yield Given(role, argument)
    for keyword in call.keywords:
        role = ROLES.get(keyword.arg or "", "")
        if role and name[0].isupper():
            yield Given(role, keyword.value, keyword.arg or "")


def positional(name: str, count: int, keywords: set[str | None], scope: Scope) -> list[str]:
    """What the positional arguments of a layer or block decide."""
    if name in scope.blocks:
        return [ROLES.get(argument.name, "") for argument in scope.blocks[name]]
    if name.startswith("Conv"):
        both = count > 2 or (count == 2 and "kernel_size" in keywords)
        return [*["channels"] * (1 + both), "kernel", "stride", "padding"]
    if "Pool" in name and not name.startswith("Adaptive"):
        return ["kernel", "stride", "padding"]
    if name == "MultiheadAttention":
        return ["heads"] if count == 1 else ["channels", "heads"]
    plain = name in ("Linear", "LayerNorm", "RMSNorm", "LSTM", "GRU", "Parameter") or "BatchNorm" in name
    return ["channels"] * count if plain else ["", "channels"] if name in ("Embedding", "GroupNorm") else []


# ------------------------------------------------------------ text
@dataclass(frozen=True)
class Text:
    """A file's text, and where its parts stand in it."""

    text: str

    def offset(self, span: Span) -> int:
        lines = self.text.splitlines(keepends=True)
        return sum(map(len, lines[: span.line - 1])) + span.column - 1

    def line(self, offset: int) -> int:
        """The number of the line, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def whole(self, line: int) -> str:
        lines = self.text.splitlines()
        return lines[line - 1] if 0 < line <= len(lines) else ""

    def range(self, expression: Expression, node: ast.expr | None = None) -> tuple[int, int] | None:
        """Where an expression, or a node of it, stands; None where the text is not written in one piece."""
        start = self.offset(expression.span)
        if self.text[start : start + len(expression.text)] != expression.text or not expression.text.isascii():
            return None
        if node is None:
            return start, start + len(expression.text)
        return start + node.col_offset, start + (node.end_col_offset or 0)

    def token(self, span: Span) -> tuple[int, int]:
        """The plain number or word that begins at `span`."""
        start = end = self.offset(span)
        while end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "_.+-"):
            end += 1
        return start, end
