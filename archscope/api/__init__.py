"""The public functions: networks, load, build, summarize, again, compare, cross_check, time, device, check, repair,
schema.

spec            → compile_plan → Plan → build → nn.Module
any target      → summarize → Report → compare, cross_check, check
any target      → time → Timing (with the ceilings that device measures)

Each module checks the options of its functions and makes one call of `archscope.analysis` or `archscope.fixes`. It is
imported when it is first used; a spec is read before the analysis, which needs torch, is imported.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # by this name type checkers know it; `typing` itself takes long to import
    from typing import Any

    from archscope.api.building import build, compile_plan
    from archscope.api.checks import check
    from archscope.api.comparisons import compare
    from archscope.api.cost_registration import register_cost
    from archscope.api.crosschecks import cross_check
    from archscope.api.devices import device
    from archscope.api.network_list import networks
    from archscope.api.repairs import Repair, repair
    from archscope.api.rerun import again
    from archscope.api.spec_loading import load, schema, variants
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
    "summarize",
    "time",
    "time_grid",
    "variants",
]
MODULES = {
    "building": ("build", "compile_plan"),
    "checks": ("check",),
    "comparisons": ("compare",),
    "cost_registration": ("register_cost",),
    "crosschecks": ("cross_check",),
    "devices": ("device",),
    "network_list": ("networks",),
    "repairs": ("Repair", "repair"),
    "rerun": ("again",),
    "spec_loading": ("load", "schema", "variants"),
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
