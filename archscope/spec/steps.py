"""Steps: nodes → Steps.

    steps   := [ step, … ]
    step    := EXPR | steps | { subject: body, modifiers… }
    subject := label | "a, b" | "a, (b, c)" | do | Upper | residual | concat | add | multiply | stack
    body    := EXPR | steps | step                        label, targets, do
             | scalar | [args, k: v…] | {k: v…}           Upper (a layer's or block's long form)
             | steps | {main:, shortcut:, when:}          residual
             | [ step|steps, … ] | { name: step|steps }   the forms that join

The faults of one step do not hide those of the next, nor a step's modifiers those of its body.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from archscope.errors import Problem, Problems, Span, did_you_mean
from archscope.spec.data import (
    FORMS,
    MODIFIERS,
    capital_of,
    checks_of,
    data_of,
    expression_of,
    label_of,
    name_of,
    note_of,
    optional,
)
from archscope.spec.expression import parse_expression, short
from archscope.spec.model import (
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
    scalar,
    sequence,
)

BRANCHES = "list them, or name them in a mapping"
LIST = "steps are a list: start each with '- '"


def steps_of(problems: Problems, node: Node) -> Steps:
    """A list of steps, or one step standing alone; labels must differ within the list."""
    if not isinstance(node, Sequence):
        return (step_of(problems, node),)
    steps = gather(problems, lambda item: step_of(problems, item), node.items)
    check_labels(problems, steps)
    return steps


def listed(problems: Problems, node: Node, what: str) -> Steps:
    """Steps that must be written as a list."""
    return steps_of(problems, sequence(node, what, LIST))


def check_labels(problems: Problems, steps: Steps) -> None:
    """A label may be set once per list."""
    seen: dict[str, Label] = {}
    for label in (label for step in steps for label in labels_of(step)):
        first = seen.setdefault(label.name, label)
        if first is not label:
            lines = {first.span.line: None, label.span.line: None}
            where = f"line{'s' * (len(lines) > 1)} {' and '.join(map(str, lines))}"
            help = "a label may be set once per list: rename one, or use prev"
            problems.add(Problem(label.span, f"label {label.name!r} is set twice in this list: {where}", help))


def labels_of(step: Step) -> Iterator[Label]:
    if step.target is not None:
        yield from flat(step.target)
    if step.collect is not None:
        yield step.collect


def flat(target: Target) -> Iterator[Label]:
    """The labels of a target, without `_`."""
    if isinstance(target, tuple):
        for part in target:
            yield from flat(part)
    elif target.name != "_":
        yield target


def step_of(problems: Problems, node: Node) -> Step:
    """One item of a list of steps. Raises Misread where it has no readable subject."""
    if isinstance(node, Mapping):
        return mapped(problems, node)
    if isinstance(node, Sequence):
        return Step(steps_of(problems, node), node.span)
    return Step(expression_step(node), node.inner)


def expression_step(node: Scalar) -> Expression:
    if node.value is None and not node.text:
        raise Misread(node.span, "a step is missing here", "write a layer, a function or an expression after '- '")
    expression = expression_of(node)
    if expression.text.endswith(","):
        end = expression.span.shifted(0 if node.multiline else len(expression.text) - 1)
        cure = "remove it: each step is an item of its own"
        raise Misread(end, f"a comma ends this step: {short(expression.text)}", cure)
    if isinstance(expression.tree, ast.Constant):
        cure = "write a layer, a function, or an expression with a label in it"
        raise Misread(expression.span, f"{expression.text} is a constant, not a step", cure)
    return expression


def mapped(problems: Problems, node: Mapping) -> Step:
    """A step with a subject and modifiers."""
    key, value = subject_of(node)
    modifiers = {name.text: entry for name, entry in node.entries if name is not key}
    target = attempt(problems, None, lambda: target_of(key))
    nothing: Body = ()
    body = attempt(problems, nothing, lambda: body_of(problems, key, value, modifiers))
    attempt(problems, None, lambda: check_modifiers(node, key, modifiers))
    otherwise = modifiers.get("else")
    return Step(
        body=body,
        span=key.inner,
        target=target,
        when=optional(problems, modifiers.get("when")),
        otherwise=() if is_null(otherwise) else attempt(problems, (), lambda: steps_of(problems, some(otherwise))),
        loop=attempt(problems, None, lambda: loop_of(node, modifiers)),
        collect=attempt(problems, None, lambda: collect_of(modifiers.get("collect"))),
        source=optional(problems, modifiers.get("from")),
        expect=attempt(problems, (), lambda: checks_of(problems, modifiers["expect"]) if "expect" in modifiers else ()),
        note=attempt(problems, "", lambda: note_of(modifiers["note"]) if "note" in modifiers else ""),
    )


def some(node: Node | None) -> Node:
    """A node that has been seen to be there."""
    assert node is not None
    return node


def subject_of(node: Mapping) -> tuple[Scalar, Node]:
    """The one entry that says what the step is. Raises Misread where there is none, or more than one."""
    subjects = [entry for entry in node.entries if entry[0].text not in MODIFIERS]
    if not subjects:
        keys = ", ".join(repr(key.text) for key, _ in node.entries)
        cure = f"add 'do:' with the steps it is about{'; a label needs another name' if len(node.entries) == 1 else ''}"
        raise Misread(node.span, f"this step has no subject, only {keys}" if keys else "this step is empty", cure)
    if len(subjects) > 1:
        raise Misread(*too_many(subjects))
    key, value = subjects[0]
    if node.span != key.span and is_null(value) and not key.text.isidentifier():
        fact = f"{short('{' + key.text + '}')} is a YAML mapping, not an expression"
        raise Misread(node.span, fact, "write it without braces")
    return subjects[0]


def too_many(subjects: list[tuple[Scalar, Node]]) -> tuple[Span, str, str]:
    """Where, fact and cure for two subjects; a misspelt modifier is the likely reason."""
    (first, value), (second, _) = subjects[:2]
    for key, _ in subjects:
        if near := did_you_mean(key.text, (*MODIFIERS, *FORMS)):
            return key.span, f"unknown key {key.text!r} in a step", near
    if is_null(value) and first.text[0].isupper():
        cure = f"indent {second.text!r} further, below {first.text!r}"
    else:
        cure = "one step per '- '; groups of steps are lists"
    return second.span, f"two subjects in one step: {first.text!r} and {second.text!r}", cure


def check_modifiers(node: Mapping, key: Scalar, modifiers: dict[str, Node]) -> None:
    """Modifiers that need another one beside them."""
    needs = (("else", ("when",)), ("in", ("for",)), ("for", ("in",)), ("collect", ("repeat", "for")))
    for name, partners in needs:
        if name in modifiers and not any(partner in modifiers for partner in partners):
            text = " or ".join(f"'{partner}:'" for partner in partners)
            raise Misread(node.key(name).span, f"'{name}:' without {text}", f"add {text} beside it")
    if "repeat" in modifiers and "for" in modifiers:
        raise Misread(node.key("repeat").span, "'repeat:' and 'for:' in one step", "nest one: 'do: [{repeat: …}]'")
    if "dim" in modifiers and key.text not in ("concat", "stack"):
        cure = "write it beside concat: or stack:"
        raise Misread(node.key("dim").span, f"'dim:' does not belong to {key.text!r}", cure)


def loop_of(node: Mapping, modifiers: dict[str, Node]) -> Repeat | For | None:
    if "for" in modifiers and "in" in modifiers:
        names = modifiers["for"]
        span = node.key("for").span
        items = data_of(modifiers["in"], strict=True)
        if isinstance(names, Sequence):
            return For(tuple(loop_name(scalar(item, "a loop name")) for item in names.items), False, items, span)
        return For((loop_name(scalar(names, "for")),), True, items, span)
    if "repeat" in modifiers:
        return Repeat(expression_of(modifiers["repeat"]), node.key("repeat").span)
    return None


def loop_name(text: Scalar) -> Label:
    if "," in text.text:
        raise Misread(text.inner, f"{short(text.text)} is not a name", f"several names are a list: [{text.text}]")
    return name_of(text, "a loop's value")


def collect_of(node: Node | None) -> Label | None:
    return None if node is None else label_of(scalar(node, "collect"), "a list")


def target_of(key: Scalar) -> Target | None:
    """The labels that a subject sets; None for `do`, a layer or a form."""
    text = key.text
    if text in ("do", *FORMS) or (text[:1].isupper() and text.isidentifier()):
        return None
    if "," not in text and not text.startswith(("(", "[")):
        if "(" in text:
            cure = "a step with arguments needs no ':' after it; the long form is 'Conv2d: {out_channels: 8}'"
            raise Misread(key.inner, f"{short(text)} is not a label", cure)
        return label_of(key)
    expression = parse_expression(text, key.inner, multiline=key.multiline, wild=True)
    return unpacked(expression, expression.tree)


def unpacked(whole: Expression, node: ast.expr) -> Target:
    """A tree of names as a target: `out, (h, c)`."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(unpacked(whole, part) for part in node.elts)
    place = whole.at(node)
    if not isinstance(node, ast.Name):
        raise Misread(place, f"{short(whole.text)} is not a list of labels", "write 'a, b:' or 'out, (h, c):'")
    if node.id == "_":
        return Label("_", place)
    return label_of(Scalar(node.id, node.id, place, place))


