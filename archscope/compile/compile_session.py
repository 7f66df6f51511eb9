"""The state of one compilation: the files with their params, the meaning of names, and all blocks built so far.

Library + settings → FileContext (a file's names) → its blocks → plan_block(layer, inputs) → BlockPlan, cached
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

from archscope.compile.functions import RANDOM_FUNCTIONS, NumberFunction, language_dtypes, language_functions
from archscope.compile.graph_tensor import GraphTensor, TensorFunction, flatten_tensors
from archscope.compile.layer_cache import LayerCache, bind_layer
from archscope.compile.layer_classes import Layer, LayerClass, ParameterFunction, as_block_argument
from archscope.compile.scope import Scope
from archscope.errors import BlockFrame, Problem, Problems, Span, did_you_mean
from archscope.spec.bounded_math import CALL_COST, NUMBER_CONSTANTS, NUMBER_FUNCTIONS, EvaluationError, WorkBudget
from archscope.spec.evaluate import Evaluator
from archscope.spec.name_usage import names_read
from archscope.spec.spec_types import (
    ALLOW_PYTHON_HELP,
    Argument,
    Block,
    Constant,
    Data,
    Definition,
    Expression,
    Import,
    Items,
    Library,
    PythonClass,
    Setting,
    Spec,
    Table,
    Variant,
    Word,
)
from archscope.spec.spec_values import MISSING, UNKNOWN, Host, LazyValue, SpecValue, Value, describe_value, has_unknown
from archscope.torch_layers.signatures import REFUSED_MODULES, torch_layers

if TYPE_CHECKING:
    from archscope.compile.loops import LoopConditions
    from archscope.compile.plan import BlockPlan

ReportProblem = Callable[[Span, str, str], None]


@dataclass(frozen=True, eq=False)
class BlockSource:
    """A block and the file that it is written in. There is one object per block, so that it can be a cache key."""

    block: Block
    context: FileContext


@dataclass(frozen=True)
class NetSource:
    """A whole file used as a block."""

    spec: Spec = field(compare=False)
    file: str


@dataclass(eq=False)
class FileContext:
    """One use of a file: its spec, the params' values, its blocks, and their scope."""

    spec: Spec
    scope: Scope = field(default_factory=Scope)
    blocks: dict[str, LayerClass] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LetFunction(SpecValue):
    """A function under `let:`, `ch(c): expr`."""

    session: CompileSession
    definition: Definition
    scope: Scope

    @property
    def what(self) -> str:
        return f"the function {self.definition.name}"

    @property
    def takes(self) -> tuple[str, ...] | None:
        """The names of its arguments; None if it is not an expression."""
        is_expression = isinstance(self.definition.value, Expression)
        return tuple(a.name for a in self.definition.arguments or ()) if is_expression else None

    @property
    def tree(self) -> ast.expr:
        """The syntax tree of its expression."""
        assert isinstance(self.definition.value, Expression)
        return self.definition.value.tree

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        if has_unknown((*args, *kwargs.values())):
            return UNKNOWN
        self.session.budget.value(CALL_COST)
        table: dict[str, Value] = dict(
            bind_arguments(self.definition.name, self.definition.arguments or (), args, kwargs)
        )
        inner = Scope(self.scope, table)
        self.session.add_defaults(self.definition.arguments or (), inner)
        return self.session.evaluate_data(self.definition.value, inner, words=False, host=host)


def bind_arguments(
    name: str, arguments: tuple[Argument, ...], args: tuple, kwargs: Mapping
) -> tuple[tuple[str, Value], ...]:
    """Return the arguments of a block or `let` function by name, as Python binds them. Raises EvaluationError."""
    names = [a.name for a in arguments]
    written = f"{name}({', '.join(a.name if a.default is None else f'{a.name}={a.default.text}' for a in arguments)})"
    if len(args) > len(names):
        takes = f"{len(names)} argument{'s' * (len(names) != 1)}" if names else "no arguments"
        raise EvaluationError(f"{name} takes {takes}, {len(args)} are given", written)
    given = dict(zip(names, args, strict=False))
    for key, value in kwargs.items():
        if key not in names:
            near = "   ".join(filter(None, (did_you_mean(key, names), written)))
            raise EvaluationError(f"{name} has no argument {key!r}", near, key)
        if key in given:
            raise EvaluationError(
                f"{name} gets {key} twice: by position ({describe_value(given[key])}) and by name", written, key
            )
        given[key] = value
    missing = [a.name for a in arguments if a.default is None and a.name not in given]
    if missing:
        raise EvaluationError(f"{name} needs {' and '.join(missing)}", written)
    return tuple((n, given[n]) for n in names if n in given)


