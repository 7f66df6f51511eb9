"""The leaves of a spec: nodes → expressions, values, names, inputs, signatures, checks.

ScalarNode   → Expression (it must parse)                 parse_expression_node
Node         → Constant | Expression | Word | Items | Table   parse_data
"N, 3"       → Input        "f(a, b=1)" → name, Arguments     parse_input, parse_signature
{shape: …, params: …}   → Checks                          parse_checks
"""

from __future__ import annotations

import ast
import keyword
import re

from archscope.errors import Problem, Problems, did_you_mean
from archscope.ops.dtypes import DTYPE_ALIASES, DTYPE_NAMES
from archscope.spec.expression import parse_expression, quote_short
from archscope.spec.spec_types import Argument, Check, Constant, Data, Expression, Input, Items, Label, Table, Word
from archscope.spec.yaml_nodes import (
    MappingNode,
    Node,
    ParseError,
    ScalarNode,
    SequenceNode,
    as_mapping,
    as_scalar,
    as_sequence,
    collect_all,
    collect_or_default,
    describe_node,
    is_null,
    known_entries,
)

FORMS = ("residual", "concat", "add", "multiply", "stack")
MODIFIERS = ("when", "else", "repeat", "for", "in", "collect", "from", "expect", "dim", "note")
RESERVED = (*FORMS, "do", *MODIFIERS, "prev")
CHECK_KEYS = ("shape", "preserves", "params", "macs")
PRESERVES = ("shape", "channels", "size")
FIGURE_PATTERN = re.compile(r"\d[\d_]*(\.\d+)?[kKMGTP]")


def parse_expression_node(node: Node, *, wild: bool = False) -> Expression:
    """Return a scalar as an expression; YAML's numbers and words count as written."""
    if not isinstance(node, ScalarNode):
        fix = "quote it, if it starts with '['" if isinstance(node, SequenceNode) else "write it without braces"
        raise ParseError(node.span, f"an expression belongs here, not {describe_node(node)}", fix)
    if node.value is None and not node.text:
        raise ParseError(node.span, "an expression is missing here", "write a number, a name or a condition")
    text = str(node.value) if isinstance(node.value, int) and not isinstance(node.value, bool) else node.text
    return parse_expression(text, node.inner, multiline=node.multiline, wild=wild)


def parse_data(node: Node, *, strict: bool = False) -> Data:
    """Return a value: numbers and YAML's words are Constants, strings Expressions or (unless `strict`) Words."""
    if isinstance(node, SequenceNode):
        return Items(tuple(parse_data(item, strict=strict) for item in node.items), node.span)
    if isinstance(node, MappingNode):
        return Table(tuple((key.text, parse_data(value, strict=strict)) for key, value in node.entries), node.span)
    if not isinstance(node.value, str):
        return Constant(node.value, node.span)
    try:
        return parse_expression(node.text, node.inner, multiline=node.multiline, wild=node.text.strip() == "_")
    except ParseError:
        if strict:
            raise
        return Word(node.text, node.inner)


def parse_note(node: Node) -> str:
    return as_scalar(node, "note").text


def parse_name(text: ScalarNode, what: str) -> Label:
    """Return the name of a param, an argument or a constant: any identifier that has no other meaning in
    expressions.
    """
    name = text.text
    if not name.isidentifier():
        sane = re.sub(r"\W+", "_", name).strip("_")
        fix = f"did you mean {sane!r}?" if sane.isidentifier() else "names are letters, digits and '_'"
        raise ParseError(text.inner, f"{quote_short(name)} is not a name for {what}", fix)
    if name.startswith("_"):
        raise ParseError(text.inner, f"{name!r} cannot name {what}: it starts with '_'", "rename it")
    if keyword.iskeyword(name) or name.lower() in ("true", "false", "none", "null") or name == "prev":
        raise ParseError(text.inner, f"{name!r} is a reserved word and cannot name {what}", "rename it")
    return Label(name, text.inner)


def parse_label(text: ScalarNode, what: str = "a label") -> Label:
    """Return a label: a name that starts with a small letter and is not reserved."""
    if text.text in RESERVED:
        fix = "it belongs beside the step's key, at the same indent" if text.text in MODIFIERS else "rename it"
        raise ParseError(text.inner, f"{text.text!r} is a reserved word and cannot name {what}", fix)
    label = parse_name(text, what)
    if label.name[0].isupper():
        fix = f"did you mean {label.name[0].lower() + label.name[1:]!r}? A capital is for layers and blocks"
        raise ParseError(text.inner, f"{label.name!r} cannot name {what}: it starts with a capital", fix)
    return label


def parse_capital_name(text: ScalarNode, what: str) -> Label:
    """Return a name that starts with a capital, as those of layers and blocks do."""
    label = parse_name(text, what)
    if not label.name[0].isupper():
        fix = f"did you mean {label.name[0].upper() + label.name[1:]!r}?"
        raise ParseError(text.inner, f"{label.name!r} cannot name {what}: it must start with a capital", fix)
    return label


