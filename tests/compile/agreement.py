"""A built net beside the plain interpreter: one spec, several inputs → the same values and gradients, or a refusal.

A refusal is right only where the interpreter says that the structure of the net is another one at these sizes, or that
the file has no meaning there; it has to name the file, the line and the step.
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
"""The step and its place, as an error of a built net says them."""
SEED = 5


@dataclass(frozen=True)
class Subject:
    """A spec as it was read, and its net, built once; `first` are inputs of the sizes that it was built for."""

    library: Library
    net: nn.Module
    first: tuple[torch.Tensor, ...]
    variant: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def interpreted(self, inputs: Sequence[torch.Tensor]) -> Run:
        return run(self.library, self.net, inputs, variant=self.variant, settings=self.settings)

    @cached_property
    def structure(self) -> frozenset[Any]:
        """What the structure hangs on at the sizes that the net was built for."""
        return self.decisions(self.first)

    def decisions(self, inputs: Sequence[torch.Tensor]) -> frozenset[Any]:
        """What the structure hangs on at these sizes, however often a loop comes by."""
        with torch.no_grad():
            return frozenset(self.interpreted(inputs).decisions)


def subject(
    path: str,
    first: Sequence[torch.Tensor],
    *,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Subject:
    """Builds a spec for the sizes of `first`."""
    library = load(path)
    shapes = {one.name: tuple(value.shape) for one, value in zip(library.root.inputs, first, strict=True)}
    net = archscope.build(path, variant=variant, seed=0, input=shapes, set=settings or {})
    return Subject(library, liven(net), tuple(first), variant, settings or {})


def written_subject(text: str, first: Sequence[torch.Tensor]) -> Subject:
    """Builds a spec that is written in a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return subject(path, first)


def liven(net: nn.Module) -> nn.Module:
    """Norms, biases and raw parameters at random, so that a swapped one would show; in eval mode."""
    dice = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in net.parameters():
            if value.dim() < 2 or not value.std() > 0:
                value.add_(0.1 * torch.randn(value.shape, generator=dice))
    return net.eval()


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Torch's random state from a seed, and back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def evaluated(call: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that a net gives, in eval mode."""
    with torch.no_grad(), seeded():
        return tensors_in(call(*inputs))


def step(net: nn.Module, call: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
    """Outputs and gradients of a training step, with the buffers that it leaves; the net is as before afterwards."""
    kept = copy.deepcopy(net.state_dict())
    given = [one.clone().requires_grad_(one.is_floating_point()) for one in inputs]
    wanted = [*net.parameters(), *(one for one in given if one.requires_grad)]
    net.train()
    try:
        with seeded():
            outputs = tensors_in(call(*given))
        tracked = [one for one in outputs if one.requires_grad]
        loss = sum((one**2).sum() for one in tracked)
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True) if tracked else ()
        buffers = [buffer.clone() for buffer in net.buffers()]
    finally:
        net.eval()
        net.load_state_dict(kept)
    return [*(one.detach() for one in outputs), *gradients, *buffers]


def same_bits(left: Sequence[torch.Tensor | None], right: Sequence[torch.Tensor | None]) -> str:
    """How two lists of tensors differ; "" where they are equal to the bit."""
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
    """What a call gives, or the error that ends it."""
    try:
        return call()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - which error it may be is judged by the caller
        return error


def disagreement(one: Subject, inputs: Sequence[torch.Tensor], *, may_refuse: bool = False) -> str:
    """How the built net differs from the interpreter at these inputs; "" where it does not.

    may_refuse: whether it may refuse although the interpreter gives a value, as it may where the structure hangs on
    the sizes. It has to refuse, and to be plain about it, where the net that it was built as is not the file's there;
    where torch itself raises, any error will do.
    """
    wanted = outcome(lambda: evaluated(lambda *xs: one.interpreted(xs).value, inputs))
    got = outcome(lambda: evaluated(one.net, inputs))
    if isinstance(wanted, Exception):
        if not isinstance(got, Exception):
            return f"a value, where the interpreter raises {wanted!r}"
        return refusal(got) if isinstance(wanted, UnlikeError) else ""
    if isinstance(got, Exception):
        return refusal(got) if may_refuse else f"refused, though the structure is the same: {got!r}"
    if found := same_bits(got, wanted):
        return f"eval: {found}"
    trained = outcome(lambda: step(one.net, lambda *xs: one.interpreted(xs).value, inputs))
    if isinstance(trained, Exception):
        return ""
    ours = outcome(lambda: step(one.net, one.net, inputs))
    if isinstance(ours, Exception):
        return f"the training step raises {ours!r}"
    return (found := same_bits(ours, trained)) and f"training step: {found}"


def refusal(error: Exception) -> str:
    """What a refusal lacks; "" where it is a RuntimeError that names a file with a line."""
    if not isinstance(error, RuntimeError):
        return f"a {type(error).__name__} is no refusal: {error}"
    return "" if PLACE.search(str(error)) else f"the refusal names no file and line: {error}"


def same_structure(one: Subject, inputs: Sequence[torch.Tensor]) -> bool:
    """Whether nothing that the structure hangs on is different from the sizes that the net was built for."""
    try:
        return one.decisions(inputs) == one.structure
    except Exception:  # noqa: BLE001 - where the file has no meaning, the structure is another one
        return False
