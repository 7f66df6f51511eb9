"""A wrong argument at one of several uses of a block: given where the default was meant, or left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from archscope.spec.spec_types import Argument, Expression
from tests.mutations.edit import CAUSES, Edit, Sized, changed
from tests.mutations.places import ROLES, Found, Text


def use_edits(found: Found, text: Text, sized: Sized) -> Iterator[Edit]:
    """Arguments added and dropped; those that are changed are found with all other calls'."""
    if not isinstance(found.thing, Expression):
        return
    for node in ast.walk(found.thing.tree):
        name = block_name(node)
        if found.scope.uses.get(name, 0) > 1 and (place := text.range(found.thing, node)):
            call = node if isinstance(node, ast.Call) else None
            if call is not None or node is found.thing.tree:
                yield from added_arguments(text, place, name, call, found.scope.blocks[name])
            if call is not None:
                yield from dropped_arguments(found.thing, text, name, call, found.scope.blocks[name])


def block_name(node: ast.AST) -> str:
    """The name of a block that is used: with arguments, or by its name alone."""
    head = node.func if isinstance(node, ast.Call) else node
    return head.id if isinstance(head, ast.Name) else ""


def added_arguments(
    text: Text, place: tuple[int, int], name: str, call: ast.Call | None, arguments: tuple[Argument, ...]
) -> Iterator[Edit]:
    """An argument that has a default, and that this use leaves to it, with another value."""
    count = len(call.args) if call else 0
    said = {keyword.arg for keyword in call.keywords} if call else set()
    for argument in arguments[count:]:
        role = ROLES.get(argument.name, "")
        if role and argument.default is not None and argument.name not in said:
            for value in changed(role, argument.default.text):
                new = f"{argument.name}={value}"
                words, causes = f"{name} with {new}", CAUSES[role]
                if call is None:
                    yield Edit("use", place[1], place[1], f"({new})", words, causes=causes)
                else:
                    lead = ", " if call.args or call.keywords else ""
                    yield Edit("use", place[1] - 1, place[1] - 1, lead + new, words, causes=causes)


def dropped_arguments(
    step: Expression, text: Text, name: str, call: ast.Call, arguments: tuple[Argument, ...]
) -> Iterator[Edit]:
    """An argument that has a default, left out: the last of those by position, or any keyword."""
    optional = {argument.name for argument in arguments if argument.default is not None}
    last = arguments[len(call.args) - 1].name if 0 < len(call.args) <= len(arguments) else ""
    for node, argument in [*((one, last) for one in call.args[-1:]), *((k.value, k.arg or "") for k in call.keywords)]:
        place = text.range(step, node)
        if place and argument in optional and ROLES.get(argument):
            start = max(text.text.rfind(sign, 0, place[0]) for sign in ",(")
            first = text.text[start] == "("
            end = place[1] + (2 if first and text.text[place[1]] == "," else 0)
            yield Edit("use", start + first, end, "", f"{name} without {argument}", causes=CAUSES[ROLES[argument]])
