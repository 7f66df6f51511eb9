"""What happened: one forward pass as plain data. No torch.

    Call (one execution of a block, a layer or a written step)  ⊃  Row (one torch function)  ⊃  Kernel (one aten op)

Values are the edges: a row's inputs name the values that earlier rows made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from archscope.device_traits import CPU_TRAITS, DeviceTraits
from archscope.errors import Span

Shape = tuple[int, ...]


@dataclass(frozen=True)
class WrongArgument:
    """What a layer or a view was told: the argument, its value, and the value that its input asks for."""

    argument: str
    given: object
    needed: object


@dataclass(frozen=True)
class LayerConflict:
    """What a compiler knows to be wrong with a layer before it runs: the fact, the cure, and what it was told."""

    fact: str
    help: str = ""
    wrong_argument: WrongArgument | None = None
    axes: tuple[int, ...] = ()


class Location(NamedTuple):
    """Where a run is: the path, what stands there, its arguments in short, and its place in the author's text.

    kind: `block` (has steps inside), `layer` (an nn.Module of torch's), `step` (an expression or a form's own
    operation).
    strict: an add that must not broadcast (`residual:`, `add:`); its operands are compared before it runs.
    conflict: what is known to be wrong with a layer, which was mended so that the run goes on.
    """

    path: str
    name: str
    kind: str
    text: str = ""
    place: Span | None = None
    strict: bool = False
    conflict: LayerConflict | None = None


class Value(NamedTuple):
    """One tensor at a row's door. `id` is the edge; an in-place operation makes a new value."""

    id: int
    shape: Shape
    dtype: str
    bytes: int


class Operand(NamedTuple):
    """A tensor that a row reads:
    the value, and the path of the row (or the name of the input or parameter) that made it.
    """

    source: str
    value: Value


def join_path(*parts: str) -> str:
    """Path segments joined by dots; empty ones add no level."""
    return ".".join(filter(None, parts))


class Call(NamedTuple):
    """One execution of a Location; `parent` is the index of the enclosing Call, -1 at the top.

    inputs: of a block, what it was given, each under the name that the block has for it; of a block's `return:`, what
    it gives as it is.
    """

    index: int  # type: ignore[assignment]  # not tuple's method
    parent: int
    site: Location
    inputs: tuple[Operand, ...] = ()


class Kernel(NamedTuple):
    """One aten op: name (`aten.convolution`), shapes, and the few attributes that a price needs. Never a tensor."""

    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    attributes: tuple[tuple[str, object], ...] = ()

    def get(self, name: str, default: object = None) -> object:
        """An attribute by its name."""
        return dict(self.attributes).get(name, default)


Kernels = tuple[Kernel, ...]


class Row(NamedTuple):
    """One torch function as its author wrote it.

    op: the layer's class where the row is all its layer does (`Conv2d`), else the function's short name (`add`).
    call: index of the innermost Call. params: names of the Params that this row is the first to read.
    view: the outputs share the inputs' memory, nothing is read or written.
    attributes: the plain arguments that say how the shapes come about (`stride`, `dim`, …), by their public names.
    short_name: the function's short name (`conv2d`, `add`), whatever its layer is called. forward_row: of a row of the
    backward pass, the index of the forward row that it derives; -1 where no row made its node.
    """

    index: int  # type: ignore[assignment]  # not tuple's method
    path: str
    op: str
    function: str
    call: int
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: tuple[str, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    view: bool = False
    place: Span | None = None
    attributes: tuple[tuple[str, object], ...] = ()
    short_name: str = ""
    forward_row: int = -1

    def get(self, name: str, default: object = None) -> object:
        """An attribute by its name."""
        return dict(self.attributes).get(name, default)

    @property
    def is_executed(self) -> bool:
        """Whether anything is run for it; for a step that is a parameter nothing is."""
        return self.function != "parameter"


class Param(NamedTuple):
    """One name of one parameter. `tied_to` is the first name of the same storage, empty for that first name itself."""

    name: str
    shape: Shape
    dtype: str
    count: int  # type: ignore[assignment]  # not tuple's method
    bytes: int
    trainable: bool = True
    tied_to: str = ""


@dataclass(frozen=True)
class Mismatch:
    """Operands that an operation cannot (or must not) combine; the run went on with a value of the meant shape.

    kind: `add`, `multiply`, `concat`, `product`, `attention`, `layer`, `view`. axes: of the widest operand, those that
    disagree. fact: the disagreement in a few words. wrong_argument: of a layer or view, what it was told. row: the
    index of the row that stands for the operation.
    """

    site: Location
    kind: str
    operation: str
    operands: tuple[Operand, ...]
    axes: tuple[int, ...]
    fact: str = ""
    wrong_argument: WrongArgument | None = None
    row: int = -1


@dataclass(frozen=True)
class SizeCondition:
    """What a condition of the author's asks of one size of a value: to be `equals`, or a multiple of `divisor`.

    text: of the size, as the author has written it.
    """

    operand: Operand
    axis: int
    text: str
    equals: int = 0
    divisor: int = 0


@dataclass(frozen=True)
class Failure:
    """The pass raised: where, in which function, with which operands, and the first line of torch's message.

    backward: the forward pass had run to its end, the backward pass did not. named_operands: the operands that the
    function was given by name; int_arguments: the whole numbers among its other arguments. local_operands: where the
    author's code raised, the values of its function by name. size_conditions: the sizes that are not as its condition
    asks.
    """

    site: Location
    function: str
    operands: tuple[Operand, ...]
    message: str
    backward: bool = False
    named_operands: tuple[tuple[str, Operand], ...] = ()
    int_arguments: tuple[int, ...] = ()
    local_operands: tuple[tuple[str, Operand], ...] = ()
    size_conditions: tuple[SizeCondition, ...] = ()


class KernelEvent(NamedTuple):
    """One aten operator of a run, in the order in which they ran: the index of the row at work, -1 where there is none.

    backward: the row is one of the backward pass. scratch: the bytes that it took and gave back before it ended, at the
    highest; None where nobody can tell.
    """

    row: int
    backward: bool
    scratch: int | None = None


class Allocation(NamedTuple):
    """A piece of memory, however many tensors look into it: its bytes, the moment that made it, the first moment
    without it.

    created: -1 for what was there before the run. freed: None for what outlives it. kind: what it holds: `parameter`,
    `buffer`, `input`, `output`, `gradient` (that a leaf is left with), or "" for what a run makes on its way.
    """

    bytes: int
    created: int
    freed: int | None
    kind: str = ""


@dataclass(frozen=True)
class Trace:
    """One recorded pass. `inputs` and `outputs` pair a name (outputs: a position or key) with a value.

    rows: the forward pass. backward: the backward pass, where one was asked for; loss: what it started from, in words.
    kernel_events, allocations: what memory lived when, in both passes, where that was asked for. ran: whether anything
    was run; not where there is no input, and the parameters are all that is known. traits: of the device.
    """

    target: str
    device: str
    dtype: str
    mode: str  # "eval" or "train"
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    calls: tuple[Call, ...]
    rows: tuple[Row, ...]
    params: tuple[Param, ...]
    mismatches: tuple[Mismatch, ...] = ()
    failure: Failure | None = None
    notes: tuple[str, ...] = field(default=())
    backward: tuple[Row, ...] = ()
    loss: str = ""
    kernel_events: tuple[KernelEvent, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    ran: bool = True
    traits: DeviceTraits = CPU_TRAITS

    @property
    def finished(self) -> bool:
        """Whether it was run, to its end."""
        return self.ran and self.failure is None
