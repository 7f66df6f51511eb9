"""archscope: neural networks as YAML specs or PyTorch modules: summaries, costs and shape checks.

    net = archscope.build("specs:resnet:resnet50")                 an ordinary nn.Module
    report = archscope.summarize("specs:resnet:resnet50")          rows, totals, findings; print(report) is the table
    report = archscope.summarize(model, input=(1, 3, 224, 224))    the same for a live module
    archscope.networks()                                           the networks that come with archscope
    archscope.device()                                             the measured peak rates of this device
    archscope.compare(a, b), archscope.check(a), archscope.load(path), archscope.schema()
    archscope.time("specs:resnet:resnet50")                        measured times on this device, row by row
    archscope.register_cost("mylib::attention", formula)           sets the cost of an unknown operator

The functions live in `archscope.api`; they and torch are imported when they are first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # by this name type checkers know it; `typing` itself takes long to import
    from typing import Any

    from archscope.api import (
        again,
        build,
        check,
        compare,
        cross_check,
        device,
        load,
        networks,
        register_cost,
        repair,
        schema,
        summarize,
        time,
        time_grid,
        variants,
    )

__all__ = [
    "again",
    "build",
    "check",
    "compare",
    "cross_check",
    "device",
    "load",
    "networks",
    "register_cost",
    "repair",
    "schema",
    "summarize",
    "time",
    "time_grid",
    "variants",
]


OTHERS = {
    "summary": "archscope.summarize(model, input=(1, 3, 224, 224)); print it for the table",
    "profile": "archscope.summarize(model, input=(1, 3, 224, 224)).total",
    "flops": "archscope.summarize(model, input=(1, 3, 224, 224)).total",
}
"""Names from other tools and from our command line that are no functions here → the call to use instead."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        call = f"; it is {OTHERS[name]}" if name in OTHERS else ""
        raise AttributeError(f"module 'archscope' has no attribute {name!r}{call}")
    from archscope import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
