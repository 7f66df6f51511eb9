"""One use of a block: inputs and arguments are bound to names, steps become a graph, expectations are evaluated.

Layer + input tensors → names → steps → return → BlockPlan
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from torch import fx

from archscope.compile.block_use import BlockUse, meta_argument
from archscope.compile.compile_session import BlockSource, CompileSession, NetSource
from archscope.compile.expect_entries import evaluate_expectations
from archscope.compile.graph_builder import StepCursor, last_node
from archscope.compile.graph_tensor import GraphTensor, flatten_tensors, has_open_rank
from archscope.compile.layer_cache import call_key
from archscope.compile.layer_classes import DeclaredLayer, Layer, LayerClass
from archscope.compile.plan import RETURN_PATH, BlockPlan, FixedPlace, LoopPlan, has_collected_turns, is_number_node
from archscope.compile.runtime_numbers import ReadNumber, RuntimeNumber, compile_time_value, unwrap_fixed
from archscope.compile.scope import Scope
from archscope.compile.step_compiler import StepCompiler
from archscope.compile.step_text import data_text
from archscope.errors import BlockFrame, Problem, Span
from archscope.spec.bounded_math import BLOCK_COST, EvaluationError
from archscope.spec.spec_types import Block, Data, Expression, Input, Items, Spec
from archscope.spec.spec_values import UNKNOWN, LazyValue, SpecValue, Value, describe_value, has_unknown
from archscope.torch_layers.layer_text import format_block_arguments


def block_plan(
    session: CompileSession, layer: Layer, inputs: tuple[GraphTensor, ...], frames: tuple[BlockFrame, ...]
) -> BlockPlan | None:
    """Return the plan of one use of a block, built once per distinct arguments and input shapes. Raises
    EvaluationError."""
    shapes, open_ranks = call_key(tuple(t.meta for t in inputs), {}), tuple(has_open_rank(t.meta) for t in inputs)
    key = (layer.kind.source, layer.kind.name, _plan_key(layer.arguments), shapes, open_ranks)
    if key not in session.plans:
        plan = BlockPlan(layer.kind.name, "", fx.Graph())
        use = BlockUse(session, plan, frames)
        arguments = tuple((name, _block_argument(use, value, (name,))) for name, value in layer.arguments)
        source = _block_source(session, layer, arguments)
        if any(source.block is other.block for other in session.open_blocks):
            raise EvaluationError(
                f"block {layer.kind.name} contains itself", "a block may not use itself, also not through other blocks"
            )
        required = {a.name for a in source.block.arguments if a.default is None}
        plan.text = format_block_arguments(compile_time_value(layer.arguments), required)
        session.budget.value(BLOCK_COST)
        session.open_blocks.append(source)
        turns, session.loop_turns = session.loop_turns, 1
        try:
            bound = () if isinstance(layer.kind.source, NetSource) else arguments
            session.plans[key] = build_block(use, source, bound, inputs)
        finally:
            session.open_blocks.pop()
            session.loop_turns = turns
    return session.plans[key]


def _plan_key(value: Value) -> object:
    """Return the arguments as a cache key: a run-time number by its value and the fact that it is one."""
    if isinstance(value, tuple):
        return tuple(map(_plan_key, value))
    if isinstance(value, RuntimeNumber) and not value.fixed:
        return ("at run time", type(value.value), value.value)
    return unwrap_fixed(value)


def _block_argument(use: BlockUse, value: Value, place: tuple[str | int, ...]) -> Value:
    """Return an argument as the block sees it: a run-time number becomes a further input."""
    if isinstance(value, tuple):
        return tuple(_block_argument(use, part, (*place, index)) for index, part in enumerate(value))
    if not isinstance(value, RuntimeNumber) or value.fixed:
        return unwrap_fixed(value)

    def make() -> fx.Node:
        use.plan.captured.append(reading)
        return use.placeholder(str(place[0]))

    reading = ReadNumber(use, make, value.value, str(place[0]), argument=place)
    return reading


def _block_source(session: CompileSession, layer: Layer, arguments: tuple[tuple[str, Value], ...]) -> BlockSource:
    source = layer.kind.source
    if isinstance(source, BlockSource):
        return source
    given = dict(arguments)
    name = given.pop("variant", None)
    variant = next((v for v in source.spec.variants if v.name == name), None)
    return BlockSource(net_block(source.spec, anywhere=True), session.configure(source.spec, variant, given))


def net_block(spec: Spec, *, anywhere: bool = False) -> Block:
    """Return a file's net as a block. anywhere: at any size; the dimensions in the file only give the rank."""
    inputs = tuple(replace(i, dims=open_dimensions(i)) for i in spec.inputs) if anywhere else spec.inputs
    layers = spec.layers or ()
    return Block(spec.name, (), layers, spec.span, inputs, (), spec.modules, spec.returns, spec.expect, spec.note)


