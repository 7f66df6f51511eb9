"""torch's FlopCounterMode, halved, for it counts FLOPs: a dispatch mode that sees the operators that a device runs.

once alone, for its total and its time
once over a OperatorCountMode, for what it counted where, and for the operators that it has no formula for
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

from archscope.cost import FREE_KERNELS
from archscope.counter_result import CountedOp, CounterResult
from archscope.counters.model_call import ModelCall, time_work


def run_flop_counter(call: ModelCall) -> Iterator[CounterResult]:
    total, seconds = time_work(lambda: count_macs(call))
    counts, unknown = count_by_operator(call)
    yield CounterResult("FlopCounterMode", "torch", macs=total, seconds=seconds, counts=counts, unknown=unknown)
    if unknown:
        with fused_kernels_disabled():
            counts, unknown = count_by_operator(call)
        if sum(count.macs for count in counts) == total:
            return
        total = sum(count.macs for count in counts)
        yield CounterResult("FlopCounterMode, unfused", "torch", macs=total, counts=counts, unknown=unknown)


def count_macs(call: ModelCall) -> int:
    with FlopCounterMode(display=False) as counter:
        call.copy().run()
    return counter.get_total_flops() // 2


def count_by_operator(call: ModelCall) -> tuple[tuple[CountedOp, ...], tuple[CountedOp, ...]]:
    """What it counts, operator by operator; and those that it counts nothing for, though they may hold products."""
    counter = FlopCounterMode(display=False)
    with module_path_tracked(call.model) as place, OperatorCountMode(counter, place) as book, counter:
        call.copy().run()
        book.flush()
    unknown = (line for line in book.counts if not line.macs and line.name.removesuffix("_") not in FREE_KERNELS)
    return tuple(line for line in book.counts if line.macs), tuple(dict.fromkeys(unknown))


class OperatorCountMode(TorchDispatchMode):
    """Lies below a counter: when an operator comes, what the counter has got since the last one is the last one's."""

    supports_higher_order_operators = True

    def __init__(self, counter: FlopCounterMode, place: Callable[[], str]) -> None:
        super().__init__()
        self.counts: list[CountedOp] = []
        self._counter, self._module_path = counter, place
        self._open: tuple[str, str] | None = None
        self._seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.flush()
        self._open = self._module_path(), operator_name(func)
        return func(*args, **(kwargs or {}))

    def flush(self) -> None:
        """Writes down the operator that ran last."""
        total = self._counter.get_total_flops()
        if self._open is not None:
            self.counts.append(CountedOp(*self._open, (total - self._seen) // 2))
        self._open, self._seen = None, total


def operator_name(func: Any) -> str:
    """`aten.mm`, or the name of a higher-order operator."""
    schema = getattr(func, "_schema", None)
    return schema.name.replace("::", ".") if schema is not None else str(func)


@contextmanager
def module_path_tracked(model: nn.Module) -> Iterator[Callable[[], str]]:
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


FUSED_KERNEL_SWITCHES: tuple[tuple[Callable[[], bool], Callable[[bool], None]], ...] = (
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
)
"""How to read and write torch's settings: libraries with recurrent kernels of their own, the fast path of attention."""


@contextmanager
def fused_kernels_disabled() -> Iterator[None]:
    """Inside, attention runs as two products, recurrent layers step by step, and nothing takes a fast path."""
    with ExitStack() as stack:
        for read, write in FUSED_KERNEL_SWITCHES:
            stack.callback(write, read())
            write(False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
