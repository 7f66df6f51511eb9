"""One use of a block: its inputs and arguments get names, its steps become a graph, its expectations are checked.

Layer + input Tensors → names → steps → return → BlockPlan
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from torch import fx

from archscope.compile.argument_text import block_in_short
from archscope.compile.expectations import expected_of
from archscope.compile.graphs import Here
from archscope.compile.kinds import Declaration, Kind, Layer
from archscope.compile.layers import kwargs_key
from archscope.compile.metas import flat, is_open
from archscope.compile.numbers import Reading, RuntimeNumber, known, plain
from archscope.compile.plan import RETURN, BlockPlan, Fixed, Loop, is_number, keeps_all
from archscope.compile.scope import Lazy, Scope
from archscope.compile.step_text import data_text
from archscope.compile.steps import Walk
from archscope.compile.turns import drop_unused
from archscope.compile.use import Use, last_node, on_meta
from archscope.compile.values import Tensor
from archscope.compile.workshop import BlockSource, NetSource, Workshop
from archscope.errors import Frame, Problem, Span
from archscope.spec.budget import BLOCK
from archscope.spec.model import Block, Data, Expression, Input, Items, Spec
from archscope.spec.numbers import Fault
from archscope.spec.things import UNKNOWN, Thing, known_by_halves, shown


def block_plan(
    workshop: Workshop, layer: Layer, inputs: tuple[Tensor, ...], frames: tuple[Frame, ...]
) -> BlockPlan | None:
    """The plan of a block's use, built once per distinct arguments and input shapes. Raises Fault."""
    shapes, open_ranks = kwargs_key(tuple(t.meta for t in inputs), {}), tuple(is_open(t.meta) for t in inputs)
    key = (layer.kind.source, layer.kind.name, _as_key(layer.arguments), shapes, open_ranks)
    if key not in workshop.plans:
        plan = BlockPlan(layer.kind.name, "", fx.Graph())
        use = Use(workshop, plan, frames)
        arguments = tuple((name, _formal(use, value, (name,))) for name, value in layer.arguments)
        source = _source(workshop, layer, arguments)
        if any(source.block is other.block for other in workshop.building):
            raise Fault(
                f"block {layer.kind.name} contains itself", "a block may not use itself, also not through other blocks"
            )
        plan.text = _in_short(source.block, layer)
        workshop.budget.value(BLOCK)
        workshop.building.append(source)
        turns, workshop.turns = workshop.turns, 1
        try:
            bound = () if isinstance(layer.kind.source, NetSource) else arguments
            workshop.plans[key] = build_block(use, source, bound, inputs)
        finally:
            workshop.building.pop()
            workshop.turns = turns
    return workshop.plans[key]


def _as_key(value: object) -> object:
    """Arguments as what a plan depends on: a number of the run by its value, and that it is one."""
    if isinstance(value, tuple):
        return tuple(map(_as_key, value))
    if isinstance(value, RuntimeNumber) and not value.fixed:
        return ("at run time", type(value.value), value.value)
    return known(value)


def _formal(use: Use, value: object, place: tuple[str | int, ...]) -> object:
    """An argument as its block sees it: a number of the run is one that comes in with the inputs."""
    if isinstance(value, tuple):
        return tuple(_formal(use, part, (*place, index)) for index, part in enumerate(value))
    if not isinstance(value, RuntimeNumber) or value.fixed:
        return known(value)

    def make() -> fx.Node:
        use.plan.captured.append(reading)
        return use.placeholder(str(place[0]))

    reading = Reading(use, make, value.value, str(place[0]), argument=place)
    return reading


def _in_short(block: Block, layer: Layer) -> str:
    """Required arguments bare, the others that were given with their names: `128, stride 2`."""
    return block_in_short(plain(layer.arguments), {a.name for a in block.arguments if a.default is None})


