"""The numbers that a step's sizes come from: names → their definitions, file by file → SizeLiterals, and edits of them.

step → its names ─ params, variants, let, defaults, loops, arguments where the block is used ─→ integers
     → a size as the other side has it · a divisor of what must be divided · a part of a product
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.causes import DIVISOR_ARGUMENTS
from archscope.fixes.proposals.conflict_case import MAX_USE_DEPTH, ConflictCase, Proposal, Spot, argument_node
from archscope.ops.constructor_checks import nearest_divisors
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Argument, Constant, Data, DeclaredModule, Definition, Expression, For, Items
from archscope.trace import Call, Row, Shape

MAX_STEPS_BACK = 3
"""The number of steps back in which sizes are searched that a number should divide."""
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
MAX_DIVISORS = 3
"""The number of divisors tried for one number."""


@dataclass(frozen=True)
class SizeLiteral:
    """An integer, or an expression of names, that a size comes from: its place and its name."""

    spot: Spot
    start: int
    end: int
    name: str

    @property
    def text(self) -> str:
        return self.spot.page.text[self.start : self.end]

    @property
    def value(self) -> int | None:
        text = self.text.replace("_", "")
        return int(text) if text.isdecimal() else None

    def replace_with(self, new: str) -> Iterator[Proposal]:
        """Propose another text in its place."""
        words = f"{self.name}: {new} instead of {self.text}" if self.name else f"{new} instead of {self.text}"
        line = f" on line {self.spot.span.line}"
        yield from self.spot.proposal(words + line, self.spot.page.cut(self.start, self.end, new))


# ------------------------------------------------------------ definitions of names
def row_literals(case: ConflictCase, row: Row) -> Iterator[SizeLiteral]:
    """Yield the numbers in a row's step, then those of its names."""
    spot = case.spot(row.place)
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is None or whole is None:
        return
    arguments = [(name, argument) for call in case.calls(spot) for name, argument in call.arguments.items()]
    for literal in expression_literals(spot, whole, whole.tree):
        names = (name for name, argument in arguments if argument.start <= literal.start < argument.end)
        yield replace(literal, name=next(names, ""))
    yield from literals_behind_names(case, names_in(whole.tree), case.uses(row)[:MAX_USE_DEPTH], set())


def expression_literals(spot: Spot, whole: Expression, tree: ast.AST, name: str = "") -> Iterator[SizeLiteral]:
    """Yield the integers of an expression, and its products."""
    for node in ast.walk(tree):
        product = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.FloorDiv))
        if product or (isinstance(node, ast.Constant) and type(node.value) is int):
            yield SizeLiteral(spot, *spot.page.segment(whole, node), name)


def literals_behind_names(
    case: ConflictCase, names: Sequence[str], uses: Sequence[Call], seen: set[str]
) -> Iterator[SizeLiteral]:
    """Yield the numbers that define these names: params, `let`, defaults and loops, then the arguments where the block
    is used."""
    further = [name for name in dict.fromkeys(names) if name not in seen]
    seen |= set(further)
    if not further:
        return
    deeper: list[str] = []
    for spot, value, name in name_definitions(case, further):
        yield from data_literals(spot, value, name)
        deeper += names_in(value.tree) if isinstance(value, Expression) else []
    yield from literals_behind_names(case, deeper, uses, seen)
    for spot, whole, tree, name in passed_arguments(case, further, uses):
        yield from expression_literals(spot, whole, tree, name)
        yield from literals_behind_names(case, names_in(tree), uses[1:], set())


def name_definitions(case: ConflictCase, names: Sequence[str]) -> Iterator[tuple[Spot, Data, str]]:
    """Yield the values of these names in every file."""
    for page in case.pages.values():
        settings = (*page.spec.params, *(setting for variant in page.spec.variants for setting in variant.settings))
        for setting in settings:
            if setting.name in names:
                yield Spot(page, setting.span), setting.value, setting.name
        for part in page.all_nodes:
            value = part.value if isinstance(part, Definition) else part.default if isinstance(part, Argument) else None
            if value is not None and isinstance(part, (Definition, Argument)) and part.name in names:
                yield Spot(page, part.span), value, part.name
            if isinstance(part, For) and {label.name for label in part.names} & set(names):
                yield Spot(page, part.span), part.items, part.names[0].name