def parse_signature(text: ScalarNode, what: str) -> tuple[ScalarNode, tuple[Argument, ...] | None]:
    """Return the name and the arguments of `f(a, b=1)`; None as arguments for a plain name."""
    if text.text.isidentifier():
        return text, None
    parsed = parse_expression(text.text, text.inner, multiline=text.multiline)
    call = parsed.tree
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ParseError(
            text.inner, f"{quote_short(text.text)} is not {what}'s signature", "write 'Name(arg, arg=default)'"
        )
    name = ScalarNode(call.func.id, call.func.id, parsed.span, parsed.span)
    required = [parse_argument(parsed, arg, None, what) for arg in call.args]
    defaulted = [parse_argument(parsed, word, word.value, what) for word in call.keywords]
    return name, check_unique((*required, *defaulted), what)


def parse_argument(whole: Expression, node: ast.AST, default: ast.expr | None, what: str) -> Argument:
    place = whole.at(node)
    name = node.id if isinstance(node, ast.Name) else getattr(node, "arg", None)
    if name is None:
        fix = "write 'Name(arg, arg=default)'"
        raise ParseError(place, f"an argument of {what}'s signature is a name, or name=default", fix)
    label = parse_name(ScalarNode(name, name, place, place), "an argument")
    if default is None:
        return Argument(label.name, None, place)
    text = ast.get_source_segment(whole.text, default) if default.lineno == 1 else None
    value = parse_expression(text or ast.unparse(default), whole.at(default), multiline=text is None)
    return Argument(label.name, value, place)


def check_unique(arguments: tuple[Argument, ...], what: str) -> tuple[Argument, ...]:
    seen: set[str] = set()
    for one in arguments:
        if one.name in seen:
            raise ParseError(one.span, f"argument {one.name!r} occurs twice in {what}'s signature", "remove one")
        seen.add(one.name)
    return arguments


def parse_inputs(problems: Problems, node: Node, *, shapes: bool) -> tuple[Input, ...]:
    """Return the inputs in `inputs: {name: shape}`; if `shapes` is False (in a block) also `[name, name]`."""
    if isinstance(node, SequenceNode) and not shapes:
        entries: tuple = node.items
        names = collect_all(problems, lambda item: parse_label(as_scalar(item, "an input"), "an input"), node.items)
        found = tuple(Input(label.name, None, label.span) for label in names)
    else:
        entries = as_mapping(node, "inputs", "write 'inputs: {x: [N, 3, 224, 224]}'").entries
        found = collect_all(problems, lambda entry: parse_input(*entry, shapes=shapes), entries)
    if not entries:
        raise ParseError(node.span, "inputs is empty", "name at least one input")
    for number, one in enumerate(found):
        if one.name in [before.name for before in found[:number]]:
            problems.add(Problem(one.span, f"input {one.name!r} occurs twice", "rename one"))
    return found


def parse_input(key: ScalarNode, node: Node, *, shapes: bool) -> Input:
    """Return one named input: `[dims]`, `dtype[dims]` or `{shape, dtype, low, high}`."""
    return parse_labelled_input(parse_label(key, "an input"), node, shapes=shapes)


def parse_labelled_input(label: Label, node: Node, *, shapes: bool) -> Input:
    """Return the input under `label`, with the label's place."""
    if isinstance(node, MappingNode):
        return parse_input_mapping(label, node)
    if isinstance(node, SequenceNode):
        return Input(label.name, parse_dims(node), label.span)
    if is_null(node) and not shapes:
        return Input(label.name, None, label.span)
    return parse_typed_input(label, node)


def parse_dims(node: SequenceNode) -> tuple[Expression, ...]:
    return tuple(parse_dim(item) for item in node.items)


def parse_dim(node: Node) -> Expression:
    if (
        isinstance(node, ScalarNode)
        and isinstance(node.value, int)
        and not isinstance(node.value, bool)
        and node.value < 0
    ):
        raise ParseError(node.span, f"a dimension cannot be {node.value}", "write '_' for anything, or name it")
    return parse_expression_node(node, wild=True)


def parse_typed_input(label: Label, node: Node) -> Input:
    """Return the input in `int64[N, seq]`."""
    fix = "write [N, 3, 224, 224] or int64[N, seq]"
    if is_null(node):
        raise ParseError(node.span, f"input {label.name!r} has no shape", fix)
    whole = parse_expression_node(node, wild=True)
    tree = whole.tree
    if not isinstance(tree, ast.Subscript) or not isinstance(tree.value, ast.Name) or isinstance(tree.slice, ast.Slice):
        raise ParseError(whole.span, f"{quote_short(whole.text)} is not an input's shape", fix)
    parts = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    texts = [(ast.get_source_segment(whole.text, part) or ast.unparse(part), whole.at(part)) for part in parts]
    dims = tuple(parse_expression(text, place, wild=True) for text, place in texts)
    dtype = parse_dtype(ScalarNode(tree.value.id, tree.value.id, whole.span, whole.span))
    return Input(label.name, dims, label.span, dtype)


