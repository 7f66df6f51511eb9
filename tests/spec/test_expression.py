"""Tests of the expression grammar: what it accepts and what it refuses, with column and message."""

from __future__ import annotations

import ast

import pytest

from archscope.errors import Span
from archscope.spec.expression import MAX_BRACKETS, MAX_TEXT, parse_expression
from archscope.spec.yaml_nodes import ParseError

PLACE = Span("net.yaml", 7, 11)

TAKEN = (
    "ReLU",
    "Conv2d(64, 3, padding=1)",
    "x + prev",
    "0.5 * (x + y)",
    "-x ** 2 // 3 % 4 @ w",
    "cat([a, *rest], dim=1)",
    "max(*values, 1)",
    "Up(64)(prev, e4)",
    "prev[:, 0]",
    "x[..., 1:, None]",
    "x[...]",
    "prev.shape[1]",
    "qkv.view(N, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)",
    "2 if first else 1",
    "a and not b or c",
    "0 < x <= 3 != y",
    "squeeze is not None",
    "mode in ('same', 'valid')",
    "x.float()",
    "1_000 + 1e-3 + 0x1F",
    "x / 2.",
    "größe + 1",
)


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str):
    expression = parse_expression(text, PLACE)
    assert expression.text == text
    assert expression.span == PLACE
    assert ast.dump(expression.tree) == ast.dump(ast.parse(text, mode="eval").body)


REFUSED = (
    # text, column within it (1-based), words of the message
    ("", 1, "an expression is missing here"),
    ("x +", 4, "the expression ends too early: 'x +'"),
    ("x and", 6, "the expression ends too early"),
    ("Conv2d(8, 3", 7, "unbalanced brackets in 'Conv2d(8, 3'"),
    ("cat([a, b)", 10, "unbalanced brackets"),
    ("relu(x))", 8, "unbalanced brackets in 'relu(x))'"),
    ("Conv2d(8 3)", 8, "a comma or an operator is missing"),
    ("a b", 3, "'b' does not fit here: 'a b'"),
    ("x = 3", 3, "'=' assigns, and an expression cannot"),
    ("'same", 1, "a quote is not closed"),
    ("x # why", 3, "'#' inside an expression"),
    ("12.4M", 4, "a number is followed by a letter"),
    ("1if x else 2", 1, "a number is followed by a letter"),
    ("f('\\d')", 3, "an unknown \\ escape in a string"),
    ("010", 1, "a number starts with 0"),
    ("x + (lambda: 3)", 6, "lambda is not part of the language"),
    ("[y for y in x]", 1, "a comprehension is not part of the language"),
    ("sum(y for y in x)", 4, "a comprehension is not part of the language"),
    ("f'{x}'", 1, "an f-string is not part of the language"),
    ("(y := 3)", 2, "':=' is not part of the language"),
    ("{1: 2}", 1, "{...} is not part of the language"),
    ("{1}", 1, "{...} is not part of the language"),
    ("f(**k)", 3, "'**' arguments are not part of the language"),
    ("*x", 1, "'*' does not fit here"),
    ("(*x, 1)", 2, "'*' unpacks only in calls and lists"),
    ("x[*a]", 3, "'*' unpacks only in calls and lists"),
    ("...", 1, "'...' is allowed only in an index"),
    ("f(...)", 3, "'...' is allowed only in an index"),
    ("_x", 1, "'_x' starts with '_'"),
    ("x.__class__", 3, "'__class__' starts with '_'"),
    ("größe._data", 7, "'_data' starts with '_'"),
    ("f(_a=1)", 3, "'_a' starts with '_'"),
    ("_", 1, "'_' starts with '_'"),
    ("f(a=1, b=2, a=3)", 13, "argument 'a' is given twice"),
    ("f(a=1, 2)", 9, "a positional argument stands after a keyword argument"),
    ("x if y", 1, "'if' has no 'else'"),
    ("a | b", 1, "a bit operation is not part of the language"),
    ("~a", 1, "a bit operation is not part of the language"),
    ("a << b", 1, "a bit shift is not part of the language"),
    ("2j", 1, "a complex number is not part of the language"),
    ("b'x'", 1, "a bytes literal is not part of the language"),
    ("1 + 9223372036854775808", 5, "an integer of 19 digits is too large"),
    ("1e999", 1, "a number too large for a float"),
    ("9" * 5000, 1, "an integer with thousands of digits"),
    ("x\0y", 2, "character U+0000 does not belong in an expression"),
    ("x +\u00a0y", 4, "character U+00A0 does not belong in an expression"),
    ("(" * 51 + ")" * 51, 1, f"brackets nested 51 deep; {MAX_BRACKETS} are allowed"),
    ("x + " * 3000 + "x", 1, f"an expression of 12,001 characters; {MAX_TEXT:,} are allowed"),
    ("x + " * 200 + "x", 1, "more than 100 operations deep"),
    ("-" * 9000 + "x", 1, "deep"),
    ("not " * 2000 + "x", 1, "deep"),
    ("x" + ".y" * 4000, 1, "deep"),
    ("x ** " * 1500 + "x", 1, "deep"),
    ("f" + "()" * 4000, 1, "deep"),
)


@pytest.mark.parametrize(("text", "column", "message"), REFUSED, ids=[case[0][:20] for case in REFUSED])
def test_refused(text: str, column: int, message: str):
    with pytest.raises(ParseError) as caught:
        parse_expression(text, PLACE)
    problem = caught.value.problem
    assert message in problem.message
    assert (problem.span.line, problem.span.column) == (7, 10 + column)
    assert problem.help
    assert len(problem.message) < 250


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("None", None), ("null", None), ("True", True), ("NULL", None), ("none", None)],
)
def test_words_in_any_case_are_constants(text: str, value: object):
    tree = parse_expression(f"f({text})", PLACE).tree
    assert isinstance(tree, ast.Call)
    assert isinstance(tree.args[0], ast.Constant)
    assert tree.args[0].value is value


def test_words_stay_names_of_arguments_and_attributes():
    tree = parse_expression("f(none=1).true", PLACE).tree
    assert ast.unparse(tree) == "f(none=1).true"


def test_place_of_a_part_counts_characters():
    expression = parse_expression("  größe + Conv2d(8)", PLACE)
    assert expression.text == "größe + Conv2d(8)"
    assert expression.span == PLACE.shifted(2)
    assert isinstance(expression.tree, ast.BinOp)
    assert expression.at(expression.tree.right) == PLACE.shifted(10)


def test_a_text_over_several_lines_keeps_to_its_start():
    expression = parse_expression("Conv2d(8,\n  3)", PLACE, multiline=True)
    assert isinstance(expression.tree, ast.Call)
    assert expression.at(expression.tree.args[1]) == PLACE
    with pytest.raises(ParseError) as caught:
        parse_expression("Conv2d(8,\n  3))", PLACE, multiline=True)
    assert caught.value.problem.span == PLACE


def test_wild_is_for_the_underscore_alone():
    assert parse_expression("_", PLACE, wild=True).text == "_"
    with pytest.raises(ParseError, match="_x"):
        parse_expression("_x", PLACE, wild=True)