@dataclass(eq=False)
class CompileSession:
    """The shared state of one compilation. `plan_use` plans a block's use, `order_inputs` sorts its inputs (blocks.py).

    strict: shapes that do not match are problems; otherwise they are left to the recorder.
    """

    library: Library
    plan_use: Callable[[CompileSession, Layer, tuple[GraphTensor, ...], tuple[BlockFrame, ...]], BlockPlan | None]
    order_inputs: Callable[[str, Block, tuple, dict], tuple[GraphTensor, ...]]
    strict: bool = True
    allow_python: bool = False
    layer_cache: LayerCache = field(default_factory=LayerCache)
    problems: Problems = field(default_factory=Problems)
    mismatches: Problems = field(default_factory=Problems)
    warnings: dict[tuple[str, Span], tuple[str, Problem]] = field(default_factory=dict)
    plans: dict[tuple, BlockPlan | None] = field(default_factory=dict)
    open_blocks: list[BlockSource] = field(default_factory=list)
    contexts: dict[str, FileContext] = field(default_factory=dict)
    budget: WorkBudget = field(default_factory=WorkBudget)
    largest_bytes: int = 0  # bytes of the largest result of one operation
    names_by_block: dict[int, frozenset[str]] = field(default_factory=dict)  # a block → the names that it reads
    undo_declarations: list[Callable[[], object]] = field(
        default_factory=list
    )  # undo functions for the first call of each module
    conditions: LoopConditions | None = None  # those of `when:` that read names of a loop
    current_span: Span | None = None  # the step whose result is being computed by torch
    loop_turns: int = 1  # of the loops around the step being built, multiplied
    base: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.problems.sources = self.mismatches.sources = self.library.sources
        self.base = Scope(
            table={"Parameter": ParameterFunction()}, fallback=find_torch_name, fallback_names=all_torch_names
        )

    # Problems

    def report(self, span: Span, message: str, help: str = "") -> None:
        self.problems.add(Problem(span, message, help))

    def warn(self, rule: str, problem: Problem) -> None:
        self.warnings.setdefault((rule, problem.span), (rule, problem))

    def names_read(self, block: Block) -> frozenset[str]:
        """Return all names that a block reads, computed once for all its uses."""
        if id(block) not in self.names_by_block:
            self.names_by_block[id(block)] = names_read(block)
        return self.names_by_block[id(block)]

    @contextmanager
    def trial(self) -> Iterator[Callable[[], bool]]:
        """Build something tentatively within the context: its problems are discarded. Yields a function that returns
        whether it succeeded."""
        kept = self.problems, self.mismatches, dict(self.warnings), dict(self.plans), self.budget.steps
        self.problems, self.mismatches, known = Problems(), Problems(), len(self.undo_declarations)
        sound = False
        try:
            yield lambda: sound
            sound = not (self.problems or self.mismatches or self.undo_declarations[known:])
        except EvaluationError:
            pass
        finally:
            self.problems, self.mismatches, self.warnings, plans, self.budget.steps = kept
            if not sound:
                self.plans = plans
                while len(self.undo_declarations) > known:
                    self.undo_declarations.pop()()

    # Values

    def evaluator(self, scope: Scope, report: ReportProblem | None = None, host: Host | None = None) -> Evaluator:
        return Evaluator(scope.find, scope.names, report or self.report, host, self.budget)

    def evaluate_data(
        self, value: Data, scope: Scope, *, words: bool, report: ReportProblem | None = None, host: Host | None = None
    ) -> Value:
        """Return a value written as YAML data. words: an unknown bare name is a word."""
        if isinstance(value, Constant):
            return value.value
        if isinstance(value, Word):
            return value.text
        if isinstance(value, Items):
            return [self.evaluate_data(v, scope, words=words, report=report, host=host) for v in value.items]
        if isinstance(value, Table):
            return {k: self.evaluate_data(v, scope, words=words, report=report, host=host) for k, v in value.entries}
        if words and isinstance(value.tree, ast.Name) and scope.find(value.text) is MISSING:
            return value.text
        return self.evaluator(scope, report, host).value(value)

    def add_defaults(self, arguments: tuple[Argument, ...], scope: Scope, report: ReportProblem | None = None) -> None:
        """Add the defaults of a signature, for those arguments that the scope does not hold yet."""
        for argument in arguments:
            if argument.name not in scope.table and argument.default is not None:
                default = partial(self.evaluator(scope, report).value, argument.default)
                scope.table[argument.name] = LazyValue(default, argument.name)

    def add_let(self, definitions: tuple[Definition, ...], scope: Scope, report: ReportProblem | None = None) -> None:
        """Add the entries of a `let`, each computed on first use."""
        for entry in definitions:
            if entry.arguments is not None:
                scope.table[entry.name] = LetFunction(self, entry, scope)
            else:
                value = partial(self.evaluate_data, entry.value, scope, words=True, report=report)
                scope.table[entry.name] = LazyValue(value, entry.name)

    # Files

    def file_context(self, file: str) -> FileContext:
        """Return a file with its params at their defaults."""
        if file not in self.contexts:
            context = self.contexts[file] = self.configure(self.library.files[file], None, {})
            for entry in context.spec.modules:
                context.scope.table[entry.name] = LazyValue(
                    partial(_refuse_imported_module, entry.name, file), entry.name
                )
        return self.contexts[file]

    def configure(self, spec: Spec, variant: Variant | None, settings: Mapping[str, Setting | Value]) -> FileContext:
        """Return a file with the params of a variant and `settings` (Settings, or known values) on top."""
        names = self._blocks_scope(spec)
        context = FileContext(spec, Scope(names))
        context.blocks.update({b.name: LayerClass(b.name, BlockSource(b, context), bind_block) for b in spec.blocks})
        names.table.update(context.blocks)
        chosen: dict[str, Setting | Value] = {s.name: s for s in (*spec.params, *(variant.settings if variant else ()))}
        for name, value in (chosen | dict(settings)).items():
            context.scope.table[name] = self._lazy_setting(value, name, context.scope)
        self.add_let(spec.let, context.scope)
        return context

    def _lazy_setting(self, value: Setting | Value, name: str, scope: Scope) -> Value:
        if not isinstance(value, Setting):
            return value
        return LazyValue(lambda: as_param_value(self.evaluate_data(value.value, scope, words=True)), name)

    def _blocks_scope(self, spec: Spec) -> Scope:
        scope = Scope(self.base)
        for entry in spec.imports:
            for label, here in entry.names:
                scope.table[here] = LazyValue(partial(self._import_name, entry, label.name, here), here)
        for foreign in spec.python:
            scope.table[foreign.name] = LazyValue(partial(self._import_python, foreign), foreign.name)
        return scope

    def _import_name(self, entry: Import, name: str, here: str) -> LayerClass:
        context = self.file_context(entry.file)
        if name in context.blocks:
            return replace(context.blocks[name], name=here)
        return LayerClass(here, NetSource(context.spec, entry.file), bind_net)

    def _import_python(self, foreign: PythonClass) -> Value:
        if not self.allow_python:
            raise EvaluationError(f"{foreign.name} is Python code, {foreign.target}", ALLOW_PYTHON_HELP)
        module, _, attribute = foreign.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # noqa: BLE001 - the user's code raises what it likes
            raise EvaluationError(f"{foreign.target} cannot be imported: {error}") from None
        if not isinstance(found, type) or not issubclass(found, nn.Module):
            raise EvaluationError(f"{foreign.target} is not a subclass of torch.nn.Module")
        return LayerClass(foreign.name, found, bind_layer)

    # Blocks

    def call_inputs(self, layer: Layer, args: tuple, kwargs: dict) -> tuple[GraphTensor, ...]:
        """Return the inputs of a block's call, in the block's own order. Raises EvaluationError."""
        source = layer.kind.source
        if isinstance(source, BlockSource):
            block = source.block
        else:  # a whole file as a block: only its inputs matter here
            block = Block(source.spec.name, (), (), source.spec.span, source.spec.inputs)
        return self.order_inputs(layer.kind.name, block, args, kwargs)

    def plan_block(
        self, layer: Layer, inputs: tuple[GraphTensor, ...], frames: tuple[BlockFrame, ...]
    ) -> BlockPlan | None:
        """Return the plan of one use of a block; None if it has problems, which are reported. Raises
        EvaluationError."""
        return self.plan_use(self, layer, inputs, frames)

    def note_result_size(self, result: object) -> None:
        """Update the bytes of the largest result of one operation."""
        size = sum(t.numel() * t.element_size() for t in flatten_tensors(result))
        self.largest_bytes = max(self.largest_bytes, size)


