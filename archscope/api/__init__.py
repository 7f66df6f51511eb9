"""One function per wish: load, build, summarize, compare, check, schema.

    target → Plan or nn.Module → record → Trace → priced Report (+ expectations) → Comparison, Checked
    specs                        runs                                              judgement
"""

from archscope.api.judgement import check, compare
from archscope.api.repairs import Repair, repair
from archscope.api.runs import summarize
from archscope.api.specs import build, load, plan_of, schema, split, variants

__all__ = [
    "Repair",
    "build",
    "check",
    "compare",
    "load",
    "plan_of",
    "repair",
    "schema",
    "split",
    "summarize",
    "variants",
]
