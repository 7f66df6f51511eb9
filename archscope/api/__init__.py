"""The public functions: networks, load, build, summarize, again, compare, cross_check, time, device, check, schema.

spec            → compile_plan → Plan → build → nn.Module
any target      → summarize → Report → compare, cross_check, check
any target      → time → Timing (with the ceilings that device measures)
"""

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
