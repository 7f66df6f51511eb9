"""The graph of one use of a block: each function, layer and parameter of its steps becomes a node.

function or layer + tensors → shape check → fx node with its Location → GraphTensor
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from keyword import iskeyword
from operator import methodcaller
from typing import Any

import torch

from archscope.compile import shapes
from archscope.compile.argument_checks import check_dim
from archscope.compile.built_net import Net
from archscope.compile.call_limits import MAX_NUMEL, MAX_RANK, check_call_limits, check_result_limits
from archscope.compile.graph_builder import GraphBuilder
from archscope.compile.graph_tensor import (
    GraphTensor,
    flatten_tensors,
    has_any_open_rank,
    has_open_result,
    mark_open_rank,
    tensor_help,
)
from archscope.compile.layer_cache import Recipe, run_on_meta
from archscope.compile.layer_classes import DeclaredLayer, Layer, LayerClass
from archscope.compile.plan import BlockPlan, Member, ParameterSpec, SharedModule
from archscope.compile.plan_comparison import graph_form
from archscope.compile.runtime_numbers import (
    ReadNumber,
    RuntimeList,
    RuntimeNumber,
    VaryingItems,
    compile_time_value,
    map_items,
)
from archscope.errors import BlockFrame, Problem, Span
from archscope.ops.shape_errors import Dims, find_shape_problem
from archscope.spec.bounded_math import NUMBER_FUNCTIONS, EvaluationError
from archscope.spec.spec_values import UNKNOWN, SpecValue, Value
from archscope.torch_layers.signatures import torch_layers
from archscope.trace import LayerConflict, Location, join_path

MISMATCH_HELP = {
    **dict.fromkeys(("add", "multiply"), "the dimensions must be equal, or 1, counted from the right"),
    "concat": "the branches must give the same sizes there",
    "product": "the left one's last size must be the right one's last but one",
    "attention": "query, key and value are (N, heads, length, size of a head)",
    "view": "the sizes must multiply to the number of elements; one of them may be -1",
}
"""The help for a shape problem, by its kind."""
CHECKED_FIRST = frozenset(
    [
        *("add", "sub", "mul", "truediv", "pow", "floordiv", "remainder", "cat", "stack", "view", "reshape"),
        "scaled_dot_product_attention",  # torch's own kernels do not compare all lengths, and read out of bounds
    ]
)
"""Functions whose operands are compared before they run; torch refuses all that the comparison refuses."""
FLOAT_CREATION = frozenset(["zeros", "ones", "eye", "linspace"])
SIZE_COUNTED = frozenset(["unbind", "chunk", "split"])
"""Functions whose number of results depends on the sizes of their input."""
ARGUMENT_COUNTED = frozenset(["tensor_split", "hsplit", "vsplit", "meshgrid"])
"""Functions whose number of results depends on their arguments."""
LIST_TAKING = frozenset(["cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"])
SOFTMAX_FUNCTIONS = frozenset(["softmax", "log_softmax", "softmin"])
RESERVED_NAMES = frozenset(dir(Net)) | {"training"}


def attribute_name(path: str) -> str:
    """Return a path as an attribute of a module; names that nn.Module uses (`type`, `forward`) get an underscore.

    The value of `from:` is named `h_from`, beside the step `h` and not below it, where the step's own layer may be.
    """
    parts = [part + "_" if part in RESERVED_NAMES or part.startswith("_") else part for part in path.split(".")]
    first, *rest = parts
    return (f"{first}_" if iskeyword(first) else first) + "".join("._"[iskeyword(part)] + part for part in rest)


@dataclass
class BlockUse(GraphBuilder):
    """The graph of one use of a block, or, in a loop over a run-time length, of one turn, while it is built.

    root: the use of the block that the turn belongs to; the object itself if it is not a turn. first_input: the block's
    first input.
    """

    outer: BlockUse | None = None
    first_input: GraphTensor | None = None
    inputs: dict[str, GraphTensor] = field(default_factory=dict)
    shared_names: dict[DeclaredLayer, str] = field(default_factory=dict)

    @property
    def root(self) -> BlockUse:
        return self.outer.root if self.outer else self

    def report(self, span: Span, message: str, help: str = "") -> None:
        """Report a problem in this block, with the uses of blocks around it."""
        self.session.problems.add(Problem(span, message, help, self.frames))

    def report_mismatch(self, problem: Problem) -> None:
        """Report operands that do not fit; in an analysis they are left to the recorder, unless other problems
        prevent the run."""
        session = self.session
        (session.problems if session.strict else session.mismatches).add(problem)

    def fail_or_report(self, fact: str, help: str) -> None:
        """Raise EvaluationError for shapes that do not fit at the current step; in an analysis, leave them to the
        recorder."""
        if self.session.strict:
            raise EvaluationError(fact, help)
        self.report_mismatch(Problem(self.cursor.span, fact, help, self.frames))

    # Functions

    def apply_function(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> Value:
        """Return the result of a function or method (by name) as GraphTensors. Raises EvaluationError."""
        self._refuse_non_tensors(name, (*args, *kwargs.values()))
        if isinstance(function, str) and not args:  # a method: its first argument is the tensor
            args, kwargs = (kwargs.get("input"),), {key: v for key, v in kwargs.items() if key != "input"}
            if not isinstance(args[0], GraphTensor):
                raise EvaluationError(f"{name} is given no tensor", f"its tensor stands first: {name}(x, …)")
        if name in LIST_TAKING and args and isinstance(args[0], GraphTensor):
            raise EvaluationError(f"{name} takes a list of tensors", f"for example {name}([a, b], dim=1)")
        if name in NUMBER_FUNCTIONS and args and isinstance(args[0], (list, tuple, RuntimeList)):
            raise EvaluationError(f"{name} takes one tensor, not a list", f"for example {name}(stack(values), dim=0)")
        creation = self._creation_kwargs(name, kwargs)
        metas, named = meta_argument(args), {k: meta_argument(v) for k, v in kwargs.items()}
        self.session.current_span = self.cursor.span
        check_call_limits(name, metas, named, method=isinstance(function, str))
        result: Any = self._meta_result(name, function, metas, {**named, **creation})
        check_result_limits(name, result)
        self.session.note_result_size(result)
        self._count_steps(1)
        result = (
            mark_open_rank(result) if has_open_result(name, args, kwargs, (metas, tuple(named.values()))) else result
        )
        run_time = {k: self.lower(v) for k, v in kwargs.items()} | self._device_kwargs(creation)
        kind = "call_method" if isinstance(function, str) else "call_function"
        node = self.graph.create_node(kind, function, self.lower(args), run_time)
        given = (*args, *kwargs.values())
        varies = name in SIZE_COUNTED and not any(isinstance(v, (list, tuple)) for v in given)
        varies = varies or (
            name in ARGUMENT_COUNTED and any(isinstance(v, (RuntimeNumber, RuntimeList)) for v in given)
        )
        return self.wrap_result(node, VaryingItems(result) if varies else result)

    def _refuse_non_tensors(self, name: str, values: Iterable[Value]) -> None:
        for value in values:
            if isinstance(value, (list, tuple)):
                self._refuse_non_tensors(name, value)
            elif isinstance(value, SpecValue) and not isinstance(value, (GraphTensor, RuntimeNumber, RuntimeList)):
                raise EvaluationError(f"{name} is given {value.what}", tensor_help(value))

    def _creation_kwargs(self, name: str, kwargs: dict) -> dict[str, object]:
        """Return the device of a tensor that a function creates, and the dtype of the block's first input for
        floats."""
        function = self.session.base.find(name)
        if not getattr(getattr(function, "entry", None), "creates", False):
            return {}
        floats = (
            self.first_input is not None
            and name in FLOAT_CREATION
            and "dtype" not in kwargs
            and self.root.plan.is_floating
        )
        return {"device": "meta"} | ({"dtype": torch.float32} if floats else {})

    def _device_kwargs(self, creation: dict[str, object]) -> dict[str, object]:
        if self.first_input is None:
            return {}
        source = self.lower(self.first_input)
        return {name: self.graph.call_function(getattr, (source, name)) for name in creation}

    def _meta_result(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object:
        if name in CHECKED_FIRST and (intended := self._intended_result(name, args, kwargs)) is not None:
            return intended
        try:
            return self._checked_result(name, function, args, kwargs)
        except EvaluationError:
            intended = self._intended_result(name, args, kwargs)
            if intended is None:
                raise
            return intended

    def _intended_result(self, name: str, args: tuple, kwargs: dict) -> torch.Tensor | None:
        """Report operands that do not fit; in an analysis, return a value of the intended shape."""
        misfit = find_shape_problem(
            name, tuple(map(dims_argument, args)), {k: dims_argument(v) for k, v in kwargs.items()}
        )
        if misfit is None or math.prod(misfit.intended_shape) > MAX_NUMEL or len(misfit.intended_shape) > MAX_RANK:
            return None
        self.fail_or_report(misfit.fact, MISMATCH_HELP.get(misfit.kind, ""))
        return flatten_tensors((args, kwargs))[0].new_empty(misfit.intended_shape)

    def _checked_result(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object:
        result = shapes.function_output(name, args, kwargs)
        if result is not None:
            return result
        dim = kwargs.get("dim", args[1] if name in SOFTMAX_FUNCTIONS and len(args) > 1 else None)
        if type(dim) is int and name not in ("stack", "unsqueeze") and args and isinstance(args[0], torch.Tensor):
            check_dim(name, dim, args[0])
        if isinstance(function, str):
            run = partial(methodcaller(function, *args[1:], **kwargs), args[0])
        else:
            run = partial(function, *args, **kwargs)
        return run_on_meta("indexing" if name == "getitem" else name, run, args)

    # Layers and blocks

    def apply(self, layer: Layer | LayerClass | DeclaredLayer, args: tuple, kwargs: dict) -> Value:
        """Return the result of a layer, block or declared module. Raises EvaluationError."""
        declared = layer if isinstance(layer, DeclaredLayer) else None
        inner: Layer | LayerClass = layer.layer if isinstance(layer, DeclaredLayer) else layer
        if isinstance(inner, LayerClass):
            inner = inner.bind(inner, (), {})
        self._refuse_non_tensors(inner.kind.name, (*args, *kwargs.values()))
        for value in args:
            several = isinstance(value, (tuple, list, RuntimeList))
            if several and (value is args[0] or not isinstance(inner.kind.source, type)):
                raise EvaluationError(
                    f"{inner.kind.name} is given {len(meta_argument(value))} values as one input",
                    "take them apart with labels: - out, _: …",
                )
        if isinstance(inner.kind.source, type):
            return self._apply_layer(inner, declared, args, kwargs)
        return self._apply_block(inner, declared, args, kwargs)

    def _apply_layer(self, layer: Layer, declared: DeclaredLayer | None, args: tuple, kwargs: dict) -> Value:
        layer_cache = self.session.layer_cache
        if declared and declared.built:
            layer = replace(layer, arguments=declared.built.arguments, inferred=())
        conflicts: list[LayerConflict] = []
        self.session.current_span = self.cursor.span
        args = self._replace_unfit_input(layer, args, conflicts)
        inputs, named = meta_argument(args), {k: meta_argument(v) for k, v in kwargs.items()}
        recipe = layer_cache.complete_recipe(
            layer, tuple(t for t in inputs if isinstance(t, torch.Tensor)), conflicts.append
        )
        self._report_conflicts(conflicts)
        result = layer_cache.output(recipe, inputs, named)
        check_result_limits(recipe.name, result)
        self.session.note_result_size(result)
        foreign = torch_layers().get(recipe.name) is not recipe.cls
        result = mark_open_rank(result) if foreign or has_any_open_rank((inputs, tuple(named.values()))) else result
        site = Location(self.cursor.path, recipe.name, "layer", layer_cache.arguments_text(recipe), self.cursor.span)
        site = site._replace(conflict=conflicts[0]) if conflicts and not self.session.strict else site
        return self._add_call(declared, recipe, site, args, kwargs, result)

    def _replace_unfit_input(self, layer: Layer, args: tuple, conflicts: list[LayerConflict]) -> tuple:
        """Return the inputs; in an analysis, replace one that the layer cannot take by one that it can."""
        if self.session.strict or not args or not isinstance(args[0], GraphTensor):
            return args
        found = self.session.layer_cache.find_input_conflict(layer, args[0].meta)
        if found is None:
            return args
        conflict, shape = found
        conflicts.append(conflict)
        node = self.graph.call_method("new_zeros", (self.lower(args[0]), shape))
        return (GraphTensor(self, node, args[0].meta.new_empty(shape)), *args[1:])

    def _report_conflicts(self, conflicts: list[LayerConflict]) -> None:
        for conflict in conflicts:
            self.report_mismatch(Problem(self.cursor.span, conflict.fact, conflict.help, self.frames))

    def _apply_block(self, layer: Layer, declared: DeclaredLayer | None, args: tuple, kwargs: dict) -> Value:
        path = join_path(self.prefix, self.cursor.path)
        frame = BlockFrame(layer.kind.name, self.cursor.span, path)
        inputs = self.session.call_inputs(layer, args, kwargs)
        plan = self.session.plan_block(layer, inputs, (frame, *self.frames))
        if plan is None:
            return UNKNOWN
        if declared and declared.built and plan is not declared.built:
            _check_same_block(declared, plan)
        given = dict(layer.arguments)
        for argument, at in plan.fixed:
            settled_at = at._replace(path=join_path(self.cursor.path, at.path))
            number = argument_part(given, argument)
            if isinstance(number, RuntimeNumber) and not number.fixed:
                self.fix_number(number, settled_at)
        more = tuple(
            argument_part(given, value.argument) if is_block_argument(value, plan) else value for value in plan.captured
        )
        site = Location(self.cursor.path, plan.name, "block", plan.text, self.cursor.span)
        return self._add_call(declared, plan, site, (*inputs, *more), {}, plan.output)

    def _add_call(
        self,
        declared: DeclaredLayer | None,
        member: Recipe | BlockPlan,
        site: Location,
        args: tuple,
        kwargs: dict,
        result: object,
    ) -> Value:
        name = self._declared_name(declared, member) if declared else self.add(member)
        if not declared:
            site = site._replace(path=name if self.cursor.layers > 1 else self.cursor.path)
        node = self.graph.call_module(name, self.lower(args), {k: self.lower(v) for k, v in kwargs.items()})
        node.meta["site"] = site
        node.meta |= {} if declared else {"own": True}
        if isinstance(member, BlockPlan):
            node.meta["plan"] = member
        return self.wrap_result(node, result)

    def _declared_name(self, declared: DeclaredLayer, member: Recipe | BlockPlan) -> str:
        """Return the name of a declared module in the block that is being built."""
        owner, home = declared.owner.root, self.root
        if declared.built is None:
            declared.built = member
            declared.member_name = owner.add(member, declared.name)
            owner.plan.declared[declared.member_name] = declared
            self.session.undo_declarations.append(partial(self._undeclare, declared))
        if owner is home:
            return declared.member_name
        if declared not in home.shared_names:
            home.shared_names[declared] = home.add(SharedModule(declared), declared.name)
        return home.shared_names[declared]

    def _undeclare(self, declared: DeclaredLayer) -> None:
        """Undo the first call of a declared module."""
        owner, home = declared.owner.root, self.root
        del owner.plan.declared[declared.member_name], owner.plan.members[declared.member_name]
        if declared in home.shared_names:
            del home.plan.members[home.shared_names.pop(declared)]
        declared.built, declared.member_name = None, ""

    def add(self, member: Member, path: str | None = None) -> str:
        """Register a member under an unused name and count it."""
        name = attribute_name(path if path is not None else self.cursor.next_path()) or "."
        while name in self.plan.members:
            name += "_"
        self.plan.members[name] = member
        self._count_steps(max(member.steps, 1) if isinstance(member, BlockPlan) else 1)
        return name

    def _count_steps(self, steps: int) -> None:
        """Add to the number of steps of the net. Raises EvaluationError if it has too many."""
        self.plan.steps += steps
        self.session.budget.step(steps)

    # Parameters

    def add_parameter(self, shape: tuple[int, ...], init: float | None) -> GraphTensor:
        """Return a learned tensor of this step. Raises EvaluationError if it is too large."""
        if len(shape) > MAX_RANK:
            raise EvaluationError(
                f"Parameter has {len(shape)} dimensions; at most {MAX_RANK} are allowed", "fewer dimensions"
            )
        if math.prod(shape) > MAX_NUMEL:
            count = math.prod(shape)
            raise EvaluationError(
                f"Parameter{shape} has {count:,} numbers; at most {MAX_NUMEL:,} are allowed", "smaller sizes"
            )
        return self._weight_tensor(self.add(ParameterSpec(shape, init)), torch.empty(shape, device="meta"))

    def declared_weight(self, declaration: DeclaredLayer, name: str) -> Value:
        """Return a parameter of a declared module that has been called: `embed.weight`. Raises EvaluationError."""
        if not isinstance(declaration.built, Recipe):
            raise EvaluationError(
                f"module {declaration.name} has no weights before its first call", "call it in an earlier step"
            )
        name_here = self._declared_name(declaration, declaration.built)
        found = dict(self.session.layer_cache.meta_module(declaration.built).named_parameters())
        if name not in found:
            raise EvaluationError(
                f"module {declaration.name} has no parameter {name!r}", f"it has {', '.join(found) or 'none'}"
            )
        return self._weight_tensor(f"{name_here}.{name}", found[name])

    def _weight_tensor(self, name: str, meta: torch.Tensor) -> GraphTensor:
        node = self.graph.create_node("get_attr", name)
        node.meta["shapes"] = (tuple(meta.shape),)
        return GraphTensor(self, node, meta.detach())


def _check_same_block(declared: DeclaredLayer, plan: BlockPlan) -> None:
    """Raise EvaluationError if a declared block would differ from its first call."""
    if list(plan.walk()) != list(declared.built.walk()):
        raise EvaluationError(f"module {declared.name} would need other weights here than at its first call")
    if graph_form(plan) != graph_form(declared.built):
        fact = f"module {declared.name} would do other steps here than at its first call, at other sizes"
        raise EvaluationError(fact, "its steps may not depend on a size: declare two modules")


def is_block_argument(value: object, plan: BlockPlan) -> bool:
    """Return whether a number is an argument of the block of `plan`."""
    return isinstance(value, ReadNumber) and value.argument is not None and value.owner.plan is plan


def argument_part(arguments: Mapping[str, Value], place: tuple[str | int, ...]) -> Value:
    """Return the part of a block's arguments at a place: an argument's name, then indexes into lists."""
    value: Any = arguments[str(place[0])]
    for index in place[1:]:
        value = value[index]
    return value


def meta_argument(value: object) -> Any:
    """Return `value` for the shape pass: meta tensors for tensors, plain numbers for run-time numbers."""
    if isinstance(value, GraphTensor):
        return value.meta
    if isinstance(value, slice):
        return slice(meta_argument(value.start), meta_argument(value.stop), meta_argument(value.step))
    if isinstance(value, RuntimeList):
        return list(value.meta_items)
    return map_items(value, meta_argument) if isinstance(value, (list, tuple)) else compile_time_value(value)


def dims_argument(value: object) -> object:
    """Return an argument of the shape pass with shapes in place of tensors."""
    if isinstance(value, torch.Tensor):
        return Dims(value.shape)
    return tuple(dims_argument(v) for v in value) if isinstance(value, (list, tuple)) else value
