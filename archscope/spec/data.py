"""Leaves of a spec: nodes → expressions, values, names, inputs, signatures, checks.

Scalar   → Expression (it must parse)                 expression_of
Node     → Constant | Expression | Word | Items | Table   data_of
"N, 3"   → Input        "f(a, b=1)" → name, Arguments     input_of, signature
{shape: …, params: …}   → Checks                      checks_of
"""

from __future__ import annotations

import ast
import keyword
import re

from archscope.errors import Problem, Problems, did_you_mean
from archscope.spec.expression import parse_expression, short
from archscope.spec.model import Argument, Check, Constant, Data, Expression, Input, Items, Label, Table, Word
from archscope.spec.nodes import (
    Mapping,
    Misread,
    Node,
    Scalar,
    Sequence,
    attempt,
    describe,
    gather,
    is_null,
    known,
    mapping,
    scalar,
    sequence,
)

FORMS = ("residual", "concat", "add", "multiply", "stack")
MODIFIERS = ("when", "else", "repeat", "for", "in", "collect", "from", "expect", "dim", "note")
RESERVED = (*FORMS, "do", *MODIFIERS, "prev")
CHECKS = ("shape", "preserves", "params", "macs")
PRESERVES = ("shape", "channels", "size")
DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"),
    *("bool", "complex64", "complex128"),
)
ALIASES = (("long", "int64"), ("int", "int32"), ("float", "float32"), ("double", "float64"), ("half", "float16"))
FIGURE = re.compile(r"\d[\d_]*(\.\d+)?[kKMGTP]")


def expression_of(node: Node, *, wild: bool = False) -> Expression:
    """A scalar as an expression: YAML's numbers and words are taken as they are meant."""
    if not isinstance(node, Scalar):
        cure = "quote it, if it starts with '['" if isinstance(node, Sequence) else "write it without braces"
        raise Misread(node.span, f"an expression belongs here, not {describe(node)}", cure)
    if node.value is None and not node.text:
        raise Misread(node.span, "an expression is missing here", "write a number, a name or a condition")
    text = str(node.value) if isinstance(node.value, int) and not isinstance(node.value, bool) else node.text
    return parse_expression(text, node.inner, multiline=node.multiline, wild=wild)


def data_of(node: Node, *, strict: bool = False) -> Data:
    """A value: numbers and YAML's words are Constants, strings Expressions or (unless `strict`) Words."""
    if isinstance(node, Sequence):
        return Items(tuple(data_of(item, strict=strict) for item in node.items), node.span)
    if isinstance(node, Mapping):
        return Table(tuple((key.text, data_of(value, strict=strict)) for key, value in node.entries), node.span)
    if not isinstance(node.value, str):
        return Constant(node.value, node.span)
    try:
        return parse_expression(node.text, node.inner, multiline=node.multiline, wild=node.text.strip() == "_")
    except Misread:
        if strict:
            raise
        return Word(node.text, node.inner)


def note_of(node: Node) -> str:
    return scalar(node, "note").text


def name_of(text: Scalar, what: str) -> Label:
    """A name for a param, an argument or a constant: any identifier that no expression reads as something else."""
    name = text.text
    if not name.isidentifier():
        sane = re.sub(r"\W+", "_", name).strip("_")
        cure = f"did you mean {sane!r}?" if sane.isidentifier() else "names are letters, digits and '_'"
        raise Misread(text.inner, f"{short(name)} is not a name for {what}", cure)
    if name.startswith("_"):
        raise Misread(text.inner, f"{name!r} cannot name {what}: it starts with '_'", "rename it")
    if keyword.iskeyword(name) or name.lower() in ("true", "false", "none", "null") or name == "prev":
        raise Misread(text.inner, f"{name!r} is a reserved word and cannot name {what}", "rename it")
    return Label(name, text.inner)


def label_of(text: Scalar, what: str = "a label") -> Label:
    """A label: a name that starts with a small letter and is not reserved."""
    if text.text in RESERVED:
        cure = "it belongs beside the step's key, at the same indent" if text.text in MODIFIERS else "rename it"
        raise Misread(text.inner, f"{text.text!r} is a reserved word and cannot name {what}", cure)
    label = name_of(text, what)
    if label.name[0].isupper():
        cure = f"did you mean {label.name[0].lower() + label.name[1:]!r}? A capital is for layers and blocks"
        raise Misread(text.inner, f"{label.name!r} cannot name {what}: it starts with a capital", cure)
    return label


def capital_of(text: Scalar, what: str) -> Label:
    """A name that starts with a capital, as layers and blocks do."""
    label = name_of(text, what)
    if not label.name[0].isupper():
        cure = f"did you mean {label.name[0].upper() + label.name[1:]!r}?"
        raise Misread(text.inner, f"{label.name!r} cannot name {what}: it must start with a capital", cure)
    return label


