"""Numbers and lists that are computed when the net runs: sizes of tensors, and arithmetic on them.

    a tensor's size, an argument, a loop's number → ReadNumber, arithmetic on them → ComputedNumber, both: RuntimeNumber
    x.unbind(1), range(T), zip, …                 → RuntimeList

Each has its value at the sizes of the compilation. Code that needs a plain number (a layer's width, a condition that
decides what is built) fixes it: the net then refuses to run with another value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from torch import fx

from archscope.compile.built_net import concat_lists, if_else
from archscope.spec.bounded_math import EvaluationError, multiply, power, remainder
from archscope.spec.evaluate import BINARY_OPERATORS, COMPARISON_OPERATORS
from archscope.spec.spec_values import (
    Host,
    SpecValue,
    Value,
    apply_arithmetic,
    apply_comparison,
    describe_value,
    is_number,
)

if TYPE_CHECKING:
    from archscope.compile.block_use import BlockUse
    from archscope.compile.graph_builder import GraphBuilder

RUNTIME_OPERATIONS: Mapping[str, tuple[Callable, Callable]] = {
    **{symbol: (apply, apply) for symbol, apply in BINARY_OPERATORS.values()},
    **{symbol: (apply, apply) for symbol, apply in COMPARISON_OPERATORS.values()},
    "*": (operator.mul, multiply),
    "**": (operator.pow, power),
    "%": (operator.mod, remainder),
    "is": (operator.eq, operator.eq),
    "is not": (operator.ne, operator.ne),
    "and": (operator.and_, operator.and_),
}
"""Symbol → the operation at run time, and its lower bound."""
PLAIN_BINARY = dict(BINARY_OPERATORS.values())
COMPARISON_SYMBOLS = frozenset(symbol for symbol, _ in COMPARISON_OPERATORS.values())
MEMBERSHIP_SYMBOLS = frozenset(["in", "not in"])
INVERTIBLE_FUNCTIONS = frozenset([operator.add, operator.sub, operator.mul])


class VaryingItems(tuple):
    """The values of a list whose length depends on sizes."""

    __slots__ = ()


class RuntimeNumber(SpecValue):
    """A number that is computed when the net runs. `value`: its value at the sizes of the compilation."""

    compares = numeric = True
    value: int | float | bool
    text: str

    @property
    def what(self) -> str:
        return repr(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def fixed(self) -> bool:
        """True if the net runs with this value only."""
        raise NotImplementedError

    def read_numbers(self) -> Iterator[ReadNumber]:
        """Return the sizes that it is computed from."""
        raise NotImplementedError

    def binary(self, symbol: str, other: Value, *, swapped: bool, host: Host | None) -> Value:
        if isinstance(other, SpecValue) and not other.numeric:
            if isinstance(other, RuntimeList):
                return other.binary(symbol, self, swapped=not swapped, host=host)
            if other.compares or symbol not in COMPARISON_SYMBOLS:
                return other.binary(symbol, self, swapped=not swapped, host=host)
        left, right = (other, self) if swapped else (self, other)
        if symbol == "*" and isinstance(other, list) and can_pass_at_runtime(other):
            return repeat_list(as_block_use(host) or next(self.read_numbers()).owner, other, self)
        if symbol == "*" and isinstance(other, (list, tuple, str)):
            return apply_arithmetic(
                symbol, PLAIN_BINARY["*"], *(v.to_plain(host) if v is self else v for v in (left, right))
            )
        return self.compare_lists(symbol, left, right, host)

    def compare_lists(self, symbol: str, left: Value, right: Value, host: Host | None) -> Value:
        at_run_time, apply = RUNTIME_OPERATIONS.get(symbol, (None, None))
        if at_run_time is None or apply is None:
            raise EvaluationError(
                f"{describe_value(left)} {symbol} {describe_value(right)} cannot be worked out",
                f"{symbol} takes tensors",
            )
        if symbol in MEMBERSHIP_SYMBOLS:
            return self._membership(symbol, apply, left, right, host)
        operands = compile_time_value(left), compile_time_value(right)
        value: Any = (apply_comparison if symbol in COMPARISON_SYMBOLS else apply_arithmetic)(symbol, apply, *operands)
        if not all(isinstance(operand, (int, float, list, tuple)) for operand in operands):
            return value  # a size never equals a word or None
        text = f"{runtime_text(left)} {symbol} {runtime_text(right)}"
        return compute_number(at_run_time, (left, right), value, text, named=symbol != "and")

    def _membership(self, symbol: str, apply: Callable, left: Value, right: Value, host: Host | None) -> Value:
        numbers = isinstance(right, (list, tuple)) and all(map(is_number, right))
        if not (numbers and is_number(left)):
            return apply_comparison(symbol, apply, fix_value(left, host), fix_value(right, host))
        is_member = apply_comparison("in", lambda a, b: a in b, compile_time_value(left), compile_time_value(right))
        inside = compute_number(
            operator.contains, (right, left), is_member, f"{runtime_text(left)} in {runtime_text(right)}"
        )
        if symbol == "in":
            return inside
        return inside.unary("not", host) if isinstance(inside, RuntimeNumber) else not inside

    def select_item(self, items: Any, host: Host | None) -> Value:
        if not all(map(is_number, items)):
            return items[self.to_plain(host)]
        return compute_number(
            operator.getitem,
            (items, self),
            compile_time_value(items[self.value]),
            f"{runtime_text(items)}[{self.text}]",
        )

    def unary(self, symbol: str, host: Host | None) -> Value:
        if symbol == "+":
            return self
        apply = operator.not_ if symbol == "not" else operator.neg
        return compute_number(
            apply, (self,), apply(self.value), f"{symbol}{' ' * (symbol == 'not')}{runtime_text(self)}"
        )

    def select(self, here: Value, otherwise: Value) -> Value:
        value = compile_time_value(here if self.value else otherwise)
        text = f"{runtime_text(here)} if {self.text} else {runtime_text(otherwise)}"
        return compute_number(if_else, (here, self, otherwise), value, text, named=False)

    def to_bool(self, host: Host | None) -> bool:
        if not isinstance(self.value, bool):
            differs = self.compare_lists("!=", self, 0, host)
            return differs.to_bool(host) if isinstance(differs, SpecValue) else bool(differs)
        return bool(self.to_plain(host))

    def to_plain(self, host: Host | None) -> Any:
        if not self.fixed:
            (as_block_use(host) or next(self.read_numbers()).owner).fix_number(self)
        return self.value


@dataclass(eq=False, repr=False)
class ReadNumber(RuntimeNumber):
    """A number read from a tensor, an argument or a loop; `make` makes its node in its owner's graph.

    argument: the argument of a block that it stands for, and its place in it. least: its lower bound; 0 for sizes.
    """

    owner: GraphBuilder
    make: Callable[[], fx.Node]
    value: int | float | bool
    text: str
    argument: tuple[str | int, ...] | None = None
    known: bool = False
    least: float | None = None

    @property
    def fixed(self) -> bool:
        return self.known

    def read_numbers(self) -> Iterator[ReadNumber]:
        yield self


@dataclass(eq=False, repr=False)
class ComputedNumber(RuntimeNumber):
    """A number computed from others. named: whether its text is a name that readers know."""

    function: Callable
    args: tuple
    value: int | float | bool
    text: str
    named: bool = True

    def set_source_text(self, text: str) -> None:
        if not self.named:
            self.text, self.named = text, True

    @property
    def fixed(self) -> bool:
        return all(reading.fixed for reading in self.read_numbers())

    def read_numbers(self) -> Iterator[ReadNumber]:
        return find_read_numbers(self.args)


def find_read_numbers(value: object) -> Iterator[ReadNumber]:
    """Return the sizes that a nested value is computed from."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from find_read_numbers(part)
    elif isinstance(value, (RuntimeNumber, RuntimeList)):
        yield from value.read_numbers()


