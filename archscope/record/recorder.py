"""The recorder: a forward pass, seen function by function.

    run ─ enter/leave a Location ─→ Calls
        ─ every torch function ─→ operands (edges by identity) ─→ Entries ─ when it is over ─→ Rows

The recorder holds no activation: values are known by identity through weak references.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

import torch
from torch._ops import OpOverload
from torch.autograd import forward_ad

from archscope import errors
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
from archscope.record.functions import TorchFunction, describe_function
from archscope.record.mismatches import MismatchLog
from archscope.record.override_queries import FunctionMode
from archscope.record.replay import KernelLog
from archscope.record.tensor_backup import TensorBackup
from archscope.record.tensor_registry import TensorRegistry, make_tuple, vmap_examples
from archscope.record.tensors import as_dims, layout_key, shape_of, tensors_in
from archscope.record.user_frame import user_span
from archscope.shape_errors import compare_shapes, find_shape_problem
from archscope.trace import Call, Kernel, LayerConflict, Location, Operand, Row, Value, WrongArgument

PARAMETER_FUNCTION = TorchFunction("parameter", "Parameter", in_place=False, free=True, lowering=None)
"""Stands for the function of a step that is a parameter."""

OnMismatch = Literal["record", "raise"]

is_alias_of: Callable[[torch.Tensor, torch.Tensor], bool] = torch._C._is_alias_of  # type: ignore[attr-defined]  # no stub
"""Whether two tensors lie in the same memory; also told on the meta device, where there is no address."""


class Recorder(FunctionMode):
    """Sees every torch function of a run. A driver says where the run is: `enter(site)` … `leave()`.

    on_mismatch: what operands that do not fit do. originals: keeps what the model holds from being written for good.
    derives: a backward pass follows, which a driver asks for: `run_backward(outputs)`. located: the indexes of the rows
    whose line of the author's code is looked for; the others have that of their site, if any.
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
        """Whether the run is over and its gradients are being derived."""
        return self._in_backward

    @property
    def in_accumulation(self) -> bool:
        """Whether the leaves are given their gradients by ourselves."""
        return self._active_backward is not None and self._active_backward.is_accumulating

    def enter(self, site: Location, inputs: Iterable[tuple[str, torch.Tensor]] = ()) -> None:
        """The run goes into a block, a layer or a step; while gradients are derived, nothing that runs again does.

        inputs: what a block is given, by the block's own names.
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
        """The run leaves the Location it entered last."""
        if self._in_backward:
            return
        self._call, self.site = self._call_stack.pop()

    def record_parameter(self, parameter: torch.Tensor) -> None:
        """A step that is a parameter, and no function of one: a row that gives what the model holds."""
        if self._in_backward:
            return
        operand = self.registry.operand(parameter)
        entry: Any = self._call, PARAMETER_FUNCTION, None, [operand], {}, (operand.value,), True, ()
        self.recorded_calls.append(make_tuple(RecordedCall, entry))
        if self.derives:
            self._range_start = self._range_end = next_sequence_number()
            self._sequence_ranges.append((self._range_start, self._range_end))

    def register_existing(self, tensors: Iterable[torch.Tensor]) -> None:
        """These were there before the run, and are as before afterwards."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                self._backup.register(tensor, known=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs is None:
            kwargs = {}
        if types:
            stranger = next((kind for kind in types if not issubclass(kind, torch.Tensor)), None)
            if stranger is not None:
                with self:
                    return stranger.__torch_function__(func, types, args, kwargs)
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
                numbers = tuple(one for one in args if type(one) is int)
                self.mismatch_log.set_function_failure(self.site, function.name, operands, named, numbers, error)
                raise
        if isinstance(out, torch.Tensor):
            self._log_call(function, func, args, kwargs, [out], written)
        else:
            made = leaf_gradients(args[:1]) if function.op == "backward" else tensors_in(out)
            made = list(written) if function.returns_nothing else made
            if made or function.leaves_torch or function.runs_backward:
                self._log_call(function, func, args, kwargs, made, written)
        self._real_kernels = None
        return out

    def _before_writing(self, tensor: torch.Tensor) -> None:
        """What a backward pass writes (a hook, the engine itself, which adds gradients up) is no value of the run."""
        if not self._in_backward:
            self.registry.operand(tensor)
        elif self.registry.known_operand(tensor) is None:
            self._backup.register(tensor)
        self._backup.back_up(tensor)

    def _run_special(self, function: TorchFunction, func: Any, args: Any, kwargs: Any, types: Any) -> Any:
        """A call that is compared before it runs, or is answered without running."""
        out = self._check_strict(function, args) if self.site.strict else None
        if function.unchecked:
            misfit = find_shape_problem(function.op, as_dims(args), as_dims(kwargs))
            if misfit is not None:
                raise RuntimeError(misfit.fact)
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
        made: list[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        """Writes a call down. What must be asked of living tensors is asked here; all else is left for later."""
        values, index = self.registry, len(self.recorded_calls)
        if index in self.located:
            self.user_spans[index] = user_span()
        if function.in_place and function.free and self._is_bookkeeping(tensors_in((args, kwargs))):
            return
        given = values.to_operands(args)
        named = dict(zip(kwargs, values.to_operands(kwargs.values()), strict=True)) if kwargs else {}
        if self._conflict is not None:
            self._note_conflict(self._conflict, given, named)
        view = bool(made) and not (function.allocates or written) and self._is_view(args, kwargs, made)
        source = self.site.path or function.op
        outputs = tuple([values.register(tensor, source).value for tensor in made])
        for tensor in written:
            values.note_write(tensor, values.operand(tensor))
        kernels: tuple[Kernel, ...] | None = ()
        if self._real_kernels is not None:
            kernels = self._real_kernels
        elif self._failed_index == index:
            kernels = () if function.free else (unpriced_kernel(function, tensors_in((args, kwargs)), outputs),)
        elif not (view or function.free):
            later = function.lowers_by_shapes and not values.has_irregular and not values.has_wrapped
            kernels = None if later else self._lower(function, (func, args, kwargs), (given, named), outputs, made)
        entry = self._call, function, func, given, named, outputs, view, kernels
        self.recorded_calls.append(make_tuple(RecordedCall, entry))
        if self.derives:
            self._range_end = next_sequence_number()
            self._sequence_ranges.append((self._range_start, self._range_end))

    def _lower(
        self,
        function: TorchFunction,
        call: tuple[Any, Any, Any],
        given: tuple[list[Any], dict[str, Any]],
        outputs: tuple[Value, ...],
        made: list[torch.Tensor],
    ) -> tuple[Kernel, ...]:
        """The kernels of a call that only its living tensors tell, found once for all that are alike."""
        inputs: list[Operand] = []
        rest: list[Any] = [call[0]]
        flatten_arguments(given, inputs, rest)
        read = tensors_in(call[1:])
        secrets = map(layout_key, read) if self.registry.has_irregular else ()
        key = (*rest, *shape_dtypes(inputs), *secrets)
        kernels = self._signatures.get_or_compute(key, lambda: lower_call(function, *call, outputs))
        return with_examples(kernels, vmap_examples([*read, *made])) if self.registry.has_wrapped else kernels

    def _note_conflict(self, conflict: LayerConflict, args: list[Any], kwargs: dict[str, Any]) -> None:
        """What was known to be wrong with a layer, at the first function that has operands."""
        inputs: list[Operand] = []
        flatten_arguments((args, kwargs), inputs, [])
        if inputs:
            self.mismatch_log.add_conflict(self.site, conflict, tuple(inputs[:1]), len(self.recorded_calls))
            self._conflict = None

    def _is_bookkeeping(self, read: list[torch.Tensor]) -> bool:
        """Whether tensors from before the run change by nothing but themselves: a layer counts its batches."""
        own, operand = self.registry.model_name, self.registry.operand
        return all(operand(tensor).source in ("constant", own(tensor)) for tensor in read)

    def _is_view(self, args: Any, kwargs: Any, made: list[torch.Tensor]) -> bool:
        """Whether all results lie in operands' memory and nothing was written there."""
        read = tensors_in((args, kwargs))
        return all(any(is_alias_of(out, tensor) for tensor in read) for out in made) and not self._has_written_operand(
            made, read
        )

    def _has_written_operand(self, made: list[torch.Tensor], read: list[torch.Tensor]) -> bool:
        """Whether a result is an operand that was written (`relu(x, True)`), not passed through (dropout in eval)."""
        own = [out for out in made if any(out is tensor for tensor in read)]
        return any(self.registry.has_changed(out) for out in own)

    def _check_strict(self, function: TorchFunction, args: Any) -> torch.Tensor | None:
        """Where an addition that must not broadcast has unequal operands: a Mismatch, and the value to go on with."""
        both = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        misfit = compare_shapes([shape_of(tensor) for tensor in both], "add", strict=True) if len(both) > 1 else None
        if misfit is not None and self.on_mismatch == "raise":
            raise RuntimeError(misfit.fact)
        return self._substitute_result(function, misfit, both) if misfit else None

    def _try_recover(self, function: TorchFunction, args: Any, kwargs: Any) -> torch.Tensor | None:
        """After a call that raised: where its operands do not fit, a Mismatch, and the value to go on with."""
        layer = self.site.name if self.site.kind == "layer" else ""
        misfit = find_shape_problem(function.op, as_dims(args), as_dims(kwargs), layer=layer)
        return self._substitute_result(function, misfit, tensors_in((args, kwargs))) if misfit else None

    def _substitute_result(self, function: TorchFunction, misfit: Any, operands: list[torch.Tensor]) -> torch.Tensor:
        first, self._failed_index = operands[0], len(self.recorded_calls)
        noted = tuple(map(self.registry.operand, operands))
        self.mismatch_log.add_mismatch(self.site, function.op, noted, misfit, len(self.recorded_calls))
        whole = function.in_place or tuple(first.shape) == misfit.intended_shape
        return (first if function.in_place else first.clone()) if whole else first.new_zeros(misfit.intended_shape)

    def add_layer_error(self, says: WrongArgument, axes: tuple[int, ...], fact: str, tensor: torch.Tensor) -> None:
        """A layer has raised since it was told something else than a tensor has: its input, or its state."""
        self.mismatch_log.add_layer_error(
            self.site, says, axes, fact, self.registry.operand(tensor), len(self.recorded_calls)
        )

    def run_backward(self, outputs: Any) -> Any:
        """The backward pass of what the run gave, if one was asked for; gives the outputs back."""
        loss = loss_of(outputs) if self.derives and not self.mismatch_log.mismatches else None
        self.lacks_gradients = loss is not None and not loss.tensors
        if loss is not None and loss.tensors:
            self._backup.back_up_gradients()
            derivation = BackwardLog(self.registry, self._sequence_ranges, self._backup.back_up)
            self.loss, self._in_backward, self._active_backward = loss.description, True, derivation
            try:
                run_backward(loss, derivation, self._run_start)
            except Exception as error:
                self.mismatch_log.set_backward_failure(ROOT_LOCATION, error)
                raise
            finally:
                self._in_backward, self._active_backward = False, None
            self.backward_log = derivation
        return outputs

    def step_key(self, node: Any) -> int | str | None:
        """The place of the step that a node belongs to, while gradients are derived."""
        return None if self._active_backward is None else self._active_backward.step_key(node)

    def result_rows(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """The rows of the forward pass, and those of the backward pass; asked when the run is over."""
        forward = tuple(build_rows(self.recorded_calls, self.calls, self.registry.parameters, self.user_spans))
        return forward, tuple(self.backward_log.rows(forward)) if self.backward_log is not None else ()

    def note_error(self, error: BaseException | None) -> None:
        """A driver leaves a Location with this exception. A checkpoint that runs again ends with one, which would keep
        all that it has made."""
        if not self._in_backward:
            self.mismatch_log.set_exit_failure(self.site, error)


def has_own_torch_function(kind: Any) -> bool:
    """Whether a class of tensors has an implementation of its own of what is done with them: its kernels tell."""
    plain: Any = torch.Tensor.__torch_function__
    own = getattr(kind.__torch_function__, "__func__", plain.__func__)  # a parameter's is none of Python's
    return own is not plain.__func__ and not kind.__module__.startswith("torch.")


def leaf_gradients(outputs: Any) -> list[torch.Tensor]:
    """What a backward pass from here has left in the leaves."""
    return [leaf.grad for leaf in graph_leaves(tensors_in(outputs)) if leaf.grad is not None]
