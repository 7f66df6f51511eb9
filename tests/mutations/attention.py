"""Attention, wrong: query, key and value exchanged, a transpose left out, a wrong split; masks of another shape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from archscope.spec.spec_types import Expression, Step
from tests.mutations.edit import Edit, Sized
from tests.mutations.places import Found, Text

TABLES = ("Parameter", "zeros", "ones", "full")
"""What makes a mask or a table of biases."""


def attention_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    if not found.scope.attention:
        return
    if isinstance(found.thing, Step):
        yield from step_edits(found.thing, text)
    for node in ast.walk(found.thing.tree) if isinstance(found.thing, Expression) else ():
        assert isinstance(found.thing, Expression)
        yield from exchange_edits(found.thing, text, node)
        yield from transpose_edits(found.thing, text, node)
        yield from split_edits(found.thing, text, node)


def step_edits(step: Step, text: Text) -> Iterator[Edit]:
    """A transpose that is a step, left out."""
    line, body = step.span.line, step.body
    name = body.text.partition("(")[0] if isinstance(body, Expression) else ""
    if name in ("transpose", "permute") and text.whole(line).strip().startswith("- "):
        start = text.offset(step.span) - step.span.column + 1
        end = text.text.index("\n", start) + 1
        yield Edit("attention", start, end, "", f"without the {name}", (line - 1,))


def exchange_edits(step: Expression, text: Text, node: ast.AST) -> Iterator[Edit]:
    """Two of query, key and value, or the two sides of a product."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.Call) and is_attention(node.func):
        parts = node.args[:3]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        parts = [node.left, node.right]
    places = [text.range(step, part) for part in parts]
    for one, two in pairwise(places):
        if one and two and text.text[slice(*one)] != text.text[slice(*two)]:
            new = text.text[slice(*two)] + text.text[one[1] : two[0]] + text.text[slice(*one)]
            yield Edit("attention", one[0], two[1], new, f"{new}: exchanged")


def is_attention(head: ast.expr) -> bool:
    """Whether what is called takes query, key and value, and does not only make a layer that does."""
    name = head.attr if isinstance(head, ast.Attribute) else head.id if isinstance(head, ast.Name) else ""
    return "attention" in (name if name[:1].islower() else ast.unparse(head) * isinstance(head, ast.Call)).lower()


def transpose_edits(step: Expression, text: Text, node: ast.AST) -> Iterator[Edit]:
    """A transpose among methods, left out."""
    method = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
    if isinstance(node, ast.Call) and method is not None and method.attr in ("transpose", "permute"):
        whole, value = text.range(step, node), text.range(step, method.value)
        if whole and value:
            words = f"without .{method.attr}({', '.join(map(ast.unparse, node.args))})"
            yield Edit("attention", value[1], whole[1], "", words)


def split_edits(step: Expression, text: Text, node: ast.AST) -> Iterator[Edit]:
    """Query, key and value made of two parts or four: `3 * D`, `chunk(3)`."""
    factor = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name) and node.args:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        factor = node.args[0] if name == "chunk" else factor
    if isinstance(factor, ast.Constant) and isinstance(factor.value, int) and (place := text.range(step, factor)):
        for new in (factor.value - 1, factor.value + 1):
            yield Edit("attention", *place, str(new), f"{new} parts, not {factor.value}")


# ------------------------------------------------------------ masks
def mask_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """Tables of biases and masks beside an attention."""
    if not isinstance(found.thing, Expression) or not found.scope.attention:
        return
    for node in ast.walk(found.thing.tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in TABLES:
                yield from table_edits(found.thing, text, node, node.func.id)
            yield from handed_edits(found.thing, text, node)


def table_edits(step: Expression, text: Text, call: ast.Call, name: str) -> Iterator[Edit]:
    """A size changed, left out, or in another's place."""
    places = [place for place in (text.range(step, size) for size in call.args) if place]
    for place in places:
        old = text.text[slice(*place)]
        for new in (f"{old} + 1", f"2 * {old}") if not old.isdecimal() else (str(int(old) + 1), str(2 * int(old))):
            yield Edit("mask", *place, new, f"{name}: {old} → {new}")
    for (start, mid), (again, end) in pairwise(places):
        one, two = text.text[start:mid], text.text[again:end]
        if one != two:
            yield Edit("mask", start, end, f"{two}, {one}", f"{name}({two}, {one}), not ({one}, {two})")
        yield Edit("mask", start, end, two, f"{name} without {one}")


def handed_edits(step: Expression, text: Text, call: ast.Call) -> Iterator[Edit]:
    """The mask that is handed over, along other axes or too short."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    handed = [keyword.value for keyword in call.keywords if keyword.arg == "attn_mask"]
    for mask in [*handed, *(call.args[:1] if name.startswith("masked_fill") else ())]:
        place = text.range(step, mask)
        if place is None:
            continue
        old = text.text[slice(*place)]
        whole = old if isinstance(mask, ast.Name | ast.Call) else f"({old})"
        for new in (f"{whole}.transpose(-2, -1)", f"{whole}[:, :-1]", f"{whole}.unsqueeze(0)"):
            yield Edit("mask", *place, new, f"mask {new}, not {old}")
        if isinstance(mask, ast.Call) and isinstance(mask.func, ast.Attribute) and mask.func.attr == "unsqueeze":
            yield Edit("mask", *place, ast.unparse(mask.func.value), f"mask without unsqueeze, not {old}")
