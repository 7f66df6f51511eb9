"""A recorded forward pass (and backward pass) as plain data. No torch.

    Call (one execution of a block, a layer or a step)  ⊃  Row (one torch function)  ⊃  Kernel (one aten operator)

Values are the edges of the graph: a row's inputs refer to the values that earlier rows made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from archscope.errors import Span
from archscope.machine import CPU_TRAITS, DeviceTraits

Shape = tuple[int, ...]


@dataclass(frozen=True)
class WrongArgument:
    """A wrong argument of a layer or a view: its name, its value, and the value that the input requires."""

    argument: str
    given: object
    needed: object


@dataclass(frozen=True)
class LayerConflict:
    """A problem with a layer that the compiler found before the run: the fact, the help, and the argument."""

    fact: str
    help: str = ""
    wrong_argument: WrongArgument | None = None
    axes: tuple[int, ...] = ()


class Location(NamedTuple):
    """A place in a run: the path, the name of the layer or function, its arguments in short, and the source position.

    kind: `block` (has steps inside), `layer` (an nn.Module of torch's), `step` (an expression, or the operation of a
    form such as `residual:`). strict: an addition that must not broadcast (`residual:`, `add:`); its operands are
    compared before it runs. conflict: a known problem with the layer, whose arguments were replaced so that the run
    could go on.
    """

    path: str
    name: str
    kind: str
    text: str = ""
    place: Span | None = None
    strict: bool = False
    conflict: LayerConflict | None = None


class Value(NamedTuple):
    """One tensor that a row reads or makes. `id` identifies the edge; an in-place operation makes a new value."""

    id: int
    shape: Shape
    dtype: str
    bytes: int


class Operand(NamedTuple):
    """A tensor that a row reads: the value, and the path of the row (or the name of the input or parameter) that
    made it."""

    source: str
    value: Value


def join_path(*parts: str) -> str:
    """Return the path segments joined by dots, without the empty ones."""
    return ".".join(filter(None, parts))


class Call(NamedTuple):
    """One execution of a Location; `parent` is the index of the enclosing Call, -1 at the top.

    inputs: the inputs of a block under the block's own names; for the `return:` of a block, the values that it returns
    unchanged.
    """

    index: int  # type: ignore[assignment]  # not tuple's method
    parent: int
    site: Location
    inputs: tuple[Operand, ...] = ()


class Kernel(NamedTuple):
    """One aten operator: its name (`aten.convolution`), its shapes, and the attributes that its cost depends on.
    Never a tensor."""

    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    attributes: tuple[tuple[str, object], ...] = ()

    def get(self, name: str, default: object = None) -> object:
        """Return an attribute by its name."""
        return dict(self.attributes).get(name, default)


Kernels = tuple[Kernel, ...]


class Row(NamedTuple):
    """One torch function as its author called it.

    op: the layer's class if the row is the whole work of its layer (`Conv2d`), else the function's short name (`add`).
    call: the index of the innermost Call. params: the names of the Params that this row is the first to read. view: the
    outputs share the inputs' memory; nothing is read or written. attributes: the plain arguments that determine the
    shapes (`stride`, `dim`, …), by their public names. short_name: the function's short name (`conv2d`, `add`), also in
    a layer. forward_row: of a row of the backward pass, the index of the forward row whose gradient it computes; -1 if
    no row made its autograd node.
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
        """Return an attribute by its name."""
        return dict(self.attributes).get(name, default)

    @property
    def is_executed(self) -> bool:
        """True if torch executes something for it; false for a step that is only a parameter."""
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
    """Operands that an operation cannot (or must not) combine; the run went on with a value of the intended shape.

    kind: `add`, `multiply`, `concat`, `product`, `attention`, `layer`, `view`. axes: the axes that disagree, of the
    operand of highest rank. fact: the disagreement in a few words. wrong_argument: the argument of a layer or view that
    is wrong. row: the index of the row of the operation.
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
    """A size of a value that a condition in the author's code requires: to be `equals`, or a multiple of `divisor`.

    text: the size as the author wrote it.
    """

    operand: Operand
    axis: int
    text: str
    equals: int = 0
    divisor: int = 0


@dataclass(frozen=True)
class Failure:
    """The exception that ended a pass: the location, the function, its operands, and the first line of the message.

    backward: the forward pass finished, the backward pass did not. named_operands: the operands that were passed by
    name. int_arguments: the integers among the other arguments. local_operands: where the author's code raised, the
    tensors among the local variables of its function, by name. size_conditions: the sizes that the failed condition
    requires.
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
    """One aten operator of a run, in the order of execution: the index of the row that ran it, -1 if there is none.

    backward: the row is one of the backward pass. scratch: the peak of the bytes that it allocated and freed before it
    ended; None if not known.
    """

    row: int
    backward: bool
    scratch: int | None = None


class Allocation(NamedTuple):
    """One piece of memory, whatever the number of tensors that share it: its bytes and its lifetime, as indexes of
    kernel events.

    created: the event that allocated it; -1 if it existed before the run. freed: the first event without it; None if it
    outlives the run. kind: `parameter`, `buffer`, `input`, `output`, `gradient` (of a leaf), or "" for other values of
    the run.
    """

    bytes: int
    created: int
    freed: int | None
    kind: str = ""


@dataclass(frozen=True)
class Trace:
    """One recorded pass. `inputs` and `outputs` pair a name (of outputs: a position or key) with a value.

    rows: of the forward pass. backward: the rows of the backward pass, if requested; loss: a description of the value
    that it started from. kernel_events, allocations: the memory use of both passes, if requested. ran: whether anything
    was run; false without an input, where only the parameters are known. traits: of the device.
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
        """True if the pass ran to its end."""
        return self.ran and self.failure is None