def signature(text: Scalar, what: str) -> tuple[Scalar, tuple[Argument, ...] | None]:
    """`f(a, b=1)` → the name and its arguments; a plain name has None."""
    if text.text.isidentifier():
        return text, None
    parsed = parse_expression(text.text, text.inner, multiline=text.multiline)
    call = parsed.tree
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise Misread(text.inner, f"{short(text.text)} is not {what}'s signature", "write 'Name(arg, arg=default)'")
    name = Scalar(call.func.id, call.func.id, parsed.span, parsed.span)
    required = [argument(parsed, arg, None, what) for arg in call.args]
    defaulted = [argument(parsed, word, word.value, what) for word in call.keywords]
    return name, unique((*required, *defaulted), what)


def argument(whole: Expression, node: ast.AST, default: ast.expr | None, what: str) -> Argument:
    place = whole.at(node)
    name = node.id if isinstance(node, ast.Name) else getattr(node, "arg", None)
    if name is None:
        cure = "write 'Name(arg, arg=default)'"
        raise Misread(place, f"an argument of {what}'s signature is a name, or name=default", cure)
    label = name_of(Scalar(name, name, place, place), "an argument")
    if default is None:
        return Argument(label.name, None, place)
    text = ast.get_source_segment(whole.text, default) if default.lineno == 1 else None
    value = parse_expression(text or ast.unparse(default), whole.at(default), multiline=text is None)
    return Argument(label.name, value, place)


def unique(arguments: tuple[Argument, ...], what: str) -> tuple[Argument, ...]:
    seen: set[str] = set()
    for one in arguments:
        if one.name in seen:
            raise Misread(one.span, f"argument {one.name!r} stands twice in {what}'s signature", "remove one")
        seen.add(one.name)
    return arguments


def inputs_of(problems: Problems, node: Node, *, shapes: bool) -> tuple[Input, ...]:
    """`inputs:` `{name: shape}`; where `shapes` are not demanded (in a block) also `[name, name]`."""
    if isinstance(node, Sequence) and not shapes:
        entries: tuple = node.items
        names = gather(problems, lambda item: label_of(scalar(item, "an input"), "an input"), node.items)
        found = tuple(Input(label.name, None, label.span) for label in names)
    else:
        entries = mapping(node, "inputs", "write 'inputs: {x: [N, 3, 224, 224]}'").entries
        found = gather(problems, lambda entry: input_of(*entry, shapes=shapes), entries)
    if not entries:
        raise Misread(node.span, "inputs is empty", "name at least one input")
    for number, one in enumerate(found):
        if one.name in [before.name for before in found[:number]]:
            problems.add(Problem(one.span, f"input {one.name!r} stands twice", "rename one"))
    return found


def input_of(key: Scalar, node: Node, *, shapes: bool) -> Input:
    """One named input: `[dims]`, `dtype[dims]` or `{shape, dtype, low, high}`."""
    return shaped(label_of(key, "an input"), node, shapes=shapes)


def shaped(label: Label, node: Node, *, shapes: bool) -> Input:
    """The input under `label`, at the label's place."""
    if isinstance(node, Mapping):
        return long_input(label, node)
    if isinstance(node, Sequence):
        return Input(label.name, dims_of(node), label.span)
    if is_null(node) and not shapes:
        return Input(label.name, None, label.span)
    return typed_input(label, node)


def dims_of(node: Sequence) -> tuple[Expression, ...]:
    return tuple(dim_of(item) for item in node.items)


def dim_of(node: Node) -> Expression:
    if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool) and node.value < 0:
        raise Misread(node.span, f"a dimension cannot be {node.value}", "write '_' for anything, or name it")
    return expression_of(node, wild=True)


def typed_input(label: Label, node: Node) -> Input:
    """`int64[N, seq]`."""
    cure = "write [N, 3, 224, 224] or int64[N, seq]"
    if is_null(node):
        raise Misread(node.span, f"input {label.name!r} has no shape", cure)
    whole = expression_of(node, wild=True)
    tree = whole.tree
    if not isinstance(tree, ast.Subscript) or not isinstance(tree.value, ast.Name) or isinstance(tree.slice, ast.Slice):
        raise Misread(whole.span, f"{short(whole.text)} is not an input's shape", cure)
    parts = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    texts = [(ast.get_source_segment(whole.text, part) or ast.unparse(part), whole.at(part)) for part in parts]
    dims = tuple(parse_expression(text, place, wild=True) for text, place in texts)
    dtype = dtype_of(Scalar(tree.value.id, tree.value.id, whole.span, whole.span))
    return Input(label.name, dims, label.span, dtype)


