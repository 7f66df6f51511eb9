"""The public functions: networks, load, build, summarize, again, compare, cross_check, time, device, check, schema.

spec            → compile_plan → Plan → build → nn.Module
any target      → summarize → Report → compare, cross_check, check
any target      → time → Timing (with the ceilings that device measures)

Each is imported when it is first used, so that a summary does not load what only a cross-check or a timing needs.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # by this name type checkers know it; `typing` itself takes long to import
    from typing import Any

    from archscope.api.check_targets import check, compare
    from archscope.api.cost_registry import register_cost
    from archscope.api.crosschecks import cross_check
    from archscope.api.device_ceilings import device
    from archscope.api.network_list import networks
    from archscope.api.repairs import Repair, repair
    from archscope.api.rerun import again
    from archscope.api.spec_loading import build, compile_plan, load, schema, split_target, variants
    from archscope.api.summaries import summarize
    from archscope.api.timings import time, time_grid

__all__ = [
    "Repair",
    "again",
    "build",
    "check",
    "compare",
    "compile_plan",
    "cross_check",
    "device",
    "load",
    "networks",
    "register_cost",
    "repair",
    "schema",
    "split_target",
    "summarize",
    "time",
    "time_grid",
    "variants",
]
MODULES = {
    "check_targets": ("check", "compare"),
    "cost_registry": ("register_cost",),
    "crosschecks": ("cross_check",),
    "device_ceilings": ("device",),
    "network_list": ("networks",),
    "repairs": ("Repair", "repair"),
    "rerun": ("again",),
    "spec_loading": ("build", "compile_plan", "load", "schema", "split_target", "variants"),
    "summaries": ("summarize",),
    "timings": ("time", "time_grid"),
}
"""Module of this package → the public names that it defines."""


def __getattr__(name: str) -> "Any":
    for module, names in MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"archscope.api.{module}"), name)
            return value
    raise AttributeError(f"module 'archscope.api' has no attribute {name!r}")
