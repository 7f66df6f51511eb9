"""Steps of a spec: nodes → Steps.

    steps   := [ step, … ]
    step    := EXPR | steps | { subject: body, modifiers… }
    subject := label | "a, b" | "a, (b, c)" | do | Upper | residual | concat | add | multiply | stack
    body    := EXPR | steps | step                        label, targets, do
             | scalar | [args, k: v…] | {k: v…}           Upper (a layer's or block's long form)
             | steps | {main:, shortcut:, when:}          residual
             | [ step|steps, … ] | { name: step|steps }   the forms that join

The problems of one step do not hide those of the next one, nor those of a step's modifiers those of its body.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from archscope.errors import Problem, Problems, Span, did_you_mean
from archscope.spec.expression import parse_expression, quote_short
from archscope.spec.parse_data import (
    FORMS,
    MODIFIERS,
    parse_capital_name,
    parse_checks,
    parse_data,
    parse_expression_node,
    parse_label,
    parse_name,
    parse_note,
    parse_optional,
)
from archscope.spec.spec_types import (
    Body,
    Branch,
    Data,
    Expression,
    For,
    Join,
    Label,
    LayerCall,
    Repeat,
    Residual,
    Step,
    Steps,
    Target,
)
from archscope.spec.yaml_nodes import (
    MappingNode,
    Node,
    ParseError,
    ScalarNode,
    SequenceNode,
    as_scalar,
    as_sequence,
    collect_all,
    collect_or_default,
    describe_node,
    is_null,
    known_entries,
)

BRANCHES_HELP = "list them, or name them in a mapping"
STEP_LIST_HELP = "steps are a list: start each with '- '"


def parse_steps(problems: Problems, node: Node) -> Steps:
    """Return a list of steps, or one step that is not in a list; labels must differ within the list."""
    if not isinstance(node, SequenceNode):
        return (parse_step(problems, node),)
    steps = collect_all(problems, lambda item: parse_step(problems, item), node.items)
    check_labels(problems, steps)
    return steps


def parse_step_list(problems: Problems, node: Node, what: str) -> Steps:
    """Return steps that must be written as a list."""
    return parse_steps(problems, as_sequence(node, what, STEP_LIST_HELP))


def check_labels(problems: Problems, steps: Steps) -> None:
    """Report labels that are set twice in a list."""
    seen: dict[str, Label] = {}
    for label in (label for step in steps for label in step_labels(step)):
        first = seen.setdefault(label.name, label)
        if first is not label:
            lines = {first.span.line: None, label.span.line: None}
            where = f"line{'s' * (len(lines) > 1)} {' and '.join(map(str, lines))}"
            help = "a label may be set once per list: rename one, or use prev"
            problems.add(Problem(label.span, f"label {label.name!r} is set twice in this list: {where}", help))


def step_labels(step: Step) -> Iterator[Label]:
    if step.target is not None:
        yield from target_labels(step.target)
    if step.collect is not None:
        yield step.collect


def target_labels(target: Target) -> Iterator[Label]:
    """Yield the labels of a target, without `_`."""
    if isinstance(target, tuple):
        for part in target:
            yield from target_labels(part)
    elif target.name != "_":
        yield target


def parse_step(problems: Problems, node: Node) -> Step:
    """Return one item of a list of steps. Raise ParseError if it has no readable subject."""
    if isinstance(node, MappingNode):
        return parse_mapped_step(problems, node)
    if isinstance(node, SequenceNode):
        return Step(parse_steps(problems, node), node.span)
    return Step(parse_expression_step(node), node.inner)


def parse_expression_step(node: ScalarNode) -> Expression:
    if node.value is None and not node.text:
        raise ParseError(node.span, "a step is missing here", "write a layer, a function or an expression after '- '")
    expression = parse_expression_node(node)
    if expression.text.endswith(","):
        end = expression.span.shifted(0 if node.multiline else len(expression.text) - 1)
        fix = "remove it: each step is an item of its own"
        raise ParseError(end, f"a comma ends this step: {quote_short(expression.text)}", fix)
    if isinstance(expression.tree, ast.Constant):
        fix = "write a layer, a function, or an expression with a label in it"
        raise ParseError(expression.span, f"{expression.text} is a constant, not a step", fix)
    return expression


def parse_mapped_step(problems: Problems, node: MappingNode) -> Step:
    """Return a step with a subject and modifiers."""
    key, value = find_subject(node)
    modifiers = {name.text: entry for name, entry in node.entries if name is not key}
    target = collect_or_default(problems, None, lambda: parse_target(key))
    nothing: Body = ()
    body = collect_or_default(problems, nothing, lambda: parse_body(problems, key, value, modifiers))
    collect_or_default(problems, None, lambda: check_modifiers(node, key, modifiers))
    otherwise = modifiers.get("else")
    return Step(
        body=body,
        span=key.inner,
        target=target,
        when=parse_optional(problems, modifiers.get("when")),
        otherwise=()
        if is_null(otherwise)
        else collect_or_default(problems, (), lambda: parse_steps(problems, require_node(otherwise))),
        loop=collect_or_default(problems, None, lambda: parse_loop(node, modifiers)),
        collect=collect_or_default(problems, None, lambda: parse_collect(modifiers.get("collect"))),
        source=parse_optional(problems, modifiers.get("from")),
        expect=collect_or_default(
            problems, (), lambda: parse_checks(problems, modifiers["expect"]) if "expect" in modifiers else ()
        ),
        note=collect_or_default(problems, "", lambda: parse_note(modifiers["note"]) if "note" in modifiers else ""),
    )


def require_node(node: Node | None) -> Node:
    """Return a node that is known to exist."""
    assert node is not None
    return node


def find_subject(node: MappingNode) -> tuple[ScalarNode, Node]:
    """Return the one entry that says what the step is. Raise ParseError if there is none, or more than one."""
    subjects = [entry for entry in node.entries if entry[0].text not in MODIFIERS]
    if not subjects:
        keys = ", ".join(repr(key.text) for key, _ in node.entries)
        fix = f"add 'do:' with the steps it is about{'; a label needs another name' if len(node.entries) == 1 else ''}"
        raise ParseError(node.span, f"this step has no subject, only {keys}" if keys else "this step is empty", fix)
    if len(subjects) > 1:
        raise ParseError(*two_subjects_problem(subjects))
    key, value = subjects[0]
    if node.span != key.span and is_null(value) and not key.text.isidentifier():
        fact = f"{quote_short('{' + key.text + '}')} is a YAML mapping, not an expression"
        raise ParseError(node.span, fact, "write it without braces")
    return subjects[0]


def two_subjects_problem(subjects: list[tuple[ScalarNode, Node]]) -> tuple[Span, str, str]:
    """Return the place, fact and help for a step with two subjects; a misspelt modifier is the likely reason."""
    (first, value), (second, _) = subjects[:2]
    for key, _ in subjects:
        if near := did_you_mean(key.text, (*MODIFIERS, *FORMS)):
            return key.span, f"unknown key {key.text!r} in a step", near
    if is_null(value) and first.text[0].isupper():
        fix = f"indent {second.text!r} further, below {first.text!r}"
    else:
        fix = "one step per '- '; groups of steps are lists"
    return second.span, f"two subjects in one step: {first.text!r} and {second.text!r}", fix


def check_modifiers(node: MappingNode, key: ScalarNode, modifiers: dict[str, Node]) -> None:
    """Report modifiers that need another one beside them."""
    needs = (("else", ("when",)), ("in", ("for",)), ("for", ("in",)), ("collect", ("repeat", "for")))
    for name, partners in needs:
        if name in modifiers and not any(partner in modifiers for partner in partners):
            text = " or ".join(f"'{partner}:'" for partner in partners)
            raise ParseError(node.key(name).span, f"'{name}:' without {text}", f"add {text} beside it")
    if "repeat" in modifiers and "for" in modifiers:
        raise ParseError(node.key("repeat").span, "'repeat:' and 'for:' in one step", "nest one: 'do: [{repeat: …}]'")
    if "dim" in modifiers and key.text not in ("concat", "stack"):
        fix = "write it beside concat: or stack:"
        raise ParseError(node.key("dim").span, f"'dim:' does not belong to {key.text!r}", fix)


def parse_loop(node: MappingNode, modifiers: dict[str, Node]) -> Repeat | For | None:
    if "for" in modifiers and "in" in modifiers:
        names = modifiers["for"]
        span = node.key("for").span
        items = parse_data(modifiers["in"], strict=True)
        if isinstance(names, SequenceNode):
            return For(
                tuple(parse_loop_name(as_scalar(item, "a loop name")) for item in names.items), False, items, span
            )
        return For((parse_loop_name(as_scalar(names, "for")),), True, items, span)
    if "repeat" in modifiers:
        return Repeat(parse_expression_node(modifiers["repeat"]), node.key("repeat").span)
    return None


def parse_loop_name(text: ScalarNode) -> Label:
    if "," in text.text:
        raise ParseError(
            text.inner, f"{quote_short(text.text)} is not a name", f"several names are a list: [{text.text}]"
        )
    return parse_name(text, "a loop's value")


def parse_collect(node: Node | None) -> Label | None:
    return None if node is None else parse_label(as_scalar(node, "collect"), "a list")


def parse_target(key: ScalarNode) -> Target | None:
    """Return the labels that a subject sets; None for `do`, a layer or a form."""
    text = key.text
    if text in ("do", *FORMS) or (text[:1].isupper() and text.isidentifier()):
        return None
    if "," not in text and not text.startswith(("(", "[")):
        if "(" in text:
            fix = "a step with arguments needs no ':' after it; the long form is 'Conv2d: {out_channels: 8}'"
            raise ParseError(key.inner, f"{quote_short(text)} is not a label", fix)
        return parse_label(key)
    expression = parse_expression(text, key.inner, multiline=key.multiline, wild=True)
    return parse_unpacking(expression, expression.tree)


def parse_unpacking(whole: Expression, node: ast.expr) -> Target:
    """Return a tree of names as a target: `out, (h, c)`."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(parse_unpacking(whole, part) for part in node.elts)
    place = whole.at(node)
    if not isinstance(node, ast.Name):
        raise ParseError(place, f"{quote_short(whole.text)} is not a list of labels", "write 'a, b:' or 'out, (h, c):'")
    if node.id == "_":
        return Label("_", place)
    return parse_label(ScalarNode(node.id, node.id, place, place))