def parse_dtype(text: ScalarNode) -> str:
    if text.text not in DTYPE_NAMES:
        alias = DTYPE_ALIASES.get(text.text)
        fix = (
            f"did you mean {alias!r}?"
            if alias
            else did_you_mean(text.text, DTYPE_NAMES) or "known: " + ", ".join(DTYPE_NAMES)
        )
        raise ParseError(text.inner, f"unknown dtype {text.text!r}", fix)
    return text.text


def parse_input_mapping(label: Label, node: MappingNode) -> Input:
    """Return the input in `{shape: [N, seq], dtype: int64, low: 0, high: vocab}`."""
    problems = Problems()
    found = known_entries(problems, node, ("shape", "dtype", "low", "high"), f"input {label.name!r}")
    for problem in problems:
        raise ParseError(problem.span, problem.message, problem.help)
    if "shape" not in found:
        raise ParseError(label.span, f"input {label.name!r} has no shape", "write {shape: [N, seq], dtype: int64}")
    return Input(
        label.name,
        parse_dims(as_sequence(found["shape"], "shape")),
        label.span,
        parse_dtype(as_scalar(found["dtype"], "dtype")) if "dtype" in found else "float32",
        parse_expression_node(found["low"]) if "low" in found else None,
        parse_expression_node(found["high"]) if "high" in found else None,
    )


def parse_checks(problems: Problems, node: Node) -> tuple[Check, ...]:
    """Return the checks of `expect:`, one for each entry."""
    table = as_mapping(node, "expect", "write 'expect: {shape: [N, 10]}'")
    known_entries(problems, table, CHECK_KEYS, "expect")
    entries = [entry for entry in table.entries if entry[0].text in CHECK_KEYS]
    return collect_all(problems, lambda entry: parse_check(*entry), entries)


def parse_check(key: ScalarNode, node: Node) -> Check:
    if key.text == "shape":
        entries = as_sequence(node, "shape", "write 'shape: [N, 10, 24, 24]'; '_' is anything").items
        return Check(key.text, Items(tuple(map(parse_shape_entry, entries)), node.span), key.span)
    if key.text == "preserves":
        kept = as_scalar(node, "preserves")
        if kept.text not in PRESERVES:
            fix = did_you_mean(kept.text, PRESERVES) or "write shape (F×H×W), channels or size (H×W)"
            raise ParseError(kept.inner, f"{kept.text!r} cannot be preserved", fix)
        return Check(key.text, Word(kept.text, kept.inner), key.span)
    return Check(key.text, parse_amount(key.text, node), key.span)


def parse_shape_entry(node: Node) -> Data:
    """Return an entry of a shape: a number as a Constant, anything else as an Expression."""
    if isinstance(node, ScalarNode) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return Constant(node.value, node.span)
    return parse_expression_node(node, wild=True)


def parse_amount(key: str, node: Node) -> Data:
    """Return a number of parameters or multiply-adds: exact, `12.4M` to the digits written, or `{min:, max:}`."""
    if isinstance(node, MappingNode):
        return parse_bounds(key, node)
    value = parse_data(as_scalar(node, key, f"write '{key}: 1_000', '{key}: 12.4M' or '{key}: {{min: 1M, max: 2M}}'"))
    if isinstance(value, Word) and not FIGURE_PATTERN.fullmatch(value.text):
        raise ParseError(value.span, f"{value.text!r} is not a number for {key}", bound_help(key, value.text))
    if isinstance(value, Constant) and (isinstance(value.value, bool) or value.value is None):
        raise ParseError(node.span, f"{key} must be a number, not {describe_node(node)}", f"write '{key}: 12.4M'")
    return value


def bound_help(key: str, text: str) -> str:
    """Return the help for `< 5M` and similar texts."""
    bound = re.fullmatch(r"\s*([<>])=?\s*(\S+)\s*", text)
    if not bound:
        return "write 11_689_512, 12.4M (k, M, G, T, P), or {min: 1M, max: 2M}"
    return f"write {key}: {{{'max' if bound[1] == '<' else 'min'}: {bound[2]}}}"


def parse_bounds(key: str, node: MappingNode) -> Table:
    for name, _ in node.entries:
        if name.text not in ("min", "max"):
            raise ParseError(name.span, f"unknown key {name.text!r} in {key}", "a range is {min: 1M, max: 2M}")
    if not node.entries:
        raise ParseError(node.span, f"the range of {key} is empty", "a range is {min: 1M, max: 2M}")
    return Table(tuple((name.text, parse_amount(name.text, value)) for name, value in node.entries), node.span)


def parse_optional(problems: Problems, node: Node | None) -> Expression | None:
    """Return the expression at a key, None if it is not set; its problem is collected."""
    return None if node is None else collect_or_default(problems, None, lambda: parse_expression_node(node))
