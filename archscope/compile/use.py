"""One use of a block, as a graph: every function, layer and parameter that its steps name becomes a node.

function or layer + Tensors → checked on shapes → fx node with its Site → Tensor
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from keyword import iskeyword
from typing import Any

import torch
from torch import fx

from archscope.compile import shapes
from archscope.compile.bounds import LARGEST, RANK, check_call, check_result
from archscope.compile.built import Net
from archscope.compile.graphs import GraphBuilder
from archscope.compile.kinds import Declaration, Kind, Layer
from archscope.compile.layers import Recipe, guarded
from archscope.compile.likeness import form_of
from archscope.compile.metas import any_open, flat, leaves_open, opened
from archscope.compile.numbers import Reading, RuntimeList, RuntimeNumber, Varying, plain, rebuilt
from archscope.compile.plan import BlockPlan, Raw, Shared
from archscope.compile.sense import check_dim
from archscope.compile.signatures import layer_classes
from archscope.compile.values import Tensor, cure_of
from archscope.errors import Frame, Problem, Span
from archscope.fit import Dims, find
from archscope.spec.numbers import NUMBERS, Fault
from archscope.spec.things import UNKNOWN, Thing, numeric
from archscope.trace import Conflict, Site, join_path

CURES = {
    **dict.fromkeys(("add", "multiply"), "the dimensions must be equal, or 1, counted from the right"),
    "concat": "the branches must give the same sizes there",
    "product": "the left one's last size must be the right one's last but one",
    "attention": "query, key and value are (N, heads, length, size of a head)",
    "view": "the sizes must multiply to the number of elements; one of them may be -1",
}
"""How to cure what does not fit, by its kind."""
CERTAIN = frozenset(
    [
        *("add", "sub", "mul", "truediv", "pow", "floordiv", "remainder", "cat", "stack", "view", "reshape"),
        "scaled_dot_product_attention",  # torch's own kernels do not compare all lengths, and read past the end
    ]
)
"""Functions whose operands are compared before they run: whatever does not fit by our rules, torch refuses too."""
FLOATS = frozenset(["zeros", "ones", "eye", "linspace"])
VARYING = frozenset(["unbind", "chunk", "split"])
"""Functions that give as many tensors as sizes say."""
TOLD = frozenset(["tensor_split", "hsplit", "vsplit", "meshgrid"])
"""Functions that give as many tensors as their arguments say."""
LISTS = frozenset(["cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"])
SOFT = frozenset(["softmax", "log_softmax", "softmin"])
TAKEN = frozenset(dir(Net)) | {"training"}


def attribute_name(path: str) -> str:
    """A path as a module's attribute: labels that nn.Module uses itself (`type`, `forward`) get an underscore.

    What `from:` computes has a name beside the step's, not below it, where the step's own layer may stand: `h_from`.
    """
    parts = [part + "_" if part in TAKEN or part.startswith("_") else part for part in path.split(".")]
    first, *rest = parts
    return (f"{first}_" if iskeyword(first) else first) + "".join("._"[iskeyword(part)] + part for part in rest)


@dataclass
class Use(GraphBuilder):
    """Builds the graph of one use of a block, or, inside a loop that follows a run-time length, of one turn.

    home: the use whose turn this is; itself otherwise. door: the block's first input.
    """

    around: Use | None = None
    door: Tensor | None = None
    inputs: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[Declaration, str] = field(default_factory=dict)

    @property
    def home(self) -> Use:
        return self.around.home if self.around else self

    def report(self, span: Span, message: str, help: str = "") -> None:
        """Notes a problem of this block, with the chain of blocks around it."""
        self.workshop.problems.add(Problem(span, message, help, self.frames))

    def mismatch(self, problem: Problem) -> None:
        """Operands that do not fit: a problem, or left to the recorder, unless other problems keep it from running."""
        workshop = self.workshop
        (workshop.problems if workshop.strict else workshop.mismatches).add(problem)

    def unfit(self, fact: str, cure: str) -> None:
        """Shapes that do not fit, at the step being built: a fault, or left to the recorder. Raises Fault."""
        if self.workshop.strict:
            raise Fault(fact, cure)
        self.mismatch(Problem(self.here.span, fact, cure, self.frames))

    # Functions

    def function(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object:
        """A function or method (by name) on values; the result as Tensors. Raises Fault."""
        self._refuse_things(name, (*args, *kwargs.values()))
        if isinstance(function, str) and not args:  # a method, whose tensor is named
            args, kwargs = (kwargs.get("input"),), {key: v for key, v in kwargs.items() if key != "input"}
            if not isinstance(args[0], Tensor):
                raise Fault(f"{name} is given no tensor", f"its tensor stands first: {name}(x, …)")
        if name in LISTS and args and isinstance(args[0], Tensor):
            raise Fault(f"{name} takes a list of tensors", f"for example {name}([a, b], dim=1)")
        if name in NUMBERS and args and isinstance(args[0], (list, tuple, RuntimeList)):
            raise Fault(f"{name} takes one tensor, not a list", f"for example {name}(stack(values), dim=0)")
        made = self._creation(name, kwargs)
        metas, named = on_meta(args), {k: on_meta(v) for k, v in kwargs.items()}
        self.workshop.at = self.here.span
        check_call(name, metas, named, method=isinstance(function, str))
        result: Any = self._function_result(name, function, metas, {**named, **made})
        check_result(name, result)
        self.workshop.measure(result)
        self._spend(1)
        result = opened(result) if leaves_open(name, args, kwargs, (metas, tuple(named.values()))) else result
        create = self.graph.call_method if isinstance(function, str) else self.graph.call_function
        run_time = {k: self.lowered(v) for k, v in kwargs.items()} | self._on_device(made)
        node = create(function, self.lowered(args), run_time)  # type: ignore[arg-type]
        given = (*args, *kwargs.values())
        varies = name in VARYING and not any(isinstance(v, (list, tuple)) for v in given)
        varies = varies or (name in TOLD and any(isinstance(v, (RuntimeNumber, RuntimeList)) for v in given))
        return self.wrap(node, Varying(result) if varies else result)

    def _refuse_things(self, name: str, values: Iterable[object]) -> None:
        for value in values:
            if isinstance(value, (list, tuple)):
                self._refuse_things(name, value)
            elif isinstance(value, Thing) and not isinstance(value, (Tensor, RuntimeNumber, RuntimeList)):
                raise Fault(f"{name} is given {value.what}", cure_of(value))

    def _creation(self, name: str, kwargs: dict) -> dict[str, object]:
        """Where a tensor made from nothing lies, and that floats are those of the block's first input."""
        function = self.workshop.base.find(name)
        if not getattr(getattr(function, "entry", None), "creates", False):
            return {}
        floats = self.door is not None and name in FLOATS and "dtype" not in kwargs and self.home.plan.floating
        return {"device": "meta"} | ({"dtype": torch.float32} if floats else {})

    def _on_device(self, made: dict[str, object]) -> dict[str, object]:
        if self.door is None:
            return {}
        door = self.lowered(self.door)
        return {name: self.graph.call_function(getattr, (door, name)) for name in made}

    def _function_result(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object:
        if name in CERTAIN and (mended := self._mended(name, args, kwargs)) is not None:
            return mended
        try:
            return self._fitting_result(name, function, args, kwargs)
        except Fault:
            mended = self._mended(name, args, kwargs)
            if mended is None:
                raise
            return mended

    def _mended(self, name: str, args: tuple, kwargs: dict) -> torch.Tensor | None:
        """Where operands do not fit: a problem, or, for an analysis, a value of the shape that was meant."""
        misfit = find(name, tuple(map(as_dims, args)), {k: as_dims(v) for k, v in kwargs.items()})
        if misfit is None or math.prod(misfit.meant) > LARGEST or len(misfit.meant) > RANK:
            return None
        self.unfit(misfit.fact, CURES.get(misfit.kind, ""))
        return flat((args, kwargs))[0].new_empty(misfit.meant)

    def _fitting_result(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object:
        result = shapes.function_output(name, args, kwargs)
        if result is not None:
            return result
        dim = kwargs.get("dim", args[1] if name in SOFT and len(args) > 1 else None)
        if type(dim) is int and name not in ("stack", "unsqueeze") and args and isinstance(args[0], torch.Tensor):
            check_dim(name, dim, args[0])
        run = (lambda: getattr(args[0], function)(*args[1:], **kwargs)) if isinstance(function, str) else None
        return guarded("indexing" if name == "getitem" else name, run or (lambda: function(*args, **kwargs)), args)  # type: ignore[operator]

    # Layers and blocks

    def apply(self, layer: Layer | Kind | Declaration, args: tuple, kwargs: dict) -> object:
        """A layer, block or declared module on its inputs. Raises Fault."""
        declared = layer if isinstance(layer, Declaration) else None
        inner: Layer | Kind = declared.layer if declared else layer  # type: ignore[assignment]
        if isinstance(inner, Kind):
            inner = inner.bind(inner, (), {})
        self._refuse_things(inner.kind.name, (*args, *kwargs.values()))
        for value in args:
            several = isinstance(value, (tuple, list, RuntimeList))
            if several and (value is args[0] or not isinstance(inner.kind.source, type)):
                raise Fault(
                    f"{inner.kind.name} is given {len(on_meta(value))} values as one input",
                    "take them apart with labels: - out, _: …",
                )
        if isinstance(inner.kind.source, type):
            return self._apply_layer(inner, declared, args, kwargs)
        return self._apply_block(inner, declared, args, kwargs)

    def _apply_layer(self, layer: Layer, declared: Declaration | None, args: tuple, kwargs: dict) -> object:
        foundry = self.workshop.foundry
        if declared and declared.made:
            layer = replace(layer, arguments=declared.made.arguments, struck=())
        conflicts: list[Conflict] = []
        self.workshop.at = self.here.span
        args = self._suited(layer, args, conflicts)
        inputs, named = on_meta(args), {k: on_meta(v) for k, v in kwargs.items()}
        recipe = foundry.complete(layer, tuple(t for t in inputs if isinstance(t, torch.Tensor)), conflicts.append)
        self._complain(conflicts)
        result = foundry.output(recipe, inputs, named)
        check_result(recipe.name, result)
        self.workshop.measure(result)
        foreign = layer_classes().get(recipe.name) is not recipe.cls
        result = opened(result) if foreign or any_open((inputs, tuple(named.values()))) else result
        site = Site(self.here.path, recipe.name, "layer", foundry.text(recipe), self.here.span)
        site = site._replace(conflict=conflicts[0]) if conflicts and not self.workshop.strict else site
        return self._call(declared, recipe, site, args, kwargs, result)

    def _suited(self, layer: Layer, args: tuple, conflicts: list[Conflict]) -> tuple:
        """The inputs; for an analysis, one that the layer cannot take at all gives way to one that it can."""
        if self.workshop.strict or not args or not isinstance(args[0], Tensor):
            return args
        found = self.workshop.foundry.suited(layer, args[0].meta)
        if found is None:
            return args
        conflict, shape = found
        conflicts.append(conflict)
        node = self.graph.call_method("new_zeros", (self.lowered(args[0]), shape))
        return (Tensor(self, node, args[0].meta.new_empty(shape)), *args[1:])

    def _complain(self, conflicts: list[Conflict]) -> None:
        for conflict in conflicts:
            self.mismatch(Problem(self.here.span, conflict.fact, conflict.help, self.frames))

    def _apply_block(self, layer: Layer, declared: Declaration | None, args: tuple, kwargs: dict) -> object:
        path = join_path(self.prefix, self.here.path)
        frame = Frame(layer.kind.name, self.here.span, path)
        inputs = self.workshop.inputs_of(layer, args, kwargs)
        plan = self.workshop.block(layer, inputs, (frame, *self.frames))
        if plan is None:
            return UNKNOWN
        if declared and declared.made and plan is not declared.made:
            _check_alike(declared, plan)
        given = dict(layer.arguments)
        for argument, at in plan.fixed:
            settled_at = at._replace(path=join_path(self.here.path, at.path))
            if numeric(number := at_place(given, argument)) and not number.fixed:  # type: ignore[attr-defined]
                self.fix(number, settled_at)  # type: ignore[arg-type]
        more = tuple(at_place(given, value.argument) if is_argument(value, plan) else value for value in plan.captured)
        site = Site(self.here.path, plan.name, "block", plan.text, self.here.span)
        return self._call(declared, plan, site, (*inputs, *more), {}, plan.output)

    def _call(
        self,
        declared: Declaration | None,
        member: Recipe | BlockPlan,
        site: Site,
        args: tuple,
        kwargs: dict,
        result: object,
    ) -> object:
        name = self._declared(declared, member) if declared else self.add(member)
        if not declared:
            site = site._replace(path=name if self.here.layers > 1 else self.here.path)
        node = self.graph.call_module(name, self.lowered(args), {k: self.lowered(v) for k, v in kwargs.items()})
        node.meta["site"] = site
        node.meta |= {} if declared else {"own": True}
        if isinstance(member, BlockPlan):
            node.meta["plan"] = member
        return self.wrap(node, result)

    def _declared(self, declared: Declaration, member: Recipe | BlockPlan) -> str:
        """The name under which the block that is built here holds a declared module."""
        owner, home = declared.owner.home, self.home
        if declared.made is None:
            declared.made = member
            declared.member = owner.add(member, declared.name)
            owner.plan.declared[declared.member] = declared
            self.workshop.declared.append(partial(self._undeclare, declared))
        if owner is home:
            return declared.member
        if declared not in home.shared:
            home.shared[declared] = home.add(Shared(declared), declared.name)
        return home.shared[declared]

    def _undeclare(self, declared: Declaration) -> None:
        """As before the first call of a module."""
        owner, home = declared.owner.home, self.home
        del owner.plan.declared[declared.member], owner.plan.members[declared.member]
        if declared in home.shared:
            del home.plan.members[home.shared.pop(declared)]
        declared.made, declared.member = None, ""

    def add(self, member: Recipe | Raw | Shared | BlockPlan, path: str | None = None) -> str:
        """Registers a member under a free name and counts it."""
        name = attribute_name(path if path is not None else self.here.next()) or "."
        while name in self.plan.members:
            name += "_"
        self.plan.members[name] = member
        self._spend(max(member.steps, 1) if isinstance(member, BlockPlan) else 1)
        return name

    def _spend(self, steps: int) -> None:
        """Counts steps of the net. Raises Fault where it has too many."""
        self.plan.steps += steps
        self.workshop.budget.step(steps)

    # Parameters

    def parameter(self, shape: tuple[int, ...], init: float | None) -> Tensor:
        """A learned tensor of this step. Raises Fault for one that no memory can hold."""
        if len(shape) > RANK:
            raise Fault(f"Parameter has {len(shape)} dimensions; at most {RANK} are allowed", "fewer dimensions")
        if math.prod(shape) > LARGEST:
            count = math.prod(shape)
            raise Fault(f"Parameter{shape} has {count:,} numbers; at most {LARGEST:,} are allowed", "smaller sizes")
        return self._weight(self.add(Raw(shape, init)), torch.empty(shape, device="meta"))

    def weight(self, declaration: Declaration, name: str) -> object:
        """`embed.weight`: a parameter of a declared module that has been called. Raises Fault."""
        if not isinstance(declaration.made, Recipe):
            raise Fault(f"module {declaration.name} has no weights before its first call", "call it in an earlier step")
        name_here = self._declared(declaration, declaration.made)
        found = dict(self.workshop.foundry.skeleton(declaration.made).named_parameters())
        if name not in found:
            raise Fault(f"module {declaration.name} has no parameter {name!r}", f"it has {', '.join(found) or 'none'}")
        return self._weight(f"{name_here}.{name}", found[name])

    def _weight(self, name: str, meta: torch.Tensor) -> Tensor:
        node = self.graph.create_node("get_attr", name)
        node.meta["shapes"] = (tuple(meta.shape),)
        return Tensor(self, node, meta.detach())


def _check_alike(declared: Declaration, plan: BlockPlan) -> None:
    """Raises Fault where a declared block would not be the same here as at its first call."""
    if list(plan.walk()) != list(declared.made.walk()):
        raise Fault(f"module {declared.name} would need other weights here than at its first call")
    if form_of(plan) != form_of(declared.made):
        fact = f"module {declared.name} would do other steps here than at its first call, at other sizes"
        raise Fault(fact, "what it does may not hang on a size: declare two modules")


def is_argument(value: object, plan: BlockPlan) -> bool:
    """Whether a number is one of the arguments of the block that is planned."""
    return isinstance(value, Reading) and value.argument is not None and value.owner.plan is plan


def at_place(arguments: Mapping[str, object], place: tuple[str | int, ...]) -> object:
    """The part of a block's arguments that stands at a place: an argument's name, then indexes into lists."""
    value: Any = arguments[str(place[0])]
    for index in place[1:]:
        value = value[index]
    return value


def on_meta(value: object) -> Any:
    """`value` as an argument of the shape pass: meta tensors for tensors, plain numbers for those of the run."""
    if isinstance(value, Tensor):
        return value.meta
    if isinstance(value, slice):
        return slice(on_meta(value.start), on_meta(value.stop), on_meta(value.step))
    if isinstance(value, RuntimeList):
        return list(value.metas)
    return rebuilt(value, on_meta) if isinstance(value, (list, tuple)) else plain(value)


def as_dims(value: object) -> object:
    """`value`, an argument of the shape pass, with shapes in place of tensors."""
    if isinstance(value, torch.Tensor):
        return Dims(value.shape)
    return tuple(as_dims(v) for v in value) if isinstance(value, (list, tuple)) else value


def last_node(graph: fx.Graph) -> fx.Node | None:
    """The newest node of a graph."""
    return next(iter(reversed(graph.nodes)), None)


def nodes_after(graph: fx.Graph, node: fx.Node | None) -> list[fx.Node]:
    """The nodes newer than `node`, oldest first."""
    newer = []
    for other in reversed(graph.nodes):
        if other is node:
            break
        newer.append(other)
    return newer[::-1]
