"""What was written: the nouns of a spec, as frozen data with the place of every part. No torch, no YAML.

Equality ignores places, so `parse(dump(spec)) == spec`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from archscope.errors import Span


def _span() -> Any:
    return field(compare=False)


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, its place, and Python's syntax tree of it."""

    text: str
    span: Span = field(compare=False)
    tree: ast.expr = field(compare=False, repr=False)

    def at(self, node: ast.AST) -> Span:
        """The place of a node of the tree (columns in characters, first line of the text)."""
        if getattr(node, "lineno", 1) != 1:
            return self.span
        prefix = self.text.encode()[: getattr(node, "col_offset", 0)]
        return self.span.shifted(len(prefix.decode(errors="ignore")))

    def piece(self, node: ast.expr) -> str:
        """The text of a node of the tree, as one line."""
        if node.lineno != 1 or node.end_lineno != 1:
            return ast.unparse(node)
        return " ".join(self.text.encode()[node.col_offset : node.end_col_offset].decode(errors="ignore").split())


@dataclass(frozen=True)
class Constant:
    """A YAML number, true, false or null."""

    value: int | float | bool | None
    span: Span = _span()


@dataclass(frozen=True)
class Word:
    """A string that is no expression (`12.4M`, a note)."""

    text: str
    span: Span = _span()


@dataclass(frozen=True)
class Items:
    items: tuple[Data, ...]
    span: Span = _span()


@dataclass(frozen=True)
class Table:
    entries: tuple[tuple[str, Data], ...]
    span: Span = _span()

    def get(self, key: str) -> Data | None:
        return dict(self.entries).get(key)


Data = Expression | Constant | Word | Items | Table
"""A value as YAML data.

A plain string that parses is an Expression; whether its names are known shows when it is used.
"""


@dataclass(frozen=True)
class Label:
    name: str
    span: Span = _span()


Target = Label | tuple["Target", ...]
"""What a step is called: a label, or a nested tuple of labels that takes a result apart."""


@dataclass(frozen=True)
class LayerCall:
    """The long form of a layer or block: `Conv2d: {out_channels: 64}`. Also `- Linear: 10`."""

    name: str
    args: tuple[Data, ...]
    kwargs: tuple[tuple[Label, Data], ...]
    span: Span = _span()


@dataclass(frozen=True)
class Residual:
    """`residual:`; `shortcut` empty is the identity, `when` false means main alone."""

    main: Steps
    shortcut: Steps
    when: Expression | None
    span: Span = _span()


@dataclass(frozen=True)
class Join:
    """`concat`, `add`, `multiply`, `stack`: branches over the same input; `name` is None where branches are a list."""

    kind: str
    branches: tuple[Branch, ...]
    dim: Expression | None
    span: Span = _span()


@dataclass(frozen=True)
class Branch:
    name: str | None
    steps: Steps
    span: Span = _span()


@dataclass(frozen=True)
class Repeat:
    count: Expression
    span: Span = _span()


@dataclass(frozen=True)
class For:
    names: tuple[Label, ...]
    single: bool  # `for: name` takes each item whole; `for: [a, b]` takes it apart
    items: Data
    span: Span = _span()


@dataclass(frozen=True)
class Check:
    """One expectation: `shape`, `preserves`, `params` or `macs`, and the value it must have."""

    key: str
    value: Data
    span: Span = _span()


@dataclass(frozen=True)
class Expectation:
    """One expectation, with what compiling found out about it.

    key: `shape`, `preserves`, `params`, `macs`. wanted: as written, for messages. For shape and preserves `met` is
    settled, and `sizes` are those that are wanted, None for any; for params and macs `met` is None, and `least`, `most`
    bound the figure (both included). fixed: of a shape that is not met, whether it differs only where it says a number,
    and not what follows from the inputs.
    """

    path: str
    key: str
    wanted: str
    span: Span
    met: bool | None = None
    got: str = ""
    least: int | None = None
    most: int | None = None
    sizes: tuple[int | None, ...] = ()
    fixed: bool = False


@dataclass(frozen=True)
class Step:
    """One item of a list of steps. `body` of a group is a tuple of steps; a nested mapping is a Step."""

    body: Body
    span: Span = _span()
    target: Target | None = None
    when: Expression | None = None
    otherwise: Steps = ()
    loop: Repeat | For | None = None
    collect: Label | None = None
    source: Expression | None = None  # `from:`
    expect: tuple[Check, ...] = ()
    note: str = ""


Steps = tuple[Step, ...]
Body = Expression | LayerCall | Residual | Join | Step | Steps


