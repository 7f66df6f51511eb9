"""A Spec as YAML: Spec → plain lists, dicts and scalars → text, such that parse_text(dump(spec)) == spec.

Comments, flow style and aliases are lost; every part of the meaning is kept. Steps written as strings stay strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from archscope.spec.spec_types import (
    Argument,
    Block,
    Check,
    Constant,
    Data,
    DeclaredModule,
    Definition,
    Expression,
    For,
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
from archscope.spec.yaml_nodes import resolve_scalar

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
PLAIN_SCALAR = re.compile(r"[A-Za-z_(.0-9][^#:{}\[\]\n\t]*", re.ASCII)


def dump(spec: Spec) -> str:
    """Return the spec as YAML text."""
    found: dict[str, Plain] = {
        "name": spec.name,
        "note": spec.note,
        "inputs": {one.name: plain_input(one) for one in spec.inputs},
        "params": plain_settings(spec.params),
        "variants": {one.name: plain_variant(one) for one in spec.variants},
        "matrix": plain_settings(spec.matrix),
        "import": {one.source: {original.name: local for original, local in one.names} for one in spec.imports},
        "python": {one.name: one.target for one in spec.python},
        "blocks": {one.name + plain_signature(one.arguments): plain_block(one) for one in spec.blocks},
        "let": plain_let(spec.let),
        "modules": {one.name: plain_module(one) for one in spec.modules},
        "tie": {one.path: one.owner for one in spec.ties},
        "expect": plain_checks(spec.expect),
    }
    found = without_empty(found)
    if spec.layers is not None:
        found["layers"] = plain_steps(spec.layers)
    if spec.returns is not None:
        found["return"] = plain_data(spec.returns)
    return "\n".join(yaml_lines(found)) + "\n"


def without_empty(found: dict[str, Plain]) -> dict[str, Plain]:
    """Return the entries whose value is not empty."""
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def plain_expression(expression: Expression) -> Plain:
    """Return the YAML value of an expression: an int for a whole number, which needs no quotes, else its text."""
    text = expression.text
    return int(text) if text.isdecimal() and str(int(text)) == text else text


def plain_data(value: Data) -> Plain:
    match value:
        case Constant():
            return value.value
        case Expression() | Word():
            return value.text
        case Items():
            return [plain_data(item) for item in value.items]
        case Table():
            return {key: plain_data(entry) for key, entry in value.entries}


def plain_signature(arguments: tuple[Argument, ...] | None, *, always: bool = False) -> str:
    if not arguments and not always:
        return ""
    texts = [one.name + (f"={one.default.text}" if one.default else "") for one in arguments or ()]
    return f"({', '.join(texts)})"


def plain_settings(found: tuple[Setting, ...]) -> Plain:
    return {one.name: plain_data(one.value) for one in found}


def plain_variant(variant: Variant) -> Plain:
    return {
        **{each.name: plain_data(each.value) for each in variant.settings},
        **without_empty({"expect": plain_checks(variant.expect)}),
    }


def plain_let(found: tuple[Definition, ...]) -> Plain:
    return {
        one.name + plain_signature(one.arguments, always=one.arguments is not None): plain_data(one.value)
        for one in found
    }


def plain_module(module: DeclaredModule) -> Plain:
    return module.body.text if isinstance(module.body, Expression) else plain_layer_call(module.body)


def plain_checks(found: tuple[Check, ...]) -> Plain:
    return {one.key: plain_data(one.value) for one in found}


def plain_input(declared: Input) -> Plain:
    if declared.dims is None:
        return None
    shape: Plain = [plain_expression(dim) for dim in declared.dims]
    if declared.dtype == "float32" and declared.low is None and declared.high is None:
        return shape
    bounds = {
        key: plain_expression(bound)
        for key, bound in (("low", declared.low), ("high", declared.high))
        if bound is not None
    }
    return {"shape": shape, "dtype": declared.dtype, **bounds}


def plain_block(block: Block) -> Plain:
    found: dict[str, Plain] = {
        "note": block.note,
        "inputs": {each.name: plain_input(each) for each in block.inputs or ()},
        "let": plain_let(block.let),
        "modules": {each.name: plain_module(each) for each in block.modules},
        "expect": plain_checks(block.expect),
    }
    found = without_empty(found)
    if block.returns is not None:
        found["return"] = plain_data(block.returns)
    return {**found, "layers": plain_steps(block.layers)} if found else plain_steps(block.layers)


def plain_steps(found: Steps) -> list[Plain]:
    return [plain_step(one) for one in found]


def plain_step(step: Step) -> Plain:
    modifiers = plain_modifiers(step)
    key, value = plain_subject(step)
    if not modifiers and key == "do" and not isinstance(value, dict):
        return value
    return {**modifiers, key: value}


def plain_modifiers(step: Step) -> dict[str, Plain]:
    found: dict[str, Plain] = {"note": step.note, "expect": plain_checks(step.expect)}
    for key, value in (("when", step.when), ("from", step.source)):
        if value is not None:
            found[key] = plain_expression(value)
    if step.otherwise:
        found["else"] = plain_steps(step.otherwise)
    if isinstance(step.loop, Repeat):
        found["repeat"] = plain_expression(step.loop.count)
    elif isinstance(step.loop, For):
        names: list[Plain] = [label.name for label in step.loop.names]
        found["for"], found["in"] = names[0] if step.loop.single else names, plain_data(step.loop.items)
    if step.collect is not None:
        found["collect"] = step.collect.name
    if isinstance(step.body, Join) and step.body.dim is not None:
        found["dim"] = plain_expression(step.body.dim)
    return without_empty(found)


def plain_subject(step: Step) -> tuple[str, Plain]:
    """Return the key and the value of a step's subject."""
    body = step.body
    if step.target is not None or isinstance(body, Step):
        value = plain_step(body) if isinstance(body, Step) else plain_body(body)
        if isinstance(body, Step) and not isinstance(value, dict):
            value = {"do": value}
        return "do" if step.target is None else target_text(step.target), value
    match body:
        case Residual():
            found: dict[str, Plain] = {} if body.when is None else {"when": plain_expression(body.when)}
            found["main"] = plain_steps(body.main)
            return "residual", {**found, "shortcut": plain_steps(body.shortcut)} if body.shortcut else found
        case Join(branches=branches):
            if all(branch.name is None for branch in branches):
                return body.kind, [plain_steps(branch.steps) for branch in branches]
            return body.kind, {str(branch.name): plain_steps(branch.steps) for branch in branches}
        case LayerCall():
            return next(iter(plain_layer_call(body).items()))
        case _:
            return "do", plain_body(body)


