"""One witness after the other on the same call: inputs of its own, isolated, timed; whatever goes wrong is its answer.

Call → hear(witness) → Statements; run_counters → those of every witness
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from archscope.counter_result import CounterResult
from archscope.counters import flop_counter, fvcore, torchinfo
from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, UnsupportedCallError

INSTALL_COMMAND = "pip install fvcore torchinfo"


@dataclass(frozen=True)
class Counter:
    """A tool: its name, the package that must be installed for it, and how it is asked."""

    name: str
    package: str
    run: Callable[[ModelCall], Iterator[CounterResult]]


COUNTERS = (
    Counter("fvcore", "fvcore", fvcore.run_fvcore),
    Counter("torchinfo", "torchinfo", torchinfo.run_torchinfo),
    Counter("FlopCounterMode", "torch", flop_counter.run_flop_counter),
)


def run_counters(
    call: ModelCall, witnesses: Sequence[Counter] = COUNTERS, *, tell: Callable[[str], object] = str
) -> tuple[CounterResult, ...]:
    """What every witness says, in turn; `tell` hears the name of each before its turn."""
    heard: list[CounterResult] = []
    for witness in witnesses:
        tell(witness.name)
        heard += run_counter(witness, call)
    return tuple(heard)


def run_counter(witness: Counter, call: ModelCall) -> tuple[CounterResult, ...]:
    """What one witness says; one that is missing, cannot take the call or crashes says that."""
    silence = CounterResult(witness.name, witness.package, package_version(witness.package))
    if importlib.util.find_spec(witness.package) is None:
        return (replace(silence, status="missing", error="not installed", help=INSTALL_COMMAND),)
    heard: list[CounterResult] = []
    try:
        warm_up_counter(witness)
        copied = call.copy()
        with isolated(call.model, train=call.train):
            heard.extend(replace(one, version=silence.version) for one in witness.run(copied))
    except UnsupportedCallError as refusal:
        heard.append(replace(silence, status="unable", error=str(refusal)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever it raises is its answer
        heard.append(replace(silence, status="crashed", error=root_cause_text(error)))
    return tuple(heard)


def package_version(package: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def root_cause_text(error: BaseException) -> str:
    """The first line of the exception that came first: `RuntimeError: …`."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def warm_up_counter(witness: Counter) -> None:
    """One run of nothing, so that what a tool loads at first is not part of its time."""
    call = identity_call()
    with isolated(call.model, train=False):
        for _ in witness.run(call):
            pass


def identity_call() -> ModelCall:
    """A model that does nothing."""
    return ModelCall(nn.Identity(), (torch.zeros(1),))


def warm_up_torch(call: ModelCall) -> None:
    """One plain forward pass, so that the first who is timed does not pay for what torch loads. Its errors are not
    told: ours will be."""
    with suppress(Exception, SystemExit), isolated(call.model, train=call.train):
        call.copy().run()