def data_literals(spot: Spot, value: Data, name: str) -> Iterator[SizeLiteral]:
    """Yield the integers of a value written as YAML data."""
    if isinstance(value, Items):
        for item in value.items:
            yield from data_literals(spot, item, name)
    elif isinstance(value, Expression) and spot.page.is_verbatim(value):
        yield from expression_literals(Spot(spot.page, value.span), value, value.tree, name)
    elif isinstance(value, Constant) and (found := spot.page.data(value)) is not None:
        yield SizeLiteral(Spot(spot.page, value.span), found.start, found.end, name)


def passed_arguments(
    case: ConflictCase, names: Sequence[str], uses: Sequence[Call]
) -> Iterator[tuple[Spot, Expression, ast.AST, str]]:
    """Yield the arguments of these names where the block is used; for a declared module, where it is declared."""
    for spot, whole in use_expressions(case, uses[:1]):
        for call in case.calls(spot):
            for name, given in call.arguments.items():
                if call.name == uses[0].site.name and name in names:
                    yield spot, whole, argument_node(spot, whole, given), name


def use_expressions(case: ConflictCase, uses: Sequence[Call]) -> Iterator[tuple[Spot, Expression]]:
    """Yield the expressions that contain the arguments of a block's use."""
    for use in uses:
        spot = case.spot(use.site.place)
        whole = spot.page.expression(spot.span) if spot is not None else None
        if spot is None or whole is None:
            continue
        yield spot, whole
        called = names_in(whole.tree)
        for part in spot.page.all_nodes:
            body = part.body if isinstance(part, DeclaredModule) and part.name in called else None
            if isinstance(body, Expression) and spot.page.is_verbatim(body):
                yield Spot(spot.page, body.span), body


# ------------------------------------------------------------ edits
def propose_other_side_sizes(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the size of another side for a number that is the size of one side; for a product, one of its factors."""
    for side, change in nearest_changes(case):
        goals = size_goals(case, side, change)
        for literal in row_literals(case, change.row):
            for now, goal in goals:
                if literal.value == now:
                    yield from literal.replace_with(str(goal))
            if literal.value is None and goals:
                for factor in expression_factors(literal.text):
                    yield from literal.replace_with(factor)


def nearest_changes(case: ConflictCase) -> list[tuple[int, AxisChange]]:
    """Return the steps of all sides that changed something, the nearest to the conflict first."""
    both = [(number, change) for number, side in enumerate(case.diagnosis.sides) for change in side if change.changed]
    return sorted(both, key=lambda pair: -pair[1].row.index)


def size_goals(case: ConflictCase, side: int, change: AxisChange) -> list[tuple[int, int]]:
    """Return (present size, wanted size) for each axis that disagrees."""
    shapes, wrong = case.diagnosis.shapes, case.mismatch.wrong_argument
    found: list[tuple[int, int]] = []
    for axis, _, now in change.axes:
        others = (shape[axis] for number, shape in enumerate(shapes) if number != side and axis < len(shape))
        found += [(now, size) for size in dict.fromkeys(others) if size != now]
    sized = wrong is not None and wrong.argument not in DIVISOR_ARGUMENTS
    if wrong is not None and sized and isinstance(wrong.given, int) and isinstance(wrong.needed, int):
        found.append((wrong.needed, wrong.given))
    return [(now, goal) for now, goal in found if goal > 0]


def propose_scale_factors(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another factor of an interpolation on the path, with which its side ends at the size of another."""
    shapes = case.diagnosis.shapes
    for side, change in nearest_changes(case):
        factor = change.row.get("scale_factor")
        factor = factor[-1] if isinstance(factor, tuple) and factor else factor
        if not isinstance(factor, (int, float)) or factor != int(factor):
            continue
        goals = {other[-1] for number, other in enumerate(shapes) if number != side}
        for new in (
            int(factor) * goal // shapes[side][-1] for goal in goals if int(factor) * goal % shapes[side][-1] == 0
        ):
            for literal in row_literals(case, change.row):
                if literal.value == int(factor) and new > 1:
                    yield from literal.replace_with(str(new))


def expression_factors(text: str) -> list[str]:
    """Return the parts of a product: `proj` of `2 * proj`; for a quotient, the dividend."""
    tree = ast.parse(text, mode="eval").body
    sides = [tree.left, tree.right] if isinstance(tree, ast.BinOp) else []
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.FloorDiv):
        sides = [tree.left]
    return [ast.unparse(part) for part in sides if not isinstance(part, ast.Constant)]


