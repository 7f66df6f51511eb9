"""Work that no torch function shows.

scripted graphs ─→ their kernels, shown as functions      C++, functions switched off ─→ the same, in a second run
another thread ─→ a tensor out of nowhere ─→ a Row without a price
kernels of extensions ─→ empty memory that is read ─→ the same
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
"""The name of work that left a tensor behind, and nothing else."""

UNUSED_GENERATOR = "a generator that nobody has drawn from"

UNINITIALIZED = frozenset(["empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"])
"""Functions that give memory in which nothing stands yet."""

SHAPE_READERS = frozenset(["expand_as", "reshape_as", "type_as", "view_as"])
"""Functions that ask of an operand no more than what it looks like, as all do that are called `…_like` or `new_…`."""

BETA_FUNCTIONS = frozenset(["addmm", "addmv", "addr", "addbmm", "baddbmm", "_addmm_activation", "sspaddmm"])
"""Functions that add a product to their first operand, times beta: where that is 0, they do not look at it."""

SCRIPTED_TYPES = (torch._C.ScriptFunction, torch._C.ScriptMethod)
"""How scripted and traced graphs are called."""


class KernelRelay(KernelMode):
    """Calls every aten operator once more by its name, so that a function mode sees those that no function called.

    seen_by: is told itself where somebody has switched functions off.
    """

    def __init__(self, seen_by: TorchFunctionMode):
        super().__init__()
        self._function_mode = seen_by

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch._C._is_torch_function_all_disabled() and self._function_mode in _get_current_function_mode_stack():
            return self._function_mode.__torch_function__(func, (), args, kwargs)
        return func(*args, **(kwargs or {}))


@contextmanager
def unseen_kernels_relayed(seen_by: TorchFunctionMode, *, everywhere: bool) -> Iterator[None]:
    """Inside, scripted graphs are seen by their kernels, as they were written; everywhere: and so is all else."""
    with ExitStack() as stack:
        if everywhere:
            stack.enter_context(KernelRelay(seen_by))
        else:
            for kind in SCRIPTED_TYPES:
                stack.enter_context(script_kernels_relayed(kind, seen_by))
        yield


@contextmanager
def script_kernels_relayed(kind: Any, seen_by: TorchFunctionMode) -> Iterator[None]:
    plain = kind.__call__

    def call(graph: Any, *args: Any, **kwargs: Any) -> Any:
        with KernelRelay(seen_by), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # not exported
            return plain(graph, *args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = plain


def find_unseen_fills(entries: Sequence[RecordedCall], ends: Iterable[Operand]) -> list[Operand]:
    """What was read, or given in the end, though nobody was seen to write it: a kernel of a C++ or Triton extension
    fills memory that it is handed."""
    blank: set[int] = set()
    found: dict[int, Operand] = {}
    for _, function, _, args, kwargs, outputs, view, _ in entries:
        if function.op in UNINITIALIZED:
            blank.update(value.id for value in outputs if value.bytes)
        elif blank and not function.always_writes and not reads_shape_only(function.op):
            inputs: list[Operand] = []
            flatten_arguments(read_arguments(function.op, args, kwargs), inputs, [])
            hits = {operand.value.id: operand for operand in inputs if operand.value.id in blank}
            if view and hits:
                blank.update(value.id for value in outputs)
            else:
                found |= hits
                blank -= hits.keys()
    return [*found.values(), *(operand for operand in ends if operand.value.id in blank)]


def read_arguments(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call without what it only writes, and without what it multiplies by a beta of 0."""
    found = [*args, *(value for name, value in kwargs.items() if name != "out")]
    if op in BETA_FUNCTIONS and (kwargs.get("beta") == 0 or (args and args[0] == 0)):  # formerly, beta came first
        named = kwargs.get("input", kwargs.get("self"))
        added = named if named is not None else next(value for value in args if isinstance(value, Operand))
        found.remove(added)
    return found


def reads_shape_only(op: str) -> bool:
    return op in SHAPE_READERS or op.endswith("_like") or op.startswith("new_")


def add_generator_row(rows: tuple[Row, ...], outputs: Any) -> tuple[Row, ...]:
    """The rows, and one without a price where the run gave a generator: it works when somebody draws from it."""
    if not isinstance(outputs, Generator):
        return rows
    kernel = Kernel(UNUSED_GENERATOR, (), ())
    return (*rows, Row(len(rows), "", "generator", UNUSED_GENERATOR, 0, (), (), (), (kernel,), short_name="generator"))


def add_unseen_rows(rows: Iterable[Row], unseen: Iterable[Operand]) -> tuple[Row, ...]:
    """The rows, and behind them one for each tensor out of nowhere, without a price. Data from outside of torch is no
    work: it comes in by `lift_fresh`."""
    known = tuple(rows)
    lifted = {operand.value.id for row in known if row.short_name == "lift_fresh" for operand in row.inputs}
    values = [operand.value for operand in unseen if operand.value.id not in lifted]
    kernels = [Kernel(UNSEEN_OP, (), (value.shape,)) for value in values]
    found = [
        Row(len(known) + index, "", UNSEEN_OP, UNSEEN_OP, 0, (), (value,), (), (kernel,), short_name=UNSEEN_OP)
        for index, (value, kernel) in enumerate(zip(values, kernels, strict=True))
    ]
    return (*known, *found)
