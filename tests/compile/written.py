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
    """Return the plan of a spec that is written in a test."""
    library = load("net.yaml", text=text)
    return compile_net(library, find_variant(library.root, variant), **options)


def net(text: str, *, seed: int = 0, **options: Any) -> torch.fx.GraphModule:
    """Return the built net in eval mode, initialised from a seed; torch's random state does not change."""
    planned = plan(text, **options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(planned).eval()


def example(shape: Shape, *, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs_of(planned: Plan) -> tuple[torch.Tensor, ...]:
    """Return one tensor for each input of a plan."""
    return tuple(
        example(i.shape) if i.dtype.is_floating_point else torch.full(i.shape, i.low, dtype=i.dtype)
        for i in planned.inputs
    )


def steps(*lines: str, shape: str = "N, 4, 8, 8", head: str = "") -> str:
    """Return a spec of one-line steps."""
    return f"input: [{shape}]\n{head}layers:\n" + "".join(f"  - {line}\n" for line in lines)


def run(text: str, *inputs: torch.Tensor, **options: Any) -> Any:
    """Return the output of a spec's net: for `inputs`, or for examples of its input sizes."""
    built = net(text, **options)
    return built(*(inputs or inputs_of(plan(text, **options))))


def shape_of(text: str, **options: Any) -> Any:
    """Return the output shapes of a spec's net: of a run on the CPU, which must agree with the plan."""
    planned, got = plan(text, **options), shapes(run(text, **options))
    assert shapes(planned.block.output) == got
    return got


def shapes(value: Any) -> Any:
    """Return nested data with shapes in place of tensors."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {name: shapes(part) for name, part in value.items()}
    return [shapes(part) for part in value]


def weights(text: str, **options: Any) -> dict[str, Shape]:
    """Return the names and shapes of a net's state_dict."""
    return {name: tuple(value.shape) for name, value in net(text, **options).state_dict().items()}


def paths(text: str, **options: Any) -> list[str]:
    """Return the paths of a plan's layers, in order of construction."""
    return [name for name, _ in plan(text, **options).block.walk()]


def refused(text: str, **options: Any) -> list[str]:
    """Return the problems of a spec, as `line:column: message`."""
    try:
        plan(text, **options)
    except SpecError as error:
        return [f"{_place(p.span)}: {p.message}" for p in error.problems]
    raise AssertionError("this spec is accepted")


def _place(span: Span) -> str:
    return f"{span.line}:{span.column}"


class IdleWatcher:
    """A watcher that records nothing."""

    def enter(self, site: object, inputs: object = ()) -> None: ...

    def leave(self) -> None: ...

    def record_parameter(self, parameter: torch.Tensor) -> None: ...


def run_by_recorder(text: str, weights: dict[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Any:
    """Return the output of a plan with these weights, run as by the recorder."""
    prepared = place_plan(plan(text), device="cpu")
    prepared.module.load_state_dict(weights)
    return prepared.run(tuple(inputs), IdleWatcher())


def same(left: Any, right: Any) -> None:
    """Assert that two nested results are bitwise equal."""
    assert shapes(left) == shapes(right)
    for a, b in zip(_tensors(left), _tensors(right), strict=True):
        assert torch.equal(a, b)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in _tensors(part)]