def propose_divisors(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the nearest divisors for a number that should divide a size: groups, heads, windows."""
    rows = case.diagnosis.index.trace.rows
    own = rows[case.mismatch.row : case.mismatch.row + 1] if case.mismatch.row >= 0 else ()
    of_view = case.mismatch.kind == "view"
    dividing = dividing_names(case) if of_view else set()
    for literal in (literal for row in own for literal in row_literals(case, row)):
        value = literal.value
        if of_view and literal.name and literal.name not in dividing:
            continue  # a number of classes need not divide anything
        for new in nearest_size_divisors(case, value) if value is not None and value > 1 else ():
            yield from literal.replace_with(str(new))


def dividing_names(case: ConflictCase) -> set[str]:
    """Return the names that are divisors somewhere, such as heads, and those passed to blocks for them."""
    trees = [part.tree for page in case.pages.values() for part in page.all_nodes if isinstance(part, Expression)]
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.FloorDiv, ast.Mod, ast.Div)):
            found |= set(names_in(node.right))
    calls = [
        call
        for page in case.pages.values()
        for part in page.all_nodes
        if isinstance(part, Expression)
        for call in case.calls(Spot(page, replace(part.span, file=page.spec.file)))
    ]
    for _ in range(MAX_USE_DEPTH):
        given = (call.arguments[name].text for call in calls for name in found & call.arguments.keys())
        found |= {name for text in given for name in IDENTIFIER.findall(text)}
    return found


def nearest_size_divisors(case: ConflictCase, value: int) -> list[int]:
    """Return divisors of every size in conflict that the number does not divide, the nearest first."""
    wrong = case.mismatch.wrong_argument
    sizes = {size for shape in shapes_before(case) for size in shape[1:] if size % value}
    if wrong is not None and isinstance(wrong.needed, int) and wrong.argument in DIVISOR_ARGUMENTS:
        sizes = {case.diagnosis.shapes[0][axis] for axis in case.mismatch.axes} if wrong.given == value else set()
    found: dict[int, None] = {}
    for size in sorted(sizes):
        able = (n for n in nearest_divisors(size, value, most=MAX_DIVISORS + 2) if n not in (1, value))
        found |= dict.fromkeys(islice(able, MAX_DIVISORS))
    return sorted(found, key=lambda n: (abs(n - value), -n))


def propose_head_counts(case: ConflictCase) -> Iterator[Proposal]:
    """Propose query heads that are multiples of key heads, or key heads that are divisors, the nearest first."""
    axes, shapes = case.mismatch.axes, case.diagnosis.shapes
    if case.mismatch.kind != "attention" or len(shapes) < 2 or axes != (len(shapes[0]) - 3,):
        return
    (query, key), found = (shape[-3] for shape in shapes[:2]), []
    for side, change in nearest_changes(case):
        options = {0: range(key, 2 * query, key), 1: [n for n in range(1, query + 1) if query % n == 0]}.get(side, ())
        for literal in (literal for literal in row_literals(case, change.row) if literal.value == shapes[side][-3]):
            found += [(abs(n - shapes[side][-3]), n == (key, query)[side], n, literal) for n in options]
    nearest = sorted(found, key=lambda option: option[:2])[: 2 * MAX_DIVISORS]
    yield from (proposal for _, _, new, literal in nearest for proposal in literal.replace_with(str(new)))


def propose_multiples(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the nearest multiples for a width that groups or heads do not divide."""
    wrong = case.mismatch.wrong_argument
    if wrong is None or not isinstance(wrong.given, int) or wrong.given < 2:
        return
    sizes = {case.diagnosis.shapes[0][axis] for axis in case.mismatch.axes}
    rows = [change.row for _, change in nearest_changes(case)]
    for literal in (literal for row in rows for literal in row_literals(case, row)):
        for size in sizes & {literal.value}:
            below = size // wrong.given * wrong.given
            for new in sorted({below, below + wrong.given} - {0, size}, key=lambda n: (abs(n - size), -n)):
                yield from literal.replace_with(str(new))


def shapes_before(case: ConflictCase) -> Iterator[Shape]:
    """Yield the shapes in conflict, and those that a few steps before them read."""
    index = case.diagnosis.index
    for operand in case.diagnosis.operands:
        yield operand.value.shape
        for _ in range(MAX_STEPS_BACK):
            row = index.maker(operand)
            read = index.activations(row) if row is not None else ()
            if not read:
                break
            operand = read[0]
            yield operand.value.shape