def _refuse_imported_module(name: str, file: str) -> Value:
    suggestion = f"give the block an argument for it: Block({name})"
    raise EvaluationError(f"module {name} belongs to the net of {file}, and only its blocks are imported", suggestion)


def as_param_value(value: Value) -> Value:
    """Return a param's value: a list stays a list, and nested lists become tuples."""
    return [as_block_argument(v, None) for v in value] if isinstance(value, list) else as_block_argument(value, None)


def bind_block(kind: LayerClass, args: tuple, kwargs: dict) -> Layer:
    return Layer(kind, bind_arguments(kind.name, kind.source.block.arguments, args, kwargs))


def bind_net(kind: LayerClass, args: tuple, kwargs: dict) -> Layer:
    """Return a whole file as a block: `variant=` and its params are its arguments."""
    spec: Spec = kind.source.spec
    if args:
        raise EvaluationError(f"{kind.name} takes its params by name, not by position")
    names = [s.name for s in spec.params] + (["variant"] if spec.variants else [])
    for key in kwargs:
        if key not in names:
            raise EvaluationError(
                f"{kind.name} has no param {key!r}", did_you_mean(key, names) or f"it has {', '.join(names) or 'none'}"
            )
    variants = [v.name for v in spec.variants]
    if "variant" in kwargs and kwargs["variant"] not in variants:
        near = did_you_mean(str(kwargs["variant"]), variants)
        raise EvaluationError(
            f"{kind.name} has no variant {kwargs['variant']!r}", near or f"it has {', '.join(variants)}"
        )
    return Layer(kind, tuple(kwargs.items()))


def find_torch_name(name: str) -> Value:
    """Return the meaning of a name that no spec defines: a layer of torch.nn, a function, a dtype.

    Raises EvaluationError for a layer that is not supported.
    """
    cls = torch_layers().get(name)
    if cls is not None:
        return LayerClass(name, cls, bind_layer)
    if name in REFUSED_MODULES:
        raise EvaluationError(f"{name} is not a layer of this language", REFUSED_MODULES[name])
    if name in RANDOM_FUNCTIONS:
        layer = "Dropout" if "dropout" in name else name
        raise EvaluationError(
            f"the function {name} is random, in eval mode too", f"write the layer, for example {layer}(…)"
        )
    entry = language_functions().get(name)
    if entry is not None:
        return TensorFunction(name, entry)
    if name in NUMBER_FUNCTIONS:
        return NumberFunction(name)
    return NUMBER_CONSTANTS.get(name, language_dtypes().get(name, MISSING))


def all_torch_names() -> Mapping[str, object]:
    return {**torch_layers(), **language_functions(), **NUMBER_FUNCTIONS, **NUMBER_CONSTANTS}
