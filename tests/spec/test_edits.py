"""Tests of edits of a spec's text: each changes only what it should and keeps comments and layout, or returns None."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from archscope.errors import Span
from archscope.spec import load
from archscope.spec.argument_names import all_signatures, layer_signatures
from archscope.spec.editable_spec import CallSite, EditableSpec, iter_spec_nodes
from archscope.spec.spec_types import Expression, Residual, Spec, Step
from archscope.spec.text_diff import first_change, unified_diff

NET = """\
# a net
input: [N, 3, 8, 8]   # small
blocks:
  Block(channels, stride=1):
    layers:
      - Conv2d(channels, 3)
layers:
  - {step}   # here
  - Flatten  # there
"""
NEW = ["- Conv2d(4, 1)", "- BatchNorm2d"]


def page(text: str) -> EditableSpec:
    return EditableSpec(text, load("net.yaml", text=text).root)


def place(text: str, words: str) -> Span:
    """Return the place of some words at their first occurrence."""
    before = text[: text.index(words)]
    return Span("net.yaml", before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)


def call(one: EditableSpec, words: str, name: str = "") -> CallSite:
    """Return the call of a layer or block in the step that begins with these words."""
    found = one.calls(place(one.text, words), all_signatures(one.spec.blocks))
    return next(site for site in found if site.name == (name or re.split(r"\W", words)[0]))


def written(site: CallSite) -> dict[str, str]:
    return {name: argument.text for name, argument in site.arguments.items()}


# ------------------------------------------------------------ arguments
@pytest.mark.parametrize(
    ("step", "name", "value", "after"),
    [
        ("Conv2d(4, 3)", "out_channels", "8", "Conv2d(8, 3)"),
        ("Conv2d(4, 3)", "kernel_size", "5", "Conv2d(4, 5)"),
        ("Conv2d(3, 4, 3)", "kernel_size", "5", "Conv2d(3, 4, 5)"),
        ("Conv2d(3, 4, 3)", "in_channels", "16", "Conv2d(16, 4, 3)"),
        ("Conv2d(4, 3, 2, 1)", "stride", "2", "Conv2d(4, 3, 2, 2)"),
        ("Conv2d(4, 3)", "padding", "1", "Conv2d(4, 3, padding=1)"),
        ("Conv2d(4, kernel_size = 3)", "kernel_size", "5", "Conv2d(4, kernel_size = 5)"),
        ("Conv2d(4, (3, 1))", "kernel_size", "3", "Conv2d(4, 3)"),
        ("Conv2d(4, 3,  padding=(1 + 0))", "stride", "2", "Conv2d(4, 3,  padding=(1 + 0), stride=2)"),
        ("Conv2d(2 * 2, 3)", "out_channels", "8", "Conv2d(8, 3)"),
        ("ReLU", "inplace", "True", "ReLU(inplace=True)"),
        ("ReLU()", "inplace", "True", "ReLU(inplace=True)"),
        ("'Conv2d(4, 3)'", "padding", "1", "'Conv2d(4, 3, padding=1)'"),
        ("Linear(10)", "out_features", "12", "Linear(12)"),
        ("Linear(512, 10)", "in_features", "500", "Linear(500, 10)"),
        ("Linear(10, in_features=512)", "in_features", "500", "Linear(10, in_features=500)"),
        ("Block(16)", "stride", "2", "Block(16, stride=2)"),
        ("Block(16, 1)", "stride", "2", "Block(16, 2)"),
        ("fc: Linear(10)", "bias", "False", "fc: Linear(10, bias=False)"),
        ("residual: Conv2d(3, 3)", "padding", "1", "residual: Conv2d(3, 3, padding=1)"),
    ],
)
def test_an_argument_is_set_where_it_stands_or_added_by_its_name(step: str, name: str, value: str, after: str) -> None:
    text = NET.format(step=step)
    words = re.sub(r"^\w+: |^'|'$", "", step)
    one = page(text)
    changed = one.with_argument(call(one, words), name, value)
    assert changed == NET.format(step=after)
    new = call(page(changed), re.sub(r"^\w+: |^'|'$", "", after))
    assert written(new) == {**written(call(one, words)), name: value}


@pytest.mark.parametrize(
    ("step", "name", "after"),
    [
        ("Linear(512, 10)", "in_features", "Linear(10)"),
        ("Linear(in_features=512, out_features=10)", "in_features", "Linear(out_features=10)"),
        ("Linear(out_features=10, in_features = 512)", "in_features", "Linear(out_features=10)"),
        ("Linear(out_features=10, in_features=512, bias=False)", "in_features", "Linear(out_features=10, bias=False)"),
        ("Conv2d(3, 4, 3, padding=1)", "padding", "Conv2d(3, 4, 3)"),
        ("Conv2d(3 , 4, 3)", "in_channels", "Conv2d(4, 3)"),
        ("BatchNorm2d(3)", "num_features", "BatchNorm2d"),
        ("LayerNorm((8, 8), eps=1)", "normalized_shape", "LayerNorm(eps=1)"),
    ],
)
def test_an_argument_is_taken_out_with_its_comma(step: str, name: str, after: str) -> None:
    one = page(NET.format(step=step))
    site = call(one, step)
    changed = one.without_argument(site, name)
    assert changed == NET.format(step=after)
    left = {key: value for key, value in written(site).items() if key != name}
    assert written(call(page(changed), after)) == left


LONG = """\
input: [N, 3, 8, 8]
layers:
  - Conv2d: {out_channels: 4, kernel_size: 3, padding: 1}  # here
  - Conv2d:
      out_channels: 2 * 4   # eight
      kernel_size: 3
      bias: false