def body_of(problems: Problems, key: Scalar, value: Node, modifiers: dict[str, Node]) -> Body:
    """What stands below a subject."""
    if key.text == "residual":
        return residual_of(problems, key, value)
    if key.text in FORMS:
        dim = optional(problems, modifiers.get("dim"))
        return Join(key.text, branches_of(problems, key.text, value), dim, key.span)
    if key.text[:1].isupper() and key.text.isidentifier():
        return layer_call(problems, key, value)
    if is_null(value):
        cure = f"write '{key.text}: ReLU'; a mapping's keys are indented further"
        raise Misread(key.span, f"{key.text!r} has no step", cure)
    if isinstance(value, Sequence):
        return steps_of(problems, value)
    if isinstance(value, Mapping):
        return step_of(problems, value)
    return expression_step(value)


def layer_call(problems: Problems, key: Scalar, value: Node) -> LayerCall:
    """The long form: arguments as YAML data."""
    name = capital_of(key, "a layer").name
    if isinstance(value, Mapping):
        return LayerCall(name, (), keywords(problems, value.entries), key.span)
    if isinstance(value, Sequence):
        return LayerCall(name, *mixed(problems, name, value), key.span)
    return LayerCall(name, () if is_null(value) else (data_of(value),), (), key.span)


def keywords(problems: Problems, entries: Iterable[tuple[Scalar, Node]]) -> tuple[tuple[Label, Data], ...]:
    return gather(problems, lambda entry: (name_of(entry[0], "an argument"), data_of(entry[1])), entries)


