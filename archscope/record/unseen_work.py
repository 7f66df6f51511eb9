"""Work that no torch function shows.

scripted graphs ─→ their kernels, relayed as functions    C++ code, functions disabled ─→ their kernels, in a second run
another thread ─→ a tensor of unknown origin ─→ a Row without a price
kernels of extensions ─→ uninitialized memory that is read ─→ a Row without a price
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from archscope.record.call_log import RecordedCall, flatten_arguments
from archscope.record.kernel_mode import KernelMode
from archscope.trace import Kernel, Operand, Row

UNSEEN_OP = "unseen"
"""The operation of a row that is only known by the tensor that it left."""

UNUSED_GENERATOR = "a generator that is not consumed"

UNINITIALIZED = frozenset(["empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"])
"""Functions that return uninitialized memory."""

SHAPE_READERS = frozenset(["expand_as", "reshape_as", "type_as", "view_as"])
"""Functions that use an operand's shape or dtype only, like all functions named `…_like` or `new_…`."""

BETA_FUNCTIONS = frozenset(["addmm", "addmv", "addr", "addbmm", "baddbmm", "_addmm_activation", "sspaddmm"])
"""Functions that add a product to beta times their first operand: if beta is 0, they do not read it."""

SCRIPTED_TYPES = (torch._C.ScriptFunction, torch._C.ScriptMethod)
"""The types of scripted and traced graphs."""


class KernelRelay(KernelMode):
    """A dispatch mode that calls every aten operator once more by its name, so that a function mode sees it.

    function_mode: called directly if functions are disabled.
    """

    def __init__(self, function_mode: TorchFunctionMode):
        super().__init__()
        self._function_mode = function_mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch._C._is_torch_function_all_disabled() and self._function_mode in _get_current_function_mode_stack():
            return self._function_mode.__torch_function__(func, (), args, kwargs)
        return func(*args, **(kwargs or {}))


@contextmanager
def unseen_kernels_relayed(function_mode: TorchFunctionMode, *, everywhere: bool) -> Iterator[None]:
    """Inside, the kernels of scripted graphs reach the function mode; with `everywhere`, all kernels do."""
    with ExitStack() as stack:
        if everywhere:
            stack.enter_context(KernelRelay(function_mode))
        else:
            for kind in SCRIPTED_TYPES:
                stack.enter_context(script_kernels_relayed(kind, function_mode))
        yield


@contextmanager
def script_kernels_relayed(kind: Any, function_mode: TorchFunctionMode) -> Iterator[None]:
    plain = kind.__call__

    def call(graph: Any, *args: Any, **kwargs: Any) -> Any:
        with KernelRelay(function_mode), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # not exported
            return plain(graph, *args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = plain


def find_unseen_fills(entries: Sequence[RecordedCall], ends: Iterable[Operand]) -> list[Operand]:
    """Return operands that are read, or returned in the end, though they are uninitialized: a kernel of a C++ or Triton
    extension must have filled them."""
    unfilled: set[int] = set()
    found: dict[int, Operand] = {}
    for _, function, _, args, kwargs, outputs, view, _ in entries:
        if function.op in UNINITIALIZED:
            unfilled.update(value.id for value in outputs if value.bytes)
        elif unfilled and not function.always_writes and not reads_shape_only(function.op):
            inputs: list[Operand] = []
            flatten_arguments(read_arguments(function.op, args, kwargs), inputs, [])
            read = {operand.value.id: operand for operand in inputs if operand.value.id in unfilled}
            if view and read:
                unfilled.update(value.id for value in outputs)
            else:
                found |= read
                unfilled -= read.keys()
    return [*found.values(), *(operand for operand in ends if operand.value.id in unfilled)]


def read_arguments(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of a call that it reads: not those that it only writes, or multiplies by a beta of 0."""
    found = [*args, *(value for name, value in kwargs.items() if name != "out")]
    if op in BETA_FUNCTIONS and (kwargs.get("beta") == 0 or (args and args[0] == 0)):  # formerly, beta came first
        named = kwargs.get("input", kwargs.get("self"))
        unread = named if named is not None else next(value for value in args if isinstance(value, Operand))
        found.remove(unread)
    return found


def reads_shape_only(op: str) -> bool:
    return op in SHAPE_READERS or op.endswith("_like") or op.startswith("new_")


def add_generator_row(rows: tuple[Row, ...], outputs: Any) -> tuple[Row, ...]:
    """Return the rows, and one without a price if the run returned a generator, whose work is done when it is
    consumed."""
    if not isinstance(outputs, Generator):
        return rows
    kernel = Kernel(UNUSED_GENERATOR, (), ())
    return (*rows, Row(len(rows), "", "generator", UNUSED_GENERATOR, 0, (), (), (), (kernel,), short_name="generator"))


def add_unseen_rows(rows: Iterable[Row], unseen: Iterable[Operand]) -> tuple[Row, ...]:
    """Return the rows, and after them one without a price for each unseen tensor. Data from outside of torch is no
    work: it enters through `lift_fresh`."""
    known = tuple(rows)
    lifted = {operand.value.id for row in known if row.short_name == "lift_fresh" for operand in row.inputs}
    values = [operand.value for operand in unseen if operand.value.id not in lifted]
    kernels = [Kernel(UNSEEN_OP, (), (value.shape,)) for value in values]
    found = [
        Row(len(known) + index, "", UNSEEN_OP, UNSEEN_OP, 0, (), (value,), (), (kernel,), short_name=UNSEEN_OP)
        for index, (value, kernel) in enumerate(zip(values, kernels, strict=True))
    ]
    return (*known, *found)