"""


@pytest.mark.parametrize(
    ("line", "name", "value", "old", "new"),
    [
        (3, "kernel_size", "5", "kernel_size: 3,", "kernel_size: 5,"),
        (3, "out_channels", "8", "{out_channels: 4,", "{out_channels: 8,"),
        (4, "out_channels", "16", "out_channels: 2 * 4 ", "out_channels: 16 "),
        (4, "bias", "true", "bias: false", "bias: true"),
    ],
)
def test_the_long_form_takes_other_values(line: int, name: str, value: str, old: str, new: str) -> None:
    one = page(LONG)
    (site,) = one.calls(Span("net.yaml", line, 5), layer_signatures())
    changed = one.with_argument(site, name, value)
    assert changed == LONG.replace(old, new)
    (after,) = page(changed).calls(Span("net.yaml", line, 5), layer_signatures())
    assert written(after) == {**written(site), name: value}


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [(3, "padding: 1}", "padding: 1, stride: 2}"), (4, "      bias: false\n", "      bias: false\n      stride: 2\n")],
)
def test_the_long_form_takes_another_argument(line: int, old: str, new: str) -> None:
    one = page(LONG)
    (site,) = one.calls(Span("net.yaml", line, 5), layer_signatures())
    changed = one.with_argument(site, "stride", "2")
    assert changed == LONG.replace(old, new)
    (after,) = page(changed).calls(Span("net.yaml", line, 5), layer_signatures())
    assert written(after) == {**written(site), "stride": "2"}


@pytest.mark.parametrize(
    ("line", "name", "gone"),
    [
        (3, "padding", ", padding: 1"),
        (3, "kernel_size", ", kernel_size: 3"),
        (3, "out_channels", "out_channels: 4, "),
        (4, "bias", "      bias: false\n"),
        (4, "kernel_size", "      kernel_size: 3\n"),
    ],
)
def test_the_long_form_goes_without_an_argument(line: int, name: str, gone: str) -> None:
    one = page(LONG)
    (site,) = one.calls(Span("net.yaml", line, 5), layer_signatures())
    head, tail = LONG.split("\n  - Conv2d:\n")
    parts = [head.replace(gone, "", 1), tail] if line == 3 else [head, tail.replace(gone, "", 1)]
    assert one.without_argument(site, name) == "\n  - Conv2d:\n".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        "input: [N, 3, 8, 8]\nlayers:\n  - Conv2d(4,\n      3)\n",
        "input: [N, 3, 8, 8]\nlayers:\n  - >-\n    Conv2d(4, 3)\n",
        'input: [N, 3, 8, 8]\nlayers:\n  - "Conv2d\\x284, 3)"\n',
    ],
    ids=["over two lines", "folded", "escaped"],
)
def test_a_call_that_does_not_stand_there_as_it_was_read_is_not_changed(text: str) -> None:
    one = page(text)
    (step,) = (part for part in iter_spec_nodes(one.spec.layers) if isinstance(part, Expression))
    assert one.calls(step.span, layer_signatures()) == []


def test_calls_within_calls_are_found_from_the_outside_in() -> None:
    one = page(NET.format(step="Conv2d(4, 3)(Conv2d(3, 1)(x).relu())"))
    found = one.calls(place(one.text, "Conv2d(4"), layer_signatures())
    assert [(site.name, written(site)) for site in found] == [
        ("Conv2d", {"out_channels": "4", "kernel_size": "3"}),
        ("Conv2d", {"out_channels": "3", "kernel_size": "1"}),
    ]


def test_columns_are_those_of_characters() -> None:
    text = NET.format(step="'Conv2d(4, 3)(x) # ·'".replace(" # ·", "")).replace("# a net", "# ein Nétz · 网")
    one = page(text)
    changed = one.with_argument(call(one, "Conv2d(4, 3)"), "kernel_size", "1")
    assert changed == text.replace("Conv2d(4, 3)(x)", "Conv2d(4, 1)(x)")


# ------------------------------------------------------------ shortcuts
RESIDUALS = {
    "list": "  - residual:  # two\n      - Conv2d(4, 3)  # one\n      # between\n      - ReLU\n\n  # after\n  - Tanh\n",
    "list at its key's indent": "  - residual:\n    - Conv2d(4, 3)  # first\n\n    - ReLU\n  - Flatten\n",
    "list at the margin": "- residual:\n  - ReLU\n- Flatten\n",
    "one line": "  - residual: Conv2d(4, 3)\n  - Flatten\n",
    "one line, comment": "  - residual: Conv2d(4, 3)    # why\n  - Flatten\n",
    "one line, quoted": "  - residual: 'Conv2d(4, 3)'\n  - Flatten\n",
    "one line, brackets": '  - residual: ["Conv2d(4, 3)", ReLU]  # two\n',
    "main": "  - residual:\n      main:\n        - Conv2d(4, 3)\n        - ReLU  # last\n  - Flatten\n",
    "main at its key's indent": "  - residual:\n      main:\n      - Conv2d(4, 3)\n      - ReLU\n  - Flatten\n",
    "main in one line": "  - residual:\n      main: ReLU   # one\n  - Flatten\n",
    "main and when": "  - residual:\n      main: ReLU\n      when: true  # yes\n  - Flatten\n",
    "when and main": "  - residual:\n      when: true\n      main:\n        - ReLU\n  - Flatten\n",
    "an empty shortcut": "  - residual:\n      main: ReLU\n      shortcut:  # none\n  - Flatten\n",
    "an empty shortcut before main": "  - residual:\n      shortcut: []\n      main: ReLU\n  - Flatten\n",
    "below a label": "  - a:\n      residual:\n        - ReLU\n        - Tanh\n  - Flatten\n",
    "below a label at its key's indent": "  - a:\n      residual:\n      - ReLU\n      - Tanh\n  - Flatten\n",
    "below a label in one line": "  - a:\n      residual: ReLU\n  - b: Flatten\n",
    "in a group": "  - - residual:\n        - ReLU\n    - Tanh\n  - Flatten\n",
    "in a labelled group": "  - a:\n      - Tanh\n      - residual:\n          - ReLU\n      - Tanh\n  - Flatten\n",
    "in a branch": "  - concat:\n      a:\n        - residual:\n            - ReLU\n      b: Tanh\n",
    "modifiers": "  - residual:\n      - ReLU\n    repeat: 2\n    note: why  # how\n  - Flatten\n",
    "modifiers at the list's indent": "  - residual:\n    - ReLU\n    repeat: 2\n  - Flatten\n",
    "modifiers after one line": "  - residual: ReLU\n    repeat: 2\n  - Flatten\n",
    "modifiers before": "  - repeat: 2\n    residual:\n      - ReLU\n  - Flatten\n",
    "items of several lines": "  - residual:\n      - a: ReLU\n        note: x\n      - - Tanh\n        - ReLU\n",
    "no newline at the end": "  - residual:\n      - Tanh\n      - ReLU",
    "one line without newline": "  - residual: ReLU",
    "a comment at the end": "  - residual:\n      - ReLU\n  # end",
}
UNCHANGEABLE = {
    "braces": "  - residual: {main: ReLU}\n",
    "braces around it": "  - {residual: ReLU}\n  - Flatten\n",
    "braces of its label": "  - a: {residual: ReLU}\n",
    "brackets around it": "  - [residual: ReLU, Tanh]\n",
    "brackets over two lines": "  - residual: [ReLU,\n      Tanh]\n  - Flatten\n",
    "brackets on their own line": "  - residual:\n      [ReLU, Tanh]\n  - Flatten\n",
    "a call over two lines": "  - residual: Conv2d(4,\n      3)\n  - Flatten\n",
    "a step on its own line": "  - residual:\n      ReLU\n  - Flatten\n",
    "folded": "  - residual: >-\n      ReLU\n  - Flatten\n",
    "an anchor before a list": "  - residual: &r\n      - ReLU\n  - residual: *r\n",
    "a key in quotes": "  - 'residual': ReLU\n",
    "a shortcut": "  - residual:\n      main: ReLU\n      shortcut: Tanh\n",
}


def with_head(layers: str) -> str:
    return f"# a net\ninput: [N, 4, 8, 8]\nlayers:\n{layers}"


def residuals(one: EditableSpec) -> list[Residual]:
    return [part for part in iter_spec_nodes(one.spec.layers) if isinstance(part, Residual)]


@pytest.mark.parametrize("layout", RESIDUALS)
def test_a_shortcut_is_all_that_is_new(layout: str) -> None:
    text = with_head(RESIDUALS[layout])
    one = page(text)
    (residual,) = residuals(one)
    changed = one.with_shortcut(residual.span, NEW)
    assert changed is not None
    assert without_shortcuts(page(changed).spec) == without_shortcuts(one.spec)
    (after,) = residuals(page(changed))
    assert [step.body.text for step in after.shortcut if isinstance(step.body, Expression)] == [
        "Conv2d(4, 1)",
        "BatchNorm2d",
    ]


@pytest.mark.parametrize("layout", RESIDUALS)
def test_a_shortcut_leaves_every_line_and_comment(layout: str) -> None:
    """Except the line of a main path on the line of its key, and the indent of one below its key."""
    text = with_head(RESIDUALS[layout])
    changed = page(text).with_shortcut(residuals(page(text))[0].span, NEW)
    assert changed is not None
    assert re.findall("#.*", changed) == re.findall("#.*", text)
    assert changed.endswith("\n")
    kept = iter(line.strip() for line in changed.splitlines())
    split = re.compile(r"residual: .*|shortcut: \[\]")
    lines = (line.strip() for line in text.splitlines())
    assert [line for line in lines if not split.search(line) and line not in kept] == []


@pytest.mark.parametrize("layout", UNCHANGEABLE)
def test_no_shortcut_where_none_can_be_pasted(layout: str) -> None:
    one = page(with_head(UNCHANGEABLE[layout]))
    assert one.with_shortcut(residuals(one)[0].span, NEW) is None


def without_shortcuts(thing: Any) -> Any:
    """Return a node of the spec with every shortcut empty."""
    if isinstance(thing, tuple):
        return tuple(map(without_shortcuts, thing))
    if not is_dataclass(thing) or isinstance(thing, (Span, Expression, type)):
        return thing
    inner = {field.name: without_shortcuts(getattr(thing, field.name)) for field in fields(thing)}
    return replace(thing, **(inner | {"shortcut": ()} if isinstance(thing, Residual) else inner))


@pytest.mark.parametrize("which", range(3))
def test_of_several_residuals_one_is_changed(which: int) -> None:
    layers = ["  - residual: ReLU\n", "  - residual:\n      - ReLU  # same\n", "  - residual:\n      main: ReLU\n"]
    one = page(with_head("".join(layers)))
    changed = one.with_shortcut(residuals(one)[which].span, NEW)
    assert changed is not None
    assert [bool(residual.shortcut) for residual in residuals(page(changed))] == [at == which for at in range(3)]
    assert all(layer in changed for at, layer in enumerate(layers) if at != which)


def test_of_nested_residuals_one_is_changed() -> None:
    one = page(with_head("  - residual:\n      - residual:\n          - ReLU\n      - Tanh\n"))
    for number, residual in enumerate(residuals(one)):
        changed = one.with_shortcut(residual.span, NEW)
        assert changed is not None
        assert [bool(after.shortcut) for after in residuals(page(changed))][number]
        assert without_shortcuts(page(changed).spec) == one.spec


@pytest.mark.parametrize(
    ("layout", "after"),
    [
        (
            "list",
            """\
  - residual:  # two
      main:
      - Conv2d(4, 3)  # one
      # between
      - ReLU
      shortcut:
      - Conv2d(4, 1)
      - BatchNorm2d

  # after
  - Tanh