def plain_body(body: object) -> Plain:
    if isinstance(body, Expression):
        return body.text
    assert isinstance(body, tuple), body
    return plain_steps(body)


def target_text(found: Target, *, nested: bool = False) -> str:
    if isinstance(found, Label):
        return found.name
    text = ", ".join(target_text(part, nested=True) for part in found) + ("," if len(found) == 1 else "")
    return f"({text})" if nested else text


def plain_layer_call(call: LayerCall) -> dict[str, Plain]:
    """Return a layer call's arguments: a list if some are positional, a mapping if all are keywords."""
    if not call.args:
        return {call.name: {label.name: plain_data(value) for label, value in call.kwargs}}
    pairs: Iterable[Plain] = ({label.name: plain_data(value)} for label, value in call.kwargs)
    return {call.name: [*(plain_data(value) for value in call.args), *pairs]}


def yaml_lines(value: Plain, indent: str = "") -> list[str]:
    """Return the block-style YAML lines of a non-empty list or mapping, or the one line of any other value."""
    if isinstance(value, dict) and value:
        return [
            line
            for key, entry in value.items()
            for line in key_lines(f"{indent}{scalar_text(key)}:", entry, indent + "  ")
        ]
    if isinstance(value, list) and value:
        lines = []
        for entry in value:
            first, *rest = yaml_lines(entry, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        return lines
    return [indent + scalar_text(value)]


def key_lines(head: str, entry: Plain, indent: str) -> list[str]:
    """Return the line of a key and the lines of its value below it."""
    return (
        [head, *yaml_lines(entry, indent)]
        if isinstance(entry, list | dict) and entry
        else [f"{head} {scalar_text(entry)}"]
    )


def scalar_text(value: Plain) -> str:
    """Return a scalar on one line; a string is quoted unless it is safe without quotes."""
    if isinstance(value, str):
        return value if is_safe_plain(value) else '"' + "".join(map(escape_char, value)) + '"'
    if isinstance(value, float):
        return repr(value) if abs(value) != float("inf") else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)  # an integer, or an empty list or mapping


def is_safe_plain(value: str) -> bool:
    """Return whether YAML reads the unquoted text back as this string."""
    return (
        bool(PLAIN_SCALAR.fullmatch(value))
        and value == value.strip()
        and value.isprintable()
        and resolves_to_text(value)
    )


def resolves_to_text(value: str) -> bool:
    """Return whether an unquoted scalar is read as text; a number with too many digits raises an error and is not."""
    try:
        return resolve_scalar(value) == value
    except ValueError:
        return False


def escape_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08X}"
