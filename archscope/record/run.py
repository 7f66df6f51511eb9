"""One forward pass as data: run → Recorder → Trace. A live model is run again where one look was not enough.

once(run) → Recording
record(run): and again by kernels      record_module(model): and again with gradients, or on past what does not fit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archscope.backends import is_out_of_memory, leading_device, split_devices, traits_of
from archscope.record.fused_attention import attention_fused_as
from archscope.record.memory_tracker import make_memory_tracker
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
from archscope.record.params import make_params
from archscope.record.preserved_state import preserved_module, preserved_state
from archscope.record.recorder import OnMismatch, Recorder
from archscope.record.tensor_backup import TensorBackup, storage_swaps_watched
from archscope.record.unseen_work import add_generator_row, add_unseen_rows, find_unseen_fills, unseen_kernels_relayed
from archscope.trace import Operand, Trace
from archscope.user_warnings import attributed_warnings

NamedTensor = tuple[str, torch.Tensor]
ExtraContext = Callable[[Recorder], AbstractContextManager[object]]
NO_GRADIENTS_NOTE = "no backward pass: nothing that the forward pass gave requires a gradient"
DIFFERENTIATES_NOTE = "the forward pass derives: it ran with gradients"
NEEDS_GRADIENTS_NOTE = "the forward pass asks for gradients: it ran with them"


@dataclass(frozen=True)
class Recording:
    """What a run gave: its trace, its outputs, or the exception that ended it. has_unseen_work: work that no function
    showed."""

    trace: Trace
    outputs: Any
    error: BaseException | None
    has_unseen_work: bool = False


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
    lives: bool = False,
    like: str = "",
    located: Collection[int] = frozenset(),
    beside: ExtraContext = nullcontext,
    spaces: Sequence[Namespace] = (),
) -> Recording:
    """One forward pass as data. `run(recorder)` does it, calls `recorder.enter(site)`, `leave()`, returns its output.

    inputs: name → tensor or tree of tensors. parameters, buffers: every name of every tensor that the model holds, so
    that ties show. backward: with gradients, for a driver that derives what the run gave. kernels: also operators that
    no function shows, and tensors out of nowhere, as rows. grad: why it runs with gradients that nobody derives. lives:
    also what memory lived when; on meta, `like` names the device whose fused attention that is. located: the rows whose
    line of the author's code is told. beside: who else looks on. spaces: the names of code that may lie in no module.
    An exception ends in the recording. All is given back after.
    """
    outputs: Any = None
    error: BaseException | None = None
    ends: tuple[Operand, ...] = ()
    given = [one for tree in inputs.values() for one in named_tensors(tree)]
    held = {"parameter": parameters, "buffer": buffers, "input": given}
    originals = TensorBackup(tensor for named in held.values() for _, tensor in named)
    with preserved_state(grad=backward or bool(grad)):
        recorder = Recorder(on_mismatch=on_mismatch, originals=originals, derives=backward, located=located)
        told = attributed_warnings(lambda: recorder.site.place)
        values = recorder.registry
        ledger = make_memory_tracker(recorder, held, device) if lives else None
        known = make_params(parameters, values)
        values.register_buffers(buffers)
        doors = tuple(operand for name, tree in inputs.items() for operand in values.register_input(tree, name))
        try:
            shows = unseen_kernels_relayed(recorder, everywhere=kernels)
            plain = override_queries_patched(spaces, before=originals.back_up_all)
            kept = storage_swaps_watched(originals)
            attention = attention_fused_as(like if lives and device == "meta" else "")
            with told, plain, kept, shows, attention, recorder, ledger or nullcontext(), beside(recorder):
                outputs = run(recorder)
            ends = tuple(Operand(name, values.operand(tensor).value) for name, tensor in named_tensors(outputs))
        except (Exception, SystemExit) as caught:  # noqa: BLE001 — whatever ends the author's forward pass is the finding
            error = caught
        finally:
            originals.restore()
        unseen = [*values.unseen_operands(), *find_unseen_fills(recorder.recorded_calls, ends)]
        with attributed_warnings():
            forward, derived = recorder.result_rows()
        moments, lived = ledger.finish(tensor for _, tensor in named_tensors(outputs)) if ledger else ((), ())
        trace = Trace(
            target=target,
            device=device,
            dtype=dtype,
            mode=mode,
            inputs=doors,
            outputs=ends,
            calls=tuple(recorder.calls),
            rows=add_generator_row(add_unseen_rows(forward, unseen) if kernels else forward, outputs),
            params=known,
            mismatches=tuple(recorder.mismatch_log.mismatches),
            failure=recorder.mismatch_log.final_failure(recorder.site, error, values.known_operand) if error else None,
            backward=derived,
            loss=recorder.loss,
            notes=(NO_GRADIENTS_NOTE,) if recorder.lacks_gradients else (grad,) if grad else (),
            kernel_events=moments,
            allocations=lived,
            traits=traits_of(leading_device(split_devices(device))),
        )
    return Recording(trace, outputs, error, bool(unseen))


def record(run: Callable[[Recorder], Any], **how: Any) -> Recording:
    """One forward pass as data, `how` as in `once`; where work was left unseen, a second one by kernels."""
    first = record_once(run, **how)
    return record_once(run, kernels=True, **how) if first.has_unseen_work and first.error is None else first


def record_module(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    train: bool = False,
    backward: bool = False,
    text: DescribeModule = no_text,
    holding: ModuleContents | None = None,
    **about: Any,
) -> Recording:
    """A pass of a live module. `text` says a module's arguments in short; `about`: target, device, dtype and
    inputs as `record` wants them.

    It runs undisturbed first. Only where it failed it runs again: with gradients, where it may need them; on
    past operands that do not fit, to see all of them. A lazy layer that could not be made has no shapes to go on with.
    holding: what the model holds, where that is known.
    """
    held = holding or walk_modules(model)

    def look(**how: Any) -> Recording:
        return record(
            lambda recorder: run_module(model, held, args, kwargs, recorder, train=train, text=text),
            mode="train" if train else "eval",
            backward=backward,
            parameters=held.parameters,
            buffers=held.buffers,
            spaces=namespaces_of({type(module) for _, module in held.modules}),
            **about,
            **how,
        )

    first, grad = look(on_mismatch="raise"), ""
    if is_out_of_memory(first.error):  # what the failed pass holds is alive as long as its frames
        return first
    why = "" if backward else gradient_note(first)
    if why:
        second = look(on_mismatch="raise", grad=why)
        if why == DIFFERENTIATES_NOTE or second.error is None:
            first, grad = second, why
    if first.trace.failure is not None and not first.trace.failure.backward:
        further = look(on_mismatch="record", grad=grad) if not held.lazy_tensors else first
        return further if further.trace.mismatches else first
    return first


def gradient_note(recording: Recording) -> str:
    """Why a pass that failed without gradients is tried with them, as a note: its model derives something, or an
    assertion of its author's, or what was said of gradients, may be about them; nothing where neither is so."""
    error, failure = recording.error, recording.trace.failure
    if isinstance(error, RuntimeError) and re.search("n't require grad|not require grad", str(error)):
        return DIFFERENTIATES_NOTE
    asserted = isinstance(error, AssertionError) and failure is not None and not failure.function
    return NEEDS_GRADIENTS_NOTE if asserted or re.search("grad(ient|_fn)|_grad", str(error)) else ""


def run_module(
    model: nn.Module,
    holding: ModuleContents,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    recorder: Recorder,
    *,
    train: bool,
    text: DescribeModule,
) -> Any:
    """The model's own forward pass, module by module."""
    given = (*args, *kwargs.values())
    kept = preserved_module(model, holding.modules, train=train, given=given)
    with (
        kept as belongings,
        recorded_module_calls(ModuleLocations(holding.modules, text, belongings.take_snapshots), recorder),
    ):
        recorder.register_existing(belongings.tensors)
        return recorder.run_backward(model(*args, **kwargs))