""",
        ),
        (
            "list at its key's indent",
            """\
  - residual:
      main:
      - Conv2d(4, 3)  # first

      - ReLU
      shortcut:
      - Conv2d(4, 1)
      - BatchNorm2d
  - Flatten
""",
        ),
        (
            "one line, comment",
            """\
  - residual:    # why
        main: Conv2d(4, 3)
        shortcut:
          - Conv2d(4, 1)
          - BatchNorm2d
  - Flatten
""",
        ),
        (
            "main and when",
            """\
  - residual:
      main: ReLU
      when: true  # yes
      shortcut:
        - Conv2d(4, 1)
        - BatchNorm2d
  - Flatten
""",
        ),
        (
            "an empty shortcut",
            """\
  - residual:
      main: ReLU
      shortcut:  # none
        - Conv2d(4, 1)
        - BatchNorm2d
  - Flatten
""",
        ),
    ],
)
def test_how_a_shortcut_looks(layout: str, after: str) -> None:
    one = page(with_head(RESIDUALS[layout]))
    assert one.with_shortcut(residuals(one)[0].span, NEW) == with_head(after)


# ------------------------------------------------------------ whole steps
STEPS = """\
input: [N, 4, 8, 8]
layers:
  - Conv2d(8, 3)  # one
  - flat: Flatten   # two
  # three
  - fc: Linear(10)
  - - ReLU
    - Tanh
  - later:
      - Linear(
          4)
