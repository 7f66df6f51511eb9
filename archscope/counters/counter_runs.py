"""Run reference counters one after another on the same call, each isolated and timed. Errors become results.

ModelCall → run_counter(counter) → CounterResults; run_counters → those of every counter
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from archscope.counters import flop_counter, fvcore, torchinfo
from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, UnsupportedCallError
from archscope.counters.result import CounterResult
from archscope.errors import first_line

INSTALL_COMMAND = "pip install fvcore torchinfo"


@dataclass(frozen=True)
class Counter:
    """A tool: its name, the package that must be installed for it, and the function that runs it."""

    name: str
    package: str
    run: Callable[[ModelCall], Iterator[CounterResult]]


COUNTERS = (
    Counter("fvcore", "fvcore", fvcore.run_fvcore),
    Counter("torchinfo", "torchinfo", torchinfo.run_torchinfo),
    Counter("FlopCounterMode", "torch", flop_counter.run_flop_counter),
)


def run_counters(
    call: ModelCall, counters: Sequence[Counter] = COUNTERS, *, on_counter: Callable[[str], object] = str
) -> tuple[CounterResult, ...]:
    """Return the results of all counters, in turn; `on_counter` gets the name of each before its turn."""
    results: list[CounterResult] = []
    for counter in counters:
        on_counter(counter.name)
        results += run_counter(counter, call)
    return tuple(results)


def run_counter(counter: Counter, call: ModelCall) -> tuple[CounterResult, ...]:
    """Return the results of one counter; if it is missing, cannot take the call or crashes, a result that says so."""
    version = ""
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(counter.package)
    no_result = CounterResult(counter.name, counter.package, version)
    if importlib.util.find_spec(counter.package) is None:
        return (replace(no_result, status="missing", error="not installed", help=INSTALL_COMMAND),)
    results: list[CounterResult] = []
    try:
        warm_up_counter(counter)
        copied = call.copy()
        with isolated(call.model, train=call.train):
            results.extend(replace(result, version=version) for result in counter.run(copied))
    except UnsupportedCallError as refusal:
        results.append(replace(no_result, status="unable", error=str(refusal)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 — any error is reported as the result
        results.append(replace(no_result, status="crashed", error=root_cause_text(error)))
    return tuple(results)


def root_cause_text(error: BaseException) -> str:
    """Return the first line of the exception that came first: `RuntimeError: …`."""
    while error.__cause__ is not None:
        error = error.__cause__
    name = type(error).__name__
    return f"{name}: {first_line(error)}" if str(error).strip() else name


def warm_up_counter(counter: Counter) -> None:
    """Run the counter once on an empty model, so that the imports of a tool are not part of its time."""
    call = identity_call()
    with isolated(call.model, train=False):
        for _ in counter.run(call):
            pass


def identity_call() -> ModelCall:
    """Return the call of a model that does nothing."""
    return ModelCall(nn.Identity(), (torch.zeros(1),))


def warm_up_torch(call: ModelCall) -> None:
    """Run one plain forward pass, so that the first counter's time does not include what torch loads. Errors are
    ignored, since the analysis reports them."""
    with suppress(Exception, SystemExit), isolated(call.model, train=call.train):
        call.copy().run()
