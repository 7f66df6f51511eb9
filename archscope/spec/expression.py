"""Expressions: a checked subset of Python's grammar, read by Python's own parser and never evaluated here.

    expr    := ternary | or / and / not | comparison (a chain; in, is) | + - * / // % ** @ | unary - + | postfix
    postfix := atom ( "(" args ")" | "[" index or slice "]" | "." name )*
    atom    := number | 'string' | name | True False None (any case) | (tuple) | [list]
    args    := expr | name=expr | *expr           *expr also in lists; `...` only as an index

    text → brackets and size limits → ast.parse → each node against the grammar → Expression

Not in the language: lambda, comprehensions, f-strings, `:=`, `**names`, sets, dicts, any name that starts with `_`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from archscope.errors import Span
from archscope.spec.spec_types import Expression
from archscope.spec.yaml_nodes import MAX_INTEGER, ParseError

BRACKET_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


@dataclass(frozen=True)
class BracketScan:
    """The offsets of unclosed and stray brackets, of an unclosed quote and of a `#`; `depth` is the deepest nesting."""

    unclosed: tuple[int, ...] = ()
    stray: int | None = None
    depth: int = 0
    quote: int | None = None
    comment: int | None = None


def scan_brackets(text: str) -> BracketScan:
    """Return the brackets of a text, read in one pass that stops at the first stray bracket."""
    closes, stack, deepest, comment, quote = dict(BRACKET_PAIRS), [], 0, None, None
    for offset, char in bracket_marks(text):
        if char in closes:
            stack.append((offset, closes[char]))
            deepest = max(deepest, len(stack))
        elif char in closes.values():
            if not stack or stack.pop()[1] != char:
                return BracketScan(stray=offset, depth=deepest)
        elif char == "#":
            comment = offset if comment is None else comment
        else:
            quote = offset
    return BracketScan(tuple(offset for offset, _ in stack), None, deepest, quote, comment)


def bracket_marks(text: str) -> Iterator[tuple[int, str]]:
    """Yield brackets and `#` outside of quotes with their offsets; last, the opening quote of an unclosed string."""
    quote, start, skip = "", 0, False
    for offset, char in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote, start = char, offset
        elif char in "()[]{}#":
            yield offset, char
    if quote:
        yield start, quote


def balanced_text(text: str, start: int) -> str:
    """Return the text from `start` to where its brackets are balanced again, on one line; "" if they never are."""
    line = text[start:].split("\n", 1)[0][:2000]
    closes, stack = dict(BRACKET_PAIRS), []
    for offset, char in bracket_marks(line):
        if char in closes:
            stack.append(closes[char])
        elif char in closes.values() and (not stack or stack.pop() != char):
            break
        elif char in closes.values() and not stack:
            return line[: offset + 1] + call_suffix(line[offset + 1 :])
    return ""


def call_suffix(rest: str) -> str:
    """Return what belongs to a call after its closing bracket: `(x)` or `.view(2)`, up to YAML's next `,` or `]`."""
    depth = 0
    for offset, char in enumerate(rest):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0 or (depth == 0 and char in ",:#\n"):
            return rest[:offset].rstrip()
    return rest.rstrip()


MAX_TEXT = 10_000
MAX_BRACKETS = 50
MAX_HEIGHT = 100

ALLOWED_NODES: frozenset[type[ast.AST]] = frozenset({
    *(ast.Expression, ast.IfExp, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Call, ast.keyword),
    *(ast.Subscript, ast.Slice, ast.Attribute, ast.Name, ast.Constant, ast.Tuple, ast.List, ast.Starred),
    *(ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Load),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn),
})  # fmt: skip
DANGLING_OPERATOR = re.compile(r"([-+*/%@=<>]|(?<![\d.])\.|\b(and|or|not|in|is|if|else))$")
LOOP_HELP = "for:, repeat: and collect: make loops"
UNSUPPORTED_NODES: tuple[tuple[tuple[type[ast.AST], ...], str, str], ...] = (
    ((ast.Lambda,), "lambda", "a function goes into let:, as 'name(a, b): expr'"),
    ((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "a comprehension", LOOP_HELP),
    ((ast.JoinedStr, ast.FormattedValue), "an f-string", "use a plain string"),
    ((ast.NamedExpr,), "':='", "name a value with a label: '- name: expr'"),
    ((ast.Dict, ast.Set), "{...}", "lists are [...], tuples (...)"),
    ((ast.Await, ast.Yield, ast.YieldFrom), "a yield or await", "write the value"),
    ((ast.BitAnd, ast.BitOr, ast.BitXor, ast.Invert), "a bit operation", "write 'and', 'or', 'not'"),
    ((ast.LShift, ast.RShift), "a bit shift", "write '* 2 ** n' or '// 2 ** n'"),
)
SYNTAX_MESSAGES: tuple[tuple[str, str, str], ...] = (
    ("unterminated", "a quote is not closed", "strings are 'text'"),
    ("invalid decimal literal", "a number is followed by a letter", "names do not start with a digit"),
    ("invalid escape sequence", "an unknown \\ escape in a string", "write two: \\\\"),
    ("leading zeros", "a number starts with 0", "write it without the zeros"),
    ("f-string", "f-strings are not part of the language", "use a plain string"),
    ("forgot a comma", "a comma or an operator is missing", "put ',' between arguments"),
    ("instead of '='", "'=' does not compare", "write '==' to compare; 'name=value' only as an argument"),
    ("follows keyword argument", "a positional argument stands after a keyword argument", "put positional ones first"),
    ("expected 'else'", "'if' has no 'else'", "write 'a if condition else b'"),
    ("cannot assign", "nothing can be assigned here", "name a value with a label: '- name: expr'"),
    ("cannot contain assignment", "the name of an argument is not a name", "write name=value"),
    ("Exceeds the limit", "an integer with thousands of digits", f"integers go up to {MAX_INTEGER:,}"),
    ("Generator expression", "a comprehension is not part of the language", LOOP_HELP),
)
NO_SPAN = Span("", 1, 1)
CONSTANT_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}


