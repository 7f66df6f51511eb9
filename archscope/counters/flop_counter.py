"""torch's FlopCounterMode, a dispatch mode that sees the operators that run on a device. Its FLOPs are halved to MACs.

1. once alone, for its total and its time
2. once above an OperatorCountMode, for its count of each module and operator, and for operators without a formula
3. if there are such operators, once more with fused operators disabled, reported if the total differs
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
from archscope.counters.model_call import ModelCall, time_work
from archscope.counters.result import CountedOp, CounterResult


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
    """Return the MACs that are counted for each operator, and the operators that may hold products but count
    nothing."""
    counter = FlopCounterMode(display=False)
    with module_path_tracked(call.model) as module_path, OperatorCountMode(counter, module_path) as mode, counter:
        call.copy().run()
        mode.flush()
    unknown = (op for op in mode.counts if not op.macs and op.name.removesuffix("_") not in FREE_KERNELS)
    return tuple(op for op in mode.counts if op.macs), tuple(dict.fromkeys(unknown))


class OperatorCountMode(TorchDispatchMode):
    """A dispatch mode below a counter: what is added to the counter between two operators belongs to the first."""

    supports_higher_order_operators = True

    def __init__(self, counter: FlopCounterMode, module_path: Callable[[], str]) -> None:
        super().__init__()
        self.counts: list[CountedOp] = []
        self._counter, self._module_path = counter, module_path
        self._open: tuple[str, str] | None = None
        self._seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.flush()
        self._open = self._module_path(), operator_name(func)
        return func(*args, **(kwargs or {}))

    def flush(self) -> None:
        """Record the operator that ran last."""
        total = self._counter.get_total_flops()
        if self._open is not None:
            self.counts.append(CountedOp(*self._open, (total - self._seen) // 2))
        self._open, self._seen = None, total


def operator_name(func: Any) -> str:
    """Return `aten.mm`, or the name of a higher-order operator."""
    schema = getattr(func, "_schema", None)
    return schema.name.replace("::", ".") if schema is not None else str(func)


@contextmanager
def module_path_tracked(model: nn.Module) -> Iterator[Callable[[], str]]:
    """Yield a function that returns the path of the running module, or its caller's if the model does not hold it."""
    paths = {module: path for path, module in model.named_modules()}
    running = [""]

    def before(module: nn.Module, _args: Any) -> None:
        running.append(paths.get(module, running[-1]))

    def after(_module: nn.Module, _args: Any, _output: Any) -> None:
        running.pop()

    handles = (
        hooks.register_module_forward_pre_hook(before),
        hooks.register_module_forward_hook(after, always_call=True),
    )
    try:
        yield lambda: running[-1]
    finally:
        for handle in handles:
            handle.remove()


FUSED_KERNEL_SWITCHES: tuple[tuple[Callable[[], bool], Callable[[bool], None]], ...] = (
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
)
"""Getters and setters of torch's settings for recurrent kernels of libraries, and for the fast path of attention."""


@contextmanager
def fused_kernels_disabled() -> Iterator[None]:
    """Inside, attention runs as two products, recurrent layers step by step, and no fast path is taken."""
    with ExitStack() as stack:
        for read, write in FUSED_KERNEL_SWITCHES:
            stack.callback(write, read())
            write(False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