def open_dimensions(entry: Input) -> tuple[Expression, ...] | None:
    """Return an input's dimensions with N bound and the others open: they only give the rank."""
    blank = ast.Name("_", ast.Load(), lineno=1, col_offset=0)
    return entry.dims and tuple(d if d.text == "N" else replace(d, text="_", tree=blank) for d in entry.dims)


def order_inputs(name: str, block: Block, args: tuple, kwargs: dict) -> tuple[GraphTensor, ...]:
    """Return the inputs in the block's own order. Raises EvaluationError."""
    names = [i.name for i in block.inputs] if block.inputs is not None else ["x"]
    given = dict(zip(names, args, strict=False)) | kwargs
    if len(args) > len(names) or set(given) != set(names):
        count, inputs = len(args) + len(kwargs), "input" if len(names) == 1 else "inputs"
        raise EvaluationError(
            f"{name} has {len(names)} {inputs} ({', '.join(names)}), {count} {'is' if count == 1 else 'are'} given",
            f"{name}(…)({', '.join(names)})",
        )
    for key, value in given.items():
        if not isinstance(value, GraphTensor):
            raise EvaluationError(f"{name} takes a tensor as its input {key}, not {describe_value(value)}")
    return tuple(given[n] for n in names)


def build_block(
    use: BlockUse,
    source: BlockSource,
    arguments: tuple,
    inputs: tuple[GraphTensor, ...],
    *,
    begun: Callable[[Scope], None] | None = None,
) -> BlockPlan | None:
    """Build the graph of a block into the use's plan; None if the block's value is not known.

    begun: called when the inputs are bound.
    """
    block, scope = source.block, Scope(source.context.scope, dict(arguments))
    values = _bind_inputs(use, block, inputs, scope, begun)
    if values is None:
        return None
    use.session.add_defaults(block.arguments, scope, use.report)
    use.session.add_let(block.let, scope, use.report)
    whole = block.modules is source.context.spec.modules  # a file's modules are visible in its blocks too
    _declare_modules(use, block, scope, source.context.scope if whole else scope)
    compiler = StepCompiler(use)
    value, labels = compiler.compile_steps(block.layers, values[0] if values else None, scope, "")
    if block.returns is not None:
        value = _evaluate_return(compiler, block.returns, labels, value)
    if has_unknown(value) or _report_bad_output(use, block, value):
        return None
    use.plan.expected += evaluate_expectations(use, block.expect, labels, value, values[0] if values else None, "")
    if isinstance(value, Mapping):
        use.plan.output = {name: meta_argument(part) for name, part in value.items()}
        use.graph.output({name: use.lower(part) for name, part in value.items()})
    else:
        use.plan.output = meta_argument(value)
        use.graph.output(use.lower(value))
    use.drop_unused_items()
    _warn_ignored_arguments(use, block)
    _warn_unused(use, block)
    return use.plan


