"""Tests of the YAML reader: values of unquoted scalars, places, and what is refused before it is interpreted."""

from __future__ import annotations

import pytest

from archscope.errors import Problems, Span
from archscope.spec.yaml_nodes import MappingNode, Node, ScalarNode, SequenceNode
from archscope.spec.yaml_reader import MAX_DEPTH, MAX_NODES, read_yaml


def parsed(text: str) -> Node:
    problems = Problems()
    node = read_yaml(text, "net.yaml", problems)
    assert not list(problems)
    assert node is not None
    return node


def problems_of(text: str) -> list[tuple[int, int, str]]:
    problems = Problems()
    read_yaml(text, "net.yaml", problems)
    return [(one.span.line, one.span.column, one.message) for one in problems]


def entry(text: str) -> ScalarNode:
    node = parsed(f"key: {text}\n")
    assert isinstance(node, MappingNode)
    value = node.get("key")
    assert isinstance(value, ScalarNode)
    return value


MEANINGS: tuple[tuple[str, object], ...] = (
    *(("true", True), ("True", True), ("TRUE", True), ("false", False), ("null", None), ("~", None), ("", None)),
    *(("no", "no"), ("No", "No"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"), ("N", "N")),
    *(("tRUE", "tRUE"), ("none", "none"), ("None", "None")),
    *(("10", 10), ("010", 10), ("-3", -3), ("+3", 3), ("1_000", 1000), ("11_689_512", 11_689_512), ("0", 0)),
    *(("0x1F", 31), ("0o17", 15), ("0b11", "0b11"), ("08", 8)),
    *(("1e-3", 1e-3), ("1E3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("-1.5e+10", -1.5e10), ("1.", 1.0), ("1_0.5", 10.5)),
    *((".inf", float("inf")), ("-.inf", float("-inf"))),
    *(("1:30", "1:30"), ("190:20:30", "190:20:30"), ("2001-12-14", "2001-12-14"), ("12.4M", "12.4M")),
    *(("=", "="), ("1.2.3", "1.2.3"), ("_1", "_1"), ("1e", "1e"), ("e5", "e5"), ("x+1", "x+1")),
    *(("'10'", "10"), ('"true"', "true"), ("'null'", "null"), ("''", "")),
)


@pytest.mark.parametrize(("text", "value"), MEANINGS, ids=[text or "empty" for text, _ in MEANINGS])
def test_meaning_of_a_scalar(text: str, value: object):
    found = entry(text).value
    assert found == value
    assert type(found) is type(value)


def test_places():
    node = parsed('a: x\nb:\n  - y\n  - "z"\n  - [p, q]\n')
    assert isinstance(node, MappingNode)
    items = node.get("b")
    assert isinstance(items, SequenceNode)
    assert node.key("b").span == Span("net.yaml", 2, 1)
    assert [item.span for item in items.items] == [Span("net.yaml", line, 5) for line in (3, 4, 5)]
    quoted = items.items[1]
    assert isinstance(quoted, ScalarNode)
    assert quoted.inner == Span("net.yaml", 4, 6)


def test_columns_count_characters():
    node = parsed("größe: [ü, ß]\n")
    assert isinstance(node, MappingNode)
    items = node.get("größe")
    assert isinstance(items, SequenceNode)
    assert items.items[1].span.column == 12


def test_windows_line_ends_and_byte_order_mark():
    node = parsed("\ufeffa: 1\r\nb: 2\r\n")
    assert isinstance(node, MappingNode)
    assert [(key.text, key.span.line) for key, _ in node.entries] == [("a", 1), ("b", 2)]


def test_plain_anchors_are_shared():
    node = parsed("a: &part [1, 2]\nb: *part\n")
    assert isinstance(node, MappingNode)
    assert node.get("a") is node.get("b")


def test_duplicate_keys_name_both_places():
    assert problems_of("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n") == [
        (4, 3, "duplicate key 'c': it is already set at 3:3"),
        (5, 1, "duplicate key 'a': it is already set at 1:1"),
    ]


def test_a_quoted_merge_key_is_a_key():
    assert problems_of('"<<": 1\n') == []
    assert problems_of("<<: 1\n") == [(1, 1, "merge keys ('<<') are not part of the language")]


CUT = (
    ("[Conv2d(8, 3), ReLU]", ["Conv2d(8, 3)", "ReLU"]),
    ("[f(a, g(b, c), d), e]", ["f(a, g(b, c), d)", "e"]),
    ("[Up(8, 2)(x, y), e]", ["Up(8, 2)(x, y)", "e"]),
    ("[a, (b, c)]", ["a", "(b, c)"]),
    ("[f(a, b).view(2, 3), e]", ["f(a, b).view(2, 3)", "e"]),
)


@pytest.mark.parametrize(("text", "items"), CUT, ids=[case[0] for case in CUT])
def test_a_call_cut_at_a_comma_is_named_and_read_whole(text: str, items: list[str]):
    problems = Problems()
    node = read_yaml(f"key: {text}\n", "net.yaml", problems)
    (problem,) = problems
    assert problem.message.startswith("unbalanced brackets in ")
    cut = next(item for item in items if "," in item)
    assert f'quote it: "{cut}"' in problem.help
    assert isinstance(node, MappingNode)
    found = node.get("key")
    assert isinstance(found, SequenceNode)
    assert [item.text for item in found.items if isinstance(item, ScalarNode)] == items


def test_what_a_cut_call_makes_of_the_rest_is_not_reported_too():
    assert problems_of("key: [f(a, ')'), [g(b, [c, d]), h(]\n") == [(1, 7, "unbalanced brackets in 'f(a'")]


def test_calls_without_commas_stand_in_flow_lists():
    assert problems_of("key: [LayerNorm, Attention(8), 'Conv2d(8, 3)']\n") == []


HOSTILE = (
    ("alias bomb", "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)
    ), f"more than {MAX_NODES:,} YAML values"),
    ("deep flow list", "[" * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
    ("deep flow mapping", "{a: " * 50_000, f"nested more than {MAX_DEPTH} levels deep"),
    ("deep block", "".join("  " * depth + "a:\n" for depth in range(500)), f"nested more than {MAX_DEPTH} levels deep"),
    ("deep sequence", "- " * 100_000 + "x", f"nested more than {MAX_DEPTH} levels deep"),
    ("deep through aliases", "a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n" + "".join(
        f"a{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]\n" for n in range(1, 10)
    ), f"nested more than {MAX_DEPTH} levels deep"),
    ("recursive alias", "a: &a [*a]", "alias *a is inside its own anchor"),
    ("recursive mapping", "a: &a {b: {c: *a}}", "alias *a is inside its own anchor"),
    ("unknown alias", "a: *b", "alias *b has no anchor &b above it"),
    ("null byte", "a: x\0y", "character U+0000 does not belong in a text file"),
    ("control character", "a: b\nc: \x07", "character U+0007 does not belong in a text file"),
    ("large", "a: " + "x" * (1 << 20), "the text is larger than 1,048,576 characters"),
    ("python object", "a: !!python/object/apply:os.system [id]", "tag '!!python/object/apply:os.system' is not part"),
    ("own tag", "a: !thing x", "tag '!thing' is not part of the language"),
    ("empty", "", "the file is empty"),
    ("comment only", "# nothing\n", "the file is empty"),
    ("two documents", "a: 1\n---\nb: 2\n", "a second document starts here"),
    ("alias as key", "a: &a b\n*a : c\n", "a key is one word, not a list, mapping or alias"),
    ("list as key", "[a, b]: c\n", "a key is one word, not a list, mapping or alias"),
    ("no key", "'': c\n", "a key is missing before ':'"),
    ("long integer", "a: " + "9" * 100_000, "an integer of 100000 digits is too large"),
    ("tab", "a:\n\tb: c\n", "a tab indents this line"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_hostile_text_is_one_clear_problem(text: str, message: str):
    (found,) = problems_of(text)
    assert message in found[2]


def test_aliases_below_the_cap_expand():
    assert problems_of("a: &a [1, 2, 3]\n" + "".join(f"b{n}: *a\n" for n in range(1000))) == []
