"""The recorder: a function mode that records a forward pass function by function.

    run ─ enter/leave a Location ─→ Calls
        ─ every torch function ─→ operands (edges by identity) ─→ RecordedCalls ─ after the run ─→ Rows

The recorder keeps no activation alive: values are identified through weak references.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

import torch
from torch._ops import OpOverload
from torch.autograd import forward_ad

from archscope import errors
from archscope.ops.shape_errors import compare_shapes, find_shape_problem
from archscope.record.backward import (
    BackwardLog,
    SequenceRange,
    graph_leaves,
    loss_of,
    next_sequence_number,
    retained_graph_kwargs,
    run_backward,
)
from archscope.record.call_log import (
    ROOT_LOCATION,
    RecordedCall,
    SignatureCache,
    build_rows,
    flatten_arguments,
    lower_call,
    shape_dtypes,
    unpriced_kernel,
    with_examples,
)
from archscope.record.mismatches import MismatchLog
from archscope.record.op_call import as_dims, layout_key, shape_of, tensors_in
from archscope.record.override_queries import FunctionMode
from archscope.record.replay import KernelLog
from archscope.record.state.tensors import TensorBackup
from archscope.record.tensor_registry import TensorRegistry, make_tuple, vmap_examples
from archscope.record.torch_functions import TorchFunction, describe_function
from archscope.record.user_frame import user_span
from archscope.trace import Call, Kernel, LayerConflict, Location, Operand, Row, Value, WrongArgument

PARAMETER_FUNCTION = TorchFunction("parameter", "Parameter", in_place=False, free=True, lowering=None)
"""The function of a step that is a parameter."""

OnMismatch = Literal["record", "raise"]

is_alias_of: Callable[[torch.Tensor, torch.Tensor], bool] = torch._C._is_alias_of  # type: ignore[attr-defined]  # no stub
"""Returns whether two tensors share memory; also works on the meta device, which has no addresses."""


class Recorder(FunctionMode):
    """A function mode that sees every torch function of a run; the caller reports locations: `enter(site)` … `leave()`.

    on_mismatch: whether operands that do not fit are recorded, or raise. originals: backs up the model's tensors before
    they are written. derives: a backward pass follows, which the caller starts: `run_backward(outputs)`. located:
    indexes of the rows whose line in the author's code is recorded; other rows have that of their location, if any.
    """

    def __init__(
        self,
        *,
        on_mismatch: OnMismatch,
        originals: TensorBackup,
        derives: bool = False,
        located: Collection[int] = frozenset(),
    ):
        super().__init__()
        self.on_mismatch, self.derives, self.located = on_mismatch, derives, located
        self.user_spans: dict[int, errors.Span | None] = {}
        self.calls: list[Call] = []
        self.recorded_calls: list[RecordedCall] = []
        self.site = ROOT_LOCATION
        self.registry, self.mismatch_log = TensorRegistry(originals.register), MismatchLog()
        self.loss = ""
        self.backward_log: BackwardLog | None = None
        self.lacks_gradients = False
        self._sequence_ranges: list[SequenceRange] = []
        self._range_start = self._range_end = self._run_start = next_sequence_number()
        self._in_backward = False
        self._active_backward: BackwardLog | None = None
        self._real_kernels: tuple[Kernel, ...] | None = None
        self._backup = originals
        self._call_stack: list[tuple[int, Location]] = []
        self._call = -1
        self._conflict: LayerConflict | None = None
        self._failed_index = -1
        self._function_cache: dict[Any, TorchFunction] = {}
        self._signatures = SignatureCache()

    @property
    def in_backward(self) -> bool:
        """True while gradients are computed, after the run."""
        return self._in_backward

    @property
    def in_accumulation(self) -> bool:
        """True while the recorder itself assigns the gradients to leaves."""
        return self._active_backward is not None and self._active_backward.is_accumulating

    def enter(self, site: Location, inputs: Iterable[tuple[str, torch.Tensor]] = ()) -> None:
        """Enter a block, a layer or a step; nothing that is recomputed in the backward pass does.

        inputs: the tensors that a block gets, by the block's own names.
        """
        if self._in_backward:
            return
        self._call_stack.append((self._call, self.site))
        call = len(self.calls)
        self.calls.append(Call(call, self._call, site, self.registry.named_operands(inputs) if inputs else ()))
        self._call, self.site = call, site
        if site.conflict is not None:
            self._conflict = site.conflict

    def leave(self) -> None:
        """Leave the Location that was entered last."""
        if self._in_backward:
            return
        self._call, self.site = self._call_stack.pop()

    def record_parameter(self, parameter: torch.Tensor) -> None:
        """Record a step that is a parameter instead of a function: a row whose output is that parameter."""
        if self._in_backward:
            return
        operand = self.registry.operand(parameter)
        entry: Any = self._call, PARAMETER_FUNCTION, None, [operand], {}, (operand.value,), True, ()
        self.recorded_calls.append(make_tuple(RecordedCall, entry))
        if self.derives:
            self._range_start = self._range_end = next_sequence_number()
            self._sequence_ranges.append((self._range_start, self._range_end))

    def register_existing(self, tensors: Iterable[torch.Tensor]) -> None:
        """Note tensors that exist before the run, so that they are as before afterwards."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                self._backup.register(tensor, known=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs is None:
            kwargs = {}
        if types:
            subclass = next((kind for kind in types if not issubclass(kind, torch.Tensor)), None)
            if subclass is not None:
                with self:
                    return subclass.__torch_function__(func, types, args, kwargs)
        function = self._function_cache.get(func) or self._function_cache.setdefault(func, describe_function(func))
        if function.passes_through:
            return func(*args, **kwargs)
        written = () if function.find_written is None else function.find_written(args, kwargs)
        if "out" in kwargs:
            written = *written, *tensors_in((kwargs["out"],))
        for tensor in written:
            self._before_writing(tensor)
        if function.exposes_memory:
            for tensor in tensors_in((args, kwargs)):
                self._before_writing(tensor)
        if self.derives:
            if self._in_backward:
                return func(*args, **kwargs)
            self._range_start = self._range_end if isinstance(func, OpOverload) else next_sequence_number()
        try:
            special = function.is_special or (function.shortcut is not None and args and args[0].is_meta)
            if special or types or self.site.strict or forward_ad._current_level >= 0:
                out = self._run_special(function, func, args, kwargs, types)
            else:
                out = func(*args, **kwargs)
        except Exception as error:
            out = self._try_recover(function, args, kwargs) if self.on_mismatch == "record" else None
            if out is None:
                operand = self.registry.operand
                operands = tuple(operand(tensor) for tensor in tensors_in((args, kwargs)))
                by_name = ((name, value) for name, value in kwargs.items() if isinstance(value, torch.Tensor))
                named = tuple((name, operand(tensor)) for name, tensor in by_name)
                numbers = tuple(value for value in args if type(value) is int)
                self.mismatch_log.set_function_failure(self.site, function.name, operands, named, numbers, error)
                raise
        if isinstance(out, torch.Tensor):
            self._log_call(function, func, args, kwargs, [out], written)
        else:
            results = leaf_gradients(args[:1]) if function.op == "backward" else tensors_in(out)
            results = list(written) if function.returns_nothing else results
            if results or function.leaves_torch or function.runs_backward:
                self._log_call(function, func, args, kwargs, results, written)
        self._real_kernels = None
        return out

    def _before_writing(self, tensor: torch.Tensor) -> None:
        """Back up a tensor before it is written.

        What the backward pass writes (a hook, the engine) is no value of the run.
        """
        if not self._in_backward:
            self.registry.operand(tensor)
        elif self.registry.known_operand(tensor) is None:
            self._backup.register(tensor)
        self._backup.back_up(tensor)

    def _run_special(self, function: TorchFunction, func: Any, args: Any, kwargs: Any, types: Any) -> Any:
        """Return the result of a call whose operands are compared before, or that is computed without running it."""
        out = self._check_strict(function, args) if self.site.strict else None
        if function.unchecked:
            problem = find_shape_problem(function.op, as_dims(args), as_dims(kwargs))
            if problem is not None:
                raise RuntimeError(problem.fact)
        if function.shortcut is not None and out is None and args and args[0].is_meta:
            out = function.shortcut(args, kwargs)
        if out is None and (
            function.runs_backward or forward_ad._current_level >= 0 or any(map(has_own_torch_function, types))
        ):
            if function.runs_backward:
                self._backup.back_up_gradients()
                kwargs = retained_graph_kwargs(args, kwargs, self._run_start)
            else:
                self.registry.has_wrapped = True
            with KernelLog() as real:
                out = func(*args, **kwargs)
            self._real_kernels = tuple(real.kernels)
            return out
        return func(*args, **kwargs) if out is None else out

    def _log_call(
        self,
        function: TorchFunction,
        func: Any,
        args: Any,
        kwargs: Any,
        results: list[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        """Record a call. What needs the living tensors is computed now, everything else after the run."""
        registry, index = self.registry, len(self.recorded_calls)
        if index in self.located:
            self.user_spans[index] = user_span()
        if function.in_place and function.free and self._is_bookkeeping(tensors_in((args, kwargs))):
            return
        positional = registry.to_operands(args)
        named = dict(zip(kwargs, registry.to_operands(kwargs.values()), strict=True)) if kwargs else {}
        if self._conflict is not None:
            self._note_conflict(self._conflict, positional, named)
        view = bool(results) and not (function.allocates or written) and self._is_view(args, kwargs, results)
        source = self.site.path or function.op
        outputs = tuple([registry.register(tensor, source).value for tensor in results])
        for tensor in written:
            registry.note_write(tensor, registry.operand(tensor))
        kernels: tuple[Kernel, ...] | None = ()
        if self._real_kernels is not None:
            kernels = self._real_kernels
        elif self._failed_index == index:
            kernels = () if function.free else (unpriced_kernel(function, tensors_in((args, kwargs)), outputs),)
        elif not (view or function.free):
            later = function.lowers_by_shapes and not registry.has_irregular and not registry.has_wrapped
            kernels = (
                None if later else self._lower(function, (func, args, kwargs), (positional, named), outputs, results)
            )
        entry = self._call, function, func, positional, named, outputs, view, kernels
        self.recorded_calls.append(make_tuple(RecordedCall, entry))
        if self.derives:
            self._range_end = next_sequence_number()
            self._sequence_ranges.append((self._range_start, self._range_end))

    def _lower(
        self,
        function: TorchFunction,
        call: tuple[Any, Any, Any],
        arguments: tuple[list[Any], dict[str, Any]],
        outputs: tuple[Value, ...],
        results: list[torch.Tensor],
    ) -> tuple[Kernel, ...]:
        """Return the kernels of a call that depend on its living tensors, computed once for equal calls."""
        inputs: list[Operand] = []
        rest: list[Any] = [call[0]]
        flatten_arguments(arguments, inputs, rest)
        operands = tensors_in(call[1:])
        layouts = map(layout_key, operands) if self.registry.has_irregular else ()
        key = (*rest, *shape_dtypes(inputs), *layouts)
        kernels = self._signatures.get_or_compute(key, lambda: lower_call(function, *call, outputs))
        return with_examples(kernels, vmap_examples([*operands, *results])) if self.registry.has_wrapped else kernels

    def _note_conflict(self, conflict: LayerConflict, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Record what the compiler knows to be wrong with a layer, at the first function that has operands."""
        inputs: list[Operand] = []
        flatten_arguments((args, kwargs), inputs, [])
        if inputs:
            self.mismatch_log.add_conflict(self.site, conflict, tuple(inputs[:1]), len(self.recorded_calls))
            self._conflict = None

    def _is_bookkeeping(self, operands: list[torch.Tensor]) -> bool:
        """Return whether only tensors from before the run are read and written, such as a layer's count of its
        batches."""
        own, operand = self.registry.model_name, self.registry.operand
        return all(operand(tensor).source in ("constant", own(tensor)) for tensor in operands)

    def _is_view(self, args: Any, kwargs: Any, results: list[torch.Tensor]) -> bool:
        """Return whether all results share memory with operands, and none of these was written."""
        operands = tensors_in((args, kwargs))
        return all(
            any(is_alias_of(out, tensor) for tensor in operands) for out in results
        ) and not self._has_written_operand(results, operands)

    def _has_written_operand(self, results: list[torch.Tensor], operands: list[torch.Tensor]) -> bool:
        """Return whether a result is an operand that was written (`relu(x, True)`), not just returned (dropout in
        eval)."""
        own = [out for out in results if any(out is tensor for tensor in operands)]
        return any(self.registry.has_changed(out) for out in own)

    def _check_strict(self, function: TorchFunction, args: Any) -> torch.Tensor | None:
        """Return a substitute and record a Mismatch if an addition that must not broadcast has unequal operands."""
        both = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        problem = compare_shapes([shape_of(tensor) for tensor in both], "add", strict=True) if len(both) > 1 else None
        if problem is not None and self.on_mismatch == "raise":
            raise RuntimeError(problem.fact)
        return self._substitute_result(function, problem, both) if problem else None

    def _try_recover(self, function: TorchFunction, args: Any, kwargs: Any) -> torch.Tensor | None:
        """Return a substitute and record a Mismatch if the operands of a call that raised do not fit."""
        layer = self.site.name if self.site.kind == "layer" else ""
        problem = find_shape_problem(function.op, as_dims(args), as_dims(kwargs), layer=layer)
        return self._substitute_result(function, problem, tensors_in((args, kwargs))) if problem else None

    def _substitute_result(self, function: TorchFunction, problem: Any, operands: list[torch.Tensor]) -> torch.Tensor:
        first, self._failed_index = operands[0], len(self.recorded_calls)
        recorded = tuple(map(self.registry.operand, operands))
        self.mismatch_log.add_mismatch(self.site, function.op, recorded, problem, len(self.recorded_calls))
        whole = function.in_place or tuple(first.shape) == problem.intended_shape
        return (first if function.in_place else first.clone()) if whole else first.new_zeros(problem.intended_shape)

    def add_layer_error(self, wrong: WrongArgument, axes: tuple[int, ...], fact: str, tensor: torch.Tensor) -> None:
        """Record that a layer raised because an argument differs from what its input or its state needs."""
        self.mismatch_log.add_layer_error(
            self.site, wrong, axes, fact, self.registry.operand(tensor), len(self.recorded_calls)
        )

    def run_backward(self, outputs: Any) -> Any:
        """Run the backward pass of the outputs, if it was requested; return the outputs."""
        loss = loss_of(outputs) if self.derives and not self.mismatch_log.mismatches else None
        self.lacks_gradients = loss is not None and not loss.tensors
        if loss is not None and loss.tensors:
            self._backup.back_up_gradients()
            log = BackwardLog(self.registry, self._sequence_ranges, self._backup.back_up)
            self.loss, self._in_backward, self._active_backward = loss.description, True, log
            try:
                run_backward(loss, log, self._run_start)
            except Exception as error:
                self.mismatch_log.set_backward_failure(ROOT_LOCATION, error)
                raise
            finally:
                self._in_backward, self._active_backward = False, None
            self.backward_log = log
        return outputs

    def step_key(self, node: Any) -> int | str | None:
        """Return the key of the step that an autograd node belongs to; None outside of the backward pass."""
        return None if self._active_backward is None else self._active_backward.step_key(node)

    def result_rows(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """Return the rows of the forward pass and those of the backward pass; valid when the run is over."""
        forward = tuple(build_rows(self.recorded_calls, self.calls, self.registry.parameters, self.user_spans))
        return forward, tuple(self.backward_log.rows(forward)) if self.backward_log is not None else ()

    def note_error(self, error: BaseException | None) -> None:
        """Record that a Location is left with this exception, unless a checkpoint is recomputed: that ends with an
        exception on purpose, which would keep its tensors alive."""
        if not self._in_backward:
            self.mismatch_log.set_exit_failure(self.site, error)


def has_own_torch_function(kind: Any) -> bool:
    """Return whether a tensor class defines its own `__torch_function__`: then only kernels show what is computed."""
    plain: Any = torch.Tensor.__torch_function__
    own = getattr(kind.__torch_function__, "__func__", plain.__func__)  # a Parameter's is implemented in C
    return own is not plain.__func__ and not kind.__module__.startswith("torch.")


def leaf_gradients(outputs: Any) -> list[torch.Tensor]:
    """Return the gradients that a backward pass from these outputs has left in the leaves."""
    return [leaf.grad for leaf in graph_leaves(tensors_in(outputs)) if leaf.grad is not None]