def compute_number(
    function: Callable, args: tuple, value: int | float | bool, text: str, *, named: bool = True
) -> Value:
    """Return a number computed from others; a plain one if all of them are plain."""
    number = ComputedNumber(function, args, value, text, named)
    return value if number.fixed else number


def sole_unknown(number: RuntimeNumber) -> RuntimeNumber:
    """Return the number that determines this one and is determined by it: of `4 * dim`, `dim`."""
    while isinstance(number, ComputedNumber) and number.function in INVERTIBLE_FUNCTIONS | {operator.neg}:
        unknown = [part for part in number.args if isinstance(part, RuntimeNumber) and not part.fixed]
        others = [compile_time_value(part) for part in number.args if part not in unknown]
        if len(unknown) != 1 or not all(isinstance(part, int) and part for part in others):
            break
        number = unknown[0]
    return number


def unwrap_fixed(value: Value) -> Value:
    """Return a fixed number as a plain number; other values unchanged."""
    return value.value if isinstance(value, RuntimeNumber) and value.fixed else value


def map_items(value: object, each: Callable[[Any], object]) -> Any:
    """Return a list or tuple with `each` applied to its items; other values unchanged."""
    if isinstance(value, list):
        return [each(part) for part in value]
    return tuple(each(part) for part in value) if isinstance(value, tuple) else value