def parse_body(problems: Problems, key: ScalarNode, value: Node, modifiers: dict[str, Node]) -> Body:
    """Return the body of a step, by its subject."""
    if key.text == "residual":
        return parse_residual(problems, key, value)
    if key.text in FORMS:
        dim = parse_optional(problems, modifiers.get("dim"))
        return Join(key.text, parse_branches(problems, key.text, value), dim, key.span)
    if key.text[:1].isupper() and key.text.isidentifier():
        return parse_layer_call(problems, key, value)
    if is_null(value):
        fix = f"write '{key.text}: ReLU'; a mapping's keys are indented further"
        raise ParseError(key.span, f"{key.text!r} has no step", fix)
    if isinstance(value, SequenceNode):
        return parse_steps(problems, value)
    if isinstance(value, MappingNode):
        return parse_step(problems, value)
    return parse_expression_step(value)


def parse_layer_call(problems: Problems, key: ScalarNode, value: Node) -> LayerCall:
    """Return a layer call in the long form: arguments as YAML data."""
    name = parse_capital_name(key, "a layer").name
    if isinstance(value, MappingNode):
        return LayerCall(name, (), parse_keywords(problems, value.entries), key.span)
    if isinstance(value, SequenceNode):
        return LayerCall(name, *parse_mixed_arguments(problems, name, value), key.span)
    return LayerCall(name, () if is_null(value) else (parse_data(value),), (), key.span)