def _source(workshop: Workshop, layer: Layer, arguments: tuple[tuple[str, object], ...]) -> BlockSource:
    source = layer.kind.source
    if isinstance(source, BlockSource):
        return source
    given = dict(arguments)
    name = given.pop("variant", None)
    variant = next((v for v in source.spec.variants if v.name == name), None)
    return BlockSource(net_block(source.spec, anywhere=True), workshop.configured(source.spec, variant, given))


def net_block(spec: Spec, *, anywhere: bool = False) -> Block:
    """A file's net as a block. `anywhere`: at other sizes than the file names, which then only give the rank."""
    inputs = tuple(replace(i, dims=only_rank(i)) for i in spec.inputs) if anywhere else spec.inputs
    layers = spec.layers or ()
    return Block(spec.name, (), layers, spec.span, inputs, (), spec.modules, spec.returns, spec.expect, spec.note)


def only_rank(entry: Input) -> tuple[Expression, ...] | None:
    """An input's dimensions with N bound and the others open: they give the rank."""
    blank = ast.Name("_", ast.Load(), lineno=1, col_offset=0)
    return entry.dims and tuple(d if d.text == "N" else replace(d, text="_", tree=blank) for d in entry.dims)


def ordered(name: str, block: Block, args: tuple, kwargs: dict) -> tuple[Tensor, ...]:
    """The inputs in the block's own order. Raises Fault."""
    names = [i.name for i in block.inputs] if block.inputs is not None else ["x"]
    given = dict(zip(names, args, strict=False)) | kwargs
    if len(args) > len(names) or set(given) != set(names):
        count, inputs = len(args) + len(kwargs), "input" if len(names) == 1 else "inputs"
        raise Fault(
            f"{name} has {len(names)} {inputs} ({', '.join(names)}), {count} {'is' if count == 1 else 'are'} given",
            f"{name}(…)({', '.join(names)})",
        )
    for key, value in given.items():
        if not isinstance(value, Tensor):
            raise Fault(f"{name} takes a tensor as its input {key}, not {shown(value)}")
    return tuple(given[n] for n in names)


def build_block(
    use: Use,
    source: BlockSource,
    arguments: tuple,
    inputs: tuple[Tensor, ...],
    *,
    begun: Callable[[Scope], None] | None = None,
) -> BlockPlan | None:
    """Fills the use's plan; None where the block's value is not known. begun: what is done when there are inputs."""
    block, scope = source.block, Scope(source.context.scope, dict(arguments))
    values = _inputs(use, block, inputs, scope, begun)
    if values is None:
        return None
    use.workshop.add_defaults(block.arguments, scope, use.report)
    use.workshop.add_let(block.let, scope, use.report)
    whole = block.modules is source.context.spec.modules  # a file's modules are seen in its blocks too
    _declare(use, block, scope, source.context.scope if whole else scope)
    walk = Walk(use)
    value, labels = walk.sequence(block.layers, values[0] if values else None, scope, "")
    if block.returns is not None:
        value = _returned(walk, block.returns, labels, value)
    if known_by_halves(value) or _cannot_return(use, block, value):
        return None
    use.plan.expected += expected_of(use, block.expect, labels, value, values[0] if values else None, "")
    use.plan.output = _metas(value)
    use.graph.output(_nodes(use, value))  # type: ignore[arg-type]
    drop_unused(use)
    _warn_of_ignored(use, block)
    _warn_of_unused(use, block)
    return use.plan


def _metas(value: object) -> object:
    return {k: on_meta(v) for k, v in value.items()} if isinstance(value, Mapping) else on_meta(value)


def _nodes(use: Use, value: object) -> object:
    return {k: use.lowered(v) for k, v in value.items()} if isinstance(value, Mapping) else use.lowered(value)


