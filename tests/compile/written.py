"""Specs written as text in tests: text → Plan → module → output, and the same by the recorder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from archscope.api import load
from archscope.compile import Plan, build, compile_net, place_plan
from archscope.errors import Span, SpecError
from archscope.spec.variants import find_variant

torch.set_num_threads(1)

Shape = tuple[int, ...]


def plan(text: str, *, variant: str | None = None, **options: Any) -> Plan:
    """The plan of a spec written here."""
    library = load("net.yaml", text=text)
    return compile_net(library, find_variant(library.root, variant), **options)


def net(text: str, *, seed: int = 0, **options: Any) -> torch.fx.GraphModule:
    """The built net, in eval mode, its weights drawn under a seed that leaves torch's random state alone."""
    planned = plan(text, **options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(planned).eval()


def example(shape: Shape, *, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs_of(planned: Plan) -> tuple[torch.Tensor, ...]:
    """One tensor for each input of a plan."""
    return tuple(
        example(i.shape) if i.dtype.is_floating_point else torch.full(i.shape, i.low, dtype=i.dtype)
        for i in planned.inputs
    )


def steps(*lines: str, shape: str = "N, 4, 8, 8", head: str = "") -> str:
    """A spec of one-line steps."""
    return f"input: [{shape}]\n{head}layers:\n" + "".join(f"  - {line}\n" for line in lines)


def run(text: str, *inputs: torch.Tensor, **options: Any) -> Any:
    """What a spec's net gives: for `inputs`, or for examples of its own."""
    built = net(text, **options)
    return built(*(inputs or inputs_of(plan(text, **options))))


def shape_of(text: str, **options: Any) -> Any:
    """The shapes a spec's net gives, after it was run for real and the plan agreed."""
    planned, got = plan(text, **options), shapes(run(text, **options))
    assert shapes(planned.block.output) == got
    return got


def shapes(value: Any) -> Any:
    """Tensors in nested data as their shapes."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {name: shapes(part) for name, part in value.items()}
    return [shapes(part) for part in value]


def weights(text: str, **options: Any) -> dict[str, Shape]:
    """The names and shapes of a net's state_dict."""
    return {name: tuple(value.shape) for name, value in net(text, **options).state_dict().items()}


def paths(text: str, **options: Any) -> list[str]:
    """The paths of a plan's layers, in order of construction."""
    return [name for name, _ in plan(text, **options).block.walk()]


def refused(text: str, **options: Any) -> list[str]:
    """The problems of a spec, as `line:column: message`."""
    try:
        plan(text, **options)
    except SpecError as error:
        return [f"{_place(p.span)}: {p.message}" for p in error.problems]
    raise AssertionError("this spec is accepted")


def _place(span: Span) -> str:
    return f"{span.line}:{span.column}"


class Silent:
    """A watcher that watches nothing."""

    def enter(self, site: object, inputs: object = ()) -> None: ...

    def leave(self) -> None: ...

    def hold(self, parameter: torch.Tensor) -> None: ...


def driven(text: str, weights: dict[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Any:
    """What the recorder's way of running a plan gives under these weights."""
    prepared = place_plan(plan(text), device="cpu")
    prepared.module.load_state_dict(weights)
    return prepared.run(tuple(inputs), Silent())


def same(left: Any, right: Any) -> None:
    """Asserts that two nested results are equal to the bit."""
    assert shapes(left) == shapes(right)
    for a, b in zip(_tensors(left), _tensors(right), strict=True):
        assert torch.equal(a, b)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in _tensors(part)]