def parse_keywords(problems: Problems, entries: Iterable[tuple[ScalarNode, Node]]) -> tuple[tuple[Label, Data], ...]:
    return collect_all(problems, lambda entry: (parse_name(entry[0], "an argument"), parse_data(entry[1])), entries)


def parse_mixed_arguments(
    problems: Problems, name: str, value: SequenceNode
) -> tuple[tuple[Data, ...], tuple[tuple[Label, Data], ...]]:
    """Return the arguments of `[64, 3, stride: 2]`: positional values first, then `key: value` pairs, each key once."""
    entries = [entry for item in value.items if isinstance(item, MappingNode) for entry in item.entries]
    pairs = [isinstance(item, MappingNode) for item in value.items]
    if True in pairs and False in pairs[pairs.index(True) :]:
        late = value.items[pairs.index(False, pairs.index(True))]
        raise ParseError(
            late.span, f"a positional argument of {name} stands after a keyword", "put positional ones first"
        )
    seen: dict[str, ScalarNode] = {}
    for key, _ in entries:
        if seen.setdefault(key.text, key) is not key:
            raise ParseError(key.span, f"argument {key.text!r} of {name} is given twice", "remove one")
    args = tuple(parse_data(item) for item in value.items if not isinstance(item, MappingNode))
    return args, parse_keywords(problems, entries)