def dtype_of(text: Scalar) -> str:
    if text.text not in DTYPES:
        alias = dict(ALIASES).get(text.text)
        cure = f"did you mean {alias!r}?" if alias else did_you_mean(text.text, DTYPES) or "known: " + ", ".join(DTYPES)
        raise Misread(text.inner, f"unknown dtype {text.text!r}", cure)
    return text.text


def long_input(label: Label, node: Mapping) -> Input:
    """`{shape: [N, seq], dtype: int64, low: 0, high: vocab}`."""
    problems = Problems()
    found = known(problems, node, ("shape", "dtype", "low", "high"), f"input {label.name!r}")
    for problem in problems:
        raise Misread(problem.span, problem.message, problem.help)
    if "shape" not in found:
        raise Misread(label.span, f"input {label.name!r} has no shape", "write {shape: [N, seq], dtype: int64}")
    return Input(
        label.name,
        dims_of(sequence(found["shape"], "shape")),
        label.span,
        dtype_of(scalar(found["dtype"], "dtype")) if "dtype" in found else "float32",
        expression_of(found["low"]) if "low" in found else None,
        expression_of(found["high"]) if "high" in found else None,
    )


def checks_of(problems: Problems, node: Node) -> tuple[Check, ...]:
    """`expect:`; every entry is one check."""
    table = mapping(node, "expect", "write 'expect: {shape: [N, 10]}'")
    known(problems, table, CHECKS, "expect")
    entries = [entry for entry in table.entries if entry[0].text in CHECKS]
    return gather(problems, lambda entry: check_of(*entry), entries)


def check_of(key: Scalar, node: Node) -> Check:
    if key.text == "shape":
        return Check(key.text, Items(tuple(data_of_dim(item) for item in shape_items(node)), node.span), key.span)
    if key.text == "preserves":
        return Check(key.text, preserved(scalar(node, "preserves")), key.span)
    return Check(key.text, amount(key.text, node), key.span)


def shape_items(node: Node) -> tuple[Node, ...]:
    return sequence(node, "shape", "write 'shape: [N, 10, 24, 24]'; '_' is anything").items


def data_of_dim(node: Node) -> Data:
    """An entry of a shape: a number stays a Constant, all else is an expression."""
    if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return Constant(node.value, node.span)
    return expression_of(node, wild=True)


def preserved(text: Scalar) -> Word:
    if text.text not in PRESERVES:
        cure = did_you_mean(text.text, PRESERVES) or "write shape (F×H×W), channels or size (H×W)"
        raise Misread(text.inner, f"{text.text!r} is nothing that can be preserved", cure)
    return Word(text.text, text.inner)


def amount(key: str, node: Node) -> Data:
    """A number of parameters or multiply-adds: exact, `12.4M` to the digits written, or `{min:, max:}`."""
    if isinstance(node, Mapping):
        return bounds(key, node)
    value = data_of(scalar(node, key, f"write '{key}: 1_000', '{key}: 12.4M' or '{key}: {{min: 1M, max: 2M}}'"))
    if isinstance(value, Word) and not FIGURE.fullmatch(value.text):
        raise Misread(value.span, f"{value.text!r} is not a number for {key}", bound_cure(key, value.text))
    if isinstance(value, Constant) and (isinstance(value.value, bool) or value.value is None):
        raise Misread(node.span, f"{key} wants a number, not {describe(node)}", f"write '{key}: 12.4M'")
    return value


def bound_cure(key: str, text: str) -> str:
    """The cure for `< 5M` and the like."""
    bound = re.fullmatch(r"\s*([<>])=?\s*(\S+)\s*", text)
    if not bound:
        return "write 11_689_512, 12.4M (k, M, G, T, P), or {min: 1M, max: 2M}"
    return f"write {key}: {{{'max' if bound[1] == '<' else 'min'}: {bound[2]}}}"


def bounds(key: str, node: Mapping) -> Table:
    for name, _ in node.entries:
        if name.text not in ("min", "max"):
            raise Misread(name.span, f"unknown key {name.text!r} in {key}", "a range is {min: 1M, max: 2M}")
    if not node.entries:
        raise Misread(node.span, f"the range of {key} is empty", "a range is {min: 1M, max: 2M}")
    return Table(tuple((name.text, amount(name.text, value)) for name, value in node.entries), node.span)


def optional(problems: Problems, node: Node | None) -> Expression | None:
    """An expression where a key is set; its fault is collected."""
    return None if node is None else attempt(problems, None, lambda: expression_of(node))
