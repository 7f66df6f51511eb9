"""A built net beside the plain interpreter: one spec, several inputs → the same values and gradients, or a refusal.

A refusal is right only if the structure of the net differs at these sizes, by the interpreter, or the file is not valid
there. It must name the file, the line and the step.
"""

from __future__ import annotations

import copy
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

import archscope
from archscope.spec import Library, load
from tests.compile.interpreter import Run, run
from tests.compile.interpreter_values import UnlikeError, tensors_in

PLACE = re.compile(r"\n  at [\w. ]+: [^\n]*\([\w./-]+\.yaml:\d+\)")
"""The step and its place, as in the message of a built net."""
SEED = 5


@dataclass(frozen=True)
class Subject:
    """A spec and its net, built once. first: inputs of the sizes that it was built for."""

    library: Library
    net: nn.Module
    first: tuple[torch.Tensor, ...]
    variant: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def interpreted(self, inputs: Sequence[torch.Tensor]) -> Run:
        return run(self.library, self.net, inputs, variant=self.variant, settings=self.settings)

    @cached_property
    def structure(self) -> frozenset[Any]:
        """Return the values that determine the structure at the sizes that the net was built for."""
        return self.decisions(self.first)

    def decisions(self, inputs: Sequence[torch.Tensor]) -> frozenset[Any]:
        """Return the values that determine the structure at these sizes, each once."""
        with torch.no_grad():
            return frozenset(self.interpreted(inputs).decisions)


def build_subject(
    path: str,
    first: Sequence[torch.Tensor],
    *,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Subject:
    """Build a spec for the sizes of `first`."""
    library = load(path)
    shapes = {entry.name: tuple(value.shape) for entry, value in zip(library.root.inputs, first, strict=True)}
    net = archscope.build(path, variant=variant, seed=0, input=shapes, set=settings or {})
    return Subject(library, randomize_small_parameters(net), tuple(first), variant, settings or {})


def build_written_subject(text: str, first: Sequence[torch.Tensor]) -> Subject:
    """Build a spec that is written in a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return build_subject(path, first)


def randomize_small_parameters(net: nn.Module) -> nn.Module:
    """Return the net in eval mode, with random norms, biases and raw parameters, so that swapped ones are noticed."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in net.parameters():
            if value.dim() < 2 or not value.std() > 0:
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return net.eval()


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Set torch's random state from a seed; restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def evaluated(call: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the tensors in the output of a net in eval mode."""
    with torch.no_grad(), seeded():
        return tensors_in(call(*inputs))


def step(net: nn.Module, call: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
    """Return outputs, gradients and buffers after a training step; the net is restored afterwards."""
    kept = copy.deepcopy(net.state_dict())
    given = [tensor.clone().requires_grad_(tensor.is_floating_point()) for tensor in inputs]
    wanted = [*net.parameters(), *(tensor for tensor in given if tensor.requires_grad)]
    net.train()
    try:
        with seeded():
            outputs = tensors_in(call(*given))
        tracked = [tensor for tensor in outputs if tensor.requires_grad]
        loss = sum((tensor**2).sum() for tensor in tracked)
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True) if tracked else ()
        buffers = [buffer.clone() for buffer in net.buffers()]
    finally:
        net.eval()
        net.load_state_dict(kept)
    return [*(tensor.detach() for tensor in outputs), *gradients, *buffers]


def same_bits(left: Sequence[torch.Tensor | None], right: Sequence[torch.Tensor | None]) -> str:
    """Return how two lists of tensors differ; "" if they are bitwise equal."""
    if len(left) != len(right):
        return f"{len(left)} tensors and {len(right)}"
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if a is None or b is None:
            if a is not b:
                return f"tensor {number} is there once only"
        elif a.shape != b.shape or a.dtype != b.dtype:
            return f"tensor {number}: {a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}"
        elif not bool(((a == b) | ((a != a) & (b != b))).all()):
            return f"tensor {number}: values differ"
    return ""


def outcome(call: Callable[[], list[Any]]) -> list[Any] | Exception:
    """Return the result of a call, or the error that it raises."""
    try:
        return call()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - the caller checks which error it is
        return error


def disagreement(subject: Subject, inputs: Sequence[torch.Tensor], *, may_refuse: bool = False) -> str:
    """Return how the built net differs from the interpreter at these inputs; "" if it does not.

    may_refuse: whether it may refuse although the interpreter returns a value, because the structure depends on the
    sizes. It must refuse, with its place, if the file describes another net at these sizes; if torch itself raises, any
    error is accepted.
    """
    wanted = outcome(lambda: evaluated(lambda *xs: subject.interpreted(xs).value, inputs))
    got = outcome(lambda: evaluated(subject.net, inputs))
    if isinstance(wanted, Exception):
        if not isinstance(got, Exception):
            return f"a value, where the interpreter raises {wanted!r}"
        return refusal(got) if isinstance(wanted, UnlikeError) else ""
    if isinstance(got, Exception):
        return refusal(got) if may_refuse else f"refused, though the structure is the same: {got!r}"
    if found := same_bits(got, wanted):
        return f"eval: {found}"
    wanted_step = outcome(lambda: step(subject.net, lambda *xs: subject.interpreted(xs).value, inputs))
    if isinstance(wanted_step, Exception):
        return ""
    net_step = outcome(lambda: step(subject.net, subject.net, inputs))
    if isinstance(net_step, Exception):
        return f"the training step raises {net_step!r}"
    return (found := same_bits(net_step, wanted_step)) and f"training step: {found}"


def refusal(error: Exception) -> str:
    """Return the fault of a refusal; "" if it is a RuntimeError that names a file with a line."""
    if not isinstance(error, RuntimeError):
        return f"a {type(error).__name__} is no refusal: {error}"
    return "" if PLACE.search(str(error)) else f"the refusal names no file and line: {error}"


def same_structure(subject: Subject, inputs: Sequence[torch.Tensor]) -> bool:
    """Return whether the structure is the one at the sizes that the net was built for."""
    try:
        return subject.decisions(inputs) == subject.structure
    except Exception:  # noqa: BLE001 - an invalid file has another structure
        return False