def parse_residual(problems: Problems, key: ScalarNode, value: Node) -> Residual:
    """Return the residual in `residual: steps` or `residual: {main:, shortcut:, when:}`."""
    if is_null(value):
        raise ParseError(key.span, "residual has no steps", "list the steps of its main path below it")
    if not isinstance(value, MappingNode):
        return Residual(parse_steps(problems, value), (), None, key.span)
    found = known_entries(problems, value, ("main", "shortcut", "when"), "residual")
    if "main" not in found:
        raise ParseError(key.span, "residual has no 'main'", "write the steps of the main path below 'main:'")
    if is_null(found["main"]):
        raise ParseError(value.key("main").span, "the residual's main path is empty", "write its steps")
    shortcut = found.get("shortcut")
    return Residual(
        collect_or_default(problems, (), lambda: parse_steps(problems, found["main"])),
        ()
        if is_null(shortcut)
        else collect_or_default(problems, (), lambda: parse_steps(problems, require_node(shortcut))),
        parse_optional(problems, found.get("when")),
        key.span,
    )


def parse_branches(problems: Problems, kind: str, value: Node) -> tuple[Branch, ...]:
    """Return branches from a list, or from a mapping that names them."""
    if isinstance(value, MappingNode):
        found = collect_all(problems, lambda entry: parse_named_branch(problems, kind, *entry), value.entries)
    elif isinstance(value, SequenceNode):
        found = collect_all(problems, lambda item: Branch(None, parse_steps(problems, item), item.span), value.items)
    else:
        raise ParseError(value.span, f"{kind} takes branches, not {describe_node(value)}", BRANCHES_HELP)
    if not (value.entries if isinstance(value, MappingNode) else value.items):
        raise ParseError(value.span, f"{kind} has no branches", BRANCHES_HELP)
    return found


def parse_named_branch(problems: Problems, kind: str, key: ScalarNode, value: Node) -> Branch:
    if key.text == "dim":
        raise ParseError(key.span, f"'dim' is not a branch of {kind}", f"write it beside '{kind}:', at the same indent")
    if key.text[:1].isupper() and key.text.isidentifier():
        fix = "a mapping names its branches; without names write them as a list with '- '"
        raise ParseError(key.span, f"{key.text!r} is a layer, not the name of a branch of {kind}", fix)
    name = parse_label(key, "a branch").name
    return Branch(name, () if is_null(value) else parse_steps(problems, value), key.span)
