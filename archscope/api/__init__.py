"""One function per wish: networks, load, build, summarize, again, compare, cross_check, time, device, check, schema.

target → Plan or nn.Module → record → Trace → priced Report (+ expectations) → Comparison, Checked
specs                        runs                                              judgement
                           → measure → Measurement (+ Ceilings of the device) → Timing
                             timings                  devices
"""

from archscope.api.check_targets import check, compare
from archscope.api.cost_registry import register_cost
from archscope.api.crosschecks import cross_check
from archscope.api.device_ceilings import device
from archscope.api.network_list import networks
from archscope.api.repairs import Repair, repair
from archscope.api.requests import again
from archscope.api.specs import build, compile_plan, load, schema, split_target, variants
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
