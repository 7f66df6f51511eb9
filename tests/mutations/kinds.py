"""Ways to break a network: a spec's places → edits of its text, by kind.

Found, Text → calls (channels, stride, padding, kernel, heads) | given | source | dim | view | projection | flatten
Spec, Text  → constants (params, let, loops, defaults) | input
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from archscope.errors import Span
from archscope.spec.spec_types import Block, Constant, Data, Expression, For, Items, Join, Residual, Spec, Step
from tests.mutations.attention import attention_edits, mask_edits
from tests.mutations.edit import CAUSES, Edit, Kind, Sized, changed
from tests.mutations.joins import branch_edits, operand_edits
from tests.mutations.places import ROLES, Found, Given, Scope, Text, arguments, calls, steps
from tests.mutations.uses import use_edits

VIEWS = ("view", "reshape", "permute", "transpose", "flatten")
SIZED = ("Conv", "Linear", "BatchNorm", "LayerNorm", "RMSNorm")


# ------------------------------------------------------------ calls
def argument_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """Every deciding argument of every call, changed or (where it has a keyword) dropped."""
    if not isinstance(found.thing, Expression):
        return
    for name, call in calls(found.thing):
        for given in arguments(name, call, found.scope):
            yield from argument_edit(found, text, name, given)


def argument_edit(found: Found, text: Text, name: str, given: Given) -> Iterator[Edit]:
    assert isinstance(found.thing, Expression)
    place = text.range(found.thing, given.tree)
    if place is None:
        return
    old, projected = text.text[slice(*place)], found.scope.shortcut and given.role == "stride"
    kind, what = "projection-stride" if projected else kind_of(name, given, found.scope), given.keyword or given.role
    causes = CAUSES[given.role]
    for new in changed(given.role, old):
        yield Edit(kind, *place, new, f"{what} of {name}: {old} → {new}", causes=causes)
    lead = f", {given.keyword}="
    if given.role in ("stride", "padding") and text.text[: place[0]].endswith(lead):
        yield Edit(kind, place[0] - len(lead), place[1], "", f"{name} without its {given.keyword}", causes=causes)


def kind_of(name: str, given: Given, scope: Scope) -> str:
    """What a changed argument is called: `use` at one of several uses of a block, `join` in a branch."""
    if scope.uses.get(name, 0) > 1:
        return "use"
    return "join" if scope.branch and given.role in ("channels", "stride") else given.role


def added(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """A stride or a padding where there was none."""
    if not isinstance(found.thing, Expression):
        return
    for name, call in calls(found.thing):
        place = text.range(found.thing, call)
        roles = {given.role for given in arguments(name, call, found.scope)}
        if place and call.args and name.startswith(("Conv", "MaxPool", "AvgPool")) and name not in found.scope.blocks:
            for role, value in (("stride", "1" if "Pool" in name else "2"), ("padding", "1")):
                if role not in roles:
                    yield Edit(role, place[1] - 1, place[1] - 1, f", {role}={value}", f"{name} with {role}={value}")


def sizes_given(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """The input's channels or features, written out, and wrong."""
    if not isinstance(found.thing, Expression):
        return
    tree = found.thing.tree
    bare = [(tree.id, tree, 0)] if isinstance(tree, ast.Name) else []
    for name, node, count in [*bare, *((name, call, len(call.args)) for name, call in calls(found.thing))]:
        place = text.range(found.thing, node)
        if place is None or not name.startswith(SIZED) or name in found.scope.blocks:
            continue
        if count not in free(name, node):
            continue
        right = sized.sizes.get((text.line(place[0]), name), frozenset())
        for wrong in sorted({n for size in right for n in (size + 1, size * 2, size // 2)} - right - {0}):
            yield size_given(text, name, node, place, str(wrong))


def free(name: str, node: ast.expr) -> tuple[int, ...]:
    """The numbers of positional arguments that leave the input's size to inference."""
    named = isinstance(node, ast.Call) and any(keyword.arg == "kernel_size" for keyword in node.keywords)
    return (0,) if "Norm" in name else (1,) if named or name == "Linear" else (2,)


def size_given(text: Text, name: str, node: ast.expr, place: tuple[int, int], wrong: str) -> Edit:
    words = f"{name} told that {wrong} arrive"
    if isinstance(node, ast.Name):
        return Edit("given", place[1], place[1], f"({wrong})", words)
    start = text.text.index("(", place[0]) + 1
    more = text.text[start] != ")"
    return Edit("given", start, start, wrong + ", " * more, words)


# ------------------------------------------------------------ sources, dims, views
def sources(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """A value's name replaced by that of another value."""
    if not isinstance(found.thing, Expression):
        return
    for node in ast.walk(found.thing.tree):
        read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        if not isinstance(node, ast.Name) or not read or node.id not in (*found.scope.labels, "prev"):
            continue
        place = text.range(found.thing, node)
        for other in (*found.scope.labels[:-5:-1], "prev"):
            if place and other != node.id:
                yield Edit("source", *place, other, f"{other} where {node.id} was meant")


def dims(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """`cat(…, dim=1)` along another axis; a `dim:` beside a concat that has none."""
    if isinstance(found.thing, Join):
        yield from form_dims(found.thing, text)
    if not isinstance(found.thing, Expression):
        return
    for name, call in calls(found.thing):
        for keyword in call.keywords:
            place = text.range(found.thing, keyword.value)
            if keyword.arg == "dim" and place and name in ("cat", "concat", "chunk", "stack"):
                old = text.text[slice(*place)]
                yield from (Edit("dim", *place, n, f"{name} along {n}, not {old}") for n in "012" if n != old)


def form_dims(form: Join, text: Text) -> Iterator[Edit]:
    if form.dim is not None:
        place, old = text.range(form.dim), form.dim.text
        yield from (Edit("dim", *place, n, f"{form.kind} along {n}, not {old}") for n in "0123" if place and n != old)
    if form.kind not in ("concat", "stack") or form.dim is not None:
        return
    start, below = text.offset(form.span), form.span.line + 1
    for dim in (2, 3):
        new = f"dim: {dim}\n" + " " * (form.span.column - 1)
        yield Edit("dim", start, start, new, f"{form.kind} along {dim}", (below,))


def views(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """Numbers and sizes of views and permutations, changed or exchanged."""
    if not isinstance(found.thing, Expression):
        return
    for name, call in calls(found.thing):
        if name not in VIEWS:
            continue
        ranges = [place for place in (text.range(found.thing, argument) for argument in call.args) if place]
        for place in ranges if name in ("view", "reshape", "flatten", "transpose") else []:
            old = text.text[slice(*place)]
            yield from (Edit("view", *place, new, f"{name}: {old} → {new}") for new in other_sizes(old))
        for (start, mid), (again, end) in pairwise(ranges):
            new = text.text[again:end] + text.text[mid:again] + text.text[start:mid]
            yield Edit("view", start, end, new, f"{name}: {text.text[start:end]} → {new}")


def other_sizes(old: str) -> tuple[str, ...]:
    if old.lstrip("-").isdecimal():
        return str(int(old) + 1), str(int(old) - 1)
    return (f"{old} * 2",) if old.isidentifier() else (f"{old} + 1", old.split()[0])


# ------------------------------------------------------------ steps taken away
def projections(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """A residual's projection taken out, switched off, or an identity where there should be no addition."""
    residual = found.thing
    if not isinstance(residual, Residual):
        return
    line = residual.span.line
    if residual.when is not None and (place := text.range(residual.when)):
        yield Edit("projection", *place, "true", "added where main alone was meant", (line,))
    for step in residual.shortcut:
        if step.when is not None and (place := text.range(step.when)):
            yield Edit("projection", *place, "false", "a projection that is never built", (line, line + 1))
    if residual.shortcut and (lines := key_lines(text, "shortcut:", residual.shortcut[0].span.line)):
        start, end = (text.offset(Span("", number, 1)) for number in lines)
        yield Edit("projection", start, end, "", "no projection", (line, line + 1, lines[0] - 1))


def key_lines(text: Text, key: str, line: int) -> tuple[int, int] | None:
    """The first line of a block-style entry and the one after its last, found from a line inside."""
    while line > 0 and not text.whole(line).strip().startswith(key):
        line -= 1
    if not line:
        return None
    indent, end = indentation(text.whole(line)), line + 1
    while end <= text.text.count("\n") and indentation(text.whole(end)) > indent:
        end += 1
    return line, end


def indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def flattens(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """A step that flattens, left out."""
    if not isinstance(found.thing, Step) or not isinstance(found.thing.body, Expression):
        return
    line = found.thing.span.line
    if found.thing.body.text.lower().startswith("flatten") and text.whole(line).strip().startswith("- "):
        start = text.offset(found.thing.span) - found.thing.span.column + 1
        end = text.text.index("\n", start) + 1
        yield Edit("flatten", start, end, "", f"without {found.thing.body.text}", (line - 1,))


PLACED: tuple[Kind, ...] = (
    *(argument_edits, added, sizes_given, sources, dims, views, projections, flattens),
    *(use_edits, operand_edits, branch_edits, attention_edits, mask_edits),
)


# ------------------------------------------------------------ constants, inputs
def constants(spec: Spec, text: Text) -> Iterator[Edit]:
    """What a name stands for: params, variants' settings, let, loops' items, defaults of blocks."""
    for name, place in settings(spec, text):
        role = ROLES.get(name, "")
        old = text.text[slice(*place)]
        for new in changed(role, old) if role else ():
            kind = "input" if role == "input" else "constant"
            yield Edit(kind, *place, new, f"{name}: {old} → {new}", causes=CAUSES[role])


def settings(spec: Spec, text: Text) -> Iterator[tuple[str, tuple[int, int]]]:
    """Every named value and where it stands."""
    given = [*spec.params, *(setting for variant in spec.variants for setting in variant.settings)]
    defined = [*spec.let, *(entry for block in spec.blocks for entry in block.let)]
    for named in (*given, *(entry for entry in defined if entry.arguments is None)):
        yield from ((named.name, place) for place in values(named.value, text))
    for block in spec.blocks:
        yield from defaults(block, text)
    for loop in loops(spec):
        yield from items(loop, text)


def values(data: Data, text: Text) -> Iterator[tuple[int, int]]:
    match data:
        case Constant(value=int()):
            yield text.token(data.span)
        case Expression():
            yield from filter(None, [text.range(data)])
        case Items():
            for item in data.items:
                yield from values(item, text)


def defaults(block: Block, text: Text) -> Iterator[tuple[str, tuple[int, int]]]:
    for argument in block.arguments:
        place = text.range(argument.default) if argument.default else None
        if place:
            yield argument.name, place


def loops(spec: Spec) -> Iterator[For]:
    scope = Scope({}, ())
    for written in (*(block.layers for block in spec.blocks), spec.layers or ()):
        for found in steps(written, scope):
            if isinstance(found.thing, Step) and isinstance(found.thing.loop, For):
                yield found.thing.loop


def items(loop: For, text: Text) -> Iterator[tuple[str, tuple[int, int]]]:
    rows = loop.items.items if isinstance(loop.items, Items) else ()
    for row in rows:
        cells = row.items if isinstance(row, Items) and not loop.single else (row,)
        for name, cell in zip(loop.names, cells, strict=False):
            yield from ((name.name, place) for place in values(cell, text))


def inputs(spec: Spec, text: Text) -> Iterator[Edit]:
    """The net's input a little larger or smaller."""
    for one in spec.inputs:
        for axis, dim in enumerate(one.dims or ()):
            place = text.range(dim) if axis else None
            kind = "mask" if "mask" in one.name else "input"
            causes = CAUSES["channels" if axis == 1 and len(one.dims or ()) == 4 else kind]
            for new in changed("input", dim.text) if place else ():
                yield Edit(kind, *place, new, f"input: {dim.text} → {new}", causes=causes)
