"""Numbers and lists that are worked out when the net runs: sizes of tensors, and all that arithmetic makes of them.

    a tensor's size, an argument, a loop's number → Reading, arithmetic on them → Computed, both: RuntimeNumber
    x.unbind(1), range(T), zip, …                 → RuntimeList

Each has the value that it has at the sizes of the compilation. Who needs a plain number (a layer's width, a condition
that decides what is built) settles it: the net then refuses to run where the number is another one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import fx

from archscope.compile.built import chosen, listed
from archscope.spec.evaluate import BINARY, COMPARE
from archscope.spec.numbers import Fault, multiply, power, remainder
from archscope.spec.things import (
    Thing,
    arithmetic,
    compared,
    is_number,
    numeric,
    shown,
)

if TYPE_CHECKING:
    from archscope.compile.use import Use

OPERATIONS: Mapping[str, tuple[Callable, Callable]] = {
    **{symbol: (apply, apply) for symbol, apply in BINARY.values()},
    **{symbol: (apply, apply) for symbol, apply in COMPARE.values()},
    "*": (operator.mul, multiply),
    "**": (operator.pow, power),
    "%": (operator.mod, remainder),
    "is": (operator.eq, operator.eq),
    "is not": (operator.ne, operator.ne),
    "and": (operator.and_, operator.and_),
}
"""symbol → the operation at run time, and the same with bounds."""
BINARY_APPLY = dict(BINARY.values())
COMPARISONS = frozenset(symbol for symbol, _ in COMPARE.values())
MEMBERSHIP = frozenset(["in", "not in"])
INVERTIBLE = frozenset([operator.add, operator.sub, operator.mul])


class Varying(tuple):
    """The values of a list whose length depends on sizes."""

    __slots__ = ()


class RuntimeNumber(Thing):
    """A number that is worked out when the net runs. `value`: what it is at the sizes of the compilation."""

    compares = numeric = True
    value: int | float | bool
    text: str

    @property
    def what(self) -> str:  # type: ignore[override]
        return repr(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def fixed(self) -> bool:
        """Whether the net runs for this value alone."""
        raise NotImplementedError

    def readings(self) -> Iterator[Reading]:
        """The sizes that it is made of."""
        raise NotImplementedError

    def binary(self, symbol: str, other: object, *, swapped: bool, host: object) -> object:
        if isinstance(other, Thing) and not other.numeric:
            if isinstance(other, RuntimeList):
                return other.binary(symbol, self, swapped=not swapped, host=host)
            if other.compares or symbol not in COMPARISONS:
                return other.binary(symbol, self, swapped=not swapped, host=host)
        left, right = (other, self) if swapped else (self, other)
        if symbol == "*" and isinstance(other, list) and travels(other):
            return repeated(host or next(self.readings()).owner, other, self)
        if symbol == "*" and isinstance(other, (list, tuple, str)):
            return arithmetic(symbol, BINARY_APPLY["*"], *(v.settled(host) if v is self else v for v in (left, right)))
        return self.joint(symbol, left, right, host)

    def joint(self, symbol: str, left: object, right: object, host: object) -> object:
        at_run_time, apply = OPERATIONS.get(symbol, (None, None))
        if at_run_time is None or apply is None:
            raise Fault(f"{shown(left)} {symbol} {shown(right)} cannot be worked out", f"{symbol} takes tensors")
        if symbol in MEMBERSHIP:
            return self._membership(symbol, apply, left, right, host)
        operands = plain(left), plain(right)
        value: Any = (compared if symbol in COMPARISONS else arithmetic)(symbol, apply, *operands)
        if not all(isinstance(operand, (int, float, list, tuple)) for operand in operands):
            return value  # no size is a word or None
        text = f"{told(left)} {symbol} {told(right)}"
        return computed(at_run_time, (left, right), value, text, named=symbol != "and")

    def _membership(self, symbol: str, apply: Callable, left: object, right: object, host: object) -> object:
        numbers = isinstance(right, (list, tuple)) and all(map(is_number, right))
        if not (numbers and is_number(left)):
            return compared(symbol, apply, settled(left, host), settled(right, host))
        held = compared("in", lambda a, b: a in b, plain(left), plain(right))
        inside = computed(operator.contains, (right, left), held, f"{told(left)} in {told(right)}")
        if symbol == "in":
            return inside
        return inside.unary("not", host) if isinstance(inside, RuntimeNumber) else not inside

    def pick(self, items: Any, host: object) -> object:
        if not all(map(is_number, items)):
            return items[self.settled(host)]
        return computed(operator.getitem, (items, self), plain(items[self.value]), f"{told(items)}[{self.text}]")

    def unary(self, symbol: str, host: object) -> object:
        if symbol == "+":
            return self
        apply = operator.not_ if symbol == "not" else operator.neg
        return computed(apply, (self,), apply(self.value), f"{symbol}{' ' * (symbol == 'not')}{told(self)}")

    def choice(self, here: object, otherwise: object) -> object:
        value = plain(here if self.value else otherwise)
        text = f"{told(here)} if {self.text} else {told(otherwise)}"
        return computed(chosen, (here, self, otherwise), value, text, named=False)

    def truth(self, host: object) -> bool:
        if not isinstance(self.value, bool):
            return bool(self.joint("!=", self, 0, host).truth(host))  # type: ignore[attr-defined]
        return bool(self.settled(host))

    def settled(self, host: object) -> Any:
        if not self.fixed:
            use = host or next(self.readings()).owner
            use.fix(self)  # type: ignore[attr-defined]
        return self.value


@dataclass(eq=False, repr=False)
class Reading(RuntimeNumber):
    """A number that is read from a tensor, an argument or a loop; `make` makes its node in its owner's graph.

    argument: the argument of a block that it stands for, and its place in it.
    least: what it is never below; 0 of what is a size.
    """

    owner: Use
    make: Callable[[], fx.Node]
    value: int | float | bool
    text: str
    argument: tuple[str | int, ...] | None = None
    known: bool = False
    least: float | None = None

    @property
    def fixed(self) -> bool:
        return self.known

    def readings(self) -> Iterator[Reading]:
        yield self


@dataclass(eq=False, repr=False)
class Computed(RuntimeNumber):
    """A number made of others. named: whether its text is one that a reader knows."""

    function: Callable
    args: tuple
    value: int | float | bool
    text: str
    named: bool = True

    def refer(self, text: str) -> None:
        if not self.named:
            self.text, self.named = text, True

    @property
    def fixed(self) -> bool:
        return all(reading.fixed for reading in self.readings())

    def readings(self) -> Iterator[Reading]:
        return readings_of(self.args)


def readings_of(value: object) -> Iterator[Reading]:
    """The sizes that a nested value is made of."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from readings_of(part)
    elif isinstance(value, (RuntimeNumber, RuntimeList)):
        yield from value.readings()


