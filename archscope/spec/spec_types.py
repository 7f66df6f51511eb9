"""The dataclasses of a spec, frozen, with the place of every part. No torch, no YAML.

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
    """A checked expression: its text, its place, and its Python syntax tree."""

    text: str
    span: Span = field(compare=False)
    tree: ast.expr = field(compare=False, repr=False)

    def at(self, node: ast.AST) -> Span:
        """Return the place of a node of the tree (columns in characters, first line of the text)."""
        if getattr(node, "lineno", 1) != 1:
            return self.span
        prefix = self.text.encode()[: getattr(node, "col_offset", 0)]
        return self.span.shifted(len(prefix.decode(errors="ignore")))

    def piece(self, node: ast.expr) -> str:
        """Return the text of a node of the tree on one line."""
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
    """A string that is not an expression (`12.4M`, a note)."""

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

A plain string that parses is an Expression; its names are looked up when it is evaluated.
"""


@dataclass(frozen=True)
class Label:
    name: str
    span: Span = _span()


Target = Label | tuple["Target", ...]
"""The name of a step: a label, or a nested tuple of labels that unpacks its result."""


@dataclass(frozen=True)
class LayerCall:
    """The long form of a layer or block: `Conv2d: {out_channels: 64}`. Also `- Linear: 10`."""

    name: str
    args: tuple[Data, ...]
    kwargs: tuple[tuple[Label, Data], ...]
    span: Span = _span()


@dataclass(frozen=True)
class Residual:
    """A `residual:` form. An empty `shortcut` is the identity; if `when` is false, only `main` is built."""

    main: Steps
    shortcut: Steps
    when: Expression | None
    span: Span = _span()


@dataclass(frozen=True)
class Join:
    """A `concat`, `add`, `multiply` or `stack` form: branches over the same input; `name` is None if branches are a
    list.
    """

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
    single: bool  # `for: name` binds each item whole; `for: [a, b]` unpacks it
    items: Data
    span: Span = _span()


@dataclass(frozen=True)
class Check:
    """One expectation: `shape`, `preserves`, `params` or `macs`, and the value that it must have."""

    key: str
    value: Data
    span: Span = _span()


@dataclass(frozen=True)
class Expectation:
    """One expectation, with what the compiler found out about it.

    key: `shape`, `preserves`, `params`, `macs`. wanted: as written, for messages. For shape and preserves, `met` is
    known, and `sizes` are the expected sizes, None for any; for params and macs, `met` is None, and `least` and `most`
    are the inclusive bounds of the figure. fixed: for a shape that is not met, whether it differs only in sizes that
    are written as numbers, and not in sizes that follow from the inputs.
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
    """An input: `dims` is None if a block names an input without a shape; `_` matches any size."""

    name: str
    dims: tuple[Expression, ...] | None
    span: Span = _span()
    dtype: str = "float32"
    low: Expression | None = None
    high: Expression | None = None


@dataclass(frozen=True)
class Argument:
    """One argument in the signature of a block or of a function in `let`."""

    name: str
    default: Expression | None
    span: Span = _span()


@dataclass(frozen=True)
class Definition:
    """An entry of `let`: a constant (`arguments` is None) or a function."""

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
    """A param and its value: by default, in a variant, or in a matrix (then `value` is Items)."""

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
    """An entry `source: [Block, …]` of `import:`. `names` pairs the name in that file with the name in this one. `file`
    is the resolved file, a key of Library.
    """

    source: str
    names: tuple[tuple[Label, str], ...]
    span: Span = _span()
    file: str = field(default="", compare=False)


ALLOW_PYTHON_HELP = "allow_python=True runs it"
"""The help if Python code that a spec names may not be run."""


@dataclass(frozen=True)
class PythonClass:
    """An entry `Name: package.module:Class` of `python:`, used only with --allow-python."""

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
        """Every net of the file by its name: the variants times the matrix; one unnamed net if the file has neither."""
        base = self.variants or (Variant("", (), (), self.span),)
        axes = [[replace(s, value=v) for v in s.value.items] for s in self.matrix if isinstance(s.value, Items)]
        found: dict[str, Variant] = {}
        for variant in base:
            for chosen in itertools.product(*axes):
                net = with_matrix_values(variant, chosen) if axes else variant
                found.setdefault(net.name, net)
        return found


def with_matrix_values(variant: Variant, chosen: tuple[Setting, ...]) -> Variant:
    """Return a variant with one value of each axis of the matrix, named after them."""
    name = ",".join(filter(None, (variant.name, *(f"{one.name}={setting_text(one)}" for one in chosen))))
    return Variant(name, (*variant.settings, *chosen), variant.expect, variant.span)


def setting_text(setting: Setting) -> str:
    """Return the value of a setting as it appears in the names of nets."""
    value = setting.value
    return str(value.value) if isinstance(value, Constant) else getattr(value, "text", "…")


@dataclass(frozen=True)
class Library:
    """A spec file with every file that it imports, by resolved name, and their texts (for excerpts in messages)."""

    root: Spec
    files: Mapping[str, Spec]
    sources: Mapping[str, str] = field(compare=False, repr=False)
