"""Forward passes as data: run → Recorder → Trace. A live model runs again if one run does not show enough.

record_once(run) → Recording
record(run): again by kernels if work was not seen       record_module(model): again with gradients, or past mismatches
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archscope.devices import is_out_of_memory, leading_device, split_devices, traits_of
from archscope.interrupts import comes_from_outside
from archscope.record.memory_tracker import make_memory_tracker
from archscope.record.meta_shortcuts import attention_fused_as
from archscope.record.modules import (
    DescribeModule,
    ModuleContents,
    ModuleLocations,
    no_text,
    recorded_module_calls,
    walk_modules,
)
from archscope.record.named_tensors import named_tensors
from archscope.record.override_queries import Namespace, namespaces_of, override_queries_patched
from archscope.record.recorder import OnMismatch, Recorder
from archscope.record.state.process import preserved_module, preserved_state
from archscope.record.state.tensors import TensorBackup, storage_swaps_watched
from archscope.record.tensor_registry import make_params
from archscope.record.unseen_work import add_generator_row, add_unseen_rows, find_unseen_fills, unseen_kernels_relayed
from archscope.trace import Operand, Trace
from archscope.user_warnings import attributed_warnings

NamedTensor = tuple[str, torch.Tensor]
ExtraContext = Callable[[Recorder], AbstractContextManager[object]]
NO_GRADIENTS_NOTE = "no backward pass: no output of the forward pass requires a gradient"
DIFFERENTIATES_NOTE = "the forward pass computes derivatives: it ran with gradients"
NEEDS_GRADIENTS_NOTE = "the forward pass needs gradients: it ran with them"


@dataclass(frozen=True)
class Recording:
    """The result of a recorded run: its trace, its outputs, and the exception that ended it, if any.

    has_unseen_work: some work was visible in no torch function.
    """

    trace: Trace
    outputs: Any
    error: BaseException | None
    has_unseen_work: bool = False


def raised_inside(error: BaseException) -> BaseException:
    """Return the exception; raise it if it comes from outside of the author's code, such as Ctrl-C."""
    if comes_from_outside(error):
        raise error
    return error


def record_once(
    run: Callable[[Recorder], Any],
    *,
    target: str,
    device: str,
    dtype: str,
    mode: str,
    inputs: Mapping[str, Any],
    parameters: Sequence[NamedTensor],
    buffers: Sequence[NamedTensor] = (),
    on_mismatch: OnMismatch = "record",
    backward: bool = False,
    kernels: bool = False,
    grad: str = "",
    track_memory: bool = False,
    fused_like: str = "",
    located: Collection[int] = frozenset(),
    extra_context: ExtraContext = nullcontext,
    namespaces: Sequence[Namespace] = (),
) -> Recording:
    """Record one forward pass: `run(recorder)` reports locations by `enter(site)` and `leave()`, and returns outputs.

    inputs: name → tensor or tree of tensors. parameters, buffers: every name of every tensor of the model, so that ties
    show. backward: run with gradients; `run` calls the backward pass. kernels: also make rows of operators that no
    function shows, and of tensors of unknown origin. grad: a note why gradients are enabled without a backward pass.
    track_memory: also record when memory is allocated and freed; on meta, `fused_like` names the device whose fused
    attention is used. located: the rows whose line in the author's code is recorded. extra_context: a context around
    the run. namespaces: global names of code that may be in no module. An exception of the run is part of the
    recording. The model, its arguments and the process's settings are as before afterwards.
    """
    outputs: Any = None
    error: BaseException | None = None
    ends: tuple[Operand, ...] = ()
    input_tensors = [item for tree in inputs.values() for item in named_tensors(tree)]
    initial = {"parameter": parameters, "buffer": buffers, "input": input_tensors}
    originals = TensorBackup(tensor for named in initial.values() for _, tensor in named)
    with preserved_state(grad=backward or bool(grad)):
        recorder = Recorder(on_mismatch=on_mismatch, originals=originals, derives=backward, located=located)
        warned = attributed_warnings(lambda: recorder.site.place)
        registry, log = recorder.registry, recorder.mismatch_log
        tracker = make_memory_tracker(recorder, initial, device) if track_memory else None
        params = make_params(parameters, registry)
        registry.register_buffers(buffers)
        input_ops = tuple(op for name, tree in inputs.items() for op in registry.register_input(tree, name))
        try:
            relay = unseen_kernels_relayed(recorder, everywhere=kernels)
            queries = override_queries_patched(namespaces, before=originals.back_up_all)
            swaps = storage_swaps_watched(originals)
            attention = attention_fused_as(fused_like if track_memory and device == "meta" else "")
            with warned, queries, swaps, relay, attention, recorder, tracker or nullcontext(), extra_context(recorder):
                outputs = run(recorder)
            ends = tuple(Operand(name, registry.operand(tensor).value) for name, tensor in named_tensors(outputs))
        except BaseException as caught:  # noqa: BLE001 — any exception of the author's forward pass is a result
            error = raised_inside(caught)
        finally:
            originals.restore()
        unseen = [*registry.unseen_operands(), *find_unseen_fills(recorder.recorded_calls, ends)]
        with attributed_warnings():
            forward, backward_rows = recorder.result_rows()
        events, allocations = tracker.finish(tensor for _, tensor in named_tensors(outputs)) if tracker else ((), ())
        trace = Trace(
            target=target,
            device=device,
            dtype=dtype,
            mode=mode,
            inputs=input_ops,
            outputs=ends,
            calls=tuple(recorder.calls),
            rows=add_generator_row(add_unseen_rows(forward, unseen) if kernels else forward, outputs),
            params=params,
            mismatches=tuple(log.mismatches),
            failure=log.final_failure(recorder.site, error, registry.known_operand) if error else None,
            backward=backward_rows,
            loss=recorder.loss,
            notes=(NO_GRADIENTS_NOTE,) if recorder.lacks_gradients else (grad,) if grad else (),
            kernel_events=events,
            allocations=allocations,
            traits=traits_of(leading_device(split_devices(device))),
        )
    return Recording(trace, outputs, error, bool(unseen))


