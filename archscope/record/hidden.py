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

from archscope.record.entries import Entry, flat
from archscope.record.onlooker import Onlooker
from archscope.trace import Kernel, Operand, Row

UNSEEN = "unseen"
"""The name of work that left a tensor behind, and nothing else."""

UNDRAWN = "a generator that nobody has drawn from"

BLANK = frozenset(["empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"])
"""Functions that give memory in which nothing stands yet."""

BY_SHAPE = frozenset(["expand_as", "reshape_as", "type_as", "view_as"])
"""Functions that ask of an operand no more than what it looks like, as all do that are called `…_like` or `new_…`."""

ADDING = frozenset(["addmm", "addmv", "addr", "addbmm", "baddbmm", "_addmm_activation", "sspaddmm"])
"""Functions that add a product to their first operand, times beta: where that is 0, they do not look at it."""

GRAPHS = (torch._C.ScriptFunction, torch._C.ScriptMethod)
"""How scripted and traced graphs are called."""


class Shown(Onlooker):
    """Calls every aten operator once more by its name, so that a function mode sees those that no function called.

    seen_by: is told itself where somebody has switched functions off.
    """

    def __init__(self, seen_by: TorchFunctionMode):
        super().__init__()
        self._seen_by = seen_by

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch._C._is_torch_function_all_disabled() and self._seen_by in _get_current_function_mode_stack():
            return self._seen_by.__torch_function__(func, (), args, kwargs)
        return func(*args, **(kwargs or {}))


@contextmanager
def shown(seen_by: TorchFunctionMode, *, everywhere: bool) -> Iterator[None]:
    """Inside, scripted graphs are seen by their kernels, as they were written; everywhere: and so is all else."""
    with ExitStack() as stack:
        if everywhere:
            stack.enter_context(Shown(seen_by))
        else:
            for kind in GRAPHS:
                stack.enter_context(graphs_shown(kind, seen_by))
        yield


@contextmanager
def graphs_shown(kind: Any, seen_by: TorchFunctionMode) -> Iterator[None]:
    plain = kind.__call__

    def call(graph: Any, *args: Any, **kwargs: Any) -> Any:
        with Shown(seen_by), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # not exported
            return plain(graph, *args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = plain


def filled_unseen(entries: Sequence[Entry], ends: Iterable[Operand]) -> list[Operand]:
    """What was read, or given in the end, though nobody was seen to write it: a kernel of a C++ or Triton extension
    fills memory that it is handed."""
    blank: set[int] = set()
    found: dict[int, Operand] = {}
    for _, function, _, args, kwargs, outputs, view, _ in entries:
        if function.op in BLANK:
            blank.update(value.id for value in outputs if value.bytes)
        elif blank and not function.always_writes and not asks_for_shape(function.op):
            inputs: list[Operand] = []
            flat(looked_at(function.op, args, kwargs), inputs, [])
            hits = {operand.value.id: operand for operand in inputs if operand.value.id in blank}
            if view and hits:
                blank.update(value.id for value in outputs)
            else:
                found |= hits
                blank -= hits.keys()
    return [*found.values(), *(operand for operand in ends if operand.value.id in blank)]


def looked_at(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call without what it only writes, and without what it multiplies by a beta of 0."""
    found = [*args, *(value for name, value in kwargs.items() if name != "out")]
    if op in ADDING and (kwargs.get("beta") == 0 or (args and args[0] == 0)):  # formerly, beta came first
        named = kwargs.get("input", kwargs.get("self"))
        added = named if named is not None else next(value for value in args if isinstance(value, Operand))
        found.remove(added)
    return found


def asks_for_shape(op: str) -> bool:
    return op in BY_SHAPE or op.endswith("_like") or op.startswith("new_")


def undrawn_row(rows: tuple[Row, ...], outputs: Any) -> tuple[Row, ...]:
    """The rows, and one without a price where the run gave a generator: it works when somebody draws from it."""
    if not isinstance(outputs, Generator):
        return rows
    kernel = Kernel(UNDRAWN, (), ())
    return (*rows, Row(len(rows), "", "generator", UNDRAWN, 0, (), (), (), (kernel,), short="generator"))


def unseen_rows(rows: Iterable[Row], unseen: Iterable[Operand]) -> tuple[Row, ...]:
    """The rows, and behind them one for each tensor out of nowhere, without a price. Data from outside of torch is no
    work: it comes in by `lift_fresh`."""
    known = tuple(rows)
    lifted = {operand.value.id for row in known if row.short == "lift_fresh" for operand in row.inputs}
    values = [operand.value for operand in unseen if operand.value.id not in lifted]
    kernels = [Kernel(UNSEEN, (), (value.shape,)) for value in values]
    found = [
        Row(len(known) + index, "", UNSEEN, UNSEEN, 0, (), (value,), (), (kernel,), short=UNSEEN)
        for index, (value, kernel) in enumerate(zip(values, kernels, strict=True))
    ]
    return (*known, *found)