def _report_bad_output(use: BlockUse, block: Block, value: Value) -> bool:
    if isinstance(value, Mapping) or flatten_tensors(meta_argument(value)):
        return False
    if isinstance(value, LazyValue):  # of a last step with several labels
        use.report(block.layers[-1].span, "the last step keeps several values", "say which: return: [a, b]")
        return True
    what = value.what if isinstance(value, SpecValue) else describe_value(value)
    place = block.returns.span if block.returns is not None else block.layers[-1].span if block.layers else block.span
    use.report(
        place, f"{block.name} gives {what}, not a tensor", "end with a step that makes a tensor, or say `return:`"
    )
    return True


def _evaluate_return(compiler: StepCompiler, returns: Data, scope: Scope, prev: Value) -> Value:
    inner, use = Scope(scope, {"prev": prev}), compiler.use
    use.cursor, before = StepCursor(RETURN_PATH, returns.span), last_node(use.graph)
    value = use.session.evaluate_data(returns, inner, words=False, report=use.report, host=use)
    compiler.assign_sites(before, RETURN_PATH, returns.span, partial(data_label, returns))
    return tuple(value) if isinstance(returns, Items) and isinstance(value, list) else value


def _bind_inputs(
    use: BlockUse, block: Block, inputs: tuple[GraphTensor, ...], scope: Scope, begun: Callable[[Scope], None] | None
) -> list[GraphTensor] | None:
    """Bind the inputs, as tensors of the graph, and their dimensions in the scope; None if one does not fit."""
    specs = block.inputs if block.inputs is not None else (Input("x", None, block.span),)
    values = []
    for spec, tensor in zip(specs, inputs, strict=True):
        node = use.graph.placeholder(spec.name)
        node.meta["shapes"] = (tuple(tensor.meta.shape),)
        values.append(GraphTensor(use, node, tensor.meta))
        use.plan.is_floating = values[0].meta.is_floating_point()
        scope.table[spec.name] = use.inputs[spec.name] = values[-1]
        use.first_input = values[0]
    for spec, value in zip(specs, values, strict=True) if not use.frames else ():
        use.require_rank(value, f"the input {spec.name} ({_file_line(spec.span)})")
    for spec, value in zip(specs, values, strict=True):
        if spec.dims is not None and not _bind_dimensions(use, block, spec, value, scope):
            return None
    if begun is not None:
        begun(scope)
    if values:  # these sizes of the first input have names without an `input:`
        for name, axis, rank in (("in_features", -1, 1), ("N", 0, 1), ("in_channels", 1, 2)):
            if values[0].meta.dim() >= rank and name not in scope.table:
                scope.table[name] = LazyValue(partial(use.size, values[0], axis, name), name)
    return values


def _bind_dimensions(use: BlockUse, block: Block, spec: Input, value: GraphTensor, scope: Scope) -> bool:
    """Bind the names of an input's dimensions and check those already known; False if one does not fit."""
    dims, shape = spec.dims or (), tuple(value.meta.shape)
    if len(dims) != len(shape):
        _report_dim_mismatch(use, block, spec, shape, "the number of dimensions differs")
        return False
    use.fix_rank(value, FixedPlace("", f"{spec.name} of {block.name} ({_file_line(spec.span)})"), declared=True)
    for axis, dim in enumerate(dims):
        if isinstance(dim.tree, ast.Name) and dim.text not in scope.table:
            scope.table.update({} if dim.text == "_" else {dim.text: use.size(value, axis, dim.text)})
            continue
        declared = use.session.evaluator(scope, use.report, use).value(dim)
        wanted = compile_time_value(declared)
        if wanted is UNKNOWN or declared is use.size(value, axis):
            continue
        if wanted == shape[axis] and isinstance(declared, (int, RuntimeNumber)):
            use.require_declared_size(
                use.size(value, axis), declared, FixedPlace("", f"{spec.name} of {block.name} ({_file_line(dim.span)})")
            )
        else:
            said = f"{dim.text} = {wanted}" if dim.text != str(wanted) else dim.text
            _report_dim_mismatch(use, block, spec, shape, f"{said} is declared, but the size is {shape[axis]}")
            return False
    return True


def _file_line(span: Span) -> str:
    return f"{span.file}:{span.line}"