def _cannot_return(use: Use, block: Block, value: object) -> bool:
    if isinstance(value, Mapping) or flat(on_meta(value)):
        return False
    if isinstance(value, Lazy):  # of a last step with several labels
        use.report(block.layers[-1].span, "the last step keeps several values", "say which: return: [a, b]")
        return True
    what = value.what if isinstance(value, Thing) else shown(value)
    place = block.returns.span if block.returns is not None else block.layers[-1].span if block.layers else block.span
    use.report(
        place, f"{block.name} gives {what}, not a tensor", "end with a step that makes a tensor, or say `return:`"
    )
    return True


def _returned(walk: Walk, returns: Data, scope: Scope, prev: object) -> object:
    inner, use = Scope(scope, {"prev": prev}), walk.use
    use.here, before = Here(RETURN, returns.span), last_node(use.graph)
    value = use.workshop.data(returns, inner, words=False, report=use.report, host=use)
    walk.give_sites(before, RETURN, returns.span, partial(described, returns))
    return tuple(value) if isinstance(returns, Items) and isinstance(value, list) else value


def _inputs(
    use: Use, block: Block, inputs: tuple[Tensor, ...], scope: Scope, begun: Callable[[Scope], None] | None
) -> list[Tensor] | None:
    """The inputs as Tensors of the graph, with their names and dimensions in the scope; None where one does not fit."""
    specs = block.inputs if block.inputs is not None else (Input("x", None, block.span),)
    values = []
    for spec, tensor in zip(specs, inputs, strict=True):
        node = use.graph.placeholder(spec.name)
        node.meta["shapes"] = (tuple(tensor.meta.shape),)
        values.append(Tensor(use, node, tensor.meta))
        use.plan.floating = values[0].meta.is_floating_point()
        scope.table[spec.name] = use.inputs[spec.name] = values[-1]
        use.door = values[0]
    for spec, value in zip(specs, values, strict=True) if not use.frames else ():
        use.require_rank(value, f"the input {spec.name} ({_place(spec.span)})")
    for spec, value in zip(specs, values, strict=True):
        if spec.dims is not None and not _bind_dimensions(use, block, spec, value, scope):
            return None
    if begun is not None:
        begun(scope)
    if values:
        _implicit(values[0], scope)
    return values


def _implicit(tensor: Tensor, scope: Scope) -> None:
    """`in_channels`, `in_features` and N, known without `input:`."""
    for name, axis, rank in (("in_features", -1, 1), ("N", 0, 1), ("in_channels", 1, 2)):
        if tensor.meta.dim() >= rank and name not in scope.table:
            scope.table[name] = Lazy(partial(tensor.owner.size, tensor, axis, name), name)


def _bind_dimensions(use: Use, block: Block, spec: Input, value: Tensor, scope: Scope) -> bool:
    """Names the dimensions of an input and checks those known already; False where one does not fit."""
    dims, shape = spec.dims or (), tuple(value.meta.shape)
    if len(dims) != len(shape):
        _misfit(use, block, spec, shape, "the number of dimensions differs")
        return False
    use.settle_rank(value, Fixed("", f"{spec.name} of {block.name} ({_place(spec.span)})"), declared=True)
    for axis, dim in enumerate(dims):
        if isinstance(dim.tree, ast.Name) and dim.text not in scope.table:
            scope.table.update({} if dim.text == "_" else {dim.text: use.size(value, axis, dim.text)})
            continue
        asked = use.workshop.evaluator(scope, use.report, use).value(dim)
        wanted = plain(asked)
        if wanted is UNKNOWN or asked is use.size(value, axis):
            continue
        if wanted == shape[axis] and isinstance(asked, (int, RuntimeNumber)):
            use.meet(use.size(value, axis), asked, Fixed("", f"{spec.name} of {block.name} ({_place(dim.span)})"))
        else:
            said = f"{dim.text} = {wanted}" if dim.text != str(wanted) else dim.text
            _misfit(use, block, spec, shape, f"{said} is asked for, there are {shape[axis]}")
            return False
    return True


def _place(span: Span) -> str:
    return f"{span.file}:{span.line}"