def parse_expression(text: str, span: Span, *, multiline: bool = False, wild: bool = False) -> Expression:
    """Return the checked expression. span: the place of its first character. wild: allow `_` as a name.

    Raises ParseError with the column of the error. Columns of a text over several lines are those of the scalar's
    start.
    """
    lead = len(text) - len(text.lstrip())
    text, span = text.replace("\n", " ").strip(), span if multiline else span.shifted(lead)
    known = None if multiline else valid_tree(text, wild)
    if known is not None:
        return Expression(text, span, known)
    return check_expression(text, span, multiline=multiline, wild=wild)


@lru_cache(maxsize=4096)
def valid_tree(text: str, wild: bool) -> ast.expr | None:
    """Return the tree of an expression without errors, else None. Cached: a spec is parsed again for every edit that is
    tried.
    """
    try:
        return check_expression(text, NO_SPAN, multiline=False, wild=wild).tree
    except ParseError:
        return None


def check_expression(text: str, span: Span, *, multiline: bool, wild: bool) -> Expression:
    """Return the expression as `parse_expression` does, for a text without surrounding white space."""
    expression = Expression(text, span, ast.Constant(None))
    place = span if multiline else None
    check_text(text, span, place)
    tree = parse_tree(text, span, place)
    check_height(tree, span)
    found = next(filter(None, (node_problem(node, wild) for node in ast.walk(tree))), None) or misplaced_star(tree)
    if found:
        raise ParseError(place or expression.at(found[0]), *found[1:])
    checked = ConstantNames().visit(tree).body
    return Expression(text, span, ast.increment_lineno(checked) if multiline else checked)


def check_text(text: str, span: Span, place: Span | None) -> None:
    """Check size limits and brackets before Python's parser sees the text. Raise ParseError."""
    if not text:
        raise ParseError(span, "an expression is missing here", "write a layer, a function or a value")
    if len(text) > MAX_TEXT:
        what = f"an expression of {len(text):,} characters; {MAX_TEXT:,} are allowed"
        raise ParseError(span, what, "name parts of it in let:")
    odd = next((at for at, char in enumerate(text) if not char.isprintable() and char != "\t"), None)
    if odd is not None:
        what = f"character U+{ord(text[odd]):04X} does not belong in an expression"
        raise ParseError(place or span.shifted(odd), what, "remove it, or type a space")
    found = scan_brackets(text)
    if found.depth > MAX_BRACKETS:
        raise ParseError(span, f"brackets nested {found.depth} deep; {MAX_BRACKETS} are allowed", "name parts in let:")
    if found.quote is not None:
        raise ParseError(place or span.shifted(found.quote), "a quote is not closed", "strings are 'text'")
    if found.comment is not None:
        at = place or span.shifted(found.comment)
        raise ParseError(at, "'#' inside an expression", "a comment goes after the value")
    check_brackets(text, span, place, found)
    if DANGLING_OPERATOR.search(text):
        at = place or span.shifted(len(text))
        raise ParseError(
            at, f"the expression ends too early: {quote_short(text)}", "finish it, or remove the last operator"
        )


def check_brackets(text: str, span: Span, place: Span | None, found: BracketScan) -> None:
    if found.unclosed:
        opener = text[found.unclosed[-1]]
        at = place or span.shifted(found.unclosed[-1])
        raise ParseError(at, f"unbalanced brackets in {quote_short(text)}", f"this {opener!r} is never closed")
    if found.stray is not None:
        at = place or span.shifted(found.stray)
        raise ParseError(
            at, f"unbalanced brackets in {quote_short(text)}", f"this {text[found.stray]!r} has no opening bracket"
        )