@dataclass(frozen=True)
class Input:
    """An input: `dims` is None where a block names an input without a shape; `_` is anything."""

    name: str
    dims: tuple[Expression, ...] | None
    span: Span = _span()
    dtype: str = "float32"
    low: Expression | None = None
    high: Expression | None = None


@dataclass(frozen=True)
class Argument:
    """One argument of a block's or little function's signature."""

    name: str
    default: Expression | None
    span: Span = _span()


@dataclass(frozen=True)
class Definition:
    """An entry of `let`: a constant (`arguments` is None) or a little function."""

    name: str
    arguments: tuple[Argument, ...] | None
    value: Data
    span: Span = _span()


@dataclass(frozen=True)
class DeclaredModule:
    """An entry of `modules`."""

    name: str
    body: Expression | LayerCall
    span: Span = _span()


@dataclass(frozen=True)
class Block:
    name: str
    arguments: tuple[Argument, ...]
    layers: Steps
    span: Span = _span()
    inputs: tuple[Input, ...] | None = None
    let: tuple[Definition, ...] = ()
    modules: tuple[DeclaredModule, ...] = ()
    returns: Data | None = None
    expect: tuple[Check, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """A param and the value it has by default, in a variant, or in a matrix (then `value` is Items)."""

    name: str
    value: Data
    span: Span = _span()


@dataclass(frozen=True)
class Variant:
    name: str
    settings: tuple[Setting, ...]
    expect: tuple[Check, ...]
    span: Span = _span()


@dataclass(frozen=True)
class Import:
    """`source:
    [Block, …]`; `names` pairs the name there with the name here. `file` is the resolved file, a key of Library.
    """

    source: str
    names: tuple[tuple[Label, str], ...]
    span: Span = _span()
    file: str = field(default="", compare=False)


ALLOW_PYTHON_HELP = "allow_python=True runs it"
"""The cure where Python code that a spec names may not be run."""


@dataclass(frozen=True)
class PythonClass:
    """`python:` `Name: package.module:Class`, used only with --allow-python."""

    name: str
    target: str
    span: Span = _span()


@dataclass(frozen=True)
class Tie:
    path: str
    owner: str
    span: Span = _span()


@dataclass(frozen=True)
class Spec:
    """One file. A library file has blocks and no layers (`layers` is None)."""

    name: str
    file: str = field(compare=False)
    span: Span = _span()
    note: str = ""
    inputs: tuple[Input, ...] = ()
    params: tuple[Setting, ...] = ()
    variants: tuple[Variant, ...] = ()
    matrix: tuple[Setting, ...] = ()
    imports: tuple[Import, ...] = ()
    python: tuple[PythonClass, ...] = ()
    blocks: tuple[Block, ...] = ()
    let: tuple[Definition, ...] = ()
    modules: tuple[DeclaredModule, ...] = ()
    layers: Steps | None = None
    returns: Data | None = None
    ties: tuple[Tie, ...] = ()
    expect: tuple[Check, ...] = ()

    @cached_property
    def names_read(self) -> frozenset[str]:
        """Every name that the file reads."""
        from archscope.spec.name_usage import names_read

        return names_read(self)

    @cached_property
    def nets(self) -> Mapping[str, Variant]:
        """Every net of the file by its name: the variants times the matrix; one without a name where it has neither."""
        base = self.variants or (Variant("", (), (), self.span),)
        axes = [[replace(s, value=v) for v in s.value.items] for s in self.matrix if isinstance(s.value, Items)]
        found: dict[str, Variant] = {}
        for variant in base:
            for chosen in itertools.product(*axes):
                net = with_matrix_values(variant, chosen) if axes else variant
                found.setdefault(net.name, net)
        return found


def with_matrix_values(variant: Variant, chosen: tuple[Setting, ...]) -> Variant:
    """A variant with one value of each axis of the matrix, called after them."""
    name = ",".join(filter(None, (variant.name, *(f"{one.name}={setting_text(one)}" for one in chosen))))
    return Variant(name, (*variant.settings, *chosen), variant.expect, variant.span)


def setting_text(setting: Setting) -> str:
    """The value of a setting as the names of nets have it."""
    value = setting.value
    return str(value.value) if isinstance(value, Constant) else getattr(value, "text", "…")


@dataclass(frozen=True)
class Library:
    """A spec file with every file it imports, by resolved name, and their texts (for excerpts in messages)."""

    root: Spec
    files: Mapping[str, Spec]
    sources: Mapping[str, str] = field(compare=False, repr=False)
