"""torch's FlopCounterMode, halved, for it counts FLOPs: a dispatch mode that sees the operators that a device runs.

once alone, for its total and its time
once over a Ledger, for what it counted where, and for the operators that it has no formula for
once more, where there are such: fused operators taken apart (`unfused`), so that it sees the most, if it sees more
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from archscope.cost import FREE
from archscope.statement import Count, Statement
from archscope.witnesses.call import Call, timed


def testify(call: Call) -> Iterator[Statement]:
    total, seconds = timed(lambda: counted(call))
    counts, unknown = ledger(call)
    yield Statement("FlopCounterMode", "torch", macs=total, seconds=seconds, counts=counts, unknown=unknown)
    if unknown:
        with unfused():
            counts, unknown = ledger(call)
        if sum(count.macs for count in counts) == total:
            return
        total = sum(count.macs for count in counts)
        yield Statement("FlopCounterMode, unfused", "torch", macs=total, counts=counts, unknown=unknown)


def counted(call: Call) -> int:
    with FlopCounterMode(display=False) as counter:
        call.copied().run()
    return counter.get_total_flops() // 2


def ledger(call: Call) -> tuple[tuple[Count, ...], tuple[Count, ...]]:
    """What it counts, operator by operator; and those that it counts nothing for, though they may hold products."""
    counter = FlopCounterMode(display=False)
    with placed(call.model) as place, Ledger(counter, place) as book, counter:
        call.copied().run()
        book.settle()
    unknown = (line for line in book.lines if not line.macs and line.name.removesuffix("_") not in FREE)
    return tuple(line for line in book.lines if line.macs), tuple(dict.fromkeys(unknown))


class Ledger(TorchDispatchMode):
    """Lies below a counter: when an operator comes, what the counter has got since the last one is the last one's."""

    supports_higher_order_operators = True

    def __init__(self, counter: FlopCounterMode, place: Callable[[], str]) -> None:
        super().__init__()
        self.lines: list[Count] = []
        self._counter, self._place = counter, place
        self._open: tuple[str, str] | None = None
        self._seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.settle()
        self._open = self._place(), named(func)
        return func(*args, **(kwargs or {}))

    def settle(self) -> None:
        """Writes down the operator that ran last."""
        total = self._counter.get_total_flops()
        if self._open is not None:
            self.lines.append(Count(*self._open, (total - self._seen) // 2))
        self._open, self._seen = None, total


def named(func: Any) -> str:
    """`aten.mm`, or the name of a higher-order operator."""
    schema = getattr(func, "_schema", None)
    return schema.name.replace("::", ".") if schema is not None else str(func)


@contextmanager
def placed(model: nn.Module) -> Iterator[Callable[[], str]]:
    """Tells the path of the module that is running; of one that the model does not hold, its caller's."""
    paths = {module: path for path, module in model.named_modules()}
    running = [""]

    def before(module: nn.Module, _args: Any) -> None:
        running.append(paths.get(module, running[-1]))

    def after(_module: nn.Module, _args: Any, _output: Any) -> None:
        running.pop()

    taken = hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after, always_call=True)
    try:
        yield lambda: running[-1]
    finally:
        for handle in taken:
            handle.remove()


SWITCHES: tuple[tuple[Callable[[], bool], Callable[[bool], None]], ...] = (
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
)
"""How to read and write torch's settings: libraries with recurrent kernels of their own, the fast path of attention."""


@contextmanager
def unfused() -> Iterator[None]:
    """Inside, attention runs as two products, recurrent layers step by step, and nothing takes a fast path."""
    with ExitStack() as stack:
        for read, write in SWITCHES:
            stack.callback(write, read())
            write(False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