def _report_dim_mismatch(use: BlockUse, block: Block, spec: Input, shape: tuple[int, ...], why: str) -> None:
    """Report the problem at the use of the block, with the uses around it."""
    written = f"({', '.join(d.text for d in spec.dims or ())})"
    place, chain = (use.frames[0].span, use.frames[1:]) if use.frames else (spec.span, ())
    use.session.problems.add(
        Problem(place, f"{block.name} wants {written} as {spec.name} but gets {shape}", why, chain)
    )


def _declare_modules(use: BlockUse, block: Block, scope: Scope, seen: Scope) -> None:
    """Bind a block's declared modules; `seen` is the scope in which their arguments are evaluated."""
    for entry in block.modules:
        use.cursor = StepCursor(entry.name, entry.span, text=getattr(entry.body, "text", entry.name))
        compiler, before = StepCompiler(use), last_node(use.graph)
        value = compiler.declared_layer(entry.body, scope)
        if isinstance(entry.body, Expression):
            compiler.assign_sites(before, entry.name, entry.span, partial(data_label, entry.body))
        if isinstance(value, LayerClass):
            value = compiler.bind_bare_layer(value, entry.span)
        if isinstance(value, Layer):
            seen.table[entry.name] = DeclaredLayer(use, entry.name, value)
        elif isinstance(value, GraphTensor):
            seen.table[entry.name] = value
        else:
            if value is not UNKNOWN:
                use.report(
                    entry.span,
                    f"module {entry.name} is {describe_value(value)}, not a layer",
                    "for example pool: MaxPool2d(2)",
                )
            seen.table[entry.name] = UNKNOWN


def data_label(data: Data, _: Value) -> str:
    """Return the text of a step that is written as data."""
    return data_text(data)


def _warn_ignored_arguments(use: BlockUse, block: Block) -> None:
    """Warn about arguments that nothing in the block reads, defaults of other arguments included."""
    read = use.session.names_read(block)
    for argument in block.arguments:
        if argument.name not in read:
            fact = f"{block.name} accepts {argument.name!r} and ignores it: nothing in the block reads it"
            help = "use it in a step, or take it out of the block and of what calls it"
            use.session.warn("ignored-argument", Problem(argument.span, fact, help))


def _warn_unused(use: BlockUse, block: Block) -> None:
    """Warn about steps whose value nothing uses, and declared modules that are never called."""
    _warn_unused_steps(use, use.graph)
    called = {name.split(".")[0] for name in use.plan.members}
    for entry in block.modules:
        if entry.name not in called and entry.name + "_" not in called:
            problem = Problem(
                entry.span, f"module {entry.name!r} is declared and never called", "call it, or take it out", use.frames
            )
            use.session.warn("unused-module", problem)


def _warn_unused_steps(use: BlockUse, graph: fx.Graph, *, gives: bool = True) -> None:
    """Warn about the steps of a graph whose value nothing uses. gives: whether the graph's output is used."""
    steps: dict[object, list[fx.Node]] = {}
    for node in graph.nodes:
        site = node.meta.get("step") or node.meta.get("site")
        if site is not None and not is_number_node(node):
            steps.setdefault((site.place, site.path), []).append(node)
        if "loop" in node.meta:
            _warn_unused_steps(use, node.meta["loop"].turn.graph, gives=_is_turn_used(node, node.meta["loop"]))
    for nodes in steps.values():
        users = [user for node in nodes for user in node.users if user not in nodes]
        if not any(gives or user.op != "output" for user in users):
            site = nodes[0].meta.get("step") or nodes[0].meta["site"]
            fact = f"nothing uses the value of this step ({site.name})"
            help = "its result is discarded: use its value, or remove the step"
            use.session.warn("unused-value", Problem(site.place or Span("", 0, 0), fact, help, use.frames))


def _is_turn_used(node: fx.Node, loop: LoopPlan) -> bool:
    """Return whether the value of each turn of a loop is used, by the next turn or by `collect:`."""
    before = next(iter(loop.turn.graph.nodes))
    return loop.turns < 2 or bool(before.users) or has_collected_turns(node)
