"""One witness after the other on the same call: inputs of its own, isolated, timed; whatever goes wrong is its answer.

Call → hear(witness) → Statements; hear_all → those of every witness
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from archscope.statement import Statement
from archscope.witnesses import flopcounter, fvcore, torchinfo
from archscope.witnesses.call import Call, CannotTakeError
from archscope.witnesses.isolation import isolated

INSTALL = "pip install fvcore torchinfo"


@dataclass(frozen=True)
class Witness:
    """A tool: its name, the package that must be installed for it, and how it is asked."""

    name: str
    package: str
    testify: Callable[[Call], Iterator[Statement]]


WITNESSES = (
    Witness("fvcore", "fvcore", fvcore.testify),
    Witness("torchinfo", "torchinfo", torchinfo.testify),
    Witness("FlopCounterMode", "torch", flopcounter.testify),
)


def hear_all(
    call: Call, witnesses: Sequence[Witness] = WITNESSES, *, tell: Callable[[str], object] = str
) -> tuple[Statement, ...]:
    """What every witness says, in turn; `tell` hears the name of each before its turn."""
    heard: list[Statement] = []
    for witness in witnesses:
        tell(witness.name)
        heard += hear(witness, call)
    return tuple(heard)


def hear(witness: Witness, call: Call) -> tuple[Statement, ...]:
    """What one witness says; one that is missing, cannot take the call or crashes says that."""
    silence = Statement(witness.name, witness.package, version(witness.package))
    if importlib.util.find_spec(witness.package) is None:
        return (replace(silence, status="missing", error="not installed", help=INSTALL),)
    heard: list[Statement] = []
    try:
        warm(witness)
        copied = call.copied()
        with isolated(call.model, train=call.train):
            heard.extend(replace(one, version=silence.version) for one in witness.testify(copied))
    except CannotTakeError as refusal:
        heard.append(replace(silence, status="unable", error=str(refusal)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever it raises is its answer
        heard.append(replace(silence, status="crashed", error=said(error)))
    return tuple(heard)


def version(package: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def said(error: BaseException) -> str:
    """The first line of the exception that came first: `RuntimeError: …`."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def warm(witness: Witness) -> None:
    """One run of nothing, so that what a tool loads at first is not part of its time."""
    call = nothing()
    with isolated(call.model, train=False):
        for _ in witness.testify(call):
            pass


def nothing() -> Call:
    """A model that does nothing."""
    return Call(nn.Identity(), (torch.zeros(1),))


def ready(call: Call) -> None:
    """One plain forward pass, so that the first who is timed does not pay for what torch loads. Its errors are not
    told: ours will be."""
    with suppress(Exception, SystemExit), isolated(call.model, train=call.train):
        call.copied().run()