"""


def bodies(spec: Spec) -> Iterator[str]:
    """Yield the text of every step, from the outside in."""
    for part in iter_spec_nodes(spec.layers):
        if isinstance(part, Step) and isinstance(part.body, Expression):
            yield part.body.text


@pytest.mark.parametrize("words", ["Conv2d(8", "Flatten", "Linear(10)", "Tanh"])
def test_a_step_before_another_is_all_that_is_new(words: str) -> None:
    changed = page(STEPS).with_step_before(place(STEPS, words), "Sigmoid")
    assert changed is not None
    line = place(STEPS, words).line - 1
    new = changed.splitlines(keepends=True)
    assert "".join([*new[:line], *new[line + 1 :]]) == STEPS
    steps = list(bodies(page(changed).spec))
    before = next(step for step in bodies(page(STEPS).spec) if step.startswith(words.strip()))
    assert steps[steps.index(before) - 1] == "Sigmoid"


@pytest.mark.parametrize("words", ["ReLU", "4)", "N, 4"])
def test_no_step_before_what_does_not_begin_its_line(words: str) -> None:
    assert page(STEPS).with_step_before(place(STEPS, words), "Sigmoid") is None


@pytest.mark.parametrize(
    "text",
    [
        "input: [N, 4, 8, 8]\nlayers: [Flatten, Linear(10)]\n",
        "input: [N, 4, 8, 8]\nlayers:\n  - fc:\n      Linear(10)\n",
        "input: [N, 4, 8, 8]\nlayers:\n  - when: true\n    do: Linear(10)\n",
    ],
)
def test_no_step_before_one_that_has_no_line_of_its_own(text: str) -> None:
    assert page(text).with_step_before(place(text, "Linear"), "Flatten") is None


@pytest.mark.parametrize("words", ["Conv2d(8", "Flatten", "Linear(10)", "Tanh"])
def test_a_step_is_taken_out_with_its_line(words: str) -> None:
    line = place(STEPS, words).line - 1
    lines = STEPS.splitlines(keepends=True)
    changed = page(STEPS).without_line(place(STEPS, words))
    assert changed == "".join([*lines[:line], *lines[line + 1 :]])
    left = [step for step in bodies(page(STEPS).spec) if not step.startswith(words)]
    assert list(bodies(page(changed).spec)) == left


@pytest.mark.parametrize(
    "text",
    [
        "input: [N, 4, 8, 8]\nlayers:\n  - a:\n      Flatten\n",
        "input: [N, 4, 8, 8]\nlayers:\n  - a: Flatten\n    note: why\n  - ReLU\n",
        "input: [N, 4, 8, 8]\nlayers:\n  - a:\n      - Flatten\n  - ReLU\n",
        "input: [N, 4, 8, 8]\nlayers: [Flatten, ReLU]\n",
    ],
    ids=["below its label", "with a note", "the only one of its group", "in brackets"],
)
def test_a_step_that_has_more_than_its_line_stays(text: str) -> None:
    assert page(text).without_line(place(text, "Flatten")) is None


# ------------------------------------------------------------ data
def test_numbers_of_inputs_and_params_are_found() -> None:
    text = "params: {size: 32, deep: true}\ninput: [N, 3, size, 2 * size]\nlayers: [Flatten]\n"
    one = page(text)
    settings = {setting.name: one.data(setting.value) for setting in one.spec.params}
    assert {name: found and (found.text, text[found.start : found.end]) for name, found in settings.items()} == {
        "size": ("32", "32"),
        "deep": ("true", "true"),
    }
    dims = [one.data(dim) for dim in one.spec.inputs[0].dims or ()]
    assert [found and text[found.start : found.end] for found in dims] == ["N", "3", "size", "2 * size"]


# ------------------------------------------------------------ diffs
def test_a_diff_has_two_lines_around_the_change() -> None:
    before = "".join(f"line {n}\n" for n in range(9))
    assert unified_diff(before, before.replace("line 4", "line four"), "net.yaml") == (
        "--- a/net.yaml\n+++ b/net.yaml\n@@ -3,5 +3,5 @@\n line 2\n line 3\n-line 4\n+line four\n line 5\n line 6\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("a\n  b\nc\n", "a\n  d\nc\n", (2, 3)),
        ("a\n  b\n", "a\n  new\n  b\n", (2, 3)),
        ("a\n  b\n", "a\n", (2, 1)),
        ("a\nb\n", "a\nb\nc\n", (2, 1)),
    ],
)
def test_the_first_change(before: str, after: str, found: tuple[int, int]) -> None:
    assert first_change(before, after) == found
