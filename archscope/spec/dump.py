"""A Spec as YAML again: Spec → plain lists, dicts and scalars → text, such that parse_text(dump(spec)) == spec.

Comments, flow style and aliases are gone; every part of the meaning is there. Step strings stay step strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from archscope.spec.model import (
    Argument,
    Block,
    Branch,
    Check,
    Constant,
    Data,
    Declared,
    Definition,
    Expression,
    For,
    Import,
    Input,
    Items,
    Join,
    Label,
    LayerCall,
    Repeat,
    Residual,
    Setting,
    Spec,
    Step,
    Steps,
    Table,
    Target,
    Variant,
    Word,
)
from archscope.spec.nodes import resolve

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
SAFE = re.compile(r"[A-Za-z_(.0-9][^#:{}\[\]\n\t]*", re.ASCII)


def dump(spec: Spec) -> str:
    """The spec as YAML text."""
    found: dict[str, Plain] = {
        "name": spec.name,
        "note": spec.note,
        "inputs": {one.name: plain_input(one) for one in spec.inputs},
        "params": settings(spec.params),
        "variants": {one.name: variant(one) for one in spec.variants},
        "matrix": settings(spec.matrix),
        "import": imports(spec.imports),
        "python": {one.name: one.target for one in spec.python},
        "blocks": {one.name + signature(one.arguments): block(one) for one in spec.blocks},
        "let": let(spec.let),
        "modules": {one.name: declared(one) for one in spec.modules},
        "tie": {one.path: one.owner for one in spec.ties},
        "expect": checks(spec.expect),
    }
    found = set_only(found)
    if spec.layers is not None:
        found["layers"] = steps(spec.layers)
    if spec.returns is not None:
        found["return"] = data(spec.returns)
    return "\n".join(lines(found)) + "\n"


def set_only(found: dict[str, Plain]) -> dict[str, Plain]:
    """Without what is empty."""
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def expression(one: Expression) -> Plain:
    """Where an expression is wanted: a whole number needs no quotes."""
    return int(one.text) if one.text.isdecimal() and str(int(one.text)) == one.text else one.text


def data(value: Data) -> Plain:
    match value:
        case Constant():
            return value.value
        case Expression() | Word():
            return value.text
        case Items():
            return [data(item) for item in value.items]
        case Table():
            return {key: data(entry) for key, entry in value.entries}


def signature(arguments: tuple[Argument, ...] | None, *, always: bool = False) -> str:
    if not arguments and not always:
        return ""
    texts = [one.name + (f"={one.default.text}" if one.default else "") for one in arguments or ()]
    return f"({', '.join(texts)})"


def settings(found: tuple[Setting, ...]) -> Plain:
    return {one.name: data(one.value) for one in found}


def variant(one: Variant) -> Plain:
    return {**{each.name: data(each.value) for each in one.settings}, **set_only({"expect": checks(one.expect)})}


def imports(found: tuple[Import, ...]) -> Plain:
    return {one.source: {there.name: here for there, here in one.names} for one in found}


def let(found: tuple[Definition, ...]) -> Plain:
    return {one.name + signature(one.arguments, always=one.arguments is not None): data(one.value) for one in found}


def declared(one: Declared) -> Plain:
    return one.body.text if isinstance(one.body, Expression) else layer_call(one.body)


def checks(found: tuple[Check, ...]) -> Plain:
    return {one.key: data(one.value) for one in found}


def plain_input(one: Input) -> Plain:
    if one.dims is None:
        return None
    shape: Plain = [expression(dim) for dim in one.dims]
    if one.dtype == "float32" and one.low is None and one.high is None:
        return shape
    bounds = {key: expression(bound) for key, bound in (("low", one.low), ("high", one.high)) if bound is not None}
    return {"shape": shape, "dtype": one.dtype, **bounds}


def block(one: Block) -> Plain:
    found: dict[str, Plain] = {
        "note": one.note,
        "inputs": {each.name: plain_input(each) for each in one.inputs or ()},
        "let": let(one.let),
        "modules": {each.name: declared(each) for each in one.modules},
        "expect": checks(one.expect),
    }
    found = set_only(found)
    if one.returns is not None:
        found["return"] = data(one.returns)
    return {**found, "layers": steps(one.layers)} if found else steps(one.layers)


def steps(found: Steps) -> list[Plain]:
    return [step(one) for one in found]


def step(one: Step) -> Plain:
    modifiers = modifiers_of(one)
    key, value = subject(one)
    if not modifiers and key == "do" and not isinstance(value, dict):
        return value
    return {**modifiers, key: value}


def modifiers_of(one: Step) -> dict[str, Plain]:
    found: dict[str, Plain] = {"note": one.note, "expect": checks(one.expect)}
    for key, value in (("when", one.when), ("from", one.source)):
        if value is not None:
            found[key] = expression(value)
    if one.otherwise:
        found["else"] = steps(one.otherwise)
    if isinstance(one.loop, Repeat):
        found["repeat"] = expression(one.loop.count)
    elif isinstance(one.loop, For):
        names: list[Plain] = [label.name for label in one.loop.names]
        found["for"], found["in"] = names[0] if one.loop.single else names, data(one.loop.items)
    if one.collect is not None:
        found["collect"] = one.collect.name
    if isinstance(one.body, Join) and one.body.dim is not None:
        found["dim"] = expression(one.body.dim)
    return set_only(found)


def subject(one: Step) -> tuple[str, Plain]:
    """The key and the value of what the step is."""
    body = one.body
    if one.target is not None or isinstance(body, Step):
        value = step(body) if isinstance(body, Step) else expression_or_steps(body)
        if isinstance(body, Step) and not isinstance(value, dict):
            value = {"do": value}
        return "do" if one.target is None else target(one.target), value
    match body:
        case Residual():
            return "residual", residual(body)
        case Join():
            return body.kind, branches(body.branches)
        case LayerCall():
            return next(iter(layer_call(body).items()))
        case _:
            return "do", expression_or_steps(body)


def expression_or_steps(body: object) -> Plain:
    if isinstance(body, Expression):
        return body.text
    assert isinstance(body, tuple), body
    return steps(body)


def target(found: Target, *, nested: bool = False) -> str:
    if isinstance(found, Label):
        return found.name
    text = ", ".join(target(part, nested=True) for part in found) + ("," if len(found) == 1 else "")
    return f"({text})" if nested else text


def layer_call(one: LayerCall) -> dict[str, Plain]:
    """Positional arguments make it a list; keywords alone a mapping."""
    if not one.args:
        return {one.name: {label.name: data(value) for label, value in one.kwargs}}
    pairs: Iterable[Plain] = ({label.name: data(value)} for label, value in one.kwargs)
    return {one.name: [*(data(value) for value in one.args), *pairs]}


def residual(one: Residual) -> Plain:
    found: dict[str, Plain] = {} if one.when is None else {"when": expression(one.when)}
    found["main"] = steps(one.main)
    return {**found, "shortcut": steps(one.shortcut)} if one.shortcut else found


def branches(found: tuple[Branch, ...]) -> Plain:
    if all(one.name is None for one in found):
        return [steps(one.steps) for one in found]
    return {str(one.name): steps(one.steps) for one in found}


def lines(value: Plain, indent: str = "") -> list[str]:
    """Block-style YAML lines of a non-empty list or mapping, or the one line of anything else."""
    if isinstance(value, dict) and value:
        return [line for key, entry in value.items() for line in under(f"{indent}{text(key)}:", entry, indent + "  ")]
    if isinstance(value, list) and value:
        return [line for entry in value for line in item(entry, indent)]
    return [indent + text(value)]


def under(head: str, entry: Plain, indent: str) -> list[str]:
    """A key's line, and what stands below it."""
    return [head, *lines(entry, indent)] if isinstance(entry, list | dict) and entry else [f"{head} {text(entry)}"]


def item(entry: Plain, indent: str) -> list[str]:
    """`- ` before the first line of an entry, and its other lines below."""
    first, *rest = lines(entry, indent + "  ")
    return [f"{indent}- {first.lstrip()}", *rest]


def text(value: Plain) -> str:
    """A scalar on one line; a string is quoted unless it is plainly one."""
    if isinstance(value, str):
        return value if safe(value) else quoted(value)
    if isinstance(value, float):
        return repr(value) if abs(value) != float("inf") else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)  # an integer, or an empty list or mapping


def safe(value: str) -> bool:
    """Whether YAML reads the plain text back as this string."""
    return bool(SAFE.fullmatch(value)) and value == value.strip() and value.isprintable() and is_text(value)


def is_text(value: str) -> bool:
    """Whether a plain scalar means the text itself; digits that are too many for a number do not."""
    try:
        return resolve(value) == value
    except ValueError:
        return False


def quoted(value: str) -> str:
    escapes = (escaped(char) for char in value)
    return '"' + "".join(escapes) + '"'


def escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08X}"