def mixed(problems: Problems, name: str, value: Sequence) -> tuple[tuple[Data, ...], tuple[tuple[Label, Data], ...]]:
    """`[64, 3, stride: 2]`: positional values first, then `key: value` pairs, each once."""
    entries = [entry for item in value.items if isinstance(item, Mapping) for entry in item.entries]
    pairs = [isinstance(item, Mapping) for item in value.items]
    if True in pairs and False in pairs[pairs.index(True) :]:
        late = value.items[pairs.index(False, pairs.index(True))]
        raise Misread(late.span, f"a positional argument of {name} stands after a keyword", "put positional ones first")
    seen: dict[str, Scalar] = {}
    for key, _ in entries:
        if seen.setdefault(key.text, key) is not key:
            raise Misread(key.span, f"argument {key.text!r} of {name} is given twice", "remove one")
    args = tuple(data_of(item) for item in value.items if not isinstance(item, Mapping))
    return args, keywords(problems, entries)


def residual_of(problems: Problems, key: Scalar, value: Node) -> Residual:
    """`residual: steps`, or `residual: {main:, shortcut:, when:}`."""
    if is_null(value):
        raise Misread(key.span, "residual has no steps", "list the steps of its main path below it")
    if not isinstance(value, Mapping):
        return Residual(steps_of(problems, value), (), None, key.span)
    found = known(problems, value, ("main", "shortcut", "when"), "residual")
    if "main" not in found:
        raise Misread(key.span, "residual has no 'main'", "write the steps of the main path below 'main:'")
    if is_null(found["main"]):
        raise Misread(value.key("main").span, "the residual's main path is empty", "write its steps")
    shortcut = found.get("shortcut")
    return Residual(
        attempt(problems, (), lambda: steps_of(problems, found["main"])),
        () if is_null(shortcut) else attempt(problems, (), lambda: steps_of(problems, some(shortcut))),
        optional(problems, found.get("when")),
        key.span,
    )


def branches_of(problems: Problems, kind: str, value: Node) -> tuple[Branch, ...]:
    """Branches as a list, or as a mapping that names them."""
    if isinstance(value, Mapping):
        found = gather(problems, lambda entry: named_branch(problems, kind, *entry), value.entries)
    elif isinstance(value, Sequence):
        found = gather(problems, lambda item: Branch(None, steps_of(problems, item), item.span), value.items)
    else:
        raise Misread(value.span, f"{kind} wants branches, not {describe(value)}", BRANCHES)
    if not value_items(value):
        raise Misread(value.span, f"{kind} has no branches", BRANCHES)
    return found


def value_items(value: Mapping | Sequence) -> tuple[object, ...]:
    return value.entries if isinstance(value, Mapping) else value.items


def named_branch(problems: Problems, kind: str, key: Scalar, value: Node) -> Branch:
    if key.text == "dim":
        raise Misread(key.span, f"'dim' is no branch of {kind}", f"write it beside '{kind}:', at the same indent")
    if key.text[:1].isupper() and key.text.isidentifier():
        cure = "a mapping names its branches; without names write them as a list with '- '"
        raise Misread(key.span, f"{key.text!r} is a layer, not the name of a branch of {kind}", cure)
    name = label_of(key, "a branch").name
    return Branch(name, () if is_null(value) else steps_of(problems, value), key.span)