def compile_time_value(value: object) -> Any:
    """Return a value at the sizes of the compilation: plain numbers for numbers, lists for run-time lists."""
    if isinstance(value, RuntimeNumber):
        return value.value
    if isinstance(value, RuntimeList):
        return value.meta_items
    if isinstance(value, slice):
        return slice(compile_time_value(value.start), compile_time_value(value.stop), compile_time_value(value.step))
    return map_items(value, compile_time_value)


def fix_value(value: Value, host: Host | None) -> Any:
    """Return a value with plain numbers and lists, and fix them: the net refuses to run with others."""
    if isinstance(value, RuntimeNumber):
        return value.to_plain(host)
    if isinstance(value, RuntimeList):
        value = value.to_plain(host)
    return map_items(value, lambda part: fix_value(part, host))


def runtime_text(value: object) -> str:
    """Return a number as messages name it, by what it is computed from."""
    if isinstance(value, (RuntimeNumber, RuntimeList)):
        return f"({value.text})" if _is_operation(value.text) else value.text
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(runtime_text, value))}]"
    return describe_value(value)


def _is_operation(text: str) -> bool:
    """Return whether a text has a space outside of brackets."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == " " and not depth:
            return True
    return False


@dataclass(eq=False, repr=False)
class RuntimeList(SpecValue):
    """A list that is made when the net runs. `meta_items`: its items at the sizes of the compilation.

    make() returns the node of the list in its owner's graph. sources: the values that it was made of. sample_item: an
    example of an item, for an empty list. named: whether its text is a name that readers know.
    """

    lists = True

    owner: GraphBuilder
    make: Callable[[], fx.Node]
    meta_items: VaryingItems
    text: str
    sources: tuple = ()
    sample_item: Value = None
    named: bool = True
    count: ReadNumber = field(init=False)

    def __post_init__(self) -> None:
        self.count = ReadNumber(self.owner, self._length_node, len(self.meta_items), f"len({self.text})", least=0.0)

    def __repr__(self) -> str:
        return self.what

    def set_source_text(self, text: str) -> None:
        if not self.named:
            self.text, self.named, self.count.text = text, True, f"len({text})"

    def _length_node(self) -> fx.Node:
        return self.owner.graph.call_function(len, (self.owner.lower(self),))

    @property
    def what(self) -> str:
        return f"a list of {len(self.meta_items)} values"

    def read_numbers(self) -> Iterator[ReadNumber]:
        """Return the numbers that it is made of, its length included."""
        yield self.count
        yield from find_read_numbers(self.sources)

    def to_plain(self, host: Host | None) -> Any:
        """Return its items; the net is then built for this length."""
        use = as_block_use(host) or self.owner
        self.count.to_plain(use)
        return tuple(self.item(use, index) for index in range(len(self.meta_items)))

    def items(self, host: Host | None) -> Sequence:
        return self.to_plain(host)

    def item(self, use: GraphBuilder, index: Any) -> Value:
        """Return one item, by a plain or a run-time index."""
        meta = self.meta_items[compile_time_value(index)]
        node = use.graph.call_function(operator.getitem, (use.lower(self), use.lower(index)))
        use.item_nodes[node] = None
        return use.wrap_result(node, meta, f"{self.text}[{runtime_text(index)}]")

    def subscript(self, index: Value, host: Host | None) -> Value:
        use = as_block_use(host) or self.owner
        try:
            if isinstance(index, slice):
                return use.list_call(
                    operator.getitem, (self, index), self.meta_items[compile_time_value(index)], self.text
                )
            return self.item(use, index)
        except IndexError:
            suggestion = f"indices go from 0 to {len(self.meta_items) - 1}" if self.meta_items else "the list is empty"
            fact = f"there is no index {runtime_text(index)} in a list of {len(self.meta_items)} items"
            raise EvaluationError(fact, suggestion) from None
        except TypeError:
            raise EvaluationError(f"{self.what} cannot be indexed with {runtime_text(index)}") from None

    def binary(self, symbol: str, other: Value, *, swapped: bool, host: Host | None) -> Value:
        parts = (other, self) if swapped else (self, other)
        if symbol == "+" and isinstance(other, (list, tuple, RuntimeList)) and can_pass_at_runtime(other):
            use = as_block_use(host) or self.owner
            metas = (*meta_values(parts[0]), *meta_values(parts[1]))
            return use.list_call(concat_lists, parts, metas, f"{runtime_text(parts[0])} + {runtime_text(parts[1])}")
        if symbol == "*" and is_number(other) and isinstance(compile_time_value(other), int):
            return repeat_list(as_block_use(host) or self.owner, self, other)
        if symbol not in ("+", "*") or isinstance(other, SpecValue):
            raise EvaluationError(
                f"{describe_value(self)} {symbol} {describe_value(other)} cannot be worked out",
                "a list takes + and an index",
            )
        plain_parts = [list(fix_value(part, host)) if part is self else part for part in parts]
        return apply_arithmetic(symbol, PLAIN_BINARY[symbol], *plain_parts)


def repeat_list(use: GraphBuilder, items: list | RuntimeList, count: Any) -> RuntimeList:
    """Return a list repeated at run time."""
    repeated = use.list_call(
        operator.mul,
        (items, count),
        meta_values(items) * compile_time_value(count),
        f"{runtime_text(items)} * {runtime_text(count)}",
    )
    repeated.sample_item = next(iter(meta_values(items)), None)
    return repeated


def can_pass_at_runtime(value: object) -> bool:
    """Return whether a value can be passed at run time: tensors, numbers, and lists of them."""
    if isinstance(value, (list, tuple)):
        return all(map(can_pass_at_runtime, value))
    return isinstance(value, (int, float, RuntimeNumber, RuntimeList)) or hasattr(value, "meta")


def meta_values(value: object) -> Any:
    """Return a value with meta tensors for tensors and plain numbers for numbers."""
    return (
        map_items(value, meta_values)
        if isinstance(value, (list, tuple))
        else getattr(value, "meta", compile_time_value(value))
    )


def require_block_use(host: Host | None, name: str) -> BlockUse:
    """Return the block that is being built; raise EvaluationError outside of steps (in `params`, `let` and
    signatures), where tensors cannot be made."""
    use = as_block_use(host)
    if use is None:
        numbers = "; a list of numbers is written [a, b], or made by range" if name == "linspace" else ""
        raise EvaluationError(f"{name} makes a tensor, which only steps can do", f"move it into `layers:`{numbers}")
    return use


def as_block_use(host: Host | None) -> BlockUse | None:
    """Return the block that is being built; None outside of steps. Every host is a BlockUse."""
    return cast("BlockUse | None", host)
