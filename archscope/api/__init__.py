"""One function per wish: networks, load, build, summarize, again, compare, cross_check, time, device, check, schema.

target → Plan or nn.Module → record → Trace → priced Report (+ expectations) → Comparison, Checked
specs                        runs                                              judgement
                           → measure → Measurement (+ Ceilings of the device) → Timing
                             timings                  devices
"""

from archscope.api.choices import networks
from archscope.api.crosschecks import cross_check
from archscope.api.devices import device
from archscope.api.judgement import check, compare
from archscope.api.prices import register_cost
from archscope.api.repairs import Repair, repair
from archscope.api.requests import again
from archscope.api.runs import summarize
from archscope.api.specs import build, load, plan_of, schema, split, variants
from archscope.api.timings import time, time_grid

__all__ = [
    "Repair",
    "again",
    "build",
    "check",
    "compare",
    "cross_check",
    "device",
    "load",
    "networks",
    "plan_of",
    "register_cost",
    "repair",
    "schema",
    "split",
    "summarize",
    "time",
    "time_grid",
    "variants",
]
