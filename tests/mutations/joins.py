"""What is joined, wrong: an operand or a branch left out, taken twice, or in another's place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from archscope.spec.spec_types import Branch, Expression, Join
from tests.mutations.edit import Edit, Sized
from tests.mutations.places import Found, Text


def operand_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """The list of a `cat` or `stack`."""
    for node in ast.walk(found.thing.tree) if isinstance(found.thing, Expression) else ():
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        given = node.args[0] if isinstance(node, ast.Call) and node.args else None
        if name in ("cat", "concat", "stack") and isinstance(given, ast.List) and isinstance(found.thing, Expression):
            places = [text.range(found.thing, one) for one in given.elts]
            yield from pair_edits(text, name, [place for place in places if place])


def pair_edits(text: Text, name: str, places: list[tuple[int, int]]) -> Iterator[Edit]:
    """Two neighbours exchanged, one of them in both places, one of them left out."""
    for (start, mid), (again, end) in pairwise(places):
        one, sign, two = text.text[start:mid], text.text[mid:again], text.text[again:end]
        for new in (two + sign + one, one + sign + one, two + sign + two, one, two):
            if one != two:
                yield Edit("join", start, end, new, f"{name} of {new}, not {one}{sign}{two}")


def branch_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """The branches of a form: one left out, one twice."""
    form = found.thing
    if not isinstance(form, Join) or len(form.branches) < 2:
        return
    flow = [place for branch in form.branches if (place := flow_range(branch, text))]
    if len(flow) == len(form.branches):
        yield from pair_edits(text, form.kind, flow)
        return
    for branch in form.branches:
        start, end = line_range(branch, text)
        if start is not None:
            above = text.line(start) - 1
            yield Edit("join", start, end, "", f"{form.kind} without a branch", (above, form.span.line))
            if branch.name is None:
                words = f"{form.kind} with a branch twice"
                yield Edit("join", end, end, text.text[start:end], words, (form.span.line, above + 1))


def flow_range(branch: Branch, text: Text) -> tuple[int, int] | None:
    """Where a branch of one expression stands, if it stands in `[a, b]`."""
    body = branch.steps[0].body if len(branch.steps) == 1 else None
    place = text.range(body) if isinstance(body, Expression) else None
    if place is None:
        return None
    quoted = text.text[place[0] - 1] in "\"'"
    start, end = place[0] - quoted, place[1] + quoted
    before, after = text.text[:start].rstrip(), text.text[end:].lstrip()
    return (start, end) if before[-1:] in ("[", ",") and after[:1] in ("]", ",") else None


def line_range(branch: Branch, text: Text) -> tuple[int | None, int]:
    """From where to where the lines of a branch go that has lines of its own."""
    first = branch.span.line
    row, rows = text.whole(first), text.text.splitlines(keepends=True)
    mine = row.lstrip().startswith(f"{branch.name}:" if branch.name else "- ")
    if not mine or row.lstrip().startswith("- - "):
        return None, 0
    indent, last = len(row) - len(row.lstrip()), first
    while last < len(rows) and len(rows[last]) - len(rows[last].lstrip()) > indent:
        last += 1
    return sum(map(len, rows[: first - 1])), sum(map(len, rows[:last]))