def record(run: Callable[[Recorder], Any], **options: Any) -> Recording:
    """Record one forward pass with the options of `record_once`; if work was not seen, record a second one by
    kernels."""
    first = record_once(run, **options)
    return record_once(run, kernels=True, **options) if first.has_unseen_work and first.error is None else first


def record_module(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    train: bool = False,
    backward: bool = False,
    text: DescribeModule = no_text,
    contents: ModuleContents | None = None,
    **options: Any,
) -> Recording:
    """Record a pass of a live module.

    text: a module's arguments as short text. contents: what `walk_modules` returned, if known. options: target, device,
    dtype, inputs and others, as for `record_once`. The first run is undisturbed. Only if it fails the module runs
    again: with gradients if it may need them, or past operands that do not fit, to see all of them; not if a lazy layer
    has no shapes yet.
    """
    contents = contents or walk_modules(model)

    def run_once(**further: Any) -> Recording:
        return record(
            lambda recorder: run_module(model, contents, args, kwargs, recorder, train=train, text=text),
            mode="train" if train else "eval",
            backward=backward,
            parameters=contents.parameters,
            buffers=contents.buffers,
            namespaces=namespaces_of({type(module) for _, module in contents.modules}),
            **options,
            **further,
        )

    first, grad = run_once(on_mismatch="raise"), ""
    if is_out_of_memory(first.error):  # the tensors of the failed pass live as long as its frames
        return first
    note = "" if backward else gradient_note(first)
    if note:
        second = run_once(on_mismatch="raise", grad=note)
        if note == DIFFERENTIATES_NOTE or second.error is None:
            first, grad = second, note
    if first.trace.failure is not None and not first.trace.failure.backward:
        last = run_once(on_mismatch="record", grad=grad) if not contents.lazy_tensors else first
        return last if last.trace.mismatches else first
    return first


def gradient_note(recording: Recording) -> str:
    """Return the note with which a pass that failed without gradients is tried with them; an empty string if it is not.

    It is tried if the model differentiates something itself, or if an assertion of its author, or the message, may be
    about gradients.
    """
    error, failure = recording.error, recording.trace.failure
    if isinstance(error, RuntimeError) and re.search("n't require grad|not require grad", str(error)):
        return DIFFERENTIATES_NOTE
    asserted = isinstance(error, AssertionError) and failure is not None and not failure.function
    return NEEDS_GRADIENTS_NOTE if asserted or re.search("grad(ient|_fn)|_grad", str(error)) else ""


def run_module(
    model: nn.Module,
    contents: ModuleContents,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    recorder: Recorder,
    *,
    train: bool,
    text: DescribeModule,
) -> Any:
    """Run the model's own forward pass, module by module, and the backward pass, if requested."""
    arguments = (*args, *kwargs.values())
    preserved = preserved_module(model, contents.modules, train=train, arguments=arguments)
    with (
        preserved as state,
        recorded_module_calls(ModuleLocations(contents.modules, text, state.take_snapshots), recorder),
    ):
        recorder.register_existing(state.tensors)
        return recorder.run_backward(model(*args, **kwargs))
