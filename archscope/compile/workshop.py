"""One compilation: the files with their params, what names mean in them, and every block built so far.

Library + settings → Context (a file's names) → Kinds (its blocks) → block(layer, inputs) → BlockPlan, cached
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from archscope.compile.conditions import Conditions
from archscope.compile.functions import RANDOM, dtypes, functions
from archscope.compile.kinds import Kind, Layer, RawParameter, as_argument
from archscope.compile.layers import Foundry, bind_layer
from archscope.compile.metas import flat
from archscope.compile.number_functions import NumberFunction
from archscope.compile.scope import Lazy, Scope
from archscope.compile.signatures import REFUSED, layer_classes
from archscope.compile.values import Function, Tensor
from archscope.errors import Frame, Problem, Problems, Span, did_you_mean
from archscope.spec.budget import Budget
from archscope.spec.evaluate import Evaluator
from archscope.spec.model import (
    RUNS_IT,
    Argument,
    Block,
    Constant,
    Data,
    Definition,
    Expression,
    Foreign,
    Import,
    Items,
    Library,
    Setting,
    Spec,
    Table,
    Variant,
    Word,
)
from archscope.spec.names import names_read
from archscope.spec.numbers import CONSTANTS, NUMBERS, Fault
from archscope.spec.things import MISSING, UNKNOWN, Thing, known_by_halves, shown

if TYPE_CHECKING:
    from archscope.compile.plan import BlockPlan

Report = Callable[[Span, str, str], None]


@dataclass(frozen=True, eq=False)
class BlockSource:
    """A block and the file it is written in. One object for one block, so that it can be a cache key."""

    block: Block
    context: Context


@dataclass(frozen=True)
class NetSource:
    """A whole file used as a block."""

    spec: Spec = field(compare=False)
    file: str


@dataclass(eq=False)
class Context:
    """A file as it is used once: its spec, the params' values, its blocks, and the scope that they see."""

    spec: Spec
    scope: Scope = field(default_factory=Scope)
    blocks: dict[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LittleFunction(Thing):
    """`ch(c): expr` under `let:`."""

    workshop: Workshop
    definition: Definition
    scope: Scope

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"the function {self.definition.name}"

    @property
    def takes(self) -> tuple[str, ...] | None:
        """The names of its arguments; None where it is no expression."""
        is_expression = isinstance(self.definition.value, Expression)
        return tuple(a.name for a in self.definition.arguments or ()) if is_expression else None

    @property
    def tree(self) -> ast.expr:
        """Its expression."""
        return self.definition.value.tree  # type: ignore[union-attr]

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        table: dict[str, object] = dict(
            bind_arguments(self.definition.name, self.definition.arguments or (), args, kwargs)
        )
        inner = Scope(self.scope, table)
        self.workshop.add_defaults(self.definition.arguments or (), inner)
        return self.workshop.data(self.definition.value, inner, words=False, host=host)


def bind_arguments(
    name: str, arguments: tuple[Argument, ...], args: tuple, kwargs: Mapping
) -> tuple[tuple[str, object], ...]:
    """Arguments of a block or little function by name, as Python binds them. Raises Fault."""
    names = [a.name for a in arguments]
    written = f"{name}({', '.join(a.name if a.default is None else f'{a.name}={a.default.text}' for a in arguments)})"
    if len(args) > len(names):
        takes = f"{len(names)} argument{'s' * (len(names) != 1)}" if names else "no arguments"
        raise Fault(f"{name} takes {takes}, {len(args)} are given", written)
    given = dict(zip(names, args, strict=False))
    for key, value in kwargs.items():
        if key not in names:
            near = "   ".join(filter(None, (did_you_mean(key, names), written)))
            raise Fault(f"{name} has no argument {key!r}", near, key)
        if key in given:
            raise Fault(f"{name} gets {key} twice: by position ({shown(given[key])}) and by name", written, key)
        given[key] = value
    missing = [a.name for a in arguments if a.default is None and a.name not in given]
    if missing:
        raise Fault(f"{name} needs {' and '.join(missing)}", written)
    return tuple((n, given[n]) for n in names if n in given)


@dataclass(eq=False)
class Workshop:
    """Everything one compilation shares. `build` plans a block's use, `order` sorts its inputs (blocks.py).

    strict: shapes that do not match are problems, else they are left to the recorder.
    """

    library: Library
    build: Callable[[Workshop, Layer, tuple[Tensor, ...], tuple[Frame, ...]], BlockPlan | None]
    order: Callable[[str, Block, tuple, dict], tuple[Tensor, ...]]
    strict: bool = True
    allow_python: bool = False
    foundry: Foundry = field(default_factory=Foundry)
    problems: Problems = field(default_factory=Problems)
    mismatches: Problems = field(default_factory=Problems)
    warnings: dict[tuple[str, Span], tuple[str, Problem]] = field(default_factory=dict)
    plans: dict[tuple, BlockPlan | None] = field(default_factory=dict)
    building: list[BlockSource] = field(default_factory=list)
    contexts: dict[str, Context] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    largest: int = 0  # bytes of the largest result of one operation
    names: dict[int, frozenset[str]] = field(default_factory=dict)  # a block → the names that it reads
    declared: list[Callable[[], object]] = field(default_factory=list)  # what undoes the first call of each module
    conditions: Conditions = field(default_factory=Conditions)
    at: Span | None = None  # where torch is asked what a step gives
    turns: int = 1  # of the loops around the step being built, multiplied
    base: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.problems.sources = self.mismatches.sources = self.library.sources
        self.base = Scope(table={"Parameter": RawParameter()}, fallback=torch_name, known=torch_names)

    # Problems

    def report(self, span: Span, message: str, help: str = "") -> None:
        self.problems.add(Problem(span, message, help))

    def warn(self, rule: str, problem: Problem) -> None:
        self.warnings.setdefault((rule, problem.span), (rule, problem))

    def names_read(self, block: Block) -> frozenset[str]:
        """Every name that a block reads, found once for all its uses."""
        if id(block) not in self.names:
            self.names[id(block)] = names_read(block)
        return self.names[id(block)]

    @contextmanager
    def trial(self) -> Iterator[Callable[[], bool]]:
        """Inside, something is built that may not be meant to be: what it reports is not kept. Gives whether it was
        sound; what was not is as if it had not been built, and neither is a trial that calls a module first.
        """
        kept = self.problems, self.mismatches, dict(self.warnings), dict(self.plans), self.budget.steps
        self.problems, self.mismatches, known = Problems(), Problems(), len(self.declared)
        sound = False
        try:
            yield lambda: sound
            sound = not (self.problems or self.mismatches or self.declared[known:])
        except Fault:
            pass
        finally:
            self.problems, self.mismatches, self.warnings, plans, self.budget.steps = kept
            if not sound:
                self.plans = plans
                while len(self.declared) > known:
                    self.declared.pop()()

    # Values

    def evaluator(self, scope: Scope, report: Report | None = None, host: object = None) -> Evaluator:
        return Evaluator(scope.find, scope.names, report or self.report, host, self.budget)

    def data(
        self, value: Data, scope: Scope, *, words: bool, report: Report | None = None, host: object = None
    ) -> object:
        """A value written as YAML data. With `words`, an unknown bare name is a word."""
        if isinstance(value, Constant):
            return value.value
        if isinstance(value, Word):
            return value.text
        if isinstance(value, Items):
            return [self.data(v, scope, words=words, report=report, host=host) for v in value.items]
        if isinstance(value, Table):
            return {k: self.data(v, scope, words=words, report=report, host=host) for k, v in value.entries}
        if words and isinstance(value.tree, ast.Name) and scope.find(value.text) is MISSING:
            return value.text
        return self.evaluator(scope, report, host).value(value)

    def add_defaults(self, arguments: tuple[Argument, ...], scope: Scope, report: Report | None = None) -> None:
        """The defaults of a signature, for those arguments that the scope does not hold yet."""
        for argument in arguments:
            if argument.name not in scope.table and argument.default is not None:
                default = partial(self.evaluator(scope, report).value, argument.default)
                scope.table[argument.name] = Lazy(default, argument.name)

    def add_let(self, definitions: tuple[Definition, ...], scope: Scope, report: Report | None = None) -> None:
        """The entries of a `let`, each worked out when it is first asked for."""
        for entry in definitions:
            if entry.arguments is not None:
                scope.table[entry.name] = LittleFunction(self, entry, scope)
            else:
                value = partial(self.data, entry.value, scope, words=True, report=report)
                scope.table[entry.name] = Lazy(value, entry.name)

    # Files

    def context(self, file: str) -> Context:
        """A file with its params at their defaults."""
        if file not in self.contexts:
            context = self.contexts[file] = self.configured(self.library.files[file], None, {})
            for entry in context.spec.modules:
                context.scope.table[entry.name] = Lazy(partial(_elsewhere, entry.name, file), entry.name)
        return self.contexts[file]

    def configured(self, spec: Spec, variant: Variant | None, settings: Mapping[str, Setting | object]) -> Context:
        """A file with the params of a variant and `settings` (Settings, or values known already) on top."""
        names = self._blocks_scope(spec)
        context = Context(spec, Scope(names))
        context.blocks.update({b.name: Kind(b.name, BlockSource(b, context), bind_block) for b in spec.blocks})
        names.table.update(context.blocks)
        chosen: dict[str, Setting | object] = {
            s.name: s for s in (*spec.params, *(variant.settings if variant else ()))
        }
        for name, value in (chosen | dict(settings)).items():
            context.scope.table[name] = self._lazy(value, name, context.scope)
        self.add_let(spec.let, context.scope)
        return context

    def _lazy(self, value: Setting | object, name: str, scope: Scope) -> object:
        if not isinstance(value, Setting):
            return value
        return Lazy(lambda: settled_list(self.data(value.value, scope, words=True)), name)

    def _blocks_scope(self, spec: Spec) -> Scope:
        scope = Scope(self.base)
        for entry in spec.imports:
            for label, here in entry.names:
                scope.table[here] = Lazy(partial(self._imported, entry, label.name, here), here)
        for foreign in spec.python:
            scope.table[foreign.name] = Lazy(partial(self._foreign, foreign), foreign.name)
        return scope

    def _imported(self, entry: Import, name: str, here: str) -> Kind:
        context = self.context(entry.file)
        if name in context.blocks:
            return replace(context.blocks[name], name=here)
        return Kind(here, NetSource(context.spec, entry.file), bind_net)

    def _foreign(self, foreign: Foreign) -> object:
        if not self.allow_python:
            raise Fault(f"{foreign.name} is Python code, {foreign.target}", RUNS_IT)
        module, _, attribute = foreign.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # noqa: BLE001 - the user's code raises what it likes
            raise Fault(f"{foreign.target} cannot be imported: {error}") from None
        if not isinstance(found, type) or not issubclass(found, nn.Module):
            raise Fault(f"{foreign.target} is no subclass of torch.nn.Module")
        return Kind(foreign.name, found, bind_layer)

    # Blocks

    def inputs_of(self, layer: Layer, args: tuple, kwargs: dict) -> tuple[Tensor, ...]:
        """What a block is called with, in the order of its own inputs. Raises Fault."""
        source = layer.kind.source
        block = source.block if isinstance(source, BlockSource) else net_inputs(source.spec)
        return self.order(layer.kind.name, block, args, kwargs)

    def block(self, layer: Layer, inputs: tuple[Tensor, ...], frames: tuple[Frame, ...]) -> BlockPlan | None:
        """The plan of one use of a block; None where it has problems, which are reported. Raises Fault."""
        return self.build(self, layer, inputs, frames)

    def measure(self, result: object) -> None:
        """Keeps the bytes of the largest result of one operation."""
        size = sum(t.numel() * t.element_size() for t in flat(result))
        self.largest = max(self.largest, size)


def _elsewhere(name: str, file: str) -> object:
    cure = f"give the block an argument for it: Block({name})"
    raise Fault(f"module {name} belongs to the net of {file}, and only its blocks are imported", cure)


def net_inputs(spec: Spec) -> Block:
    """A file's inputs as those of a block, for its calls."""
    return Block(spec.name, (), (), spec.span, spec.inputs)


def settled_list(value: object) -> object:
    """A param's value: a list stays a list for the reader, and lists in it become tuples."""
    return [as_argument(v, None) for v in value] if isinstance(value, list) else as_argument(value, None)


def bind_block(kind: Kind, args: tuple, kwargs: dict) -> Layer:
    return Layer(kind, bind_arguments(kind.name, kind.source.block.arguments, args, kwargs))


def bind_net(kind: Kind, args: tuple, kwargs: dict) -> Layer:
    """A whole file used as a block: `variant=` and its params are its arguments."""
    spec: Spec = kind.source.spec
    if args:
        raise Fault(f"{kind.name} takes its params by name, not by position")
    names = [s.name for s in spec.params] + (["variant"] if spec.variants else [])
    for key in kwargs:
        if key not in names:
            raise Fault(
                f"{kind.name} has no param {key!r}", did_you_mean(key, names) or f"it has {', '.join(names) or 'none'}"
            )
    variants = [v.name for v in spec.variants]
    if "variant" in kwargs and kwargs["variant"] not in variants:
        near = did_you_mean(str(kwargs["variant"]), variants)
        raise Fault(f"{kind.name} has no variant {kwargs['variant']!r}", near or f"it has {', '.join(variants)}")
    return Layer(kind, tuple(kwargs.items()))


def torch_name(name: str) -> object:
    """What a name means when no spec defines it:
    a layer of torch.nn, a function, a dtype. Raises Fault for a refused layer.
    """
    cls = layer_classes().get(name)
    if cls is not None:
        return Kind(name, cls, bind_layer)
    if name in REFUSED:
        raise Fault(f"{name} is no layer of this language", REFUSED[name])
    if name in RANDOM:
        layer = "Dropout" if "dropout" in name else name
        raise Fault(f"the function {name} is random, in eval mode too", f"write the layer, for example {layer}(…)")
    entry = functions().get(name)
    if entry is not None:
        return Function(name, entry)
    if name in NUMBERS:
        return NumberFunction(name)
    return CONSTANTS.get(name, dtypes().get(name, MISSING))


def torch_names() -> Mapping[str, object]:
    return {**layer_classes(), **functions(), **NUMBERS, **CONSTANTS}