def _misfit(use: Use, block: Block, spec: Input, shape: tuple[int, ...], why: str) -> None:
    """The problem stands at the block's use; the chain is that of the use."""
    written = f"({', '.join(d.text for d in spec.dims or ())})"
    place, chain = (use.frames[0].span, use.frames[1:]) if use.frames else (spec.span, ())
    use.workshop.problems.add(
        Problem(place, f"{block.name} wants {written} as {spec.name} but gets {shape}", why, chain)
    )


def _declare(use: Use, block: Block, scope: Scope, seen: Scope) -> None:
    """Declares a block's modules; `seen` is the scope that they are known in."""
    for entry in block.modules:
        use.here = Here(entry.name, entry.span, text=getattr(entry.body, "text", entry.name))
        walk, before = Walk(use), last_node(use.graph)
        value = walk.layer_value(entry.body, scope)
        if isinstance(entry.body, Expression):
            walk.give_sites(before, entry.name, entry.span, partial(described, entry.body))
        if isinstance(value, Kind):
            value = walk.bound(value, entry.span)
        if isinstance(value, Layer):
            seen.table[entry.name] = Declaration(use, entry.name, value)
        elif isinstance(value, Tensor):
            seen.table[entry.name] = value
        else:
            if value is not UNKNOWN:
                use.report(
                    entry.span, f"module {entry.name} is {shown(value)}, not a layer", "for example pool: MaxPool2d(2)"
                )
            seen.table[entry.name] = UNKNOWN


def described(data: Data, _: object) -> str:
    """What a step is called that is written as data."""
    return data_text(data)


def _warn_of_ignored(use: Use, block: Block) -> None:
    """Arguments that nothing in the block reads, other arguments' defaults among it."""
    read = use.workshop.names_read(block)
    for argument in block.arguments:
        if argument.name not in read:
            fact = f"{block.name} accepts {argument.name!r} and ignores it: nothing in the block reads it"
            help = "use it in a step, or take it out of the block and of what calls it"
            use.workshop.warn("ignored-argument", Problem(argument.span, fact, help))


def _warn_of_unused(use: Use, block: Block) -> None:
    """Steps whose value nothing uses, and declared modules that nothing calls."""
    _warn_of_unused_steps(use, use.graph)
    called = {name.split(".")[0] for name in use.plan.members}
    for entry in block.modules:
        if entry.name not in called and entry.name + "_" not in called:
            problem = Problem(
                entry.span, f"module {entry.name!r} is declared and never called", "call it, or take it out", use.frames
            )
            use.workshop.warn("unused-module", problem)


def _warn_of_unused_steps(use: Use, graph: fx.Graph, *, gives: bool = True) -> None:
    """The steps of a graph whose value nothing uses. gives: whether what it gives is used."""
    steps: dict[object, list[fx.Node]] = {}
    for node in graph.nodes:
        site = node.meta.get("step") or node.meta.get("site")
        if site is not None and not is_number(node):
            steps.setdefault((site.place, site.path), []).append(node)
        if "loop" in node.meta:
            _warn_of_unused_steps(use, node.meta["loop"].turn.graph, gives=_goes_on(node, node.meta["loop"]))
    for nodes in steps.values():
        users = [user for node in nodes for user in node.users if user not in nodes]
        if not any(gives or user.op != "output" for user in users):
            _warn(use, "unused-value", nodes[0])


def _goes_on(node: fx.Node, loop: Loop) -> bool:
    """Whether the value of every turn of a loop is used: by the next turn, or by who collects them all."""
    before = next(iter(loop.turn.graph.nodes))
    return loop.turns < 2 or bool(before.users) or keeps_all(node)


def _warn(use: Use, rule: str, node: fx.Node) -> None:
    site = node.meta.get("step") or node.meta["site"]
    message = f"nothing uses the value of this step ({site.name})"
    help = "its work is thrown away: use its value, or take the step out"
    use.workshop.warn(rule, Problem(site.place or Span("", 0, 0), message, help, use.frames))