def parse_tree(text: str, span: Span, place: Span | None) -> ast.Expression:
    """Return Python's syntax tree of the text; what Python only warns about is refused too. Raise ParseError in plain
    English.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(text, mode="eval")
    except SyntaxError as error:
        at = place or span.shifted(min(max((error.offset or 1) - 1, 0), len(text)))
        raise ParseError(at, *syntax_message(error, text)) from None
    except (RecursionError, MemoryError, ValueError):
        raise ParseError(span, f"{quote_short(text)} is nested too deep", "name parts of it in let:") from None


def syntax_message(error: SyntaxError, text: str) -> tuple[str, str]:
    """Return Python's syntax error as (fact, help)."""
    for phrase, fact, fix in SYNTAX_MESSAGES:
        if phrase in error.msg:
            return f"{fact}: {quote_short(text)}", fix
    near = re.match(r"\w+|.", text[(error.offset or 1) - 1 :])
    if near and near[0] == "=":
        return (
            f"'=' assigns, and an expression cannot: {quote_short(text)}",
            "name a value with a label: '- name: expr'",
        )
    fact = f"{(near[0] if near else text)!r} does not fit here: {quote_short(text)}"
    return fact, "write it as on the right of '=' in Python"


def quote_short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def check_height(tree: ast.AST, span: Span) -> None:
    """Raise ParseError for a tree so deep that recursion could exhaust the stack; the depth is counted without
    recursion.
    """
    level, height = [tree], 0
    while level:
        level, height = [child for node in level for child in ast.iter_child_nodes(node)], height + 1
        if height > MAX_HEIGHT:
            raise ParseError(span, f"an expression more than {MAX_HEIGHT} operations deep", "name parts of it in let:")


def node_problem(node: ast.AST, wild: bool) -> tuple[ast.AST, str, str] | None:
    """Return what is wrong with one node of the tree: (node, fact, help)."""
    operation = node.op if isinstance(node, ast.BinOp | ast.UnaryOp) else node
    if type(operation) not in ALLOWED_NODES:
        for kinds, what, fix in UNSUPPORTED_NODES:
            if isinstance(operation, kinds):
                return node, f"{what} is not part of the language", fix
        return node, f"{type(operation).__name__} is not part of the language", "see the grammar of expressions"
    if isinstance(node, ast.Constant):
        return constant_problem(node)
    if isinstance(node, ast.Call):
        return duplicate_argument(node)
    return underscore_problem(node, wild)


def constant_problem(node: ast.Constant) -> tuple[ast.AST, str, str] | None:
    value = node.value
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        size = f"{len(str(value))} digits" if value.bit_length() < 10_000 else f"{value.bit_length():,} bits"
        return node, f"an integer of {size} is too large", f"integers go up to {MAX_INTEGER:,}"
    if isinstance(value, float) and value == float("inf"):
        return node, "a number too large for a float", "the largest is about 1.8e308"
    if isinstance(value, complex | bytes):
        what = "a complex number" if isinstance(value, complex) else "a bytes literal"
        return node, f"{what} is not part of the language", "write a number or 'text'"
    return None


def underscore_problem(node: ast.AST, wild: bool) -> tuple[ast.AST, str, str] | None:
    name = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg"}.get(type(node))
    text = getattr(node, name) if name else ""
    if isinstance(node, ast.keyword) and text is None:
        return node, "'**' arguments are not part of the language", "write each as name=value"
    if text.startswith("_") and not (wild and text == "_" and isinstance(node, ast.Name)):
        if isinstance(node, ast.Attribute):
            node = ast.Name(text, lineno=node.lineno, col_offset=(node.end_col_offset or 0) - len(text.encode()))
        return node, f"{text!r} starts with '_', and no name in the language does", "'_' alone is for shapes and labels"
    return None


def duplicate_argument(node: ast.Call) -> tuple[ast.AST, str, str] | None:
    """Return the problem of an argument given twice, which Python's parser accepts."""
    names: set[str] = set()
    for keyword in node.keywords:
        if keyword.arg in names:
            return keyword, f"argument {keyword.arg!r} is given twice", "remove one"
        names.add(keyword.arg or "")
    return None


def allowed_star_nodes(node: ast.AST) -> list[ast.AST]:
    """Return the children of a node that may be `*x` (arguments, list items) or `...` (an index)."""
    if isinstance(node, ast.Call):
        return [arg for arg in node.args if isinstance(arg, ast.Starred)]
    if isinstance(node, ast.List):
        return [item for item in node.elts if isinstance(item, ast.Starred)]
    if isinstance(node, ast.Subscript):
        index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return [item for item in index if is_ellipsis(item)]
    return []


def misplaced_star(tree: ast.AST) -> tuple[ast.AST, str, str] | None:
    """Return the problem of a `*x` outside calls and lists, or a `...` outside an index."""
    nodes = list(ast.walk(tree))
    at_home = {id(child) for node in nodes for child in allowed_star_nodes(node)}
    for node in nodes:
        if isinstance(node, ast.Starred) and id(node) not in at_home:
            return node, "'*' unpacks only in calls and lists", "write [*values]"
        if is_ellipsis(node) and id(node) not in at_home:
            return node, "'...' is allowed only in an index", "write x[..., 0]"
    return None


def is_ellipsis(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


class ConstantNames(ast.NodeTransformer):
    """A transformer that replaces `true`, `none`, `null` … in any case by the constants that they mean."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        word = node.id.lower()
        return ast.copy_location(ast.Constant(CONSTANT_WORDS[word]), node) if word in CONSTANT_WORDS else node
