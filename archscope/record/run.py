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

from archscope.backends import devices_in, leading, out_of_memory, traits_of
from archscope.record.fused import fused_as
from archscope.record.hidden import filled_unseen, shown, undrawn_row, unseen_rows
from archscope.record.ledger import ledger_of
from archscope.record.modules import Holding, Sites, Text, no_text, walk, watched
from archscope.record.originals import Originals, exchanges_noticed
from archscope.record.overridden import Space, spaces_of, unnoticed
from archscope.record.params import params
from archscope.record.recorder import OnMismatch, Recorder
from archscope.record.state import kept_module, kept_state
from archscope.record.trees import leaves
from archscope.trace import Operand, Trace
from archscope.warned import attributed

Named = tuple[str, torch.Tensor]
Beside = Callable[[Recorder], AbstractContextManager[object]]
NOTHING_TO_DERIVE = "no backward pass: nothing that the forward pass gave requires a gradient"
DERIVES = "the forward pass derives: it ran with gradients"
NEEDS_GRADIENTS = "the forward pass asks for gradients: it ran with them"


@dataclass(frozen=True)
class Recording:
    """What a run gave: its trace, its outputs, or the exception that ended it. unseen: work that no function showed."""

    trace: Trace
    outputs: Any
    error: BaseException | None
    unseen: bool = False


def once(
    run: Callable[[Recorder], Any],
    *,
    target: str,
    device: str,
    dtype: str,
    mode: str,
    inputs: Mapping[str, Any],
    parameters: Sequence[Named],
    buffers: Sequence[Named] = (),
    on_mismatch: OnMismatch = "record",
    backward: bool = False,
    kernels: bool = False,
    grad: str = "",
    lives: bool = False,
    like: str = "",
    located: Collection[int] = frozenset(),
    beside: Beside = nullcontext,
    spaces: Sequence[Space] = (),
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
    held = {"parameter": parameters, "buffer": buffers, "input": [n for tree in inputs.values() for n in leaves(tree)]}
    originals = Originals(tensor for named in held.values() for _, tensor in named)
    with kept_state(grad=backward or bool(grad)):
        recorder = Recorder(on_mismatch=on_mismatch, originals=originals, derives=backward, located=located)
        told = attributed(lambda: recorder.site.place)
        values = recorder.values
        ledger = ledger_of(recorder, held, device) if lives else None
        known = params(parameters, values)
        values.hold_buffers(buffers)
        doors = tuple(operand for name, tree in inputs.items() for operand in values.name(tree, name))
        try:
            shows = shown(recorder, everywhere=kernels)
            plain, kept = unnoticed(spaces, before=originals.keep_all), exchanges_noticed(originals)
            attention = fused_as(like if lives and device == "meta" else "")
            with told, plain, kept, shows, attention, recorder, ledger or nullcontext(), beside(recorder):
                outputs = run(recorder)
            ends = tuple(Operand(name, values.operand(tensor).value) for name, tensor in leaves(outputs))
        except (Exception, SystemExit) as caught:  # noqa: BLE001 — whatever ends the author's forward pass is the finding
            error = caught
        finally:
            originals.give_back()
        unseen = [*values.unseen(), *filled_unseen(recorder.entries, ends)]
        with attributed():
            forward, derived = recorder.read()
        moments, lived = ledger.read(tensor for _, tensor in leaves(outputs)) if ledger else ((), ())
        trace = Trace(
            target=target,
            device=device,
            dtype=dtype,
            mode=mode,
            inputs=doors,
            outputs=ends,
            calls=tuple(recorder.calls),
            rows=undrawn_row(unseen_rows(forward, unseen) if kernels else forward, outputs),
            params=known,
            mismatches=tuple(recorder.faults.mismatches),
            failure=recorder.faults.ended(recorder.site, error, values.known_operand) if error else None,
            backward=derived,
            loss=recorder.loss,
            notes=(NOTHING_TO_DERIVE,) if recorder.derives_nothing else (grad,) if grad else (),
            moments=moments,
            lives=lived,
            traits=traits_of(leading(devices_in(device))),
        )
    return Recording(trace, outputs, error, bool(unseen))


def record(run: Callable[[Recorder], Any], **how: Any) -> Recording:
    """One forward pass as data, `how` as in `once`; where work was left unseen, a second one by kernels."""
    first = once(run, **how)
    return once(run, kernels=True, **how) if first.unseen and first.error is None else first


def record_module(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    train: bool = False,
    backward: bool = False,
    text: Text = no_text,
    holding: Holding | None = None,
    **about: Any,
) -> Recording:
    """A pass of a live module. `text` says a module's arguments in short; `about`: target, device, dtype and
    inputs as `record` wants them.

    It runs undisturbed first. Only where it failed it runs again: with gradients, where it may need them; on
    past operands that do not fit, to see all of them. A lazy layer that could not be made has no shapes to go on with.
    holding: what the model holds, where that is known.
    """
    held = holding or walk(model)

    def look(**how: Any) -> Recording:
        return record(
            lambda recorder: drive(model, held, args, kwargs, recorder, train=train, text=text),
            mode="train" if train else "eval",
            backward=backward,
            parameters=held.parameters,
            buffers=held.buffers,
            spaces=spaces_of({type(module) for _, module in held.modules}),
            **about,
            **how,
        )

    first, grad = look(on_mismatch="raise"), ""
    if out_of_memory(first.error):  # what the failed pass holds is alive as long as its frames
        return first
    why = "" if backward else wants_gradients(first)
    if why:
        second = look(on_mismatch="raise", grad=why)
        if why == DERIVES or second.error is None:
            first, grad = second, why
    if first.trace.failure is not None and not first.trace.failure.backward:
        further = look(on_mismatch="record", grad=grad) if not held.waiting else first
        return further if further.trace.mismatches else first
    return first


def wants_gradients(recording: Recording) -> str:
    """Why a pass that failed without gradients is tried with them, as a note: its model derives something, or an
    assertion of its author's, or what was said of gradients, may be about them; nothing where neither is so."""
    error, failure = recording.error, recording.trace.failure
    if isinstance(error, RuntimeError) and re.search("n't require grad|not require grad", str(error)):
        return DERIVES
    asserted = isinstance(error, AssertionError) and failure is not None and not failure.function
    return NEEDS_GRADIENTS if asserted or re.search("grad(ient|_fn)|_grad", str(error)) else ""


def drive(
    model: nn.Module,
    holding: Holding,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    recorder: Recorder,
    *,
    train: bool,
    text: Text,
) -> Any:
    """The model's own forward pass, module by module."""
    given = (*args, *kwargs.values())
    kept = kept_module(model, holding.modules, train=train, given=given)
    with kept as belongings, watched(Sites(holding.modules, text, belongings.keep), recorder):
        recorder.met(belongings.tensors)
        return recorder.derive(model(*args, **kwargs))