def computed(function: Callable, args: tuple, value: int | float | bool, text: str, *, named: bool = True) -> object:
    """A number made of others, plain where all of them are."""
    made = Computed(function, args, value, text, named)
    return value if made.fixed else made


def only_reading(number: RuntimeNumber) -> RuntimeNumber:
    """The number whose value settles this one's and is settled by it: of `4 * dim`, `dim`."""
    while isinstance(number, Computed) and number.function in INVERTIBLE | {operator.neg}:
        unknown = [part for part in number.args if numeric(part) and not part.fixed]
        others = [plain(part) for part in number.args if part not in unknown]
        if len(unknown) != 1 or not all(isinstance(part, int) and part for part in others):
            break
        number = unknown[0]
    return number


def known(value: object) -> object:
    """A number that can be no other one, as a plain number; other values as they are."""
    return value.value if isinstance(value, RuntimeNumber) and value.fixed else value


def rebuilt(value: object, each: Callable[[object], object]) -> Any:
    """A list or tuple with `each` of its parts; other values as they are."""
    if isinstance(value, list):
        return [each(part) for part in value]
    return tuple(each(part) for part in value) if isinstance(value, tuple) else value


def plain(value: object) -> Any:
    """A value as it is at the sizes of the compilation: numbers as plain numbers, lists of the run as lists."""
    if isinstance(value, RuntimeNumber):
        return value.value
    if isinstance(value, RuntimeList):
        return value.metas
    if isinstance(value, slice):
        return slice(plain(value.start), plain(value.stop), plain(value.step))
    return rebuilt(value, plain)


def settled(value: object, host: object) -> Any:
    """A value with plain numbers and lists in it: what is built with it is refused wherever one of them is another."""
    if isinstance(value, RuntimeNumber):
        return value.settled(host)
    if isinstance(value, RuntimeList):
        value = value.settled(host)
    return rebuilt(value, lambda part: settled(part, host))


def told(value: object) -> str:
    """A number as messages name it: what it is made of."""
    if isinstance(value, (RuntimeNumber, RuntimeList)):
        return f"({value.text})" if _is_an_operation(value.text) else value.text
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(told, value))}]"
    return shown(value)


def _is_an_operation(text: str) -> bool:
    """Whether a space stands outside of brackets."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == " " and not depth:
            return True
    return False


@dataclass(eq=False, repr=False)
class RuntimeList(Thing):
    """A list that is made when the net runs. `metas`: its items at the sizes of the compilation.

    make() gives the node of the list in its owner's graph. made_of: what it was made of. sample: what
    an item would be, of a list that has none. named: whether its text is one that a reader knows.
    """

    lists = True

    owner: Use
    make: Callable[[], fx.Node]
    metas: Varying
    text: str
    made_of: tuple = ()
    sample: object = None
    named: bool = True
    count: Reading = field(init=False)

    def __post_init__(self) -> None:
        self.count = Reading(self.owner, self._counted, len(self.metas), f"len({self.text})", least=0.0)

    def __repr__(self) -> str:
        return self.what

    def refer(self, text: str) -> None:
        if not self.named:
            self.text, self.named, self.count.text = text, True, f"len({text})"

    def _counted(self) -> fx.Node:
        return self.owner.graph.call_function(len, (self.owner.lowered(self),))

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"a list of {len(self.metas)} values"

    def readings(self) -> Iterator[Reading]:
        """The numbers that it is made of, its length among them."""
        yield self.count
        yield from readings_of(self.made_of)

    def settled(self, host: object) -> Any:
        """Its items, for this length alone."""
        use: Any = host or self.owner
        self.count.settled(use)
        return tuple(self.item(use, index) for index in range(len(self.metas)))

    def items(self, host: object) -> Sequence:
        return self.settled(host)

    def item(self, use: Use, index: Any) -> object:
        """One item, by a plain number or one of the run."""
        meta = self.metas[plain(index)]
        node = use.graph.call_function(operator.getitem, (use.lowered(self), use.lowered(index)))
        use.parts[node] = None
        return use.wrap(node, meta, f"{self.text}[{told(index)}]")

    def subscript(self, index: object, host: object) -> object:
        use: Any = host or self.owner
        try:
            if isinstance(index, slice):
                return use.list_call(operator.getitem, (self, index), self.metas[plain(index)], self.text)
            return self.item(use, index)
        except IndexError:
            cure = f"indices go from 0 to {len(self.metas) - 1}" if self.metas else "the list is empty"
            raise Fault(f"there is no index {told(index)} in a list of {len(self.metas)} items", cure) from None
        except TypeError:
            raise Fault(f"{self.what} cannot be indexed with {told(index)}") from None

    def binary(self, symbol: str, other: object, *, swapped: bool, host: object) -> object:
        parts = (other, self) if swapped else (self, other)
        if symbol == "+" and isinstance(other, (list, tuple, RuntimeList)) and travels(other):
            use: Any = host or self.owner
            metas = (*metas_of(parts[0]), *metas_of(parts[1]))
            return use.list_call(listed, parts, metas, f"{told(parts[0])} + {told(parts[1])}")
        if symbol == "*" and is_number(other) and isinstance(plain(other), int):
            return repeated(host or self.owner, self, other)
        if symbol not in ("+", "*") or isinstance(other, Thing):
            raise Fault(f"{shown(self)} {symbol} {shown(other)} cannot be worked out", "a list takes + and an index")
        plain_parts = [list(settled(part, host)) if part is self else part for part in parts]
        return arithmetic(symbol, BINARY_APPLY[symbol], *plain_parts)


def repeated(use: Any, items: list | RuntimeList, count: Any) -> RuntimeList:
    """A list several times, when the net runs."""
    made = use.list_call(operator.mul, (items, count), metas_of(items) * plain(count), f"{told(items)} * {told(count)}")
    made.sample = next(iter(metas_of(items)), None)
    return made


def travels(value: object) -> bool:
    """Whether a value can be handed on when the net runs: tensors and numbers, and lists of them."""
    if isinstance(value, (list, tuple)):
        return all(map(travels, value))
    return isinstance(value, (int, float, RuntimeNumber, RuntimeList)) or hasattr(value, "meta")


def metas_of(value: object) -> Any:
    """A value with meta tensors for tensors and plain numbers for numbers."""
    return rebuilt(value, metas_of) if isinstance(value, (list, tuple)) else getattr(value, "meta", plain(value))


def building(host: object, name: str) -> Use:
    """The block being built; in `params`, `let` and signatures there is none, and tensors cannot be made."""
    if host is None:
        numbers = "; a list of numbers is written [a, b], or made by range" if name == "linspace" else ""
        raise Fault(f"{name} makes a tensor, which only steps can do", f"move it into `layers:`{numbers}")
    return host  # type: ignore[return-value]
